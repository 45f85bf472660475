//! A repository in one file, for devices without a network: an uncompressed POSIX archive of `metadata/` and
//! `targets/`, read in place.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use wire::{Digest, ReleaseDocument};

use super::transport::{Body, Coming, Pieces, Transport, TransportError};

/// Most entries: the files of a few releases and a long history of roots.
const ENTRIES_MAX: usize = 20_000;
/// Read at once.
const PIECE_BYTES: u64 = 256 << 10;

/// See the module.
#[derive(Debug)]
pub struct Bundle {
    address: String,
    file: Arc<File>,
    /// Where each entry's bytes begin, and how many they are.
    entries: BTreeMap<String, (u64, u64)>,
}

impl Bundle {
    /// Reads the table of contents of the bundle at `path`.
    ///
    /// # Errors
    /// It cannot be read, is no bundle, or has too many entries.
    pub fn open(path: &Path) -> io::Result<Self> {
        let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let file = File::open(path)?;
        let mut entries = BTreeMap::new();
        let mut archive = tar::Archive::new(&file);
        for entry in archive.entries_with_seek()? {
            let entry = entry.map_err(|error| invalid(format!("it is no bundle: {error}")))?;
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let name = entry.path()?.to_string_lossy().into_owned();
            entries.insert(name, (entry.raw_file_position(), entry.size()));
            if entries.len() > ENTRIES_MAX {
                return Err(invalid(format!("it has more than {ENTRIES_MAX} entries")));
            }
        }
        if !entries.contains_key("metadata/timestamp.json") {
            return Err(invalid("it is no bundle: it has no `metadata/timestamp.json`".to_owned()));
        }
        Ok(Self { address: path.display().to_string(), file: Arc::new(file), entries })
    }

    /// Whether it has all of the release `document`, whose digest is `release`.
    #[must_use]
    pub fn brings(&self, release: &Digest, document: &ReleaseDocument) -> bool {
        let has = |digest: &Digest, name: String, length: Option<u64>| {
            let found = self.entries.get(&format!("targets/{digest}.{name}"));
            found.is_some_and(|(_, found)| length.is_none_or(|length| *found == length))
        };
        has(release, ReleaseDocument::target(&document.model, &document.version), None)
            && document.files.iter().all(|file| has(&file.sha256, file.target(), Some(file.length)))
    }
}

impl Transport for Bundle {
    fn metadata<'a>(&'a self, name: &'a str, max: u64) -> Coming<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            let Some(&(begin, length)) = self.entries.get(&format!("metadata/{name}")) else {
                return Ok(None);
            };
            if length > max {
                return Err(TransportError::Endless { url: name.to_owned(), max });
            }
            let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
            self.file.read_exact_at(&mut bytes, begin).map_err(TransportError::Bundle)?;
            Ok(Some(bytes))
        })
    }

    fn target<'a>(&'a self, name: &'a str, offset: u64, _: Option<&'a str>) -> Coming<'a, Body> {
        Box::pin(async move {
            let Some(&(begin, length)) = self.entries.get(&format!("targets/{name}")) else {
                return Err(TransportError::Missing { url: name.to_owned() });
            };
            let offset = offset.min(length);
            let pieces =
                Box::new(Part { file: self.file.clone(), at: begin + offset, end: begin + length });
            Ok(Body { offset, etag: None, pieces })
        })
    }

    fn address(&self) -> String {
        self.address.clone()
    }
}

struct Part {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Pieces for Part {
    fn next(&mut self) -> Coming<'_, Option<Bytes>> {
        Box::pin(async move {
            let length = PIECE_BYTES.min(self.end - self.at);
            if length == 0 {
                return Ok(None);
            }
            let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
            self.file.read_exact_at(&mut bytes, self.at).map_err(TransportError::Bundle)?;
            self.at += length;
            Ok(Some(bytes.into()))
        })
    }
}
