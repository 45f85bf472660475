//! A source that a command is to look through: one of the configuration's, or one described on the command line.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use crate::config::checked::PATH_DEFAULT;
use crate::config::section::Mistakes;
use crate::config::tree::{At, parse};
use crate::config::{Config, Section};
use crate::kinds;
use crate::pipeline::frame::Frame;
use crate::pipeline::source::SourceSpec;
use crate::pipeline::{rgb, source};
use crate::report;

/// Which source.
#[derive(Debug, Args)]
pub(super) struct SourceArgs {
    /// A pipeline of the configuration, whose source it is
    #[arg(long, value_name = "NAME", conflicts_with_all = ["source", "device"])]
    pipeline: Option<String>,
    /// Configuration file
    #[arg(short, long, value_name = "FILE", default_value = PATH_DEFAULT)]
    config: PathBuf,
    /// A source's keys, as in the configuration: 'kind = "rtsp", url = "rtsp://…"'
    #[arg(long, value_name = "KEYS", conflicts_with = "device")]
    source: Option<String>,
    /// A camera's file, such as /dev/video0
    #[arg(long, value_name = "FILE")]
    pub(super) device: Option<PathBuf>,
}

impl SourceArgs {
    /// The named one.
    pub(super) fn spec(&self) -> Result<Arc<dyn SourceSpec>, String> {
        if let Some(name) = &self.pipeline {
            return self.configured(name);
        }
        match (&self.source, &self.device) {
            (Some(keys), _) => described(keys),
            (None, Some(path)) => device(path),
            _ => Err("name a source: --pipeline, --source or --device".to_owned()),
        }
    }

    fn configured(&self, name: &str) -> Result<Arc<dyn SourceSpec>, String> {
        let config = Config::load(&self.config, std::env::vars()).map_err(|mistakes| {
            let list: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
            format!("cannot use `{}`: {}", self.config.display(), list.join("; "))
        })?;
        config.pipeline(name).map(|pipeline| pipeline.source.clone()).ok_or_else(|| {
            let names: Vec<&str> = config.pipelines.iter().map(|one| one.name.as_str()).collect();
            format!("there is no pipeline `{name}`: {}", names.join(", "))
        })
    }
}

/// The source that these keys of a configuration describe; a table in one line, or one key a line.
pub(super) fn described(keys: &str) -> Result<Arc<dyn SourceSpec>, String> {
    let place = Path::new("command line");
    let text = match keys.contains('\n') {
        true => keys.to_owned(),
        false => format!("source = {{ {keys} }}"),
    };
    let table = parse(&text, place).map_err(|syntax| format!("`{keys}`: {}", syntax.message))?;
    let mistakes = Mistakes::new();
    let top = Section::top(&table, At::File(place.into(), 1), Path::new("."), &mistakes);
    let spec = match keys.contains('\n') {
        true => kinds::build(kinds::SOURCES, top),
        false => top.section("source").and_then(|section| kinds::build(kinds::SOURCES, section)),
    };
    match spec {
        Some(spec) if mistakes.is_empty() => Ok(spec.into()),
        _ => {
            let list: Vec<String> = mistakes.into_vec().iter().map(ToString::to_string).collect();
            Err(list.join("; "))
        }
    }
}

/// A camera of the kernel's in the largest size that it gives at a usual rate.
fn device(path: &Path) -> Result<Arc<dyn SourceSpec>, String> {
    let (width, height) =
        source::v4l2::largest(path).map_err(|error| report::chain(error.as_ref()))?;
    let path = path.display().to_string();
    described(&format!("kind = \"v4l2\", device = {path:?}, width = {width}, height = {height}"))
}

/// A frame as PNG: red, green and blue.
pub(super) fn png(frame: &Frame, pixels: &mut Vec<u8>) -> Result<Vec<u8>, String> {
    rgb::to_rgb(frame, pixels).map_err(|error| report::chain(&error))?;
    encode(pixels, frame.width, frame.height).map_err(|error| error.to_string())
}

/// Packed red, green and blue as PNG.
pub(super) fn encode(
    pixels: &[u8],
    width: u32,
    height: u32,
) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    encoder.write_header()?.write_image_data(pixels)?;
    Ok(bytes)
}
