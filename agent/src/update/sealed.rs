//! Files that know whether they are whole: the SHA-256 of the rest stands in the first line.
//!
//! A rename is atomic, a disk is not: what was cut short, zeroed or rotted is noticed when it is read, and
//! never taken for "nothing there yet".

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::Digest;

use crate::disk::{self, DiskError};

/// Longest sealed file: a few hundred refusals, or the record of one slot.
const BYTES_MAX: u64 = 1 << 20;

/// Why a sealed file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// It could not be read; try again later.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is there, and not what was written.
    #[error("`{}` is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// It could not be written; the old one is untouched.
    #[error("cannot keep state")]
    Write(#[source] DiskError),
}

/// Writes `value` to `path`, durably and at once.
pub(super) fn write(path: &Path, value: &impl Serialize) -> Result<(), SealError> {
    let body = serde_json::to_vec(value).map_err(|error| SealError::Damaged {
        path: path.to_owned(),
        what: format!("its content cannot be written: {error}"),
    })?;
    let mut bytes = format!("{}\n", Digest::of(&body)).into_bytes();
    bytes.extend_from_slice(&body);
    disk::replace(path, &bytes).map_err(SealError::Write)
}

/// Reads what was written to `path`; `None` where nothing ever was.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, SealError> {
    let damaged = |what: String| SealError::Damaged { path: path.to_owned(), what };
    let bytes = match disk::read_bounded(path, BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(SealError::Read { path: path.to_owned(), source }),
    };
    let (seal, body) = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .map(|at| (&bytes[..at], &bytes[at + 1..]))
        .ok_or_else(|| damaged(format!("{} bytes without a seal", bytes.len())))?;
    if seal != Digest::of(body).to_string().as_bytes() {
        return Err(damaged("its content is not what its seal says".to_owned()));
    }
    serde_json::from_slice(body).map(Some).map_err(|error| damaged(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_happens_to_a_sealed_file_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.json");
        assert_eq!(read::<Vec<u32>>(&path).unwrap(), None);
        write(&path, &[1_u32, 2]).unwrap();
        assert_eq!(read::<Vec<u32>>(&path).unwrap(), Some(vec![1, 2]));
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            disk::replace(&path, &whole[..at]).unwrap();
            assert!(
                matches!(read::<Vec<u32>>(&path), Err(SealError::Damaged { .. })),
                "cut at {at}"
            );
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            disk::replace(&path, &flipped).unwrap();
            assert!(
                matches!(read::<Vec<u32>>(&path), Err(SealError::Damaged { .. })),
                "flip at {at}"
            );
        }
    }
}
