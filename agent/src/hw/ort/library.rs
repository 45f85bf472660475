//! Finds, checks and opens the ONNX Runtime library, once per process.
//!
//! The library is looked at before `ort` opens it, because `ort` panics over some that are too old or are no
//! ONNX Runtime at all. Checked in `tests/engine_library.rs` with libraries of each kind.
#![expect(unsafe_code, reason = "a shared library's symbols can only be called unsafely")]

use std::collections::BTreeSet;
use std::error::Error;
use std::ffi::CStr;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ort::logging::LogLevel;

use super::options::Provider;
use super::providers;
use crate::pipeline::engine::EngineError;

/// The oldest minor version of ONNX Runtime 1 that is accepted: that of JetPack 5.
pub const OLDEST: u32 = 18;

/// Names tried in this order where none is given: as the loader finds them, then where boards' packages and
/// this project's own put them.
const WELL_KNOWN: &[&str] = &[
    "libonnxruntime.so.1",
    "libonnxruntime.so",
    "/usr/lib/vedette/libonnxruntime.so",
    "/opt/onnxruntime/lib/libonnxruntime.so",
    "/usr/local/lib/libonnxruntime.so",
];

/// What to do where there is none.
const MISSING: &str = "ONNX Runtime 1.18 or newer is needed: `vedette setup-onnxruntime` finds it, or says what to \
    install; another is named as `onnxruntime` in the configuration, or in ORT_DYLIB_PATH";

/// The opened library and its one environment.
#[derive(Debug)]
pub struct Runtime {
    /// What was opened.
    pub(super) path: PathBuf,
    /// Its version, as it says.
    pub(super) version: String,
    pub(super) environment: ort::environment::Environment,
}

static RUNTIME: OnceLock<Runtime> = OnceLock::new();
static OPENING: Mutex<()> = Mutex::new(());

impl Runtime {
    /// The library at `configured` (a file, or a folder that holds one), else where `ORT_DYLIB_PATH` says,
    /// else where it usually is. The first that opens serves the whole process.
    ///
    /// # Errors
    /// [`EngineError::Library`]: it is missing, is none, is too old, or another one was opened before.
    pub fn open(configured: Option<&Path>) -> Result<&'static Self, EngineError> {
        let _held = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
        let named = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty());
        let candidates = candidates(configured, named.as_deref().map(Path::new));
        if let Some(open) = RUNTIME.get() {
            return match configured {
                Some(path) if !candidates.contains(&open.path) => Err(EngineError::Library {
                    path: path.display().to_string(),
                    advice: format!(
                        "`{}` is already open, and a process can open one only: restart it",
                        open.path.display()
                    ),
                    source: None,
                }),
                _ => Ok(open),
            };
        }
        let (path, version) = first_that_serves(&candidates)?;
        let environment = environment(&path)?;
        tracing::debug!(path = %path.display(), version, "opened ONNX Runtime");
        Ok(RUNTIME.get_or_init(|| Self { path, version, environment }))
    }

    /// The version of the library at `path`, which is loaded for it and not used for anything.
    ///
    /// # Errors
    /// [`EngineError::Library`]: it could not be used, and why.
    pub fn look(path: &Path) -> Result<String, EngineError> {
        check(path).map_err(|Refusal { path, advice, source, .. }| EngineError::Library {
            path: path.display().to_string(),
            advice,
            source,
        })
    }

    /// Its version, as it says.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What this build can run models with. Whether it can *here* only a run tells.
    #[must_use]
    pub fn providers(&self) -> BTreeSet<Provider> {
        // The library answers this from a list that was compiled in.
        let has = |provider: &Provider| providers::is_built_in(*provider);
        Provider::ALL.iter().map(|(_, provider)| *provider).filter(has).collect()
    }

    /// What was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ONNX Runtime {}", self.version)
    }
}

/// The files that are looked at where none is named.
pub fn usual_places() -> impl Iterator<Item = &'static Path> {
    WELL_KNOWN.iter().map(Path::new).filter(|path| path.is_absolute())
}

/// What may be the library, in the order in which to try.
fn candidates(configured: Option<&Path>, named: Option<&Path>) -> Vec<PathBuf> {
    match configured.or(named) {
        Some(path) if path.is_dir() => {
            let mut found: Vec<PathBuf> = std::fs::read_dir(path)
                .into_iter()
                .flatten()
                .filter_map(|entry| Some(entry.ok()?.path()))
                .filter(|path| {
                    let name = path.file_name().map(|name| name.to_string_lossy());
                    name.is_some_and(|name| name.starts_with("libonnxruntime.so"))
                })
                .collect();
            found.sort();
            if found.is_empty() {
                found.push(path.join("libonnxruntime.so"));
            }
            found
        }
        Some(path) => vec![path.to_owned()],
        None => WELL_KNOWN.iter().map(PathBuf::from).collect(),
    }
}

/// The first candidate that can be used and its version. Where there is none, the error of the first that is
/// there but cannot be used, else that of the first.
fn first_that_serves(candidates: &[PathBuf]) -> Result<(PathBuf, String), EngineError> {
    let mut refused: Option<Refusal> = None;
    for path in candidates {
        match check(path) {
            Ok(version) => return Ok((path.clone(), version)),
            Err(refusal) => {
                if refused.as_ref().is_none_or(|first| !first.is_there && refusal.is_there) {
                    refused = Some(refusal);
                }
            }
        }
    }
    let Refusal { path, advice, source, .. } = refused.unwrap_or_default();
    Err(EngineError::Library { path: path.display().to_string(), advice, source })
}

/// Why a candidate is not used.
#[derive(Default)]
struct Refusal {
    path: PathBuf,
    is_there: bool,
    advice: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// Loads the library at `path` and asks it for its version. A library that is accepted stays loaded.
fn check(path: &Path) -> Result<String, Refusal> {
    let refuse = |advice: String, source: Option<Box<dyn Error + Send + Sync>>| Refusal {
        path: path.to_owned(),
        is_there: source.is_none() || path.exists(),
        advice,
        source,
    };
    // SAFETY: loading runs the library's initialisers; it is what the operator named, or a name that is ONNX
    // Runtime's by convention.
    let library = unsafe { libloading::Library::new(path) }.map_err(|error| {
        let advice = if path.exists() { not_loaded(path) } else { MISSING.to_owned() };
        refuse(advice, Some(Box::new(error)))
    })?;
    type Base = unsafe extern "C" fn() -> *const ort::sys::OrtApiBase;
    // SAFETY: a library that exports this name exports ONNX Runtime's entry point, which has this type.
    let base = unsafe { library.get::<Base>(b"OrtGetApiBase\0") }
        .map_err(|_| refuse("it is no ONNX Runtime: it has no `OrtGetApiBase`".to_owned(), None))?;
    // SAFETY: the entry point takes nothing and returns a static structure, or null.
    let base = unsafe { base().as_ref() };
    let Some(base) = base else {
        return Err(refuse("it answers no interface".to_owned(), None));
    };
    // SAFETY: a member of that structure, called as it is declared; it returns a static string, or null.
    let version = unsafe { (base.GetVersionString)() };
    let version = if version.is_null() {
        String::new()
    } else {
        // SAFETY: not null, and a static string ends with a NUL.
        unsafe { CStr::from_ptr(version) }.to_string_lossy().into_owned()
    };
    let too_old = |version: &str| {
        refuse(format!("it is version {version}, needed is 1.{OLDEST} or newer: {MISSING}"), None)
    };
    if parse(&version).is_none_or(|version| version < (1, OLDEST)) {
        return Err(too_old(if version.is_empty() { "(unknown)" } else { &version }));
    }
    // SAFETY: as above; it returns a static structure, or null where it has none of that version.
    if unsafe { (base.GetApi)(OLDEST) }.is_null() {
        return Err(refuse(format!("version {version} has no interface of 1.{OLDEST}"), None));
    }
    std::mem::forget(library);
    Ok(version)
}

/// Why the file at `path` is not loaded, as far as its head tells.
fn not_loaded(path: &Path) -> String {
    // Where an ELF file says for which processor it is, little-endian.
    const MACHINE: std::ops::Range<usize> = 18..20;
    let mut head = [0; 20];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    if read.is_ok() && head.starts_with(b"\x7fELF") {
        let machine = match head.get(MACHINE) {
            Some([62, 0]) => "x86_64",
            Some([183, 0]) => "aarch64",
            _ => "another processor",
        };
        let own = std::env::consts::ARCH;
        if machine != own {
            return format!("it is for {machine}, this machine is {own}: {MISSING}");
        }
        return "it is there but does not load: is all that it needs installed?".to_owned();
    }
    format!("it is no shared library: {MISSING}")
}

/// Major and minor version.
fn parse(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Opens the library for `ort`, and makes the process's one environment.
fn environment(path: &Path) -> Result<ort::environment::Environment, EngineError> {
    let refuse = |source: Box<dyn Error + Send + Sync>| EngineError::Library {
        path: path.display().to_string(),
        advice: "it opened and then failed; try another build".to_owned(),
        source: Some(source),
    };
    let environment = ort::init_from(path)
        .map_err(|error| refuse(Box::new(error)))?
        .with_name("vedette")
        .with_telemetry(false)
        .with_logger(Arc::new(|level, _, id, place, message| log(level, id, place, message)))
        .build()
        .map_err(|error| refuse(Box::new(error)))?;
    // What is below this level is not even put into words by the library.
    let verbose = tracing::enabled!(target: "onnxruntime", tracing::Level::TRACE);
    environment.set_log_level(if verbose { LogLevel::Verbose } else { LogLevel::Warning });
    Ok(environment)
}

/// One step below the library's own level: what matters comes back as an error and is logged by whoever
/// handles it.
fn log(level: LogLevel, id: &str, place: &str, message: &str) {
    match level {
        LogLevel::Fatal | LogLevel::Error => {
            tracing::info!(target: "onnxruntime", id, place, "{message}");
        }
        LogLevel::Warning => tracing::debug!(target: "onnxruntime", id, place, "{message}"),
        LogLevel::Info | LogLevel::Verbose => {
            tracing::trace!(target: "onnxruntime", id, place, "{message}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_configured_comes_before_the_environment_and_both_before_what_is_usual() {
        let (a, b) = (Path::new("/none/a.so"), Path::new("/none/b.so"));
        assert_eq!(candidates(Some(a), Some(b)), [a]);
        assert_eq!(candidates(None, Some(b)), [b]);
        assert_eq!(candidates(None, None).len(), WELL_KNOWN.len());
    }

    #[test]
    fn a_folder_stands_for_the_library_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        assert_eq!(candidates(Some(path), None), [path.join("libonnxruntime.so")]);
        for name in ["libonnxruntime.so.1.31.1", "libonnxruntime_providers_shared.so", "x"] {
            std::fs::File::create(path.join(name)).unwrap();
        }
        assert_eq!(candidates(Some(path), None), [path.join("libonnxruntime.so.1.31.1")]);
    }

    #[test]
    fn a_version_is_compared_as_numbers() {
        for (version, enough) in
            [("1.18.0", true), ("1.9.1", false), ("1.100", true), ("2.0", true)]
        {
            assert_eq!(parse(version).unwrap() >= (1, OLDEST), enough, "{version}");
        }
        assert_eq!(parse("one"), None);
    }
}
