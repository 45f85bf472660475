//! Takes the library out of the wheel whose digest is written down, and puts it into its place.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::disk::{self, DiskError, Scratch};
use crate::hw::ort::Runtime;
use crate::pipeline::engine::EngineError;

/// What is pinned, as the scripts of this house read it too.
const PINS: &str = include_str!("../../../../scripts/onnxruntime.pins");
/// Largest wheel, and largest library in it: twice what they are.
const BYTES_MAX: u64 = 128 << 20;

/// Who downloads and unpacks it.
const PYTHON: &str = "python3";

/// Why the library was not installed. What was there before is untouched.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetupError {
    /// There is no wheel for such a machine.
    #[error("no ONNX Runtime is known for this processor ({0})")]
    Machine(&'static str),
    /// A program that is needed failed or is not there; its own words are above.
    #[error("`{0}` failed; {1}")]
    Program(String, &'static str),
    /// It could not be started.
    #[error("cannot start `{program}`: is Python installed? (sudo apt install python3-pip)")]
    Start {
        /// What.
        program: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A file could not be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is not what is pinned.
    #[error("`{}` is not the file that is pinned and is not used: SHA-256 {found}, expected {wanted}", path.display())]
    Digest {
        /// Which.
        path: PathBuf,
        /// Its digest.
        found: String,
        /// What it should be.
        wanted: String,
    },
    /// There is no place to unpack it in.
    #[error("no place for temporary files")]
    Scratch(#[source] DiskError),
    /// It could not be put into its place.
    #[error("cannot install the library")]
    Write(#[source] DiskError),
    /// It is the right file and does not work here.
    #[error("the library was installed and cannot be used")]
    Use(#[source] EngineError),
}

/// The wheel for one kind of machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pin {
    package: &'static str,
    version: &'static str,
    wheel: &'static str,
    library: &'static str,
}

impl Pin {
    fn of(machine: &str) -> Option<Self> {
        let lines = PINS.lines().filter(|line| !line.starts_with('#'));
        let mut words = lines
            .map(str::split_whitespace)
            .filter_map(|mut words| (words.next()? == machine).then_some(words));
        let mut words = words.next()?;
        let mut next = || words.next();
        Some(Self { package: next()?, version: next()?, wheel: next()?, library: next()? })
    }
}

/// Installs the library into `dir`, from the wheel `given` or from one that pip downloads. Where it is now.
pub(super) fn install(given: Option<&Path>, dir: &Path) -> Result<PathBuf, SetupError> {
    let machine = std::env::consts::ARCH;
    let pin = Pin::of(machine).ok_or(SetupError::Machine(machine))?;
    let scratch = Scratch::new("setup").map_err(SetupError::Scratch)?;
    let wheel = match given {
        Some(given) => given.to_owned(),
        None => download(&pin, machine, scratch.path())?,
    };
    is(&wheel, pin.wheel)?;
    let unpacked = scratch.path().join("unpacked");
    python(&["-m", "zipfile", "-e"], &[&wheel, &unpacked], "is the wheel whole?")?;
    let name = format!("libonnxruntime.so.{}", pin.version);
    let library = unpacked.join("onnxruntime/capi").join(&name);
    let bytes = is(&library, pin.library)?;
    disk::create_directory(dir).map_err(SetupError::Write)?;
    disk::replace(&dir.join(&name), &bytes).map_err(SetupError::Write)?;
    let link = dir.join("libonnxruntime.so");
    disk::replace_link(&link, Path::new(&name)).map_err(SetupError::Write)?;
    Runtime::look(&link).map_err(SetupError::Use)?;
    Ok(link)
}

/// What pip is told so that it downloads the wheel, whatever Python and machine it runs on.
fn arguments(pin: &Pin, machine: &str) -> String {
    format!(
        "-m pip download --no-deps --only-binary=:all: --implementation=cp --python-version=3.11 --abi=cp311 \
         --platform manylinux_2_28_{machine} {}=={}",
        pin.package, pin.version
    )
}

/// What to type where there is a network, to have the wheel for this machine; `None` where there is none for it.
pub(super) fn elsewhere() -> Option<String> {
    let machine = std::env::consts::ARCH;
    Some(format!("{PYTHON} {}", arguments(&Pin::of(machine)?, machine)))
}

/// Has pip download the wheel into `dir`.
fn download(pin: &Pin, machine: &str, dir: &Path) -> Result<PathBuf, SetupError> {
    let arguments = arguments(pin, machine);
    let words: Vec<&str> = arguments.split(' ').chain(["--dest"]).collect();
    let advice = "is the Python package index reachable? JetPack 5's pip is too old for this wheel (sudo python3 -m pip \
                  install --upgrade pip). Else bring the wheel, and name it with --wheel";
    python(&words, &[dir], advice)?;
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    let mut files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let wheel = files.find(|path| path.extension().is_some_and(|end| end == "whl"));
    wheel.ok_or_else(|| SetupError::Program("pip download".to_owned(), advice))
}

/// Runs Python; what it says goes to the terminal.
fn python(words: &[&str], paths: &[&Path], advice: &'static str) -> Result<(), SetupError> {
    let status = Command::new(PYTHON)
        .args(words)
        .args(paths)
        .status()
        .map_err(|source| SetupError::Start { program: PYTHON, source })?;
    if status.success() {
        return Ok(());
    }
    let told: Vec<&str> = words.iter().copied().take(3).collect();
    Err(SetupError::Program(format!("{PYTHON} {}", told.join(" ")), advice))
}

/// The bytes of the file at `path`, whose digest is `wanted`.
fn is(path: &Path, wanted: &str) -> Result<Vec<u8>, SetupError> {
    let bytes = disk::read_bounded(path, BYTES_MAX)
        .map_err(|source| SetupError::Read { path: path.to_owned(), source })?;
    let found = wire::Digest::of(&bytes).to_string();
    if found == wanted {
        return Ok(bytes);
    }
    Err(SetupError::Digest { path: path.to_owned(), found, wanted: wanted.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wheel_is_pinned_for_both_processors_by_digests() {
        for machine in ["x86_64", "aarch64"] {
            let pin = Pin::of(machine).unwrap();
            assert_eq!((pin.wheel.len(), pin.library.len()), (64, 64), "{pin:?}");
        }
        assert_eq!(Pin::of("riscv64"), None);
    }

    #[test]
    fn what_is_not_the_pinned_file_is_not_looked_into() {
        let dir = tempfile::tempdir().unwrap();
        let wheel = dir.path().join("some.whl");
        disk::replace(&wheel, b"PK").unwrap();
        let refused = install(Some(&wheel), &dir.path().join("lib"));
        assert!(matches!(refused, Err(SetupError::Digest { .. })), "{refused:?}");
        assert!(!dir.path().join("lib").exists());
    }
}
