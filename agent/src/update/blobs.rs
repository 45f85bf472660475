//! Files of releases by their digest: `blobs/<sha256>` whole and verified, `partial/<sha256>/` on their way.
//!
//! A partial file is `data`, and `mark`: how many of its chunks are verified. Data is durable before its mark
//! says so; what lies behind the mark came and is not verified yet. After a kill or a power cut the download goes
//! on behind that, once chunks of it that are whole were verified; nothing before the mark is hashed again. That each chunk is what the signed document says makes the whole what it says, too: the document
//! was checked to have a hash for every chunk, so nothing of a blob is unverified.
//!
//! **Invariant:** no byte of a release is used before it is verified: [`Blobs::path`] is only for those that
//! [`Partial::finish`] put there, and that takes a file whose every chunk was accepted by [`Partial::accept`].

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, Weak};

use tokio::sync::OwnedMutexGuard;
use wire::release::CHUNK_BYTES;
use wire::{Digest, ReleaseFile};

use crate::disk;

/// Bytes of a mark: a chunk number and a newline.
const MARK_BYTES_MAX: u64 = 32;

/// See the module.
#[derive(Debug, Clone)]
pub struct Blobs {
    blobs: PathBuf,
    partial: PathBuf,
    turns: Arc<std::sync::Mutex<Turns>>,
}

/// Whose turn it is to fetch each blob that somebody fetches.
type Turns = BTreeMap<Digest, Weak<tokio::sync::Mutex<()>>>;

impl Blobs {
    /// The blobs in the state directory `dir`.
    ///
    /// # Errors
    /// A directory could not be made.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let this = Self::at(dir);
        for directory in [&this.blobs, &this.partial] {
            disk::create_directory(directory).map_err(io::Error::other)?;
        }
        Ok(this)
    }

    /// Those in `dir`, to be looked at only.
    #[must_use]
    pub fn at(dir: &Path) -> Self {
        Self { blobs: dir.join("blobs"), partial: dir.join("partial"), turns: Arc::default() }
    }

    /// Where whole blobs lie.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.blobs
    }

    /// Where the blob of `digest` is, if it is here.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.blobs.join(digest.to_string())
    }

    /// Waits until nobody else fetches the blob of `digest`: two at once would write one partial file.
    pub(super) async fn turn(&self, digest: &Digest) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| turn.strong_count() > 0);
            turns.get(digest).and_then(Weak::upgrade).unwrap_or_else(|| {
                let turn = Arc::default();
                turns.insert(*digest, Arc::downgrade(&turn));
                turn
            })
        };
        turn.lock_owned().await
    }

    /// Whether the file is here, whole.
    #[must_use]
    pub fn has(&self, file: &ReleaseFile) -> bool {
        fs::metadata(self.path(&file.sha256)).is_ok_and(|found| found.len() == file.length)
    }

    /// Verified bytes of `file` that are here.
    #[must_use]
    pub fn progress(&self, file: &ReleaseFile) -> u64 {
        if self.has(file) {
            return file.length;
        }
        let marked = read_mark(&self.partial.join(file.sha256.to_string()).join("mark"));
        (marked * CHUNK_BYTES).min(file.length)
    }

    /// The file on its way, behind what is verified of it already.
    ///
    /// # Errors
    /// It could not be opened or made.
    pub fn partial(&self, file: &ReleaseFile) -> io::Result<Partial> {
        let dir = self.partial.join(file.sha256.to_string());
        disk::create_directory(&dir).map_err(io::Error::other)?;
        let data = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(dir.join("data"))?;
        let here = data.metadata()?.len();
        let marked = read_mark(&dir.join("mark"));
        // A mark without its data is none: something other than a power cut was here.
        let chunks = u64::try_from(file.chunks.len()).unwrap_or(u64::MAX);
        let sound = marked <= chunks && here >= (marked * CHUNK_BYTES).min(file.length);
        let chunk = if sound { marked } else { 0 };
        if chunk != marked {
            // Forgotten before there is new data that it could be taken for.
            disk::replace(&dir.join("mark"), b"0\n").map_err(io::Error::other)?;
        }
        Ok(Partial { dir, data, chunk, file: file.clone(), turn: None })
    }

    /// Removes every blob that is not in `needed`, and what is on its way.
    ///
    /// # Errors
    /// Something could not be removed.
    pub fn keep(&self, needed: &BTreeSet<Digest>) -> io::Result<()> {
        for directory in [&self.blobs, &self.partial] {
            for entry in fs::read_dir(directory)? {
                let entry = entry?;
                let digest = entry.file_name().to_string_lossy().parse::<Digest>();
                if digest.is_ok_and(|digest| needed.contains(&digest)) {
                    continue;
                }
                if entry.file_type()?.is_dir() {
                    fs::remove_dir_all(entry.path())?;
                } else {
                    fs::remove_file(entry.path())?;
                }
            }
        }
        Ok(())
    }
}

/// A file on its way.
#[derive(Debug)]
pub struct Partial {
    dir: PathBuf,
    data: File,
    chunk: u64,
    file: ReleaseFile,
    /// Nobody else's while a chunk of it is still being written, also where who fetches it has let go.
    turn: Option<OwnedMutexGuard<()>>,
}

/// Bytes that are not the chunk that was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("chunk {chunk} has the digest {found} instead of {wanted}")]
pub struct WrongChunk {
    /// Which, from 0.
    pub chunk: u64,
    /// What came.
    pub found: Digest,
    /// What was signed.
    pub wanted: Digest,
}

impl Partial {
    /// Keeps its turn until it is dropped.
    pub(super) fn hold(&mut self, turn: OwnedMutexGuard<()>) {
        self.turn = Some(turn);
    }

    /// Where the next byte goes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        (self.chunk * CHUNK_BYTES).min(self.file.length)
    }

    /// Bytes of the next chunk; 0 once there is none.
    #[must_use]
    pub fn wants(&self) -> u64 {
        CHUNK_BYTES.min(self.file.length - self.offset())
    }

    /// What lies behind the verified chunks: the begin of the next one, as far as it came, unverified. Chunks that
    /// are there whole, and were not marked before a kill, are verified first; from one that is not what was
    /// signed on (after a power cut it may be a hole), everything is forgotten.
    ///
    /// # Errors
    /// The disk's.
    pub fn tail(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let here = self.data.metadata()?.len().saturating_sub(self.offset());
            let (wants, at) = (self.wants(), self.offset());
            let mut bytes = vec![0; usize::try_from(here.min(wants)).unwrap_or(0)];
            self.data.read_exact_at(&mut bytes, at)?;
            if wants == 0 || here < wants {
                return Ok(bytes);
            }
            if self.accept(&bytes, bytes.len())?.is_err() {
                self.data.set_len(at)?;
            }
        }
    }

    /// Another handle to the same file, for what comes while a chunk is verified.
    ///
    /// # Errors
    /// The system has no more handles.
    pub fn ahead(&self) -> io::Result<Ahead> {
        self.data.try_clone().map(Ahead)
    }

    /// Leaves `tail`, the begin of the next chunk, for the next time.
    ///
    /// # Errors
    /// The disk's.
    pub fn spill(&self, tail: &[u8]) -> io::Result<()> {
        self.data.write_all_at(tail, self.offset())?;
        let length = u64::try_from(tail.len()).unwrap_or(0);
        self.data.set_len(self.offset() + length)
    }

    /// `bytes` are the next chunk, of which `written` are in the file already: they are verified, written, and count
    /// from now on, also after a power cut.
    ///
    /// # Errors
    /// The outer one is the disk's; the inner one says that they are not what was signed.
    pub fn accept(&mut self, bytes: &[u8], written: usize) -> io::Result<Result<(), WrongChunk>> {
        let at = usize::try_from(self.chunk).unwrap_or(usize::MAX);
        let Some(wanted) = self.file.chunks.get(at).copied() else {
            return Err(io::Error::other("there is no further chunk"));
        };
        let found = Digest::of(bytes);
        if found != wanted {
            return Ok(Err(WrongChunk { chunk: self.chunk, found, wanted }));
        }
        let written = written.min(bytes.len());
        let behind = self.offset() + u64::try_from(written).unwrap_or(0);
        self.data.write_all_at(&bytes[written..], behind)?;
        self.data.sync_data()?;
        let next = self.chunk + 1;
        disk::replace(&self.dir.join("mark"), format!("{next}\n").as_bytes())
            .map_err(io::Error::other)?;
        self.chunk = next;
        Ok(Ok(()))
    }

    /// The file is whole: it becomes a blob, read-only.
    ///
    /// # Errors
    /// A chunk is missing, or the disk's.
    pub fn finish(self, blobs: &Blobs) -> io::Result<()> {
        if self.offset() != self.file.length {
            return Err(io::Error::other("a chunk is missing"));
        }
        self.data.set_len(self.file.length)?;
        self.data.set_permissions(fs::Permissions::from_mode(0o444))?;
        self.data.sync_all()?;
        disk::move_into_place(&self.dir.join("data"), &blobs.path(&self.file.sha256))
            .map_err(io::Error::other)?;
        fs::remove_dir_all(&self.dir)
    }
}

/// Where bytes of a partial file go that are not verified yet.
#[derive(Debug)]
pub struct Ahead(File);

impl Ahead {
    /// Puts `bytes` behind the mark, at `offset` of the file, where a kill does not take them.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }
}

fn read_mark(path: &Path) -> u64 {
    let text = disk::read_bounded(path, MARK_BYTES_MAX).unwrap_or_default();
    std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}
