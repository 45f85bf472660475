//! The last sample of the board, for whoever asks while the next one is not taken yet.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use wire::Readings;

use super::alarms::Standing;

/// One sample, and the alarms as they stood after it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// When it was taken.
    pub at: Timestamp,
    /// The board.
    pub readings: Readings,
    /// Every alarm that there is, raised or not.
    pub alarms: Vec<Standing>,
}

/// Holds the last sample.
#[derive(Debug, Clone, Default)]
pub struct Seen(Arc<Mutex<Option<Arc<Sample>>>>);

impl Seen {
    /// The last sample; `None` before the first, and where the board is not watched.
    #[must_use]
    pub fn last(&self) -> Option<Arc<Sample>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set<'a>(&self, readings: &Readings, alarms: impl Iterator<Item = &'a Standing>) {
        let sample = Sample {
            at: Timestamp::now(),
            readings: readings.clone(),
            alarms: alarms.cloned().collect(),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(sample));
    }
}
