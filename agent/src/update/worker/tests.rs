//! Workers without a model, a repository or frames: what they hold, answer and write down.

use std::path::{Path, PathBuf};
use std::sync::mpsc as channel;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use wire::{Refusal, ReleaseFile, Terms, release};

use super::super::command::Command;
use super::super::live::RehearsalSettings;
use super::super::settings::LinkSettings;
use super::super::slot::Installed;
use super::*;
use crate::hw::ort::Options;
use crate::pipeline::latest::Desk;
use crate::pipeline::worker::Worker as Engine;
use crate::said::Said as Run;
use crate::supervisor::exit;

/// How long what should come at once is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is still waiting after this waits for something.
const WAITS: Duration = Duration::from_millis(50);

fn shared(dir: &Path) -> Arc<Shared> {
    let stop = Stop::new();
    let settings = UpdateSettings {
        url: "http://127.0.0.1:9".to_owned(),
        root: PathBuf::new(),
        group: "default".to_owned(),
        boards: None,
        poll: Duration::from_secs(3600),
        window: None,
        link: LinkSettings::default(),
        rehearsal_bytes: 0,
    };
    Arc::new(Shared {
        settings,
        device: "dut".to_owned(),
        boards: Vec::new(),
        store: Store::open(dir).unwrap(),
        blobs: Blobs::open(dir).unwrap(),
        keeping: Mutex::default(),
        source: Err("releases are not taken".to_owned()),
        supervisor: Supervisor::new(stop.clone(), Handle::current()),
        stop,
    })
}

/// A worker for the slot of `record`, which goes on with `pending`, and the way to ask it.
fn worker(
    shared: &Arc<Shared>,
    record: SlotRecord,
    pending: Option<Action>,
) -> (Worker, mpsc::Sender<Asked>) {
    let run = Arc::new(Run::new());
    let build = || Err(Failure::retry("no engine", "none"));
    let (reaper, _) = channel::sync_channel(1);
    let desk = Arc::new(Desk::new(&[]));
    let engine = Engine::new(desk, Vec::new(), Box::new(build), reaper, run.clone());
    let live = Live {
        slot: record.slot.clone(),
        model: record.slot.clone(),
        swap: engine.swap(),
        watches: Vec::new(),
        stands_by: false,
        open: Arc::new(|_| Err("there is no model".to_owned())),
        serves: Box::new(|_, _| ()),
        changing: Arc::default(),
        first: Weak::new(),
        rehearsal: RehearsalSettings {
            library: None,
            options: Options::default(),
            cache: PathBuf::new(),
            memory_bytes: 0,
        },
    };
    shared.store.save(&record).unwrap();
    let told = Told::new(&record.slot, None, run);
    let (ask, asked) = mpsc::channel(8);
    let booted = Booted { record, pending };
    (Worker::new(shared.clone(), live, booted, told, asked, Arc::default()), ask)
}

/// The document of a release of which no file is here.
fn document() -> (Installed, Vec<u8>) {
    let file = |path: &str| ReleaseFile {
        path: path.to_owned(),
        length: 1,
        sha256: Digest::of(path.as_bytes()),
        chunks: vec![Digest::of(path.as_bytes())],
    };
    let document = ReleaseDocument {
        schema: release::SCHEMA.to_owned(),
        model: "m".to_owned(),
        version: "2.0.0".to_owned(),
        counter: 2,
        min_counter: 0,
        boards: Vec::new(),
        minimum_agent: "0.1.0".to_owned(),
        disk_bytes: 0,
        memory_bytes: 1 << 30,
        terms: Terms::default(),
        files: vec![file("model.onnx"), file("model.toml")],
    };
    let bytes = serde_json::to_vec(&document).unwrap();
    (installed("2.0.0", Digest::of(&bytes)), bytes)
}

fn installed(version: &str, release: Digest) -> Installed {
    let release = ReleaseRef { version: version.to_owned(), counter: 2, release };
    Installed { release, min_counter: 0 }
}

/// The record of `slot` with `offered` after each of `events`.
fn walked(slot: &str, offered: Installed, events: &[Event]) -> SlotRecord {
    let offered = std::iter::once(Happened::Offered(offered));
    let all = offered.chain(events.iter().map(|event| Happened::Plain(*event)));
    all.fold(SlotRecord::new(slot), |record, happened| record.walk(happened).unwrap().0)
}

async fn ask(worker: &mpsc::Sender<Asked>, command: Command) -> Option<Said> {
    let (reply, replied) = oneshot::channel();
    worker.send(Asked { command, reply }).await.ok()?;
    tokio::time::timeout(PATIENCE, replied).await.ok()?.ok()
}

#[tokio::test]
async fn a_step_that_cannot_be_done_leaves_the_owner_his_say() {
    let dir = tempfile::tempdir().unwrap();
    let shared = shared(dir.path());
    let (offered, bytes) = document();
    shared.store.keep_document(&offered.release.release, &bytes).unwrap();
    // Its files are gone: the folder cannot be put together.
    let staging = walked("m", offered, &[Event::Fetched]);
    let (mut worker, asks) = worker(&shared, staging, Some(Action::Stage));
    let asking = async {
        let began = Instant::now();
        loop {
            let said = ask(&asks, Command::Check).await;
            let Some(Said::Well(line)) = said else { panic!("{said:?}") };
            if line.contains("cannot put a release together") {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "{line}");
        }
        let back = ask(&asks, Command::Rollback { slot: None, to: None }).await;
        assert_eq!(back, Some(Said::Well("back to the configured folder".to_owned())));
        shared.stop.say();
    };
    let (worked, ()) = tokio::join!(worker.work(), asking);
    worked.unwrap();
    let record = shared.store.load("m").unwrap();
    assert_eq!((record.phase, record.offered, record.refused), (Phase::Idle, None, None));
}

#[tokio::test]
async fn a_stop_for_something_fatal_gives_no_try_back() {
    for (fatal, left) in [(false, 3), (true, 2)] {
        let dir = tempfile::tempdir().unwrap();
        let shared = shared(dir.path());
        let events = [Event::Fetched, Event::Staged];
        let rehearsing = walked("m", document().0, &events);
        let (mut worker, _asks) = worker(&shared, rehearsing, Some(Action::Rehearse));
        if fatal {
            let lost = || Err(Failure::fatal(exit::ACCELERATOR, "lost", "fell off"));
            shared.supervisor.thread("gpu", lost).unwrap();
            shared.stop.heard().await;
        }
        worker.leave().unwrap();
        let tries = shared.store.load("m").unwrap().offered.map(|offered| offered.tries_left);
        assert_eq!(tries, Some(left), "fatal: {fatal}");
    }
}

#[tokio::test]
async fn what_one_slot_begins_with_is_not_what_another_cleans_up() {
    let dir = tempfile::tempdir().unwrap();
    let shared = shared(dir.path());
    let (offered, bytes) = document();
    let digest = offered.release.release;
    // A slot between the document of a release and the record that names it.
    let held = shared.keeping.lock().await;
    shared.store.keep_document(&digest, &bytes).unwrap();
    let (mut other, _asks) = worker(&shared, SlotRecord::new("other"), None);
    let (mut stages, _asks) =
        worker(&shared, walked("stages", offered.clone(), &[Event::Fetched]), None);
    let refused = Refusal {
        release: offered.release.clone(),
        phase: Phase::Trialing,
        reason: "slow".to_owned(),
    };
    let refusing = SlotRecord { refused: Some(refused), ..SlotRecord::new("refuses") };
    let (mut refuses, _asks) = worker(&shared, refusing, None);
    let all = async { tokio::join!(other.rest(), stages.stage(), refuses.act(Action::Refuse)) };
    let mut all = std::pin::pin!(all);
    assert!(tokio::time::timeout(WAITS, &mut all).await.is_err());
    assert!(shared.store.document(&digest).is_ok());
    assert!(shared.store.refusals().unwrap().is_empty());
    shared.store.save(&walked("m", offered, &[])).unwrap();
    drop(held);
    let ((), staged, refused) = all.await;
    assert!(staged.is_err() && refused.is_ok(), "{staged:?} {refused:?}");
    assert!(shared.store.document(&digest).is_ok());
    assert_eq!(shared.store.refusals().unwrap().len(), 1);
}

#[tokio::test]
async fn who_brought_a_release_hears_of_that_one() {
    let dir = tempfile::tempdir().unwrap();
    let shared = shared(dir.path());
    let (mut worker, _asks) = worker(&shared, SlotRecord::new("m"), None);
    let [older, brought] = ["1.0.0", "2.0.0"].map(|one| installed(one, Digest::of(one.as_bytes())));
    let refused = |one: &Installed| Refusal {
        release: one.release.clone(),
        phase: Phase::Rehearsing,
        reason: "golden".to_owned(),
    };
    worker.last = Some(brought.release.clone());
    for (good, refusal, error, wanted) in [
        (None, Some(&older), None, Err("2.0.0 is not installed: it was taken back")),
        (None, Some(&older), Some("torn"), Err("2.0.0 is not installed: torn")),
        (None, Some(&brought), None, Err("2.0.0 is refused: golden")),
        (Some(&brought), Some(&older), Some("torn"), Ok("2.0.0 is installed")),
    ] {
        worker.record.good = good.cloned();
        worker.record.refused = refusal.map(refused);
        worker.check_error = error.map(str::to_owned);
        let wanted = wanted.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(worker.came_of_it(), wanted);
    }
}
