//! Files of the repository and the keys: written durably, and in place by rename. The one place that renames.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use rustix::fs::{FlockOperation, flock};

/// Makes `path` hold `bytes`, readable as `mode` says: after a crash it holds all of the old or all of the new.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let temporary = temporary(path);
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(mode)
            .open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    let written = write().with_context(|| format!("cannot write `{}`", path.display()));
    clean(written.and_then(|()| rename(&temporary, path)), &temporary)
}

/// Removes `temporary` where `done` did not go well: half a file is of use to nobody.
pub(crate) fn clean<T>(done: Result<T>, temporary: &Path) -> Result<T> {
    if done.is_err() {
        drop(std::fs::remove_file(temporary));
    }
    done
}

/// Where a file is written before it is in place.
pub(crate) fn temporary(path: &Path) -> std::path::PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.new"))
}

/// Renames the durable file `from` to `to`, durably.
#[expect(clippy::disallowed_methods, reason = "this is the one place that renames")]
pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    let directory = to.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    std::fs::rename(from, to)
        .and_then(|()| File::open(directory)?.sync_all())
        .with_context(|| format!("cannot put `{}` into place", to.display()))
}

/// All of a file of at most `max` bytes.
pub(crate) fn read(path: &Path, max: u64) -> Result<Vec<u8>> {
    let length =
        std::fs::metadata(path).with_context(|| format!("cannot read `{}`", path.display()))?.len();
    if length > max {
        bail!("`{}` has {length} bytes, at most {max} are read", path.display());
    }
    std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))
}

/// Holds the directory for this process alone, until dropped.
pub(crate) fn lock(directory: &Path) -> Result<File> {
    let path = directory.join(".lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot write `{}`", path.display()))?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        bail!("another vedette-fleet is changing `{}`: wait for it", directory.display());
    }
    Ok(file)
}
