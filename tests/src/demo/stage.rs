//! What stands on the stage: the configuration, and the folder in which everything happens.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

/// Name of the device in the demonstration.
pub(super) const DEVICE: &str = "demo";
/// What a PNG file begins with.
const PNG_START: &[u8] = b"\x89PNG\r\n\x1a\n";

/// One pipeline of the demonstration.
#[derive(Debug, Clone, Copy)]
pub struct Pipeline {
    /// Its name.
    pub name: &'static str,
    /// What its source is, in a few words.
    pub source: &'static str,
    /// The keys of its source.
    pub keys: &'static str,
}

/// Rates that two slow cores keep up with. The scene changes several times a second, so that even some seconds
/// show enough different things to measure accuracy on.
const PIPELINES: [Pipeline; 2] = [
    Pipeline {
        name: "door",
        source: "1280x720 nv12",
        keys: r#"kind = "pattern", width = 1280, height = 720, format = "nv12", rate_hz = 15, seed = 1, cut = 3"#,
    },
    Pipeline {
        name: "yard",
        source: "1920x1080 mjpeg",
        keys: r#"kind = "pattern", width = 1920, height = 1080, format = "mjpeg", rate_hz = 8, seed = 2, cut = 2"#,
    },
];

/// Where everything is.
#[derive(Debug, Clone)]
pub struct Stage {
    /// The daemon's binary.
    pub vedette: PathBuf,
    /// The ONNX Runtime library.
    pub onnxruntime: PathBuf,
    /// The model's folder.
    pub model: PathBuf,
    /// Where to write.
    pub out: PathBuf,
}

impl Stage {
    /// The pipelines.
    #[must_use]
    pub fn pipelines(&self) -> &'static [Pipeline] {
        &PIPELINES
    }

    /// The device's topics.
    ///
    /// # Errors
    /// Never: the name is a good one.
    pub fn topics(&self) -> Result<wire::topic::Topics> {
        Ok(wire::topic::Topics::new(DEVICE)?)
    }

    /// Finds everything, and makes `out` a folder without what an earlier demonstration left there.
    ///
    /// # Errors
    /// Something is not there, or `out` cannot be written.
    pub fn set(vedette: &Path, onnxruntime: &Path, models: &Path, out: &Path) -> Result<Self> {
        let find = |path: &Path| {
            path.canonicalize().with_context(|| format!("cannot find `{}`", path.display()))
        };
        fs::create_dir_all(out).with_context(|| format!("cannot make `{}`", out.display()))?;
        let stage = Self {
            vedette: find(vedette)?,
            onnxruntime: find(onnxruntime)?,
            model: find(&models.join("shapes"))?,
            out: find(out)?,
        };
        for name in ["annotated.png", "observations.jsonl", "vedette.log"] {
            let path = stage.out.join(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error)
                        .with_context(|| format!("cannot remove `{}`", path.display()));
                }
                _ => {}
            }
        }
        Ok(stage)
    }

    /// Writes the configuration for a broker on `port`, and returns where.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn configure(&self, port: u16) -> Result<PathBuf> {
        let path = self.out.join("vedette.toml");
        let context = || format!("cannot write `{}`", path.display());
        let mut file = File::create(&path).with_context(context)?;
        file.write_all(configuration(self, port).as_bytes()).with_context(context)?;
        Ok(path)
    }
}

/// The daemon's configuration for a broker on `port`.
#[must_use]
pub fn configuration(stage: &Stage, port: u16) -> String {
    let quoted = |path: &Path| toml::Value::String(path.display().to_string()).to_string();
    let (onnxruntime, model) = (quoted(&stage.onnxruntime), quoted(&stage.model));
    let mut text = format!(
        r#"# Written by the demonstration: two pipelines that share one engine.
device = "{DEVICE}"
state_dir = "state"
onnxruntime = {onnxruntime}

[mqtt]
url = "mqtt://127.0.0.1:{port}"

[models.shapes]
path = {model}

[sinks.file]
kind = "jsonl"
path = "observations.jsonl"
"#
    );
    for Pipeline { name, keys, .. } in stage.pipelines() {
        text.push_str(&format!(
            r#"
[[pipeline]]
name = "{name}"
model = "shapes"
source = {{ {keys} }}
sinks = ["mqtt", "file"]
"#
        ));
    }
    text
}

/// Lets the daemon's own command draw what the model finds in one picture. Where the picture is, or why there
/// is none.
///
/// # Errors
/// The command failed, in its own words, or wrote no PNG file.
pub fn annotate(stage: &Stage) -> Result<String, String> {
    let path = stage.out.join("annotated.png");
    let mut command = Command::new(&stage.vedette);
    command.arg("annotate").arg(&stage.model);
    command.args(["--pattern", "1280x720", "--seed", "7", "--frame", "100", "--out"]).arg(&path);
    command.env("ORT_DYLIB_PATH", &stage.onnxruntime);
    let output = command.output().map_err(|error| format!("it cannot be started: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`vedette annotate`: {}, {}", output.status, said.trim()));
    }
    match fs::read(&path) {
        Ok(bytes) if bytes.starts_with(PNG_START) => Ok(path.display().to_string()),
        Ok(_) => Err(format!("`{}` is no PNG file", path.display())),
        Err(error) => Err(format!("`{}` cannot be read: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_toml_whatever_the_paths_are_called() {
        let stage = Stage {
            vedette: "/v".into(),
            onnxruntime: "/a \"b\"\\c".into(),
            model: "/it's here".into(),
            out: "/o".into(),
        };
        let text = configuration(&stage, 1883);
        let table: toml::Table = toml::from_str(&text).unwrap();
        assert_eq!(table["onnxruntime"].as_str(), Some("/a \"b\"\\c"));
        assert_eq!(table["models"]["shapes"]["path"].as_str(), Some("/it's here"));
        assert_eq!(table["pipeline"].as_array().map(Vec::len), Some(2));
    }
}
