//! The store on disk: the one file that knows `sled`.
//!
//! sled's own `flush` writes without `fsync`: real power cuts lost what it had confirmed. So every commit syncs
//! sled's files and their directories itself, and only then counts. What lies here is never the only home of
//! anything but messages: a store that cannot be read is set aside, and an empty one takes its place.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use super::ledger::Commit;
use super::record::{Class, Id, Mark, Record};
use crate::disk::{self, DiskError};

/// What sled may keep of its pages in memory; its own default is a gigabyte.
const CACHE_BYTES: u64 = 4 << 20;

/// What the name of a snapshot ends in until it is whole.
const UNFINISHED: &str = "generating";

/// Why the store could not do as asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    /// The library failed. Open the store again; where that fails too, set it aside.
    #[error("cannot {operation} the outbox `{}`", path.display())]
    Sled { operation: &'static str, path: PathBuf, source: sled::Error },
    /// The library met what it did not expect. As above.
    #[error("cannot {operation} the outbox `{}`: the store is damaged", path.display())]
    Damaged { operation: &'static str, path: PathBuf },
    /// A file could not be synced or moved: what was to be committed is not. Try again.
    #[error("cannot make the outbox durable")]
    Disk(#[source] DiskError),
}

impl StoreError {
    /// Whether the store itself is beyond use, and not only the disk for a while.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Sled { source, .. } => !matches!(source, sled::Error::Io(_)),
            Self::Damaged { .. } => true,
            Self::Disk(_) => false,
        }
    }
}

/// An open store.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    db: sled::Db,
}

/// What a store holds: marks in the order of the keys, and when the newest was taken in.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) marks: Vec<(Class, Mark)>,
    pub(super) newest_ms: Option<u64>,
}

impl Store {
    /// Opens the store in the directory `path`, which is made where it is missing.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        // Its name too must be there after a power cut: sled syncs neither.
        disk::create_directory(path).map_err(StoreError::Disk)?;
        forget_unfinished(path)?;
        let db = guarded(path, "open", || {
            // Flushed by our commits alone.
            sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(None).open()
        })?;
        let store = Self { path: path.to_owned(), db };
        store.sync()?;
        Ok(store)
    }

    /// Everything that it holds. What is no record of ours is removed.
    pub(super) fn scan(&self) -> Result<Found, StoreError> {
        guarded(&self.path, "read", || {
            let mut found = Found::default();
            for entry in self.db.iter() {
                let (key, value) = entry?;
                let record = Id::of(&key).and_then(|id| Record::from_value(id, &value));
                let Some(record) = record else {
                    self.db.remove(&key)?;
                    continue;
                };
                found.newest_ms = found.newest_ms.max(Some(record.at_ms));
                found.marks.push((record.id.class, Mark::of(&record)));
            }
            Ok(found)
        })
    }

    /// Writes `commit`. What is to be kept is on disk for good when this returns; what is to be removed comes
    /// back after a power cut at worst, and is sent twice.
    pub(super) fn commit(&self, commit: &Commit) -> Result<(), StoreError> {
        guarded(&self.path, "write", || {
            let mut batch = sled::Batch::default();
            for record in &commit.puts {
                batch.insert(&record.id.key(), record.to_value());
            }
            for id in &commit.deletes {
                batch.remove(&id.key());
            }
            self.db.apply_batch(batch)?;
            if !commit.puts.is_empty() {
                self.db.flush()?;
            }
            Ok(())
        })?;
        if commit.puts.is_empty() { Ok(()) } else { self.sync() }
    }

    /// The records `ids`, each where it is there.
    pub(super) fn read(&self, ids: &[Id]) -> Result<Vec<(Id, Option<Record>)>, StoreError> {
        guarded(&self.path, "read", || {
            let read = |id: &Id| {
                let value = self.db.get(id.key())?;
                Ok((*id, value.and_then(|value| Record::from_value(*id, &value))))
            };
            ids.iter().map(read).collect()
        })
    }

    /// Makes sled's files durable, and the names of them.
    fn sync(&self) -> Result<(), StoreError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Disk(DiskError::File { operation: "sync", path, source })
        };
        let mut folders = vec![self.path.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).map_err(failed(&folder))? {
                let path = entry.map_err(failed(&folder))?.path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                match File::open(&path) {
                    Ok(file) => file.sync_data().map_err(failed(&path))?,
                    // sled removes snapshots that newer ones replace.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => return Err(failed(&path)(error)),
                }
            }
            disk::sync_directory(&folder).map_err(StoreError::Disk)?;
        }
        Ok(())
    }
}

/// Removes snapshots that a process did not come to write whole. sled takes such a file for its newest one, finds it
/// damaged, and gives up all that the log beside it still has.
fn forget_unfinished(path: &Path) -> Result<(), StoreError> {
    let failed = |operation, path: &Path, source| {
        StoreError::Disk(DiskError::File { operation, path: path.to_owned(), source })
    };
    for entry in std::fs::read_dir(path).map_err(|error| failed("read", path, error))? {
        let file = entry.map_err(|error| failed("read", path, error))?.path();
        if file.extension().is_some_and(|end| end == UNFINISHED) {
            std::fs::remove_file(&file).map_err(|error| failed("remove", &file, error))?;
        }
    }
    Ok(())
}

/// Sets the store in `path` aside, as `path` with `.broken` behind it, for whoever wants to look; what was set
/// aside before is removed.
pub(super) fn set_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let mut broken = path.as_os_str().to_owned();
    broken.push(".broken");
    let broken = PathBuf::from(broken);
    let removed = match std::fs::remove_dir_all(&broken) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(DiskError::File { operation: "remove", path: broken.clone(), source: error })
        }
        _ => Ok(()),
    };
    removed.and_then(|()| disk::move_into_place(path, &broken)).map_err(StoreError::Disk)?;
    Ok(broken)
}

/// Does what asks sled, which panics at some damage instead of saying so.
fn guarded<T>(
    path: &Path,
    operation: &'static str,
    ask: impl FnOnce() -> Result<T, sled::Error>,
) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(ask)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(source)) => Err(StoreError::Sled { operation, path: path.to_owned(), source }),
        Err(_) => Err(StoreError::Damaged { operation, path: path.to_owned() }),
    }
}
