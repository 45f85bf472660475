//! The ONNX Runtime libraries that are on this machine already.

use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::hw::ort::{Runtime, usual_places};
use crate::report;

/// Where Python packages are, below which a wheel keeps its library. `*` is any one name.
const PACKAGES: &[&str] = &[
    "usr/lib/*/dist-packages",
    "usr/local/lib/*/dist-packages",
    "usr/local/lib/*/site-packages",
    "home/*/.local/lib/*/site-packages",
    "root/.local/lib/*/site-packages",
];
/// Where in a package.
const IN_PACKAGE: &str = "onnxruntime/capi";
/// Other folders.
const FOLDERS: &[&str] = &["usr/lib", "usr/lib/*", "usr/local/lib", "opt/onnxruntime/lib"];
/// Most libraries that are looked at: each is opened.
const FOUND_MAX: usize = 16;

/// A library that is there.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    /// Its version, or why it cannot be used.
    pub(super) version: Result<String, String>,
    cuda: bool,
    tensorrt: bool,
    /// Whether the daemon finds it without being told.
    pub(super) is_usual: bool,
}

#[cfg(test)]
impl Found {
    /// One at `path` that works, for the processor alone.
    pub(super) fn at(path: &str) -> Self {
        let (path, version) = (path.into(), Ok("1".to_owned()));
        Self { path, version, cuda: false, tensorrt: false, is_usual: false }
    }
}

impl Found {
    /// Whether it has a provider for a GPU.
    pub(super) fn has_gpu(&self) -> bool {
        self.cuda || self.tensorrt
    }

    /// How many providers it has, and whether the daemon finds it: more is better.
    pub(super) fn providers(&self) -> (u8, bool) {
        (u8::from(self.cuda) + u8::from(self.tensorrt), self.is_usual)
    }

    /// Whether the service cannot see it: homes are hidden from it.
    pub(super) fn is_in_a_home(&self) -> bool {
        self.path.starts_with("/home") || self.path.starts_with("/root")
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.version {
            Ok(version) => {
                let gpu = match (self.tensorrt, self.cuda) {
                    (true, true) => "TensorRT, CUDA and the processor",
                    (true, false) => "TensorRT and the processor",
                    (false, true) => "CUDA and the processor",
                    (false, false) => "the processor alone",
                };
                write!(f, "found `{path}`: {version}, for {gpu}")
            }
            Err(why) => write!(f, "found `{path}`, which cannot be used: {why}"),
        }
    }
}

/// Every library below `root`, each file once.
pub(super) fn search(root: &Path) -> Vec<Found> {
    let packages = PACKAGES.iter().map(|folder| format!("{folder}/{IN_PACKAGE}"));
    let folders = FOLDERS.iter().map(|folder| (*folder).to_owned()).chain(packages);
    let mut files: Vec<PathBuf> = folders
        .flat_map(|pattern| matching(root, &pattern))
        .flat_map(|folder| libraries(&folder))
        .filter_map(|path| path.canonicalize().ok())
        .collect();
    files.sort();
    files.dedup();
    files.truncate(FOUND_MAX);
    files.into_iter().map(look).collect()
}

/// What the library at `path` is. Its providers are files beside it, so that none has to be loaded for it.
///
/// To look into it is to run its code: root does so only where nobody else could have written it.
fn look(path: PathBuf) -> Found {
    let beside = |name: &str| path.with_file_name(name).exists();
    let changeable = rustix::process::geteuid().is_root().then(|| of_others(&path)).flatten();
    let version = match changeable {
        Some(other) => Err(format!(
            "accounts other than root may change `{}`, and root does not run what others wrote; \
             run this without sudo to look at it",
            other.display()
        )),
        None => Runtime::look(&path).map_err(|error| report::chain(&error)),
    };
    Found {
        version,
        cuda: beside("libonnxruntime_providers_cuda.so"),
        tensorrt: beside("libonnxruntime_providers_tensorrt.so"),
        is_usual: usual_places().any(|usual| usual.canonicalize().is_ok_and(|usual| usual == path)),
        path,
    }
}

/// The first of `path` and what it lies in that an account other than root may change.
fn of_others(path: &Path) -> Option<&Path> {
    path.ancestors().find(|one| {
        one.metadata().map_or(true, |found| is_of_others(found.uid(), found.mode(), found.is_dir()))
    })
}

/// Whether an account other than root may change what is `uid`'s with this `mode`. Whom root put into a group that
/// may write there (Debian's `staff`), root trusts.
fn is_of_others(uid: u32, mode: u32, is_dir: bool) -> bool {
    const BY_ALL: u32 = 0o002;
    const STICKY: u32 = 0o1000;
    // In a sticky folder others add, and cannot replace what is root's.
    let is_sticky = is_dir && mode & STICKY != 0;
    uid != 0 || (mode & BY_ALL != 0 && !is_sticky)
}

/// The folders below `root` that `pattern` names.
fn matching(root: &Path, pattern: &str) -> Vec<PathBuf> {
    let mut folders = vec![root.to_owned()];
    for name in pattern.split('/') {
        folders = folders
            .iter()
            .flat_map(|folder| if name == "*" { entries(folder) } else { vec![folder.join(name)] })
            .filter(|path| path.is_dir())
            .collect();
    }
    folders
}

fn libraries(folder: &Path) -> Vec<PathBuf> {
    let is_one = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name == "libonnxruntime.so" || name.starts_with("libonnxruntime.so.")
    };
    entries(folder).into_iter().filter(is_one).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_runs_nothing_that_another_account_may_have_written() {
        for (uid, mode, is_dir, others) in [
            (0, 0o755, true, false),
            (0, 0o775, true, false),
            (0, 0o777, true, true),
            (0, 0o1777, true, false),
            (0, 0o644, false, false),
            (0, 0o666, false, true),
            (0, 0o1666, false, true),
            (1000, 0o755, true, true),
        ] {
            assert_eq!(is_of_others(uid, mode, is_dir), others, "{uid} {mode:o}");
        }
        assert_eq!(of_others(Path::new("/usr/lib")), None);
        let missing = Path::new("/usr/lib/no such file");
        assert_eq!(of_others(missing), Some(missing), "what cannot be looked at is not trusted");
    }

    #[test]
    fn a_wheels_library_is_found_once_with_what_lies_beside_it() {
        let root = tempfile::tempdir().unwrap();
        let capi = root.path().join("usr/local/lib/python3.10/dist-packages/onnxruntime/capi");
        std::fs::create_dir_all(&capi).unwrap();
        for name in ["libonnxruntime.so.1.23.0", "libonnxruntime_providers_tensorrt.so"] {
            std::fs::File::create(capi.join(name)).unwrap();
        }
        std::os::unix::fs::symlink("libonnxruntime.so.1.23.0", capi.join("libonnxruntime.so"))
            .unwrap();
        let found = search(root.path());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].tensorrt && !found[0].cuda && found[0].has_gpu(), "{found:?}");
        assert!(found[0].version.is_err(), "an empty file is no library: {found:?}");
        assert!(!found[0].is_usual && !found[0].is_in_a_home());
    }
}
