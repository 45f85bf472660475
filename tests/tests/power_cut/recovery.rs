//! A device after a power cut: what must hold of its state directory as it is, and the way from there to the end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use tests::Fleet;
use tests::bench::BRIGHTNESS;
use vedette::report;
use vedette::update::blobs::Blobs;
use vedette::update::boot;
use vedette::update::bundle::Bundle;
use vedette::update::fetch::fetch;
use vedette::update::machine::{Action, Event};
use vedette::update::metadata::Floors;
use vedette::update::slot::{Happened, Installed, SlotRecord};
use vedette::update::store::Store;
use vedette::update::transport::Transport;
use vedette::update::trust::{Trust, TrustError};
use vedette::update::written;
use wire::{Digest, Phase, ReleaseDocument, ReleaseRef};

/// The release that fails its golden samples.
pub(crate) const BAD: &str = "4.0.0";

/// What the fleet's operator signed.
pub(crate) struct Signed {
    root: PathBuf,
    /// Each release, and the timestamp's version that first let it be seen.
    releases: BTreeMap<Digest, (ReleaseDocument, u64)>,
    /// The content of every file.
    files: BTreeMap<Digest, Vec<u8>>,
    /// The newest version of the timestamp.
    newest: u64,
}

impl Signed {
    pub(crate) fn new(fleet: &Fleet) -> Self {
        let root = fleet.folder().join("keys/root.json");
        Self { root, releases: BTreeMap::new(), files: BTreeMap::new(), newest: 0 }
    }

    /// Notes what is new in the repository.
    pub(crate) fn note(&mut self, fleet: &Fleet) -> Result<()> {
        let timestamp = fleet.folder().read("repo/metadata/timestamp.json")?;
        let timestamp: serde_json::Value = serde_json::from_str(&timestamp)?;
        self.newest = timestamp["signed"]["version"].as_u64().context("no version")?;
        for entry in std::fs::read_dir(fleet.folder().join("repo/targets"))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let (digest, target) = name.split_once('.').context("a target without a digest")?;
            let (digest, bytes) = (digest.parse()?, std::fs::read(entry.path())?);
            if target.starts_with("release~") && !self.releases.contains_key(&digest) {
                let document = ReleaseDocument::parse(&bytes)?;
                self.releases.insert(digest, (document, self.newest));
            }
            self.files.insert(digest, bytes);
        }
        Ok(())
    }
}

/// What is remembered in a state directory.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    pub(crate) record: SlotRecord,
    pub(crate) floors: Floors,
}

impl Memory {
    /// The memory in `state`, which must be whole.
    pub(crate) fn of(state: &Path) -> Result<Self> {
        let record = Store::at(state).load(BRIGHTNESS)?;
        Ok(Self { record, floors: Floors::load(&state.join("tuf"))? })
    }

    pub(crate) fn version(&self) -> Option<&str> {
        self.record.good.as_ref().map(|good| good.release.version.as_str())
    }

    fn timestamp(&self) -> u64 {
        self.floors.roles.get("timestamp").map_or(0, |floor| floor.version)
    }
}

/// What must hold of `state` at any time; `least` is what was durable for certain.
pub(crate) fn check(signed: &Signed, state: &Path, least: Option<&Memory>) -> Result<Memory> {
    let memory = Memory::of(state)?;
    // 2: what has the name of a verified file is that file, whole.
    for entry in entries(&state.join("blobs"))? {
        if let Ok(digest) = name(&entry).parse::<Digest>() {
            same(signed, &digest, &entry)?;
        }
    }
    for entry in entries(&state.join("models"))? {
        let Ok(digest) = name(&entry).parse::<Digest>() else { continue };
        let (document, _) = signed.releases.get(&digest).context("a release that nobody signed")?;
        for file in &document.files {
            same(signed, &file.sha256, &entry.join(&file.path))?;
        }
    }
    // 1 and 9: what is committed stands, and is none that fails its golden samples.
    let record = &memory.record;
    let offered = record.offered.as_ref().map(|offered| &offered.installed);
    for named in [record.good.as_ref(), record.previous.as_ref(), offered].into_iter().flatten() {
        let digest = &named.release.release;
        Store::at(state).document(digest)?;
        let (_, seen) = signed.releases.get(digest).context("a release that nobody signed")?;
        // 3: nothing was begun on a view that could be forgotten.
        ensure!(memory.timestamp() >= *seen, "begun before it was remembered: {memory:?}");
    }
    if let Some(good) = &record.good {
        ensure!(good.release.version != BAD, "a bad release is committed");
        let folder = Store::at(state).folder(&good.release.release);
        ensure!(folder.is_dir(), "the committed release is not there");
    }
    if let Some(least) = least {
        ensure!(record.floor >= least.record.floor, "the floor fell: {memory:?}");
        for (role, floor) in &least.floors.roles {
            let below = memory.floors.roles.get(role).is_none_or(|now| now.version < floor.version);
            ensure!(!below, "the floor of {role} fell: {memory:?}");
        }
    }
    Ok(memory)
}

fn same(signed: &Signed, digest: &Digest, path: &Path) -> Result<()> {
    let found = std::fs::read(path).with_context(|| format!("`{}`", path.display()))?;
    let wanted = signed.files.get(digest).context("a file that nobody signed")?;
    ensure!(found == *wanted, "`{}` is not what was signed", path.display());
    Ok(())
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    if !directory.is_dir() {
        return Ok(Vec::new());
    }
    std::fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Somebody shows the device the older view in the bundle `old`: it must not be taken once a newer one was seen.
pub(crate) fn replay(signed: &Signed, state: &Path, old: &Path) -> Result<()> {
    let knows = Memory::of(state)?.timestamp() >= signed.newest;
    let trust = Trust::open(&signed.root, &state.join("tuf"), written())?;
    let bundle: Arc<dyn Transport> = Arc::new(Bundle::open(old)?);
    let refreshed = runtime()?.block_on(trust.refresh(bundle, Timestamp::now()));
    match refreshed {
        Err(TrustError::Rollback(_)) => Ok(()),
        Err(error) => Err(error).context("an older view"),
        Ok(_) => {
            ensure!(!knows, "an older view is taken");
            Ok(())
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// Walks the device in `state` to where it rests, as the daemon does, with the agent's own modules; the releases
/// come from `bundle`. Rehearsal and trial say what they would: the bad release fails the one, the others pass.
pub(crate) fn recover(root: &Path, state: &Path, bundle: &Path) -> Result<SlotRecord> {
    let (store, blobs) = (Store::open(state)?, Blobs::open(state)?);
    let booted = boot(&store, BRIGHTNESS)?;
    let (mut record, mut pending) = (booted.record, booted.pending);
    ensure!(pending != Some(Action::Try), "on trial without a rehearsal: {record:?}");
    let runtime = runtime()?;
    let transport: Arc<dyn Transport> = Arc::new(Bundle::open(bundle)?);
    if pending.is_none() {
        let trust = Trust::open(root, &state.join("tuf"), written())?;
        let offer = runtime.block_on(look(&trust, transport.clone(), &store, &record))?;
        let Some(installed) = offer else { return Ok(record) };
        (record, pending) = happen(&store, &record, Happened::Offered(installed))?;
    }
    while let Some(action) = pending {
        let under_way = record.offered.clone();
        let release = || {
            let offered = under_way.as_ref().context("nothing is under way")?;
            Ok::<_, anyhow::Error>(offered.installed.release.clone())
        };
        let happened = match action {
            Action::Fetch => {
                for file in &store.document(&release()?.release)?.files {
                    runtime
                        .block_on(fetch(transport.as_ref(), file, &blobs, None, &|_| {}))
                        .map_err(|error| anyhow::anyhow!(report::chain(&error)))?;
                }
                Happened::Plain(Event::Fetched)
            }
            Action::Stage => {
                let digest = release()?.release;
                store.stage(&digest, &store.document(&digest)?, &blobs)?;
                Happened::Plain(Event::Staged)
            }
            Action::Rehearse if release()?.version == BAD => Happened::Failed("golden".to_owned()),
            Action::Rehearse => Happened::Plain(Event::Rehearsed),
            Action::Try => Happened::Plain(Event::Passed),
            Action::Commit => {
                store.point(BRIGHTNESS, &release()?.release)?;
                Happened::Plain(Event::Committed)
            }
            Action::Watch => Happened::Plain(Event::Survived),
            Action::RollBack => Happened::Plain(Event::RolledBack),
            Action::Refuse => {
                if let Some(refusal) = &record.refused {
                    store.refuse(refusal)?;
                }
                Happened::Plain(Event::Refused)
            }
            Action::Withdraw => Happened::Plain(Event::Withdrawn),
            Action::Rest => {
                store.collect(&blobs)?;
                ensure!(record.phase == Phase::Idle, "it rests in {:?}", record.phase);
                return Ok(record);
            }
        };
        (record, pending) = happen(&store, &record, happened)?;
    }
    Ok(record)
}

fn happen(
    store: &Store,
    record: &SlotRecord,
    happened: Happened,
) -> Result<(SlotRecord, Option<Action>)> {
    let (next, action) = record.walk(happened)?;
    store.save(&next)?;
    Ok((next, Some(action)))
}

/// What the device is to take, if anything.
async fn look(
    trust: &Trust,
    transport: Arc<dyn Transport>,
    store: &Store,
    record: &SlotRecord,
) -> Result<Option<Installed>> {
    let mut view = trust.refresh(transport, Timestamp::now()).await?;
    let Some(rollout) = view.rollout(BRIGHTNESS, "default").await? else { return Ok(None) };
    let refused = store.refusals()?.iter().any(|one| one.release.release == rollout.release);
    if rollout.halted || refused || rollout.counter <= record.floor {
        return Ok(None);
    }
    let (document, bytes) = view.release(&rollout).await?;
    store.keep_document(&rollout.release, &bytes)?;
    let (version, counter) = (rollout.version.clone(), rollout.counter);
    let release = ReleaseRef { version, counter, release: rollout.release };
    Ok(Some(Installed { release, min_counter: document.min_counter }))
}
