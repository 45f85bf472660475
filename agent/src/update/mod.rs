//! The update path: check → fetch → verify → stage → rehearse → trial → commit (→ probation) | roll back → refuse.
//!
//! Its steps are files of this folder. What decides is pure (`machine`, `judge`, the rollout's turn in `wire`);
//! what acts decides nothing. The data path does not know that any of this exists, and none of this needs the
//! data path to be alive.

pub mod blobs;
mod boot;
pub mod bundle;
mod clock;
mod command;
pub mod fetch;
pub mod http;
mod judge;
mod live;
mod look;
pub mod machine;
pub mod metadata;
mod rehearse;
mod sealed;
mod settings;
pub mod slot;
pub mod store;
mod told;
pub mod transport;
pub mod trust;
mod visit;
mod worker;

use std::path::Path;
use std::sync::Arc;

use tokio::net::UnixListener;
use tokio::sync::{Mutex, Notify, Semaphore, mpsc};

pub use boot::{Booted, boot, go_back};
pub use clock::written;
pub use command::{Answer, Command, Desk, SOCKET, ask};
pub use live::{Live, Open, RehearsalSettings, Serves};
pub use sealed::SealError;
pub use settings::{LinkSettings, UpdateSettings, Window};
pub use told::Standing;
pub use visit::{VisitError, visit};

use crate::mqtt::Link;
use crate::report;
use crate::said::Said;
use crate::supervisor::{Failure, Supervisor};

/// Requests that wait for one slot's worker.
const ASKED_MAX: usize = 8;
/// Connections to the control socket at one time.
const CONNECTIONS_MAX: usize = 8;
/// So many more are told that they are too many. Each is gone within some seconds.
const TOLD_MAX: usize = 8;
/// Largest list of names that the device tree has for a board.
const COMPATIBLE_BYTES_MAX: u64 = 4096;

/// Why releases cannot be taken. What runs goes on.
#[derive(Debug, thiserror::Error)]
enum StartError {
    /// The root of trust, or the memory of it.
    #[error("releases are not taken")]
    Trust(#[source] trust::TrustError),
    /// The link's files.
    #[error("releases are not taken")]
    Http(#[source] http::HttpError),
    /// The state directory.
    #[error("releases are not taken: cannot use `{path}`")]
    Disk {
        /// What of it.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
}

/// Starts a worker for each of `slots`, and the control socket in `state_dir`. The way to ask them.
///
/// Where no release can be taken at all, [`Desk::broken`] says why, to the log and to whoever asks: what runs goes on,
/// is watched where it was just committed, and can be left for the one before.
pub fn start(
    settings: &UpdateSettings,
    device: &str,
    state_dir: &Path,
    slots: Vec<(Live, Booted)>,
    link: Option<&Link>,
    said: &Arc<Said>,
    supervisor: &Supervisor,
) -> Desk {
    let source = source(settings, state_dir).map_err(|error| report::chain(&error));
    let mut desk = Desk { broken: source.as_ref().err().cloned(), ..Default::default() };
    if let Some(error) = &desk.broken {
        tracing::error!(error, "no release is taken until this is mended");
    }
    let shared = Arc::new(worker::Shared {
        settings: settings.clone(),
        device: device.to_owned(),
        boards: settings.boards.clone().unwrap_or_else(boards),
        store: store::Store::at(state_dir),
        blobs: blobs::Blobs::at(state_dir),
        keeping: Mutex::default(),
        source,
        supervisor: supervisor.clone(),
        stop: supervisor.stop().clone(),
    });
    for (live, booted) in slots {
        let (ask, asked) = mpsc::channel(ASKED_MAX);
        desk.workers.push((live.slot.clone(), ask));
        let bell = link.map_or_else(Arc::<Notify>::default, |link| {
            link.on(&link.topics().model_install(&live.slot))
        });
        let told = told::Told::new(&live.slot, link.cloned(), said.clone());
        desk.standings.push((live.slot.clone(), told.last()));
        let name = format!("update {}", live.slot);
        let worker = worker::Worker::new(shared.clone(), live, booted, told, asked, bell);
        let worker = Arc::new(Mutex::new(worker));
        supervisor.run(&name, move || {
            let worker = worker.clone();
            async move { worker.lock().await.work().await }
        });
    }
    serve(state_dir, desk.clone(), supervisor);
    desk
}

/// Where releases come from, with a place for their files.
fn source(settings: &UpdateSettings, state_dir: &Path) -> Result<worker::Source, StartError> {
    let disk = |source| StartError::Disk { path: state_dir.display().to_string(), source };
    let trust = trust::Trust::open(&settings.root, &state_dir.join("tuf"), written());
    let transport = http::Http::new(&settings.url, &settings.link).map_err(StartError::Http)?;
    blobs::Blobs::open(state_dir).map_err(disk)?;
    let trust = Mutex::new(trust.map_err(StartError::Trust)?);
    Ok(worker::Source { trust, transport: Arc::new(transport) })
}

/// Answers the control socket. Without it everything else goes on.
fn serve(state_dir: &Path, desk: Desk, supervisor: &Supervisor) {
    let (state_dir, stop) = (state_dir.to_owned(), supervisor.stop().clone());
    // Opened before anybody is told that the daemon runs: who asks then is heard.
    let mut first = Some(command::listen(&state_dir));
    supervisor.run("control", move || {
        let (desk, stop) = (desk.clone(), stop.clone());
        let listener = first.take().unwrap_or_else(|| command::listen(&state_dir));
        async move {
            let listener = listener
                .and_then(UnixListener::from_std)
                .map_err(|error| Failure::retry("cannot listen on the control socket", error))?;
            let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let accepted = tokio::select! {
                    () = stop.heard() => return Ok(()),
                    accepted = listener.accept() => accepted,
                };
                let (stream, _) =
                    accepted.map_err(|error| Failure::retry("the control socket broke", error))?;
                while connections.try_join_next().is_some() {}
                let place = places.clone().try_acquire_owned().ok();
                if place.is_none() && connections.len() >= CONNECTIONS_MAX + TOLD_MAX {
                    continue;
                }
                let desk = place.is_some().then(|| desk.clone());
                connections.spawn(async move {
                    if let Err(error) = command::answer(stream, desk.as_ref()).await {
                        tracing::debug!(
                            error = report::chain(&error),
                            "a request on the control socket"
                        );
                    }
                    drop(place);
                });
            }
        }
    });
}

/// What this board is called: the device tree's `compatible`, and the architecture.
fn boards() -> Vec<String> {
    let path = Path::new("/proc/device-tree/compatible");
    let bytes = crate::disk::read_bounded(path, COMPATIBLE_BYTES_MAX).unwrap_or_default();
    let names = bytes.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let mut names: Vec<String> =
        names.map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    names.push(std::env::consts::ARCH.to_owned());
    names
}
