//! The release document: one version of one model, its files, and what a device needs to run it.
//!
//! It is a TUF target, signed by the offline release keys through the top-level `targets` role. Integers only:
//! canonical JSON has no floats. Keys that this version does not know are ignored, so that a newer operator can
//! tell newer devices more; a document of another `schema` is refused.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::topic::is_name;
use crate::{BadDocument, Digest};

/// The schema that this version reads and writes.
pub const SCHEMA: &str = "vedette/release/1";

/// Bytes of a chunk: what is verified, written and marked at a time. A connection that dies every few seconds
/// still makes progress, and a 1 GiB model has 128 hashes.
pub const CHUNK_BYTES: u64 = 8 << 20;

/// Largest release document: 1024 files' entries and the hashes of [`RELEASE_BYTES_MAX`] fit twice over.
pub const DOCUMENT_BYTES_MAX: u64 = 2 << 20;

/// Most files of a release: a graph, its description, external data, and golden samples.
pub const FILES_MAX: usize = 1024;

/// Most bytes of all files of a release: 64 GiB, more than the memory of the largest board.
pub const RELEASE_BYTES_MAX: u64 = 64 << 30;

/// Deepest path inside a model folder: `golden/<case>/<tensor>` has three.
const PATH_PARTS_MAX: usize = 4;

/// Most boards that a release names.
const BOARDS_MAX: usize = 64;

/// Files that every model folder has.
const NEEDED: [&str; 2] = ["model.onnx", "model.toml"];

/// One version of one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseDocument {
    /// [`SCHEMA`].
    pub schema: String,
    /// The model's name, as in its `model.toml`.
    pub model: String,
    /// Its version, for people, as in its `model.toml`.
    pub version: String,
    /// Orders the releases of this model: a device never takes a lower one from the network.
    pub counter: u64,
    /// No device returns below this counter once it has seen this release committed.
    pub min_counter: u64,
    /// Boards it runs on, as the device tree's `compatible` or an architecture names them; empty: any.
    pub boards: Vec<String>,
    /// Oldest agent that can run it, `major.minor.patch`.
    pub minimum_agent: String,
    /// Free space that it needs beside its files, in bytes.
    pub disk_bytes: u64,
    /// Most memory that its rehearsal may take, in bytes.
    pub memory_bytes: u64,
    /// What it must hold to be taken and kept.
    pub terms: Terms,
    /// Its files, by path.
    pub files: Vec<ReleaseFile>,
}

/// What a release must hold to be taken and kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Most seconds for opening it and running its golden samples in a process of their own.
    pub rehearsal_s: u64,
    /// Most milliseconds that 95 of 100 runs may take; `null`: judged by the committed model's.
    pub p95_ms: Option<u64>,
    /// Most that a run may take against the committed model's, in thousandths: 3000 is three times.
    pub slower_permille: u64,
    /// Least frames of the trial.
    pub min_inferences: u64,
    /// Least seconds of the trial.
    pub soak_s: u64,
    /// Most seconds of the trial: what has not passed by then failed.
    pub trial_s: u64,
    /// Most frames that may fail, in millionths.
    pub failed_ppm: u64,
    /// Seconds after the commit within which failing health or a crash goes back.
    pub probation_s: u64,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            rehearsal_s: 900,
            p95_ms: None,
            slower_permille: 3000,
            min_inferences: 50,
            soak_s: 30,
            trial_s: 900,
            failed_ppm: 10_000,
            probation_s: 600,
        }
    }
}

/// One file of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseFile {
    /// Where it lies in the model folder, such as `golden/a/input.png`.
    pub path: String,
    /// Its bytes.
    pub length: u64,
    /// Its digest.
    pub sha256: Digest,
    /// The digest of each [`CHUNK_BYTES`] of it, the last one shorter.
    pub chunks: Vec<Digest>,
}

impl ReleaseFile {
    /// The name of the target that has this file's bytes: the same for the same bytes, in every release.
    #[must_use]
    pub fn target(&self) -> String {
        format!("{}.blob", self.sha256)
    }
}

impl ReleaseDocument {
    /// The name of the target that has the release document of `model` `version`. `~` is in no name.
    #[must_use]
    pub fn target(model: &str, version: &str) -> String {
        format!("release~{model}~{version}.json")
    }

    /// Reads and checks a document whose signatures, length and digest were verified.
    ///
    /// # Errors
    /// [`BadDocument`]: whoever signed it made a mistake, and no device can take it.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadDocument> {
        let document: Self = crate::document::parse(bytes, SCHEMA, DOCUMENT_BYTES_MAX)?;
        document.check()?;
        Ok(document)
    }

    /// All of its files' bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.length).sum()
    }

    /// Whether it is for a device that is known as any of `boards`.
    #[must_use]
    pub fn fits(&self, boards: &[String]) -> bool {
        self.boards.is_empty() || self.boards.iter().any(|board| boards.contains(board))
    }

    /// Checks what a device relies on.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), BadDocument> {
        let wrong = |what: String| Err(BadDocument::Wrong(what));
        for (key, name) in [("model", &self.model), ("version", &self.version)] {
            if !is_name(name) {
                return wrong(format!("{key} {}", crate::topic::BadName(name.clone())));
            }
        }
        if self.counter == 0 || self.min_counter > self.counter {
            return wrong(format!(
                "counter {} and min_counter {}: the first is at least 1 and not below the second",
                self.counter, self.min_counter
            ));
        }
        if self.boards.len() > BOARDS_MAX || self.boards.iter().any(|board| board.len() > 128) {
            return wrong(format!("boards: at most {BOARDS_MAX} names of at most 128 bytes"));
        }
        if agent_version(&self.minimum_agent).is_none() {
            return wrong(format!("minimum_agent `{}` is no version", self.minimum_agent));
        }
        if self.terms.trial_s < self.terms.soak_s || self.terms.slower_permille < 1000 {
            return wrong("terms: trial_s below soak_s, or slower_permille below 1000".to_owned());
        }
        self.check_files()
    }

    fn check_files(&self) -> Result<(), BadDocument> {
        let wrong = |what: String| Err(BadDocument::Wrong(what));
        if self.files.len() > FILES_MAX {
            return wrong(format!("{} files, at most {FILES_MAX}", self.files.len()));
        }
        let (mut seen, mut bytes) = (BTreeSet::new(), 0_u64);
        for file in &self.files {
            let parts: Vec<&str> = file.path.split('/').collect();
            if parts.len() > PATH_PARTS_MAX || !parts.iter().all(|part| is_name(part)) {
                return wrong(format!("file path `{}` leaves the model folder", file.path));
            }
            if !seen.insert(file.path.as_str()) {
                return wrong(format!("file `{}` is listed twice", file.path));
            }
            let chunks = u64::try_from(file.chunks.len()).unwrap_or(u64::MAX);
            if chunks != file.length.div_ceil(CHUNK_BYTES) {
                return wrong(format!(
                    "file `{}` of {} bytes has {chunks} chunk hashes",
                    file.path, file.length
                ));
            }
            bytes = bytes.saturating_add(file.length);
        }
        // A file where another one needs a folder.
        let nested = |path: &&str| {
            seen.range(format!("{path}/").as_str()..)
                .next()
                .is_some_and(|next| next.starts_with(&format!("{path}/")))
        };
        if let Some(path) = seen.iter().copied().find(|path| nested(path)) {
            return wrong(format!("`{path}` is a file and a folder"));
        }
        if bytes > RELEASE_BYTES_MAX {
            return wrong(format!("{bytes} bytes, at most {RELEASE_BYTES_MAX}"));
        }
        match NEEDED.into_iter().find(|needed| !seen.contains(needed)) {
            Some(missing) => wrong(format!("file `{missing}` is missing")),
            None => Ok(()),
        }
    }
}

/// `major.minor.patch` as numbers that compare; `None` where it is something else.
#[must_use]
pub fn agent_version(text: &str) -> Option<[u32; 3]> {
    let mut parts = text.split('.').map(|part| part.parse().ok());
    let version = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(version)
}
