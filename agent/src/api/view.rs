//! What the API can see of the daemon.

use std::fmt;
use std::sync::Arc;

use super::models::Models;
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
    /// Whether its source gives pictures; else samples.
    pub pictures: bool,
    /// Frames a second that its source is expected to give.
    pub rate_hz: Option<f64>,
    /// Frames a second that its gate finds worth a run at most; `None` where nobody can tell.
    pub most_hz: Option<f64>,
}

impl Pipeline {
    /// Frames a second that are to be inferred at most: of a board that is hot, fewer.
    pub(super) fn wanted_hz(&self) -> Option<f64> {
        let rates = [self.rate_hz, self.most_hz, self.open.door.limit_hz()];
        rates.into_iter().flatten().filter(|rate| *rate > 0.0).reduce(f64::min)
    }
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
    /// The models that can be asked.
    pub models: Models,
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A pipeline that nothing runs.
    pub(in crate::api) fn pipeline(rate_hz: Option<f64>, most_hz: Option<f64>) -> Pipeline {
        let open = commands::Pipeline {
            name: "door".into(),
            door: Arc::default(),
            health: Arc::default(),
            threshold: None,
        };
        Pipeline { open, model: "shapes".to_owned(), pictures: true, rate_hz, most_hz }
    }

    #[test]
    fn what_is_wanted_of_a_pipeline_is_the_least_that_source_gate_and_load_allow() {
        for (rate_hz, most_hz, limit_hz, wanted_hz) in [
            (None, None, None, None),
            (Some(30.0), Some(30.0), None, Some(30.0)),
            (Some(30.0), Some(5.0), None, Some(5.0)),
            (Some(30.0), Some(5.0), Some(2.0), Some(2.0)),
            (None, Some(5.0), Some(9.0), Some(5.0)),
            (Some(0.0), None, None, None),
        ] {
            let pipeline = pipeline(rate_hz, most_hz);
            pipeline.open.door.set_limit_hz(limit_hz);
            assert_eq!(pipeline.wanted_hz(), wanted_hz, "{rate_hz:?} {most_hz:?} {limit_hz:?}");
        }
    }
}
