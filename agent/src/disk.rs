//! Files that survive a power cut. The one place that renames, and the one that locks the state directory.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{FlockOperation, flock};

/// Why a file could not be written or a directory not be used.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// An operation on a file failed; what was there before is untouched.
    #[error("cannot {operation} `{}`", path.display())]
    File {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another daemon uses the directory. Stop it, or give this one a directory of its own.
    #[error(
        "another vedette uses the state directory `{}`: stop it, or set another `state_dir`",
        path.display()
    )]
    Busy {
        /// The directory.
        path: PathBuf,
    },
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DiskError {
    let path = path.to_owned();
    move |source| DiskError::File { operation, path, source }
}

/// Makes `path` hold `bytes`, durably and at once: after a power cut it holds all of the old or all of the new.
///
/// # Errors
/// [`DiskError::File`]; the old content is still there.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let directory = parent(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = directory.join(format!(".{name}.new"));
    let mut file = File::create(&temporary).map_err(failed("create", &temporary))?;
    file.write_all(bytes).map_err(failed("write", &temporary))?;
    file.sync_all().map_err(failed("sync", &temporary))?;
    rename(&temporary, path)?;
    sync_directory(directory)
}

/// All of the file at `path`, which has at most `max` bytes.
///
/// # Errors
/// It could not be read, or it is longer ([`io::ErrorKind::FileTooLarge`]).
pub fn read_bounded(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > max {
        let message = format!("it has more than {max} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

/// Renames `from` to `to`, durably: both are in the same directory, or in two of one file system. What `from` holds
/// must be durable already.
///
/// # Errors
/// [`DiskError::File`]; nothing was renamed, or it was and may not survive a power cut.
pub fn move_into_place(from: &Path, to: &Path) -> Result<(), DiskError> {
    rename(from, to)?;
    for directory in [parent(to), parent(from)] {
        sync_directory(directory)?;
    }
    Ok(())
}

/// Makes `path` a symbolic link to `target`, durably and at once.
///
/// # Errors
/// [`DiskError::File`]; the old link is still there.
pub fn replace_link(path: &Path, target: &Path) -> Result<(), DiskError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = parent(path).join(format!(".{name}.new"));
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("remove", &temporary)(error));
        }
        _ => {}
    }
    std::os::unix::fs::symlink(target, &temporary).map_err(failed("link", &temporary))?;
    rename(&temporary, path)?;
    sync_directory(parent(path))
}

/// Makes the names in `directory` durable.
///
/// # Errors
/// [`DiskError::File`].
pub fn sync_directory(directory: &Path) -> Result<(), DiskError> {
    File::open(directory).and_then(|dir| dir.sync_all()).map_err(failed("sync", directory))
}

/// Creates `directory` and what it lies in, durably.
///
/// # Errors
/// [`DiskError::File`].
pub fn create_directory(directory: &Path) -> Result<(), DiskError> {
    if directory.is_dir() {
        return Ok(());
    }
    create_directory(parent(directory))?;
    match std::fs::create_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(failed("create", directory)(error));
        }
        _ => {}
    }
    sync_directory(parent(directory))
}

/// Renames `path` to `path.1`, `path.1` to `path.2` and so on, and forgets what would be beyond `keep`.
///
/// Not durable and not meant to be: for logs.
///
/// # Errors
/// [`DiskError::File`] with the file that could not be renamed or removed.
pub fn rotate(path: &Path, keep: u32) -> Result<(), DiskError> {
    let numbered = |number: u32| match number {
        0 => path.to_owned(),
        number => {
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        }
    };
    for number in (0..=keep).rev() {
        let from = numbered(number);
        if !from.exists() {
            continue;
        }
        if number == keep {
            std::fs::remove_file(&from).map_err(failed("remove", &from))?;
        } else {
            rename(&from, &numbered(number + 1))?;
        }
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that renames")]
fn rename(from: &Path, to: &Path) -> Result<(), DiskError> {
    std::fs::rename(from, to).map_err(failed("replace", to))
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Names of scratch folders that are tried: more than daemons that were killed leave until the next boot.
const NAMES_MAX: u32 = 1000;

/// A folder for what is not kept, of this account alone, removed when it is dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes one among the system's temporary files, named after what it is `of`.
    ///
    /// # Errors
    /// [`DiskError::File`]. What has its name already may be somebody else's, or of a process that had this one's
    /// number and was killed: it is left alone, and another name taken, some times.
    pub fn new(of: &str) -> Result<Self, DiskError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mut tries = 0;
        loop {
            tries += 1;
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("vedette-{of}-{}-{count}", std::process::id());
            let path = std::env::temp_dir().join(name);
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < NAMES_MAX => {
                }
                Err(error) => return Err(failed("create", &path)(error)),
            }
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left there is gone at the next boot.
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::debug!(folder = %self.0.display(), %error, "cannot remove temporary files");
        }
    }
}

/// The state directory, held by this process until dropped (or dead: the kernel lets go of it).
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    _lock: File,
}

impl StateDir {
    /// Creates `path` where it is missing, and locks it for this process alone.
    ///
    /// # Errors
    /// [`DiskError::Busy`] where another process holds it; [`DiskError::File`] where it cannot be used.
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        std::fs::create_dir_all(path).map_err(failed("create the state directory", path))?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(failed("write", &lock_path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(DiskError::Busy { path: path.to_owned() }),
            Err(error) => Err(failed("lock", &lock_path)(error.into())),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_scratch_folder_is_its_owners_alone_and_goes_with_what_is_in_it() {
        let (one, other) = (Scratch::new("test").unwrap(), Scratch::new("test").unwrap());
        assert_ne!(one.path(), other.path());
        replace(&one.path().join("file"), b"x").unwrap();
        let mode = one.path().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let path = one.path().to_owned();
        drop(one);
        assert!(!path.exists());
    }

    #[test]
    fn a_replaced_file_holds_the_new_content_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        for content in [b"one".as_slice(), b"two"] {
            replace(&path, content).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), content);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_state_directory_has_one_holder_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = StateDir::open(dir.path()).unwrap();
        assert!(matches!(StateDir::open(dir.path()), Err(DiskError::Busy { .. })));
        drop(first);
        StateDir::open(dir.path()).unwrap();
    }
}
