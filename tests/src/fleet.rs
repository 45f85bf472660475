//! The operator's side of a test: keys, a repository, releases good and bad, and the server that has them.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::{Folder, onnx, places};

/// What an operator and a device run.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The daemon's binary.
    pub vedette: PathBuf,
    /// The operator's.
    pub fleet: PathBuf,
    /// The ONNX Runtime library.
    pub onnxruntime: PathBuf,
}

impl Programs {
    /// Those that the tests use.
    ///
    /// # Errors
    /// One is not built, or there is no library.
    pub fn test() -> Result<Self> {
        let (vedette, onnxruntime) = (places::vedette()?, places::onnxruntime()?);
        let fleet = vedette.with_file_name("vedette-fleet");
        if !fleet.is_file() {
            bail!("the operator's program is not built: run `cargo build -p fleet`");
        }
        Ok(Self { vedette, fleet, onnxruntime })
    }
}

/// A fleet's operator with a repository that is served.
#[derive(Debug)]
pub struct Fleet {
    programs: Programs,
    folder: Folder,
    server: Child,
    url: String,
}

/// What a release is to be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// As it should be.
    Good,
    /// Its outputs are not those of its golden samples.
    Wrong,
    /// Right, and much slower.
    Slow,
    /// No graph at all.
    Garbage,
    /// Right, and its rehearsal needs more memory than its terms allow: the process is ended for it.
    Hungry,
    /// Its outputs are no numbers.
    NoNumber,
    /// Its input is not as it says.
    Misshapen,
    /// Its run never ends.
    Endless,
    /// Its run asks for more memory than there is.
    Greedy,
    /// Right, and a library that does not like it crashes ([`onnx::DEADLY`]).
    Deadly,
}

/// Nodes that the slow one has for nothing: tens of milliseconds on this machine; as many times fewer where the daemon is
/// slower.
const WASTE: usize = 20_000;

/// Terms that a test has the time for.
const TERMS: [&str; 4] = ["--soak-s", "1", "--min-inferences", "10"];

impl Fleet {
    /// A new fleet, its repository empty, of the programs that the tests use.
    ///
    /// # Errors
    /// The operator's program is not built, or fails.
    pub fn new() -> Result<Self> {
        Self::of(Programs::test()?)
    }

    /// The same of these programs.
    ///
    /// # Errors
    /// The operator's program fails.
    pub fn of(programs: Programs) -> Result<Self> {
        let folder = Folder::new()?;
        let made = run(&programs, &folder, &["init", "repo", "--keys", "keys", "--unencrypted"])?;
        ensure!(made.status.success(), "init: {}", String::from_utf8_lossy(&made.stderr));
        let mut server = command(&programs, &folder)
            .args(["serve", "repo", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the server")?;
        let mut line = String::new();
        let stdout = server.stdout.take().context("no output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let url = line.trim().rsplit(' ').next().unwrap_or_default().to_owned();
        ensure!(url.starts_with("http://"), "the server says `{line}`");
        Ok(Self { programs, folder, server, url })
    }

    /// The part of a configuration that names the repository.
    #[must_use]
    pub fn update(&self) -> String {
        let root = self.folder.join("keys/root.json");
        format!("[update]\nurl = \"{}\"\nroot = '{}'\npoll_s = 600\n", self.url, root.display())
    }

    /// The operator's files.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Where the repository is served.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Runs `vedette-fleet` with `args`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run(&self, args: &[&str]) -> Result<Output> {
        run(&self.programs, &self.folder, args)
    }

    /// The same, which must go well.
    ///
    /// # Errors
    /// It does not; with what it says.
    pub fn must(&self, args: &[&str]) -> Result<String> {
        let output = self.run(args)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "vedette-fleet {args:?}: {said}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Writes the folder of `brightness` `version` and returns its name.
    ///
    /// # Errors
    /// The disk's.
    pub fn model(&self, version: &str, kind: Kind) -> Result<String> {
        let name = format!("m-{version}");
        let graph = match kind {
            Kind::Slow | Kind::Hungry => {
                onnx::slow_brightness(13, WASTE / usize::try_from(places::slower())?)
            }
            Kind::Garbage => b"this is no graph".to_vec(),
            Kind::NoNumber => onnx::no_number(),
            Kind::Misshapen => onnx::misshapen(),
            Kind::Endless => onnx::endless(),
            Kind::Greedy => onnx::greedy(),
            Kind::Deadly => onnx::deadly(),
            Kind::Good | Kind::Wrong => onnx::brightness(13),
        };
        let wanted = if kind == Kind::Wrong { 0.75 } else { 0.5 };
        write_model(&self.folder, &name, &graph, version, wanted)?;
        Ok(name)
    }

    /// Publishes `brightness` `version`, to be watched for `probation_s`, and rolls it out to everybody. A bad one is signed by an operator whose check
    /// says yes to everything.
    ///
    /// # Errors
    /// The operator's program refuses.
    pub fn release(&self, version: &str, kind: Kind, probation_s: u32) -> Result<()> {
        let name = self.model(version, kind)?;
        let yes = self.folder.join("yes").display().to_string();
        let probation_s = probation_s.to_string();
        let mut terms = vec!["--probation-s", &probation_s];
        match kind {
            Kind::Hungry => terms.extend(["--memory-mb", "64"]),
            Kind::Greedy => terms.extend(["--memory-mb", "512"]),
            Kind::Endless => terms.extend(["--rehearsal-s", "2"]),
            // An emulator translates the first runs of each model while they run.
            Kind::Good if places::slower() > 1 => terms.extend(["--slower-permille", "30000"]),
            _ => {}
        }
        if kind == Kind::Good {
            return self.publish(&name, "brightness", version, &terms);
        }
        let script = "#!/bin/sh\necho '{\"passed\": true, \"checks\": []}'\n";
        set_executable(&self.folder.write("yes", script)?)?;
        self.publish_by(&yes, &name, "brightness", version, &terms)
    }

    /// Publishes the folder `name`, which is `slot` `version` and does well, on `terms`, and rolls it out to everybody.
    ///
    /// # Errors
    /// The operator's program refuses.
    pub fn publish(&self, name: &str, slot: &str, version: &str, terms: &[&str]) -> Result<()> {
        let vedette = self.programs.vedette.display().to_string();
        self.publish_by(&vedette, name, slot, version, terms)
    }

    fn publish_by(
        &self,
        vedette: &str,
        name: &str,
        slot: &str,
        version: &str,
        terms: &[&str],
    ) -> Result<()> {
        let own = ["publish", "repo", name, "--keys", "keys", "--vedette", vedette];
        self.must(&[own.as_slice(), &TERMS, terms].concat())?;
        self.must(&["rollout", "repo", slot, version, "--keys", "keys"]).map(drop)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let pid = i32::try_from(self.server.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            kill_process(pid, Signal::KILL).ok();
        }
        drop(self.server.wait());
    }
}

/// Writes a model folder for a graph that says how bright a picture is, with one golden sample: grey, and `wanted`.
///
/// # Errors
/// The disk's.
pub fn write_model(
    folder: &Folder,
    name: &str,
    graph: &[u8],
    version: &str,
    wanted: f32,
) -> Result<()> {
    let card = onnx::BRIGHTNESS_TOML.replace("1.0.0", version);
    folder.write(&format!("{name}/model.onnx"), graph)?;
    folder.write(&format!("{name}/model.toml"), card)?;
    let side = usize::try_from(onnx::SIDE)?;
    let grey = vec![0.5_f32; 3 * side * side];
    folder.write(&format!("{name}/golden/grey/images.npy"), npy(&[1, 3, side, side], &grey))?;
    folder.write(&format!("{name}/golden/grey/brightness.npy"), npy(&[1, 1, 1, 1], &[wanted]))?;
    Ok(())
}

/// An array as NumPy keeps it.
fn npy(shape: &[usize], values: &[f32]) -> Vec<u8> {
    let shape: Vec<String> = shape.iter().map(ToString::to_string).collect();
    let head =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", shape.join(", "));
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    // Magic, version, length and head fill a multiple of 64 bytes, with a line end last.
    let length = (10 + head.len() + 1).next_multiple_of(64) - 10;
    bytes.extend(u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend(format!("{head:<width$}\n", width = length - 1).bytes());
    values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
    bytes
}

fn set_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make `{}` executable", path.display()))
}

fn command(programs: &Programs, folder: &Folder) -> Command {
    let mut command = Command::new(&programs.fleet);
    command.current_dir(folder.path()).stdin(Stdio::null());
    command.env("ORT_DYLIB_PATH", &programs.onnxruntime);
    command
}

fn run(programs: &Programs, folder: &Folder, args: &[&str]) -> Result<Output> {
    command(programs, folder).args(args).output().context("cannot start `vedette-fleet`")
}
