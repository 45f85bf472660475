//! Counts what is heard of one pipeline.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::Result;
use wire::Observation;

use super::{Score, real, share};
use crate::{Message, heard};

/// The rate is that of so long before the last message.
const RATE_OVER: Duration = Duration::from_secs(5);
/// Latencies kept for the percentiles: those of ten minutes at 30 a second, then the oldest go.
const LATENCIES_MAX: usize = 20_000;

/// Counts what is heard of one pipeline.
#[derive(Debug, Clone)]
pub struct Tally {
    /// The pipeline's name.
    pub name: String,
    /// What its source is, in a few words.
    pub source: String,
    /// Observations heard.
    pub heard: u64,
    /// Observations of which there was a later one and that were not heard before it.
    pub missing: u64,
    /// Observations heard more than once, or late.
    pub again: u64,
    /// Frames that were replaced by a newer one before they were inferred.
    pub dropped: u64,
    /// Detections against what is really there.
    pub score: Score,
    last_seq: u64,
    latencies_ms: VecDeque<f32>,
    recent: VecDeque<Instant>,
    first: Option<Instant>,
}

impl Tally {
    /// Nothing was heard yet of the pipeline `name`.
    #[must_use]
    pub fn new(name: &str, source: &str) -> Self {
        Self {
            name: name.to_owned(),
            source: source.to_owned(),
            heard: 0,
            missing: 0,
            again: 0,
            dropped: 0,
            score: Score::default(),
            last_seq: 0,
            latencies_ms: VecDeque::new(),
            recent: VecDeque::new(),
            first: None,
        }
    }

    /// Counts `message`, which is on the pipeline's topic; things found overlap those there by `iou`.
    ///
    /// # Errors
    /// It is no observation.
    pub fn count(&mut self, message: &Message, iou: f32) -> Result<()> {
        let seen = heard::observation(&message.body)?;
        if seen.envelope.seq <= self.last_seq {
            self.again += 1;
            return Ok(());
        }
        self.missing += seen.envelope.seq - self.last_seq - 1;
        self.last_seq = seen.envelope.seq;
        self.add(&seen, message.at, iou);
        Ok(())
    }

    fn add(&mut self, seen: &Observation<'_>, at: Instant, iou: f32) {
        self.heard += 1;
        self.dropped = seen.frame.dropped;
        if let Some(truth) = &seen.truth {
            self.score.add(&seen.detections, truth, iou);
        }
        if self.latencies_ms.len() == LATENCIES_MAX {
            self.latencies_ms.pop_front();
        }
        self.latencies_ms.push_back(seen.timings.latency_ms);
        self.first.get_or_insert(at);
        self.recent.push_back(at);
        while self.recent.front().is_some_and(|old| at.duration_since(*old) > RATE_OVER) {
            self.recent.pop_front();
        }
    }

    /// Observations a second, lately.
    #[must_use]
    pub fn rate_hz(&self) -> Option<f64> {
        let (first, last) = (self.recent.front()?, self.recent.back()?);
        let seconds = last.duration_since(*first).as_secs_f64();
        let between = u64::try_from(self.recent.len().saturating_sub(1)).ok()?;
        (seconds > 0.0).then(|| real(between) / seconds)
    }

    /// Median, 95th and 99th percentile of the time from capture to message, in milliseconds.
    #[must_use]
    pub fn latencies_ms(&self) -> Option<[f32; 3]> {
        let mut sorted: Vec<f32> = self.latencies_ms.iter().copied().collect();
        sorted.sort_by(f32::total_cmp);
        let rank = |percent: usize| {
            // The least value that so many percent of the values do not exceed.
            let rank = (sorted.len() * percent).div_ceil(100).max(1);
            sorted.get(rank - 1).copied()
        };
        Some([rank(50)?, rank(95)?, rank(99)?])
    }

    /// Share of the frames that were replaced by a newer one.
    #[must_use]
    pub fn dropped_share(&self) -> Option<f64> {
        share(self.dropped, self.dropped + self.heard)
    }

    /// When the first observation was heard.
    #[must_use]
    pub fn since(&self) -> Option<Instant> {
        self.first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(seq: u64, latency_ms: f32, at: Instant) -> Message {
        let envelope = format!(
            r#""schema":"vedette/observation/1","ts":"2026-11-21T00:00:00.000Z","boot_id":"b","uptime_ms":1,"seq":{seq}"#
        );
        let timings = format!(
            r#"{{"age_ms":0.0,"preprocess_ms":0.0,"inference_ms":0.0,"postprocess_ms":0.0,"latency_ms":{latency_ms:?}}}"#
        );
        let body = format!(
            r#"{{{envelope},"pipeline":"p","frame":{{"seq":0,"width_px":4,"height_px":4,"dropped":7}},"model":{{"name":"m","version":"1","sha256":"0"}},"timings":{timings},"classes":[],"detections":[],"zones":[],"lines":[],"anomaly":null,"raw":[],"truth":null}}"#
        );
        Message { topic: "t".to_owned(), body: body.into_bytes(), retained: false, at }
    }

    #[test]
    fn a_gap_is_missing_and_a_repetition_is_not_counted_twice() {
        let now = Instant::now();
        for (seqs, heard, missing, again) in [
            (&[1, 2, 3][..], 3, 0, 0),
            (&[1, 3], 2, 1, 0),
            (&[3], 1, 2, 0),
            (&[1, 2, 2, 3], 3, 0, 1),
            (&[], 0, 0, 0),
        ] {
            let mut tally = Tally::new("p", "s");
            for seq in seqs {
                tally.count(&message(*seq, 1.0, now), 0.5).unwrap();
            }
            assert_eq!((tally.heard, tally.missing, tally.again), (heard, missing, again));
        }
    }

    #[test]
    fn the_rate_is_of_late_and_the_percentiles_are_of_all() {
        let (mut tally, now) = (Tally::new("p", "s"), Instant::now());
        assert_eq!((tally.rate_hz(), tally.latencies_ms()), (None, None));
        for (seq, latency_ms) in (1..=100_u16).map(|seq| (u64::from(seq), f32::from(seq))) {
            let at = now + Duration::from_millis(100) * u32::try_from(seq).unwrap();
            tally.count(&message(seq, latency_ms, at), 0.5).unwrap();
        }
        assert_eq!(tally.latencies_ms(), Some([50.0, 95.0, 99.0]));
        assert!((tally.rate_hz().unwrap() - 10.0).abs() < 1e-9, "{:?}", tally.rate_hz());
        assert!(tally.recent.len() < 60, "{}", tally.recent.len());
    }

    #[test]
    fn what_is_no_observation_is_an_error() {
        let mut odd = message(1, 1.0, Instant::now());
        for (from, to) in [("\"raw\":[],", ""), ("\"pipeline\"", "\"more\":1,\"pipeline\"")] {
            let text = String::from_utf8(message(1, 1.0, odd.at).body).unwrap();
            odd.body = text.replacen(from, to, 1).into_bytes();
            assert!(Tally::new("p", "s").count(&odd, 0.5).is_err(), "{to:?} for {from:?}");
        }
    }
}
