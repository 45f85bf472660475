//! Where the things are that are not made here: the binary, the library, the models.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

/// The daemon's binary: `VEDETTE_TEST_BIN`, else the one that cargo built beside this test.
///
/// # Errors
/// There is none; says how to build it.
pub fn vedette() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("VEDETTE_TEST_BIN").filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        ensure!(path.is_file(), "VEDETTE_TEST_BIN: there is no file `{}`", path.display());
        return Ok(path);
    }
    let this = std::env::current_exe().context("cannot tell where this test is")?;
    // A test is in target/PROFILE/deps, a binary in target/PROFILE.
    let beside = this.ancestors().skip(1).take(2).map(|directory| directory.join("vedette"));
    let Some(path) = beside.clone().find(|path| path.is_file()) else {
        let tried: Vec<String> = beside.map(|path| path.display().to_string()).collect();
        bail!(
            "the daemon is not built: run `cargo build -p agent`, or set VEDETTE_TEST_BIN (there is no {})",
            tried.join(" and no ")
        );
    };
    Ok(path)
}

/// The ONNX Runtime library: `VEDETTE_TEST_ORT`.
///
/// # Errors
/// The variable is not set or names no file; says how to get it.
pub fn onnxruntime() -> Result<PathBuf> {
    let advice = "run scripts/test, or `eval \"$(scripts/test --env)\"` before a run by hand";
    let path = std::env::var_os("VEDETTE_TEST_ORT").filter(|path| !path.is_empty());
    let path = PathBuf::from(path.with_context(|| {
        format!("VEDETTE_TEST_ORT does not name the ONNX Runtime library: {advice}")
    })?);
    ensure!(path.is_file(), "VEDETTE_TEST_ORT: there is no file `{}`: {advice}", path.display());
    Ok(path)
}

/// How long to wait for what should come within `limit`: [`slower`] times that.
pub(crate) fn patient(limit: Duration) -> Duration {
    limit.saturating_mul(slower())
}

/// How many times slower than this machine the daemon is taken to be: `VEDETTE_TEST_PATIENCE`, where it is emulated.
pub(crate) fn slower() -> u32 {
    let times = std::env::var("VEDETTE_TEST_PATIENCE").ok().and_then(|times| times.parse().ok());
    times.filter(|times| *times > 0).unwrap_or(1)
}

/// The Python that has other people's clients of the API: `VEDETTE_TEST_PYTHON_API`.
///
/// # Errors
/// The variable is not set or names no file; says how to get it.
pub fn python_api() -> Result<PathBuf> {
    let advice = "run scripts/test, or `eval \"$(scripts/test --env)\"` before a run by hand";
    let path = std::env::var_os("VEDETTE_TEST_PYTHON_API").filter(|path| !path.is_empty());
    let path =
        PathBuf::from(path.with_context(|| {
            format!("VEDETTE_TEST_PYTHON_API does not name a Python: {advice}")
        })?);
    ensure!(path.is_file(), "VEDETTE_TEST_PYTHON_API: no file `{}`: {advice}", path.display());
    Ok(path)
}

/// The root of the checkout that this was built from.
#[must_use]
pub fn repository() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// The folder of a committed model, such as `shapes`.
///
/// # Errors
/// There is no such model.
pub fn model(name: &str) -> Result<PathBuf> {
    let path = repository().join("models").join(name);
    ensure!(path.join("model.toml").is_file(), "there is no model in `{}`", path.display());
    Ok(path)
}

/// A program of the system: in `PATH`, or where Debian puts daemons.
///
/// # Errors
/// It is not installed; says how to install it.
pub fn program(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let daemons = ["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(daemons)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
        .with_context(|| format!("{name} is not installed: run scripts/setup --test"))
}

/// Chromium; `None` on Ubuntu without one, which has it as a snap alone.
///
/// # Errors
/// It is not installed; says how to install it.
pub fn chromium() -> Result<Option<PathBuf>> {
    let system = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    match program("chromium") {
        Err(_) if system.lines().any(|line| line == "ID=ubuntu") => Ok(None),
        found => found.map(Some),
    }
}
