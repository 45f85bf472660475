//! How a pipeline is doing: counters that any thread may bump, and the latencies of the last interval.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use wire::Timings;

use super::meter::Meter;
use super::source::samples::{Counts as SampleCounts, SampleFigures};

/// Longest latency that is told apart from longer ones.
const LATENCY_MAX_US: u64 = 60_000_000;

/// Why a frame was not worth a run of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skipped {
    /// It is the one that was inferred last, byte by byte.
    Duplicate,
    /// Nothing moved.
    Still,
    /// It would have been more than the wanted rate, or not the Nth.
    Thinned,
}

/// Counts of one pipeline since the start.
#[derive(Debug)]
pub struct Health {
    captured: AtomicU64,
    inferred: AtomicU64,
    replaced: AtomicU64,
    skipped: [AtomicU64; 3],
    failed: AtomicU64,
    shared: AtomicU64,
    reopened: AtomicU64,
    ended: AtomicBool,
    began: Instant,
    /// When the last frame was inferred, in milliseconds since `began`, and one more; 0 before the first.
    inferred_at: AtomicU64,
    /// The same of the last frame that showed nothing new, while no other waited to be inferred.
    looked_at: AtomicU64,
    /// The last frame that was found worth a run: its number and one more; 0 once it was inferred.
    owed: AtomicU64,
    /// Whether a frame failed and none was taken in its place yet.
    retries: AtomicBool,
    steps: Steps,
    interval: Mutex<Interval>,
    samples: Option<Arc<SampleCounts>>,
}

/// How long each step of a pipeline's frames took, since the start.
#[derive(Debug, Default)]
pub struct Steps {
    /// From the capture to the first step: how long a frame waited.
    pub wait: Meter,
    /// From the camera's format to the tensor.
    pub preprocess: Meter,
    /// The model's run.
    pub inference: Meter,
    /// From the outputs to what was found.
    pub postprocess: Meter,
    /// From the capture to the sinks.
    pub latency: Meter,
}

#[derive(Debug)]
struct Interval {
    log: Since,
    telemetry: Since,
}

/// What came since a reader's last summary.
#[derive(Debug)]
struct Since {
    began: Instant,
    captured_before: u64,
    inferred_before: u64,
    latency_us: Option<Histogram<u64>>,
}

impl Since {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            captured_before: 0,
            inferred_before: 0,
            latency_us: histogram(),
        }
    }
}

/// What one engine makes of a pipeline's frames, for who watches it: a release in probation, or on trial. A pipeline
/// with a lighter model has one for each.
#[derive(Debug, Default)]
pub struct Watch(Mutex<Option<Watching>>);

#[derive(Debug)]
struct Watching {
    inferred: u64,
    failed: u64,
    work_us: Histogram<u64>,
}

impl Watch {
    /// Begins to watch, anew where somebody watches already.
    pub fn begin(&self) {
        *self.lock() = histogram().map(|work_us| Watching { inferred: 0, failed: 0, work_us });
    }

    /// A frame was inferred and told, after `work` of our own.
    pub fn inferred(&self, work: Duration) {
        if let Some(watching) = &mut *self.lock() {
            watching.inferred += 1;
            watching.work_us.saturating_record(micros(work));
        }
    }

    /// A frame could not be understood or inferred.
    pub fn failed(&self) {
        if let Some(watching) = &mut *self.lock() {
            watching.failed += 1;
        }
    }

    /// What was seen since [`Watch::begin`]; nothing where nobody watches.
    #[must_use]
    #[expect(clippy::as_conversions, reason = "microseconds far below 2^53")]
    #[expect(clippy::cast_precision_loss, reason = "microseconds far below 2^53")]
    pub fn seen(&self) -> Watched {
        let watching = self.lock();
        let Some(watching) = &*watching else { return Watched::default() };
        let quantile = |q: f64| {
            let frames = Some(&watching.work_us).filter(|histogram| !histogram.is_empty())?;
            Some(frames.value_at_quantile(q) as f64 / 1000.0)
        };
        Watched {
            inferred: watching.inferred,
            failed: watching.failed,
            p50_ms: quantile(0.50),
            p95_ms: quantile(0.95),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Watching>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was seen of a pipeline since somebody began to watch.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Watched {
    /// Frames whose observation went to the sinks.
    pub inferred: u64,
    /// Frames that could not be understood or inferred.
    pub failed: u64,
    /// Median of what preprocess, run and postprocess took together; `None` without a frame.
    pub p50_ms: Option<f64>,
    /// 95th percentile of it.
    pub p95_ms: Option<f64>,
}

/// A pipeline's counts since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Frames that the source gave.
    pub captured: u64,
    /// Frames whose observation went to the sinks.
    pub inferred: u64,
    /// Frames that a newer one replaced.
    pub replaced: u64,
    /// Frames that were not worth a run, whatever the reason.
    pub skipped: u64,
    /// Frames that could not be understood or inferred.
    pub failed: u64,
    /// Frames whose run was one with frames of other pipelines.
    pub shared: u64,
    /// How often the source or the engine was opened again.
    pub reopened: u64,
}

/// A pipeline's counts, and its rate and latencies since the last summary.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// Frames that the source gave since the start.
    pub captured: u64,
    /// Frames whose observation went to the sinks since the start.
    pub inferred: u64,
    /// Frames that a newer one replaced since the start.
    pub replaced: u64,
    /// Frames that were not worth a run since the start: by [`Skipped`], in its order.
    pub skipped: [u64; 3],
    /// Frames that could not be understood or inferred since the start.
    pub failed: u64,
    /// How often the source or the engine was opened again since the start.
    pub reopened: u64,
    /// Frames a second that the source gave since the last summary.
    pub captured_hz: f64,
    /// Inferred frames a second since the last summary.
    pub rate_hz: f64,
    /// Median latency since the last summary, `None` without a frame.
    pub p50_ms: Option<f64>,
    /// 95th percentile of it.
    pub p95_ms: Option<f64>,
    /// 99th percentile of it.
    pub p99_ms: Option<f64>,
    /// What is known of its samples, where its source is a sensor.
    pub samples: Option<SampleFigures>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            captured: AtomicU64::new(0),
            inferred: AtomicU64::new(0),
            replaced: AtomicU64::new(0),
            skipped: [const { AtomicU64::new(0) }; 3],
            failed: AtomicU64::new(0),
            shared: AtomicU64::new(0),
            reopened: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            began: Instant::now(),
            inferred_at: AtomicU64::new(0),
            looked_at: AtomicU64::new(0),
            owed: AtomicU64::new(0),
            retries: AtomicBool::new(false),
            steps: Steps::default(),
            interval: Mutex::new(Interval { log: Since::new(), telemetry: Since::new() }),
            samples: None,
        }
    }
}

impl Health {
    /// That of a pipeline whose source counts `samples`, where it is a sensor.
    #[must_use]
    pub fn of(samples: Option<Arc<SampleCounts>>) -> Self {
        Self { samples, ..Self::default() }
    }

    /// What is known of its samples, where its source is a sensor.
    #[must_use]
    pub fn samples(&self) -> Option<SampleFigures> {
        self.samples.as_ref().map(|samples| samples.figures())
    }

    /// The source gave a frame.
    pub fn captured(&self) {
        self.captured.fetch_add(1, Ordering::Relaxed);
    }

    /// Frame `seq` is worth a run.
    pub fn admitted(&self, seq: u64) {
        self.owed.store(seq.saturating_add(1), Ordering::Relaxed);
    }

    /// A frame was not worth a run.
    pub fn skipped(&self, why: Skipped) {
        let [duplicate, still, thinned] = &self.skipped;
        let counter = match why {
            Skipped::Duplicate => duplicate,
            Skipped::Still => still,
            Skipped::Thinned => thinned,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        // What is thinned says nothing of those that are not; and a model that hangs on the only frame that is on its
        // way is not well because nothing moves.
        if why != Skipped::Thinned && self.owed.load(Ordering::Relaxed) == 0 {
            self.looked_at.store(self.stamp(), Ordering::Relaxed);
        }
    }

    /// Now, as it is kept: milliseconds since `began`, and one more.
    fn stamp(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    /// The observation of frame `seq` went to the sinks, `latency` after it was captured; `replaced` frames were lost to
    /// newer ones by then.
    pub fn inferred(&self, seq: u64, latency: Duration, replaced: u64) {
        self.inferred.fetch_add(1, Ordering::Relaxed);
        // Of two engines the one that told of an older frame may come last.
        self.replaced.fetch_max(replaced, Ordering::Relaxed);
        self.inferred_at.store(self.stamp(), Ordering::Relaxed);
        // Another one that was found worth a run meanwhile is still owed.
        let own = seq.saturating_add(1);
        if self.owed.compare_exchange(own, 0, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            // A newer one is on its way, or nobody looked at this one.
        }
        let mut interval = self.interval.lock().unwrap_or_else(PoisonError::into_inner);
        let Interval { log, telemetry } = &mut *interval;
        for histogram in [&mut log.latency_us, &mut telemetry.latency_us].into_iter().flatten() {
            histogram.saturating_record(micros(latency));
        }
    }

    /// The steps of an inferred frame took as long as `timings` says.
    pub fn took(&self, timings: &Timings) {
        let time = |ms: f32| Duration::from_secs_f32(ms.max(0.0) / 1000.0);
        self.steps.wait.took(time(timings.age_ms));
        self.steps.preprocess.took(time(timings.preprocess_ms));
        self.steps.inference.took(time(timings.inference_ms));
        self.steps.postprocess.took(time(timings.postprocess_ms));
        self.steps.latency.took(time(timings.latency_ms));
    }

    /// How long each step took, since the start.
    #[must_use]
    pub fn steps(&self) -> &Steps {
        &self.steps
    }

    /// How long ago the last frame was inferred; `None` before the first.
    #[must_use]
    pub fn inferred_ago(&self) -> Option<Duration> {
        self.ago(&self.inferred_at)
    }

    /// How long ago a frame was last seen that showed nothing new, while none that did waited to be inferred.
    #[must_use]
    pub fn looked_ago(&self) -> Option<Duration> {
        self.ago(&self.looked_at)
    }

    fn ago(&self, stamp: &AtomicU64) -> Option<Duration> {
        let at = stamp.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.began.elapsed().saturating_sub(Duration::from_millis(at)))
    }

    /// How long this pipeline has been there.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// A frame could not be understood or inferred.
    pub fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.retries.store(true, Ordering::Relaxed);
    }

    /// Whether a frame failed since this was last asked: the next one is worth a run whatever it shows, since what
    /// the failed one showed was not seen.
    pub fn retries(&self) -> bool {
        self.retries.load(Ordering::Relaxed) && self.retries.swap(false, Ordering::Relaxed)
    }

    /// A frame's run is one with frames of other pipelines.
    pub fn shared(&self) {
        self.shared.fetch_add(1, Ordering::Relaxed);
    }

    /// The source or the engine was opened again.
    pub fn reopened(&self) {
        self.reopened.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts; no interval ends with them.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            captured: read(&self.captured),
            inferred: read(&self.inferred),
            replaced: read(&self.replaced),
            skipped: self.skipped.iter().map(read).sum(),
            failed: read(&self.failed),
            shared: read(&self.shared),
            reopened: read(&self.reopened),
        }
    }

    /// The source came to its end, as a file does.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Whether it did.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// The counts, and a new interval of the log's.
    pub fn summary(&self) -> Summary {
        self.since(|interval| &mut interval.log)
    }

    /// The counts, and a new interval of the telemetry's, which the log's do not cut short.
    pub fn telemetry(&self) -> Summary {
        self.since(|interval| &mut interval.telemetry)
    }

    #[expect(clippy::as_conversions, reason = "counts and microseconds far below 2^53")]
    #[expect(clippy::cast_precision_loss, reason = "counts and microseconds far below 2^53")]
    fn since(&self, whose: impl Fn(&mut Interval) -> &mut Since) -> Summary {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (captured, inferred) = (read(&self.captured), read(&self.inferred));
        let mut interval = self.interval.lock().unwrap_or_else(PoisonError::into_inner);
        let since = whose(&mut interval);
        let seconds = since.began.elapsed().as_secs_f64().max(1e-9);
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        let quantile = |q: f64| {
            let histogram = since.latency_us.as_ref().filter(|histogram| !histogram.is_empty())?;
            Some(histogram.value_at_quantile(q) as f64 / 1000.0)
        };
        let summary = Summary {
            captured,
            inferred,
            replaced: read(&self.replaced),
            skipped: self.skipped.each_ref().map(read),
            failed: read(&self.failed),
            reopened: read(&self.reopened),
            captured_hz: rate(captured, since.captured_before),
            rate_hz: rate(inferred, since.inferred_before),
            p50_ms: quantile(0.50),
            p95_ms: quantile(0.95),
            p99_ms: quantile(0.99),
            samples: self.samples(),
        };
        (since.captured_before, since.inferred_before) = (captured, inferred);
        since.began = Instant::now();
        if let Some(histogram) = &mut since.latency_us {
            histogram.reset();
        }
        summary
    }
}

fn histogram() -> Option<Histogram<u64>> {
    Histogram::new_with_bounds(1, LATENCY_MAX_US, 2).ok()
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(LATENCY_MAX_US).clamp(1, LATENCY_MAX_US)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_counts_from_the_start_and_measures_since_the_last() {
        let health = Health::default();
        for ms in [10, 20, 30] {
            health.captured();
            health.inferred(0, Duration::from_millis(ms), 4);
        }
        health.failed();
        let first = health.summary();
        assert_eq!((first.captured, first.inferred, first.replaced, first.failed), (3, 3, 4, 1));
        // Two significant digits.
        assert!((first.p50_ms.unwrap() - 20.0).abs() < 0.3, "{first:?}");
        let second = health.summary();
        assert_eq!((second.inferred, second.p50_ms), (3, None));
        // Who reads for the telemetry has an interval of its own.
        assert!(health.telemetry().p50_ms.is_some());
        assert_eq!(health.telemetry().p50_ms, None);
    }

    #[test]
    fn a_frame_that_shows_nothing_new_counts_unless_one_that_does_still_waits() {
        let health = Health::default();
        assert_eq!(health.looked_ago(), None);
        health.skipped(Skipped::Thinned);
        health.admitted(7);
        health.admitted(8);
        // The one before was on its way already; this one is not done with it.
        health.inferred(7, Duration::ZERO, 0);
        health.skipped(Skipped::Still);
        assert_eq!(health.looked_ago(), None);
        health.inferred(8, Duration::ZERO, 0);
        health.skipped(Skipped::Still);
        assert!(health.looked_ago().is_some());
    }

    #[test]
    fn what_is_watched_began_with_the_watch() {
        let watch = Watch::default();
        let frame = |work| watch.inferred(Duration::from_millis(work));
        frame(90);
        watch.failed();
        assert_eq!(watch.seen(), Watched::default());
        watch.begin();
        [10, 20, 30].into_iter().for_each(frame);
        watch.failed();
        let seen = watch.seen();
        assert_eq!((seen.inferred, seen.failed), (3, 1));
        assert!((seen.p50_ms.unwrap() - 20.0).abs() < 0.3, "{seen:?}");
        assert!((seen.p95_ms.unwrap() - 30.0).abs() < 0.4, "{seen:?}");
        watch.begin();
        assert_eq!(watch.seen(), Watched::default());
    }
}
