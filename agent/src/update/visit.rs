//! One look at the repository, to see whether it serves this device: `vedette doctor`.
//!
//! It verifies as the daemon does, from a copy of what the daemon trusts: nothing that is kept changes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use super::clock::written;
use super::http::{Http, HttpError};
use super::settings::UpdateSettings;
use super::trust::{Trust, TrustError};
use crate::disk::{self, DiskError, Scratch};

/// Largest file of what is trusted.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// Why the repository does not serve this device.
#[derive(Debug, thiserror::Error)]
pub enum VisitError {
    /// There is no place for a copy.
    #[error("no place for a copy of what is trusted")]
    Scratch(#[source] DiskError),
    /// What is trusted could not be copied.
    #[error("cannot copy what is trusted to `{}`", path.display())]
    Copy {
        /// Where to.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The link's files.
    #[error("the repository cannot be asked")]
    Http(#[source] HttpError),
    /// It is not there, or its word is not taken.
    #[error("`{url}` is of no use")]
    Trust {
        /// Where it is.
        url: String,
        /// Why not.
        source: TrustError,
    },
}

/// Looks at the repository as the daemon with this `state_dir` would: until when its word is good.
///
/// # Errors
/// [`VisitError`]: no release would be taken from it.
pub async fn visit(
    settings: &UpdateSettings,
    state_dir: &Path,
) -> Result<Option<Timestamp>, VisitError> {
    let copy = Copy::of(&state_dir.join("tuf"))?;
    let transport = Http::new(&settings.url, &settings.link).map_err(VisitError::Http)?;
    let failed = |source| VisitError::Trust { url: settings.url.clone(), source };
    let trust = Trust::open(&settings.root, copy.0.path(), written()).map_err(failed)?;
    let refreshed = trust.refresh(Arc::new(transport), Timestamp::now()).await;
    refreshed.map(|view| view.expires()).map_err(failed)
}

/// A copy of what is trusted, removed when it is dropped.
struct Copy(Scratch);

impl Copy {
    fn of(trusted: &Path) -> Result<Self, VisitError> {
        let scratch = Scratch::new("doctor").map_err(VisitError::Scratch)?;
        let path = scratch.path();
        let failed = |source| VisitError::Copy { path: path.to_owned(), source };
        for folder in ["", "root_history"] {
            let (from, to) = (trusted.join(folder), path.join(folder));
            disk::create_directory(&to).map_err(|error| failed(io::Error::other(error)))?;
            // Before the first refresh there is none.
            for entry in std::fs::read_dir(&from).into_iter().flatten() {
                let entry = entry.map_err(failed)?;
                if entry.file_type().map_err(failed)?.is_file() {
                    let bytes = match disk::read_bounded(&entry.path(), FILE_BYTES_MAX) {
                        // The daemon puts its files where they belong under other names first.
                        Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                        read => read.map_err(failed)?,
                    };
                    disk::replace(&to.join(entry.file_name()), &bytes)
                        .map_err(|error| failed(io::Error::other(error)))?;
                }
            }
        }
        Ok(Self(scratch))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn files_that_the_daemon_replaces_meanwhile_are_copied_all_the_same() {
        let (trusted, over) = (tempfile::tempdir().unwrap(), AtomicBool::new(false));
        let file = trusted.path().join("timestamp.json");
        disk::replace(&file, b"{}").unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    disk::replace(&file, b"{}").unwrap();
                }
            });
            let copies: Vec<_> = (0..100)
                .map(|_| {
                    Copy::of(trusted.path())
                        .map(|copy| copy.0.path().join("timestamp.json").exists())
                })
                .collect();
            over.store(true, Ordering::Relaxed);
            for copied in copies {
                assert!(copied.unwrap());
            }
        });
    }
}
