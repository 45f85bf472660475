//! Where observations go.
//!
//! A sink is a worker that empties a [`Queue`]. The data path holds the queue's other end and never waits.

pub mod console;
pub mod jsonl;
pub mod mqtt;
mod queue;

use std::fmt::Debug;
use std::sync::Arc;

pub use queue::{Queue, Record};

use crate::mqtt::Link;
use crate::supervisor::Supervisor;

/// What a sink may use when it starts.
#[derive(Debug)]
pub struct SinkContext<'a> {
    /// Keeps its worker alive.
    pub supervisor: &'a Supervisor,
    /// The connection to the broker, where one is configured.
    pub link: Option<&'a Link>,
}

/// A configured sink.
pub trait SinkSpec: Debug + Send + Sync {
    /// Starts its worker and returns the queue to fill. Called once for each sink.
    fn start(&self, context: &SinkContext<'_>) -> Arc<Queue>;

    /// What it needs that the configuration does not have, if anything.
    fn needs_mqtt(&self) -> bool {
        false
    }
}

/// Observations that a sink holds before the oldest gives way, unless configured: ten seconds of one camera.
pub const QUEUE_DEFAULT: usize = 300;

/// Most observations that a sink may be configured to hold: at 8 KiB each, 80 MB.
pub const QUEUE_MAX: usize = 10_000;
