//! Who may say what runs here: The Update Framework, by the one library that knows it.
//!
//! The library verifies; where bytes come from, where they are kept, what time it is and what may never be
//! forgotten is ours. Two traps of its are closed here: an error of the transport could be taken for "there is no
//! newer root", so the transport's first error is kept and wins over whatever the library made of it; and a
//! failed write of a trusted file would only be logged, so it is asked for after each refresh.
//!
//! **Invariants:** no release is named before root, timestamp, snapshot, targets and rollout were verified in this
//! order; a release document comes from the offline targets role alone, never through a delegation; an older view
//! than the newest ever seen is never accepted (`tests/update_trust.rs`).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use sigstore_tuf::transport::FetchFuture;
use sigstore_tuf::{Error as TufError, MetadataStore, Repository, Updater};
use wire::{BadDocument, Digest, ReleaseDocument, RolloutDocument};

use super::clock;
use super::metadata::{Floors, MetadataDir};
use super::sealed::SealError;
use super::transport::{Transport, TransportError};
use crate::disk;

/// Documents that are kept, to ask for them once: a rollout and a release for each of some models.
const DOCUMENTS_MAX: usize = 64;

/// Longest time for one document: the largest, over the slowest link that can be configured.
const DOCUMENT_TIME: Duration = Duration::from_secs(180);

/// Why the repository's word is not taken. What runs goes on.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The repository could not be reached or did not answer properly. Try again later.
    #[error("the repository cannot be read")]
    Transport(#[source] TransportError),
    /// Too few of the role's keys signed it: it is forged, or the device has the wrong root.
    #[error("wrong signatures: {0}")]
    Signatures(String),
    /// It is older than what was seen before: somebody replays an old view.
    #[error("rollback: {0}")]
    Rollback(String),
    /// It is out of date: somebody holds back newer metadata, or the operator does not sign any.
    #[error(
        "expired: {0}; if this is the true repository, its operator runs `vedette-fleet refresh`"
    )]
    Expired(String),
    /// Its parts do not belong together, or a file is not what the metadata says.
    #[error("mix and match: {0}")]
    Mixed(String),
    /// There is no end of it.
    #[error("endless: {0}")]
    Endless(String),
    /// It is no metadata.
    #[error("malformed metadata: {0}")]
    Malformed(String),
    /// A role lists what it may not.
    #[error("not allowed: {0}")]
    Foreign(String),
    /// A signed document is of no use.
    #[error("the signed document `{name}` is of no use")]
    Document {
        /// Which.
        name: String,
        /// Why not.
        source: BadDocument,
    },
    /// A rollout and the release that it names disagree.
    #[error("the rollout and the release disagree: {0}")]
    Disagree(String),
    /// The memory of what was seen cannot be used: nothing is installed until it can.
    #[error(
        "the memory of the newest versions seen cannot be used: where both `floors.json` and `floors.2.json` \
         are damaged, remove both to trust the repository anew"
    )]
    Floors(#[source] SealError),
    /// A trusted file could not be kept.
    #[error("cannot keep the metadata")]
    Store(#[source] io::Error),
    /// The root that was installed with the device is none.
    #[error("the pinned root `{}` cannot be used: {what}", path.display())]
    Root {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

/// What a device trusts, over restarts.
#[derive(Debug)]
pub struct Trust {
    pinned: Vec<u8>,
    store: MetadataDir,
    documents: PathBuf,
    written: Timestamp,
}

/// A fresh and verified view of a repository.
#[derive(Debug)]
pub struct View<'a> {
    trust: &'a Trust,
    transport: Arc<dyn Transport>,
    trouble: Trouble,
    updater: Updater,
    floors: Floors,
    now: Timestamp,
    /// Whether documents that were kept are fetched again.
    anew: bool,
}

/// The first thing that went wrong outside the library.
type Trouble = Arc<Mutex<Option<TransportError>>>;

impl Trust {
    /// Trusts the root in the file `root` and what follows from it, and remembers in `dir`. It is not before `written`,
    /// whatever the clock says: [`super::written`] in the daemon.
    ///
    /// # Errors
    /// [`TrustError::Root`], [`TrustError::Store`].
    pub fn open(root: &Path, dir: &Path, written: Timestamp) -> Result<Self, TrustError> {
        let wrong = |what: String| TrustError::Root { path: root.to_owned(), what };
        let pinned = disk::read_bounded(root, 1 << 20).map_err(|error| wrong(error.to_string()))?;
        sigstore_tuf::TrustedMetadataSet::from_root(&pinned)
            .map_err(|error| wrong(crate::report::chain(&error)))?;
        let store = MetadataDir::open(dir).map_err(TrustError::Store)?;
        let documents = dir.join("documents");
        disk::create_directory(&documents)
            .map_err(|error| TrustError::Store(io::Error::other(error)))?;
        Ok(Self { pinned, store, documents, written })
    }

    /// Verifies what the repository says now; `clock` is the device's.
    ///
    /// # Errors
    /// [`TrustError`]: nothing of it is to be taken.
    pub async fn refresh(
        &self,
        transport: Arc<dyn Transport>,
        clock: Timestamp,
    ) -> Result<View<'_>, TrustError> {
        let floors = Floors::load(self.store.dir()).map_err(TrustError::Floors)?;
        let now = clock::judged_by(clock, self.written, floors.time);
        let trouble = Trouble::default();
        drop(self.store.failure());
        let bridge = Bridge {
            transport: transport.clone(),
            trouble: trouble.clone(),
            store: self.store.clone(),
        };
        let updater = Updater::new(bridge, &self.pinned).map_err(named)?;
        let mut updater = updater.with_store(Kept(self.store.clone()));
        let refreshed = updater.refresh(now).await;
        let anew = false;
        let mut view = View { trust: self, transport, trouble, updater, floors, now, anew };
        view.outcome(refreshed)?;
        view.hold_floors()?;
        Ok(view)
    }
}

impl View<'_> {
    /// From here on no document is taken from what was kept of earlier looks.
    pub fn all_anew(&mut self) {
        self.anew = true;
    }

    /// The time by which it was judged: the clock's, not before what was verified.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// When the repository's word about its newest releases ends.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        self.updater.trusted().timestamp().map(|timestamp| timestamp.expires)
    }

    /// What became of a step of the library's, where what went wrong outside of it counts first.
    fn outcome<T>(&self, result: Result<T, TufError>) -> Result<T, TrustError> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (trouble, self.trust.store.failure()) {
            (Some(TransportError::Endless { url, max }), _) => {
                Err(TrustError::Endless(format!("`{url}` has more than {max} bytes")))
            }
            (Some(error), _) => Err(TrustError::Transport(error)),
            (None, Some(error)) => Err(TrustError::Store(error)),
            (None, None) => result.map_err(named),
        }
    }

    /// Compares what was verified with what was ever seen, and remembers it where it is newer.
    fn hold_floors(&mut self) -> Result<(), TrustError> {
        let trusted = self.updater.trusted();
        let root = trusted.root();
        let keys = |role: &str| {
            root.role(role).map_or_else(String::new, |role| {
                let mut ids: Vec<&str> = role.keyids.iter().map(String::as_str).collect();
                ids.sort_unstable();
                Digest::of(format!("{} {}", role.threshold, ids.join(" ")).as_bytes()).short()
            })
        };
        let snapshot_keys = format!("{} {}", keys("timestamp"), keys("snapshot"));
        let mut seen = vec![("root".to_owned(), root.version, String::new())];
        if let Some(timestamp) = trusted.timestamp() {
            seen.push(("timestamp".to_owned(), timestamp.version, keys("timestamp")));
        }
        if let Some(snapshot) = trusted.snapshot() {
            seen.push(("snapshot".to_owned(), snapshot.version, snapshot_keys.clone()));
            for (name, pinned) in &snapshot.meta {
                seen.push((name.clone(), pinned.version, snapshot_keys.clone()));
            }
        }
        let mut news = false;
        for (role, version, keys) in seen {
            if let Some(floor) = self.floors.below(&role, version, &keys) {
                return Err(TrustError::Rollback(format!(
                    "{role} has version {version}, version {floor} was seen before"
                )));
            }
            news |= self.floors.raise(&role, version, &keys);
        }
        if news {
            // Everything was fresh at `now`: the signed expiries are what this time is verified by.
            self.floors.time = self.floors.time.max(Some(self.now));
            self.floors.save(self.trust.store.dir()).map_err(TrustError::Floors)?;
        }
        Ok(())
    }

    /// Which release the devices of `group` should have of `model`; `None` where nobody said.
    ///
    /// # Errors
    /// [`TrustError`].
    pub async fn rollout(
        &mut self,
        model: &str,
        group: &str,
    ) -> Result<Option<RolloutDocument>, TrustError> {
        let name = RolloutDocument::target(model, group);
        let found = self.updater.get_target_info(&name, self.now).await;
        let Some(target) = self.outcome(found)? else { return Ok(None) };
        let digest = sha256(&target, &name)?;
        let max = wire::rollout::DOCUMENT_BYTES_MAX;
        let bytes = self.small(&name, digest, target.length, max).await?;
        let rollout = RolloutDocument::parse(&bytes)
            .map_err(|source| TrustError::Document { name: name.clone(), source })?;
        if rollout.model != model || rollout.group != group {
            return Err(TrustError::Disagree(format!(
                "`{name}` is about model `{}` and group `{}`",
                rollout.model, rollout.group
            )));
        }
        Ok(Some(rollout))
    }

    /// The release that `rollout` chose, as the offline keys signed it, and the document's bytes.
    ///
    /// # Errors
    /// [`TrustError`]; [`TrustError::Disagree`] where the rollout chose what was never released so.
    pub async fn release(
        &self,
        rollout: &RolloutDocument,
    ) -> Result<(ReleaseDocument, Vec<u8>), TrustError> {
        let name = ReleaseDocument::target(&rollout.model, &rollout.version);
        // The top-level role itself, and no search: a delegate cannot release anything.
        let targets = self.updater.trusted().targets_role("targets");
        let target = targets.and_then(|targets| targets.target(&name)).ok_or_else(|| {
            TrustError::Foreign(format!(
                "the release keys did not sign `{name}`, which a rollout chose"
            ))
        })?;
        let digest = sha256(target, &name)?;
        if digest != rollout.release {
            return Err(TrustError::Disagree(format!("`{name}` has another digest")));
        }
        let max = wire::release::DOCUMENT_BYTES_MAX;
        let bytes = self.small(&name, digest, target.length, max).await?;
        let release = ReleaseDocument::parse(&bytes)
            .map_err(|source| TrustError::Document { name: name.clone(), source })?;
        let says = (&release.model, &release.version, release.counter);
        let chosen = (&rollout.model, &rollout.version, rollout.counter);
        if says != chosen {
            return Err(TrustError::Disagree(format!(
                "`{name}` says {says:?}, the rollout {chosen:?}"
            )));
        }
        for file in &release.files {
            let signed = targets.and_then(|targets| targets.target(&file.target()));
            let agrees = signed.is_some_and(|signed| {
                signed.length == file.length
                    && sha256(signed, &file.path).is_ok_and(|digest| digest == file.sha256)
            });
            if !agrees {
                return Err(TrustError::Mixed(format!(
                    "file `{}` of `{name}` is no target of that length and digest",
                    file.path
                )));
            }
        }
        Ok((release, bytes))
    }

    /// The target `name`, whole, as any client of the framework would have it. For small ones.
    ///
    /// # Errors
    /// [`TrustError`].
    pub async fn download(&mut self, name: &str) -> Result<Vec<u8>, TrustError> {
        let got = self.updater.get_target(name, self.now).await;
        self.outcome(got)
    }

    /// Whether `bytes` are the target `name`, which then need not be fetched.
    ///
    /// # Errors
    /// [`TrustError`].
    pub async fn is_target(&mut self, name: &str, bytes: &[u8]) -> Result<bool, TrustError> {
        let found = self.updater.get_target_info(name, self.now).await;
        let Some(target) = self.outcome(found)? else { return Ok(false) };
        let same = sha256(&target, name).is_ok_and(|digest| digest == Digest::of(bytes));
        Ok(same && u64::try_from(bytes.len()).is_ok_and(|length| length == target.length))
    }

    /// A small target, of which the digest is known: kept from the last time, or fetched.
    async fn small(
        &self,
        name: &str,
        digest: Digest,
        length: u64,
        max: u64,
    ) -> Result<Vec<u8>, TrustError> {
        let kept = self.trust.documents.join(digest.to_string());
        if !self.anew
            && let Ok(bytes) = disk::read_bounded(&kept, max)
            && Digest::of(&bytes) == digest
        {
            return Ok(bytes);
        }
        if length > max {
            return Err(TrustError::Endless(format!("`{name}` has {length} bytes, at most {max}")));
        }
        let file = format!("{digest}.{name}");
        let bytes = document(self.transport.as_ref(), &file, length).await?;
        if Digest::of(&bytes) != digest {
            return Err(TrustError::Mixed(format!("`{file}` is not what was signed")));
        }
        self.trust.keep(&kept, &bytes).map_err(TrustError::Store)?;
        Ok(bytes)
    }
}

/// The bytes of the target `file`, at most `length` of them and within [`DOCUMENT_TIME`], however it drips.
async fn document(
    transport: &dyn Transport,
    file: &str,
    length: u64,
) -> Result<Vec<u8>, TrustError> {
    let mut bytes = Vec::new();
    let whole = async {
        let mut body = transport.target(file, 0, None).await.map_err(TrustError::Transport)?;
        while let Some(piece) = body.pieces.next().await.map_err(TrustError::Transport)? {
            bytes.extend_from_slice(&piece);
            if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > length {
                return Err(TrustError::Endless(format!("`{file}` has more than {length} bytes")));
            }
        }
        Ok(())
    };
    let ended = tokio::time::timeout(DOCUMENT_TIME, whole).await;
    match ended {
        Ok(ended) => ended.map(|()| bytes),
        Err(_) => {
            let (url, within) = (file.to_owned(), DOCUMENT_TIME);
            let bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            Err(TrustError::Transport(TransportError::Stalled { url, bytes, within }))
        }
    }
}

impl Trust {
    fn keep(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut others: Vec<_> = std::fs::read_dir(&self.documents)?
            .flatten()
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        others.sort();
        let surplus = (others.len() + 1).saturating_sub(DOCUMENTS_MAX);
        for (_, old) in others.iter().take(surplus) {
            std::fs::remove_file(old)?;
        }
        disk::replace(path, bytes).map_err(io::Error::other)
    }
}

fn sha256(target: &sigstore_tuf::TargetFile, name: &str) -> Result<Digest, TrustError> {
    let digest = target.hashes.get("sha256").and_then(|text| text.parse().ok());
    digest.ok_or_else(|| TrustError::Malformed(format!("target `{name}` has no SHA-256")))
}

/// What the library found wrong, by the name that the attack has.
fn named(error: TufError) -> TrustError {
    let text = crate::report::chain(&error);
    match error {
        TufError::ThresholdNotMet { .. }
        | TufError::DuplicateSignature { .. }
        | TufError::UnusableKey { .. }
        | TufError::UnsupportedScheme { .. }
        | TufError::Crypto(_) => TrustError::Signatures(text),
        TufError::Rollback { .. }
        | TufError::BadRootVersion { .. }
        | TufError::EqualVersion { .. } => TrustError::Rollback(text),
        TufError::Expired { .. } => TrustError::Expired(text),
        TufError::IntegrityMismatch(_) => TrustError::Mixed(text),
        TufError::UnknownRole(_) | TufError::TargetNotFound(_) => TrustError::Foreign(text),
        TufError::Transport { .. } => TrustError::Endless(text),
        _ => TrustError::Malformed(text),
    }
}

/// The library's way to the transport.
struct Bridge {
    transport: Arc<dyn Transport>,
    trouble: Trouble,
    store: MetadataDir,
}

impl Bridge {
    fn note(&self, error: TransportError) -> TufError {
        let text = crate::report::chain(&error);
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        TufError::transport(text)
    }

    /// The delegated role's file that is kept, where it is of the version that is asked for. It is verified as if it
    /// had come over the network; a damaged one is fetched again the next time.
    fn kept(&self, name: &str) -> Option<Vec<u8>> {
        let (version, file) = name.split_once('.')?;
        let role = file.strip_suffix(".json")?;
        if ["root", "timestamp", "snapshot", "targets"].contains(&role) {
            return None;
        }
        let bytes = self.store.load(file).ok()??;
        let document: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
        let found = document.get("signed")?.get("version")?.as_u64()?;
        (Some(found) == version.parse().ok()).then_some(bytes)
    }
}

impl Repository for Bridge {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max: u64) -> FetchFuture<'a> {
        Box::pin(async move {
            if let Some(bytes) = self.kept(name) {
                return Ok(Some(bytes));
            }
            self.transport.metadata(name, max).await.map_err(|error| self.note(error))
        })
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max: u64) -> FetchFuture<'a> {
        Box::pin(async move {
            let note = |error| self.note(error);
            let mut body = self.transport.target(path, 0, None).await.map_err(note)?;
            let mut bytes = Vec::new();
            while let Some(piece) = body.pieces.next().await.map_err(note)? {
                bytes.extend_from_slice(&piece);
                if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > max {
                    return Err(note(TransportError::Endless { url: path.to_owned(), max }));
                }
            }
            Ok(Some(bytes))
        })
    }
}

/// The library's way to the files.
struct Kept(MetadataDir);

impl MetadataStore for Kept {
    fn load(&self, name: &str) -> Result<Option<Vec<u8>>, TufError> {
        self.0.load(name).map_err(|error| TufError::io(format!("reading {name}"), error))
    }

    fn store(&self, name: &str, bytes: &[u8]) -> Result<(), TufError> {
        self.0.store(name, bytes).map_err(|error| TufError::io(format!("writing {name}"), error))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::transport::{Body, Coming, Pieces};
    use super::*;

    /// A server that gives a byte every ten seconds: never so late that it would be a silence.
    #[derive(Debug)]
    struct Drip;

    impl Transport for Drip {
        fn metadata<'a>(&'a self, _: &'a str, _: u64) -> Coming<'a, Option<Vec<u8>>> {
            Box::pin(async { Ok(None) })
        }

        fn target<'a>(&'a self, _: &'a str, _: u64, _: Option<&'a str>) -> Coming<'a, Body> {
            Box::pin(async { Ok(Body { offset: 0, etag: None, pieces: Box::new(Self) }) })
        }

        fn address(&self) -> String {
            "a drip".to_owned()
        }
    }

    impl Pieces for Drip {
        fn next(&mut self) -> Coming<'_, Option<Bytes>> {
            Box::pin(async {
                tokio::time::sleep(Duration::from_secs(10)).await;
                Ok(Some(Bytes::from_static(b"x")))
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_document_that_drips_does_not_hold_the_trust_for_long() {
        let began = tokio::time::Instant::now();
        let dripped = document(&Drip, "x", 1 << 20).await;
        assert!(matches!(dripped, Err(TrustError::Transport(TransportError::Stalled { .. }))));
        assert_eq!(began.elapsed(), DOCUMENT_TIME);
    }
}
