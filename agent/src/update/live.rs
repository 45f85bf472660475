//! What the update path is given of the running daemon: for each slot, the way to its engine.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use crate::hw::ort::Options;
use crate::pipeline::health::{Watch, Watched};
use crate::pipeline::worker::{Generation, Swap};

/// Opens a model folder aside, for all of the slot's pipelines; `None`: the configured folder.
pub type Open = Arc<dyn Fn(Option<&Path>) -> Result<Generation, String> + Send + Sync>;

/// Notes which folder now speaks, so that it is the one that is opened again after a failure.
pub type Serves = Box<dyn Fn(Option<&Path>, &Generation) + Send + Sync>;

/// One slot's engine.
pub struct Live {
    /// The model's name in the configuration.
    pub slot: String,
    /// The model whose releases it takes.
    pub model: String,
    /// The way to give the engine's thread another model.
    pub swap: Swap,
    /// What its engine makes of the frames of each of its pipelines.
    pub watches: Vec<Arc<Watch>>,
    /// Whether it only stands in for its pipelines' own models, at times.
    pub stands_by: bool,
    /// See [`Open`].
    pub open: Open,
    /// See [`Serves`].
    pub serves: Serves,
    /// Held while a release is on its way: nobody else changes what runs meanwhile.
    pub changing: Arc<tokio::sync::Mutex<()>>,
    /// What runs at the start.
    pub first: Weak<Generation>,
    /// How a rehearsal opens it.
    pub rehearsal: RehearsalSettings,
}

/// How a rehearsal opens a model: as the live one will be.
#[derive(Debug, Clone)]
pub struct RehearsalSettings {
    /// The ONNX Runtime library; `None`: where it usually is.
    pub library: Option<PathBuf>,
    /// How to open the model.
    pub options: Options,
    /// Where built engines are kept, so that the live one finds what the rehearsal built.
    pub cache: PathBuf,
    /// Most memory, whatever a release asks for.
    pub memory_bytes: u64,
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("slot", &self.slot).finish_non_exhaustive()
    }
}

impl Live {
    /// Begins to watch the slot's pipelines.
    pub(super) fn watch(&self) {
        self.watches.iter().for_each(|watch| watch.begin());
    }

    /// What was seen of the slot's pipelines together: all frames, and the slowest pipeline's times.
    pub(super) fn watched(&self) -> Watched {
        let slower = |one: Option<f64>, other: Option<f64>| match (one, other) {
            (Some(one), Some(other)) => Some(one.max(other)),
            (one, other) => one.or(other),
        };
        self.watches.iter().map(|watch| watch.seen()).fold(Watched::default(), |sum, one| Watched {
            inferred: sum.inferred + one.inferred,
            failed: sum.failed + one.failed,
            p50_ms: slower(sum.p50_ms, one.p50_ms),
            p95_ms: slower(sum.p95_ms, one.p95_ms),
        })
    }
}
