//! What the API can see of the daemon.

use std::fmt;
use std::sync::Arc;

use crate::commands::{self, ReadFacts};
use crate::mqtt::Link;
use crate::said::Said;
use crate::stop::Stop;
use crate::telemetry::seen::Seen;
use crate::update;

/// A pipeline that runs.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// The ways to ask it.
    pub open: commands::Pipeline,
    /// Its model's name in the configuration.
    pub model: String,
    /// Frames a second that its source is expected to give.
    pub rate_hz: Option<f64>,
}

/// See the module.
pub struct View {
    /// This run of the daemon.
    pub said: Arc<Said>,
    /// Said once the daemon ends.
    pub stop: Stop,
    /// The pipelines.
    pub pipelines: Vec<Pipeline>,
    /// What runs the models.
    pub facts: ReadFacts,
    /// The way to the models that take releases, where any do.
    pub releases: Option<update::Desk>,
    /// The broker, where there is one.
    pub link: Option<Link>,
    /// The board, as it was seen last.
    pub seen: Seen,
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("pipelines", &self.pipelines).finish_non_exhaustive()
    }
}
