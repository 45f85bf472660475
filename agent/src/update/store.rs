//! What the update path keeps on the disk: slots, refusals, model folders.
//!
//! ```text
//! slots/<slot>.json       the truth: which release is committed, before, under way
//! refused.json            releases that are not tried again
//! models/<release>/       a model folder, made of links into blobs/
//! models/<release>.json   its release document
//! blobs/<sha256>          files of releases, whole and verified (see `blobs`)
//! current/<slot>          a link to the committed folder, for people: derived from the slot's record
//! ```
//!
//! **Invariant:** a committed slot names a model whose files are whole and verified, after a power cut at any
//! moment. It holds because a folder is moved into place only when it is durable, because a record changes by
//! rename, and because a folder that a record names is never written.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use wire::{Digest, Refusal, ReleaseDocument};

use super::blobs::Blobs;
use super::sealed::{self, SealError};
use super::slot::SlotRecord;
use crate::disk::{self, DiskError};

/// Most refusals that are remembered, the newest: each was a signed release of its own.
const REFUSED_MAX: usize = 256;

/// Why the store could not do as asked. What is committed is untouched.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A record could not be read or written, or is damaged.
    #[error("the record of the updates cannot be used")]
    Record(#[source] SealError),
    /// A slot's record is damaged. What runs goes on; no release is taken until somebody decides.
    #[error(
        "the record of model `{slot}` is damaged: remove `{}` to begin again with the configured folder",
        path.display()
    )]
    Slot {
        /// The slot.
        slot: String,
        /// Its record.
        path: PathBuf,
        /// What is wrong with it.
        source: SealError,
    },
    /// A file or directory could not be written.
    #[error("cannot keep a release")]
    Disk(#[source] DiskError),
    /// A file or directory could not be used.
    #[error("cannot {operation} `{}`", path.display())]
    File {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A release document that was kept cannot be used.
    #[error("the release document `{}` cannot be used", path.display())]
    Document {
        /// Where it is.
        path: PathBuf,
        /// Why not.
        source: wire::BadDocument,
    },
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::File { operation, path, source }
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
}

/// `refused.json`, oldest first.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Refused(Vec<Refusal>);

impl Store {
    /// The store in the state directory `dir`, made where it is missing.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        for name in ["slots", "models", "current"] {
            disk::create_directory(&dir.join(name)).map_err(StoreError::Disk)?;
        }
        Ok(Self { dir: dir.to_owned() })
    }

    /// The store in `dir`, to be looked at only.
    #[must_use]
    pub fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The blobs beside it, to be looked at only.
    #[must_use]
    pub fn blobs(&self) -> Blobs {
        Blobs::at(&self.dir)
    }

    /// The record of `slot`; a new one where it never took a release.
    ///
    /// # Errors
    /// [`StoreError::Slot`], [`StoreError::Record`].
    pub fn load(&self, slot: &str) -> Result<SlotRecord, StoreError> {
        let path = self.slot_path(slot);
        match sealed::read(&path) {
            Ok(record) => Ok(record.unwrap_or_else(|| SlotRecord::new(slot))),
            Err(source @ SealError::Damaged { .. }) => {
                Err(StoreError::Slot { slot: slot.to_owned(), path, source })
            }
            Err(error) => Err(StoreError::Record(error)),
        }
    }

    /// Writes `record` down.
    ///
    /// # Errors
    /// [`StoreError::Record`]; the old one is still there.
    pub fn save(&self, record: &SlotRecord) -> Result<(), StoreError> {
        sealed::write(&self.slot_path(&record.slot), record).map_err(StoreError::Record)
    }

    /// Every refusal, oldest first. A damaged list is an empty one: a slot's record has its own last refusal.
    ///
    /// # Errors
    /// [`StoreError::Record`] where it cannot be read.
    pub fn refusals(&self) -> Result<Vec<Refusal>, StoreError> {
        match sealed::read::<Refused>(&self.dir.join("refused.json")) {
            Ok(list) => Ok(list.unwrap_or_default().0),
            Err(SealError::Damaged { path, what }) => {
                tracing::error!(path = %path.display(), what, "the list of refusals is lost");
                Ok(Vec::new())
            }
            Err(error) => Err(StoreError::Record(error)),
        }
    }

    /// Writes `refusal` down; once is enough.
    ///
    /// # Errors
    /// [`StoreError::Record`].
    pub fn refuse(&self, refusal: &Refusal) -> Result<(), StoreError> {
        let mut list = self.refusals()?;
        list.retain(|known| known.release.release != refusal.release.release);
        list.push(refusal.clone());
        let begin = list.len().saturating_sub(REFUSED_MAX);
        let list = Refused(list.split_off(begin));
        sealed::write(&self.dir.join("refused.json"), &list).map_err(StoreError::Record)
    }

    /// The folder of a release.
    #[must_use]
    pub fn folder(&self, release: &Digest) -> PathBuf {
        self.dir.join("models").join(release.to_string())
    }

    /// Keeps the verified document of a release, which has its terms.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn keep_document(&self, release: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
        disk::replace(&self.document_path(release), bytes).map_err(StoreError::Disk)
    }

    /// The document that was kept; it is what its digest says.
    ///
    /// # Errors
    /// [`StoreError::File`], [`StoreError::Document`].
    pub fn document(&self, release: &Digest) -> Result<ReleaseDocument, StoreError> {
        let path = self.document_path(release);
        let bytes = disk::read_bounded(&path, wire::release::DOCUMENT_BYTES_MAX)
            .map_err(failed("read", &path))?;
        if Digest::of(&bytes) != *release {
            let source = wire::BadDocument::Wrong("it is damaged".to_owned());
            return Err(StoreError::Document { path, source });
        }
        ReleaseDocument::parse(&bytes).map_err(|source| StoreError::Document { path, source })
    }

    /// Puts the folder of a release together from its blobs. Where it stands already, nothing is done.
    ///
    /// # Errors
    /// [`StoreError`]; the folder does not stand, what is committed does.
    pub fn stage(
        &self,
        release: &Digest,
        document: &ReleaseDocument,
        blobs: &Blobs,
    ) -> Result<PathBuf, StoreError> {
        let folder = self.folder(release);
        if folder.is_dir() {
            return Ok(folder);
        }
        let making = aside(&folder);
        remove_all(&making)?;
        let mut directories = BTreeSet::from([making.clone()]);
        disk::create_directory(&making).map_err(StoreError::Disk)?;
        for file in &document.files {
            let path = making.join(&file.path);
            for directory in path.ancestors().skip(1).take_while(|dir| dir.starts_with(&making)) {
                directories.insert(directory.to_owned());
            }
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(failed("create", parent))?;
            }
            let blob = blobs.path(&file.sha256);
            if fs::hard_link(&blob, &path).is_err() {
                fs::copy(&blob, &path).map_err(failed("copy", &blob))?;
                fs::File::open(&path)
                    .and_then(|copy| copy.sync_all())
                    .map_err(failed("sync", &path))?;
            }
            let length = fs::metadata(&path).map_err(failed("look at", &path))?.len();
            if length != file.length {
                let error = format!("it has {length} bytes instead of {}", file.length);
                return Err(failed("use", &path)(io::Error::other(error)));
            }
        }
        for directory in directories.iter().rev() {
            disk::sync_directory(directory).map_err(StoreError::Disk)?;
        }
        disk::move_into_place(&making, &folder).map_err(StoreError::Disk)?;
        Ok(folder)
    }

    /// Points `current/<slot>` at the committed release.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn point(&self, slot: &str, release: &Digest) -> Result<(), StoreError> {
        let folder = Path::new("../models").join(release.to_string());
        disk::replace_link(&self.dir.join("current").join(slot), &folder).map_err(StoreError::Disk)
    }

    /// Removes what no slot's record names any more, and the blobs that only that had.
    ///
    /// # Errors
    /// [`StoreError`]: a slot could not be read (then nothing is removed), or something not be removed.
    pub fn collect(&self, blobs: &Blobs) -> Result<(), StoreError> {
        let mut named = BTreeSet::new();
        let slots = self.dir.join("slots");
        for entry in fs::read_dir(&slots).map_err(failed("read", &slots))? {
            let name = entry.map_err(failed("read", &slots))?.file_name();
            let Some(slot) = name.to_str().and_then(|name| name.strip_suffix(".json")) else {
                continue;
            };
            if slot.starts_with('.') {
                continue;
            }
            let record = self.load(slot)?;
            let offered = record.offered.map(|offered| offered.installed);
            let all = [record.good, record.previous, offered];
            named.extend(all.into_iter().flatten().map(|one| one.release.release));
        }
        let mut needed = BTreeSet::new();
        for release in &named {
            // Without its document, which of the blobs it needs cannot be known: none is removed.
            needed.extend(self.document(release)?.files.iter().map(|file| file.sha256));
        }
        let models = self.dir.join("models");
        for entry in fs::read_dir(&models).map_err(failed("read", &models))? {
            let entry = entry.map_err(failed("read", &models))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let digest = name.strip_suffix(".json").unwrap_or(&name).parse::<Digest>();
            if digest.is_ok_and(|digest| named.contains(&digest)) {
                continue;
            }
            if name.parse::<Digest>().is_ok() {
                forget(&entry.path())?;
            } else {
                remove_all(&entry.path())?;
            }
        }
        blobs.keep(&needed).map_err(failed("clean up", blobs.dir()))
    }

    fn slot_path(&self, slot: &str) -> PathBuf {
        self.dir.join("slots").join(format!("{slot}.json"))
    }

    fn document_path(&self, release: &Digest) -> PathBuf {
        self.dir.join("models").join(format!("{release}.json"))
    }
}

/// What a folder is called while it is put together or taken apart.
fn aside(folder: &Path) -> PathBuf {
    folder.with_extension("new")
}

/// Removes a release's folder: its name first, durably, so that no power cut leaves a part of it under that name.
fn forget(folder: &Path) -> Result<(), StoreError> {
    let aside = aside(folder);
    remove_all(&aside)?;
    disk::move_into_place(folder, &aside).map_err(StoreError::Disk)?;
    remove_all(&aside)
}

fn remove_all(path: &Path) -> Result<(), StoreError> {
    let removed = if path.is_dir() && !path.is_symlink() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}
