//! The trusted metadata on the disk, and the floors below it that nothing may fall.
//!
//! The library that verifies reads its own last files back to know the versions it has seen. A file that a full
//! disk or a power cut left empty would take that memory with it; so the versions are kept a second time, in
//! `floors.json` and `floors.2.json`, each sealed. One of the two is enough; where both are damaged no release
//! is taken until somebody decides. What runs goes on in any case.
//!
//! A floor belongs to the keys of its role: an operator who lost a key to a thief that signed version 4,294,967,295
//! recovers by new keys, and the floor of the old ones goes with them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::sealed::{self, SealError};
use crate::disk;

/// Largest metadata file that is kept: what is read of a role at most.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// What nothing may fall below.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floors {
    /// Counts the writes: the newer of the two copies is the one that counts.
    pub writes: u64,
    /// Highest version seen of each role, with the keys that it was seen under.
    pub roles: BTreeMap<String, Floor>,
    /// Latest time at which metadata was fresh.
    pub time: Option<Timestamp>,
}

/// The floor of one role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floor {
    /// Highest version.
    pub version: u64,
    /// The keys, as the root (or the delegator) had them.
    pub keys: String,
}

impl Floors {
    const COPIES: [&str; 2] = ["floors.json", "floors.2.json"];

    /// The floors in `dir`; none where there never were any.
    ///
    /// # Errors
    /// Both copies are damaged, or the disk's.
    pub fn load(dir: &Path) -> Result<Self, SealError> {
        let [first, second] = Self::COPIES.map(|name| sealed::read::<Self>(&dir.join(name)));
        match (first, second) {
            (Ok(Some(one)), Ok(Some(other))) => {
                Ok(if one.writes >= other.writes { one } else { other })
            }
            (Ok(Some(one)), Ok(None)) | (Ok(None), Ok(Some(one))) => Ok(one),
            (Ok(None), Ok(None)) => Ok(Self::default()),
            (Ok(Some(one)), Err(error)) | (Err(error), Ok(Some(one))) => {
                tracing::error!(
                    error = crate::report::chain(&error),
                    "one copy of the floors is lost"
                );
                Ok(one)
            }
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    /// Writes both copies, one after the other: a power cut leaves one of them whole.
    ///
    /// # Errors
    /// The disk's; then at least one copy is as it was.
    pub fn save(&mut self, dir: &Path) -> Result<(), SealError> {
        self.writes += 1;
        for name in Self::COPIES {
            sealed::write(&dir.join(name), self)?;
        }
        Ok(())
    }

    /// Whether `version` of `role` under `keys` is below what was seen; `None` where it is not.
    #[must_use]
    pub fn below(&self, role: &str, version: u64, keys: &str) -> Option<u64> {
        let floor = self.roles.get(role).filter(|floor| floor.keys == keys)?;
        (version < floor.version).then_some(floor.version)
    }

    /// Notes `version` of `role` under `keys`. True where that is news.
    pub fn raise(&mut self, role: &str, version: u64, keys: &str) -> bool {
        let known = self.roles.get(role);
        if known.is_some_and(|floor| floor.keys == keys && floor.version >= version) {
            return false;
        }
        self.roles.insert(role.to_owned(), Floor { version, keys: keys.to_owned() });
        true
    }
}

/// The trusted metadata files, each replaced durably.
#[derive(Debug, Clone)]
pub struct MetadataDir {
    dir: PathBuf,
    /// The first write that failed: the library only logs it.
    failed: Arc<Mutex<Option<io::Error>>>,
}

impl MetadataDir {
    /// The files in `dir`, which is made.
    ///
    /// # Errors
    /// The disk's.
    pub fn open(dir: &Path) -> io::Result<Self> {
        for directory in [dir.to_owned(), dir.join("root_history")] {
            disk::create_directory(&directory).map_err(io::Error::other)?;
        }
        Ok(Self { dir: dir.to_owned(), failed: Arc::default() })
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The file `name`; `None` where there is none, or an empty one, which a full disk leaves.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn load(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let Some(path) = self.path(name) else { return Ok(None) };
        match disk::read_bounded(&path, FILE_BYTES_MAX) {
            Ok(bytes) => Ok((!bytes.is_empty()).then_some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps `bytes` as `name`. A failure is also remembered for [`MetadataDir::failure`].
    ///
    /// # Errors
    /// It cannot be written; the old one is still there.
    pub fn store(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let Some(path) = self.path(name) else { return Ok(()) };
        // What is there already need not be written again: flash wears.
        if disk::read_bounded(&path, FILE_BYTES_MAX).is_ok_and(|old| old == bytes) {
            return Ok(());
        }
        disk::replace(&path, bytes).map_err(|error| {
            let again = io::Error::other(crate::report::chain(&error));
            self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(again);
            io::Error::other(error)
        })
    }

    /// The first write that failed since the last question.
    #[must_use]
    pub fn failure(&self) -> Option<io::Error> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Where `name` is kept; `None` for what is not: the versioned names of files that are kept without.
    fn path(&self, name: &str) -> Option<PathBuf> {
        let (directory, file) = match name.strip_prefix("root_history/") {
            Some(file) => (self.dir.join("root_history"), file),
            None => (self.dir.clone(), name),
        };
        let versioned = file
            .split('.')
            .next()
            .is_some_and(|stem| !stem.is_empty() && stem.bytes().all(|byte| byte.is_ascii_digit()));
        let plain = !file.contains('/') && ![".", ".."].contains(&file);
        (plain && versioned == name.starts_with("root_history/")).then(|| directory.join(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_damaged_copy_does_not_lower_a_floor_and_two_stop_everything() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Floors::load(dir.path()).unwrap(), Floors::default());
        let mut floors = Floors::default();
        assert!(floors.raise("timestamp", 7, "a"));
        assert!(!floors.raise("timestamp", 6, "a"));
        floors.save(dir.path()).unwrap();
        for name in Floors::COPIES {
            let whole = std::fs::read(dir.path().join(name)).unwrap();
            disk::replace(&dir.path().join(name), b"").unwrap();
            assert_eq!(
                Floors::load(dir.path()).unwrap().below("timestamp", 6, "a"),
                Some(7),
                "{name}"
            );
            disk::replace(&dir.path().join(name), &whole).unwrap();
        }
        Floors::COPIES.iter().for_each(|name| disk::replace(&dir.path().join(name), b"").unwrap());
        assert!(matches!(Floors::load(dir.path()), Err(SealError::Damaged { .. })));
    }

    #[test]
    fn a_floor_goes_with_its_keys() {
        let mut floors = Floors::default();
        floors.raise("timestamp", u64::from(u32::MAX), "stolen");
        assert_eq!(floors.below("timestamp", 1, "new"), None);
        assert!(floors.raise("timestamp", 1, "new"));
        assert_eq!(floors.below("timestamp", 0, "new"), Some(1));
    }
}
