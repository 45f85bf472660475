//! What is known of a sensor's samples, for whoever asks how it is, and what is wrong with them, said once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The same trouble is said again after so long, with how often it was seen meanwhile.
const SAY_EVERY: Duration = Duration::from_secs(600);
/// Kinds of trouble.
const TROUBLES: usize = 7;

/// What may be wrong with a sensor's samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// A line is no sample.
    Text,
    /// A line lacks a channel.
    Missing,
    /// A channel's value is no number.
    NotNumber,
    /// A line is longer than any sample.
    Long,
    /// Samples come at another rate than is configured.
    Rate,
    /// The time of a sample is no time, or that of the one before.
    Time,
    /// There was a gap, or the clock jumped.
    Gap,
}

/// Counts of one sensor since the start, shared with every opening of it.
#[derive(Debug, Default)]
pub struct Counts {
    received: AtomicU64,
    unusable: AtomicU64,
    gaps: AtomicU64,
    jumps: AtomicU64,
    /// The bits of the rate that was measured; 0 before there was one.
    rate: AtomicU64,
    said: Mutex<[Option<(Instant, u64)>; TROUBLES]>,
}

/// What is known of a sensor's samples.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SampleFigures {
    /// Samples a second, measured; `None` until there were enough.
    pub rate_hz: Option<f64>,
    /// Samples that were used.
    pub received: u64,
    /// Lines, messages and readings that were none.
    pub unusable: u64,
    /// Gaps after which a window was begun anew.
    pub gaps: u64,
    /// Jumps of the sensor's clock after which a window was begun anew.
    pub clock_jumps: u64,
}

impl Counts {
    /// The counts so far.
    #[must_use]
    pub fn figures(&self) -> SampleFigures {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let rate = f64::from_bits(read(&self.rate));
        SampleFigures {
            rate_hz: (rate > 0.0).then_some(rate),
            received: read(&self.received),
            unusable: read(&self.unusable),
            gaps: read(&self.gaps),
            clock_jumps: read(&self.jumps),
        }
    }

    pub(super) fn received(&self) {
        self.received.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn gap(&self) {
        self.gaps.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn jump(&self) {
        self.jumps.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn measured(&self, rate_hz: f64) {
        self.rate.store(rate_hz.to_bits(), Ordering::Relaxed);
    }

    /// Counts a sample that cannot be used, and says so where it is news.
    pub(crate) fn unusable(&self, what: &str, trouble: Trouble, detail: impl FnOnce() -> String) {
        self.unusable.fetch_add(1, Ordering::Relaxed);
        self.say(what, trouble, detail);
    }

    /// Says what is wrong with `what` and what to do, unless that was said a short while ago.
    pub(crate) fn say(&self, what: &str, trouble: Trouble, detail: impl FnOnce() -> String) {
        let Some(unsaid) = self.is_news(trouble, Instant::now()) else { return };
        let (detail, advice) = (detail(), trouble.advice());
        tracing::warn!(source = what, detail, unsaid, "{advice}");
    }

    /// How often the trouble was not said since it was said last; `None` where it is not to be said now.
    fn is_news(&self, trouble: Trouble, now: Instant) -> Option<u64> {
        let mut all = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let said = &mut all[trouble.index()];
        if let Some((at, unsaid)) = said
            && now.saturating_duration_since(*at) < SAY_EVERY
        {
            *unsaid += 1;
            return None;
        }
        let unsaid = said.map_or(0, |(_, unsaid)| unsaid);
        *said = Some((now, 0));
        Some(unsaid)
    }
}

impl Trouble {
    fn index(self) -> usize {
        match self {
            Self::Text => 0,
            Self::Missing => 1,
            Self::NotNumber => 2,
            Self::Long => 3,
            Self::Rate => 4,
            Self::Time => 5,
            Self::Gap => 6,
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Self::Text => {
                "a line is no sample and is left out: look at `format`, `columns` and `separator`"
            }
            Self::Missing => {
                "a channel is missing in a line, which is left out: look at `columns` and `channels`"
            }
            Self::NotNumber => {
                "a channel's value is no number, and the sample is left out: look at the sensor"
            }
            Self::Long => "a line is longer than a sample can be and is left out: look at `format`",
            Self::Rate => {
                "samples come at another rate than `rate_hz` says and are taken as they come: \
                 look at the sensor, or set `rate_hz`"
            }
            Self::Time => {
                "a sample has no time of its own and is left out: look at `time` and `time_unit`"
            }
            Self::Gap => "samples are missing: the window is begun anew",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_said_once_and_again_after_ten_minutes_with_how_often_it_was_seen() {
        let (counts, began) = (Counts::default(), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);
        assert_eq!(counts.is_news(Trouble::Text, at(0)), Some(0));
        assert_eq!(counts.is_news(Trouble::Long, at(0)), Some(0));
        for second in 0..500 {
            assert_eq!(counts.is_news(Trouble::Text, at(second)), None);
        }
        assert_eq!(counts.is_news(Trouble::Text, at(600)), Some(500));
        assert_eq!(counts.figures(), SampleFigures::default());
    }
}
