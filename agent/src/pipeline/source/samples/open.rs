//! An open sensor: takes sample after sample until a window is whole.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::counts::{Counts, Trouble};
use super::cutter::Cutter;
use super::rate::{Rate, is_other};
use super::resample::Resampler;
use super::rows::{Row, Rows};
use super::settings::Wanted;
use super::timeline::{Clock, Placed, Timeline, Why};
use super::{Failed, Fed, Feed, Pace};
use crate::pipeline::frame::Frame;
use crate::pipeline::source::live::LOOK_EVERY;
use crate::pipeline::source::{Next, Source, SourceError};
use crate::stop::Stop;

/// A sensor's clock that says less than this many seconds since 1970 does not tell the date.
const DATE_MIN_S: f64 = 1e8;

/// See the module.
pub(super) struct Open {
    what: String,
    wanted: Arc<Wanted>,
    counts: Arc<Counts>,
    feed: Box<dyn Feed>,
    pace: Pace,
    rows: Rows,
    timeline: Timeline,
    rate: Rate,
    resampler: Resampler,
    cutter: Cutter,
    /// The sample that was taken last, and the one on the model's beat.
    sample: Vec<f64>,
    beat: Vec<f64>,
    /// When this was opened, and when something came last.
    opened: Instant,
    came: Instant,
    heard: bool,
    /// Since when nothing came although somebody waited for it.
    silent: Option<Instant>,
    /// Samples a second that are reckoned with, where that is known.
    source_hz: Option<f64>,
    /// What is to be done once all samples were taken.
    after: Option<Fed>,
    /// Windows since the beginning, of what is given again and again.
    windows: u64,
    /// Time of the last sample by the sensor's clock.
    last: f64,
    /// Of what was kept: when which time was.
    began: Option<(Instant, f64)>,
    seq: u64,
}

/// Why a sensor that is open has failed.
#[derive(Debug, thiserror::Error)]
enum Silent {
    /// Nothing came at all.
    #[error("nothing came for {} s: is the sensor on, and does it send?", .0.as_secs_f32())]
    Never(Duration),
    /// It no longer comes.
    #[error("nothing came for {} s", .0.as_secs_f32())]
    Now(Duration),
    /// All of it was read.
    #[error(
        "it has not one whole window of {0} samples: is it the right file, and is nothing said of its lines?"
    )]
    Short(usize),
}

impl Open {
    pub(super) fn new(
        what: String,
        wanted: &Arc<Wanted>,
        counts: &Arc<Counts>,
        feed: Box<dyn Feed>,
        pace: Pace,
        source_hz: Option<f64>,
    ) -> Self {
        let channels = wanted.channels.len();
        let clock = wanted.clock();
        let source_hz = match clock {
            Clock::Counted(rate_hz) => Some(rate_hz),
            Clock::Stamped => source_hz,
        };
        let now = Instant::now();
        Self {
            what,
            counts: counts.clone(),
            feed,
            pace,
            rows: Rows::new(channels),
            timeline: Timeline::new(clock, wanted.gap_s),
            rate: Rate::default(),
            resampler: Resampler::new(wanted.cut.rate_hz, channels, source_hz),
            cutter: Cutter::new(&wanted.cut),
            sample: vec![0.0; channels],
            beat: vec![0.0; channels],
            opened: now,
            came: now,
            heard: false,
            silent: None,
            source_hz,
            after: None,
            windows: 0,
            last: f64::NAN,
            began: None,
            wanted: wanted.clone(),
            seq: 0,
        }
    }

    /// Makes a window of what has come, as far as there is one. True where it is in `frame`.
    fn window(&mut self, frame: &mut Frame) -> Result<bool, SourceError> {
        loop {
            while self.resampler.pull(&mut self.beat) {
                if self.cutter.push(&self.beat) {
                    let picture = |source| SourceError::Picture { what: self.what.clone(), source };
                    self.cutter.take(frame).map_err(picture)?;
                    return Ok(true);
                }
            }
            let Some(row) = self.rows.pop(&mut self.sample) else { return Ok(false) };
            self.take(row);
        }
    }

    /// Takes the next sample.
    fn take(&mut self, row: Row) {
        if row.lost {
            self.timeline.skip();
            self.rate.skip();
            return;
        }
        // When something kept is read says nothing.
        let arrived = match self.pace {
            Pace::Live => self.came.saturating_duration_since(self.opened).as_secs_f64(),
            Pace::Kept { .. } | Pace::Free => row.stamp.unwrap_or(0.0),
        };
        let (at, why) = match self.timeline.place(row.stamp, arrived) {
            Placed::At(at) => (at, None),
            Placed::Anew(at, why) => (at, Some(why)),
            Placed::Nowhere => {
                let detail = || format!("{:?}", row.stamp);
                self.counts.unusable(&self.what, Trouble::Time, detail);
                return;
            }
        };
        self.counts.received();
        if let Some(why) = why {
            self.begin(why, at);
        }
        self.measure(at, arrived);
        self.last = at;
        self.resampler.push(at, &self.sample);
    }

    /// Begins the window anew at `at`.
    fn begin(&mut self, why: Why, at: f64) {
        let detail = || format!("from {:.3} s to {at:.3} s", self.last);
        match why {
            Why::Begin => {}
            Why::Gap => {
                self.rate.reset();
                self.counts.gap();
                self.counts.say(&self.what, Trouble::Gap, detail);
            }
            Why::Jump => {
                self.counts.jump();
                self.counts.say(&self.what, Trouble::Gap, || format!("clock set, {}", detail()));
                self.rate.reset();
            }
        }
        self.resampler.begin(None);
        self.cutter.begin();
        self.began = None;
    }

    /// Measures how often samples come, and takes them as they come where that is not as often as configured.
    fn measure(&mut self, at: f64, arrived: f64) {
        let clock = self.timeline.clock();
        let measured = match (clock, self.pace) {
            (Clock::Stamped, _) => self.rate.came(at),
            (Clock::Counted(_), Pace::Live) => self.rate.came(arrived),
            // When they are read says nothing.
            (Clock::Counted(rate_hz), _) => {
                self.counts.measured(rate_hz);
                None
            }
        };
        let Some(measured) = measured else { return };
        let rate_hz = measured.rate_hz;
        self.counts.measured(measured.smooth_hz);
        if !measured.settled {
            return;
        }
        let Some(expected) = self.source_hz.replace(rate_hz) else { return };
        if !is_other(rate_hz, expected) {
            self.source_hz = Some(expected);
            return;
        }
        let detail = || format!("{rate_hz:.1} Hz instead of {expected:.1} Hz");
        self.counts.say(&self.what, Trouble::Rate, detail);
        if let Clock::Counted(_) = clock {
            self.timeline.set_rate(rate_hz);
        }
        self.resampler.begin(Some(rate_hz));
        self.cutter.begin();
    }

    /// Waits until the window that is whole would have been, of what was kept. False where `stop` was said.
    fn wait(&mut self, stop: &Stop) -> bool {
        if !matches!(self.pace, Pace::Kept { .. }) {
            return !stop.said();
        }
        let now = Instant::now();
        let window = Duration::try_from_secs_f64(
            crate::pipeline::window::count(self.wanted.cut.length) / self.wanted.cut.rate_hz,
        );
        // A first window takes the time that it lasts.
        let first = (now + window.unwrap_or_default(), self.last);
        let (began, from) = *self.began.get_or_insert(first);
        let passed = Duration::try_from_secs_f64(self.last - from).unwrap_or_default();
        !stop.wait((began + passed).saturating_duration_since(now))
    }

    /// When the last sample was taken, by the wall clock.
    fn stamp(&self) -> Timestamp {
        let kept = self.pace == Pace::Kept { stamps: true } && self.last >= DATE_MIN_S;
        let then = kept
            .then(|| SignedDuration::try_from_secs_f64(self.last).ok())
            .flatten()
            .and_then(|since| Timestamp::UNIX_EPOCH.checked_add(since).ok());
        then.unwrap_or_else(Timestamp::now)
    }

    fn failed(&self, source: Failed) -> SourceError {
        SourceError::Read { what: self.what.clone(), source }
    }

    /// How long it may still be silent; an error where it was for too long.
    fn patience(&mut self) -> Result<Duration, Silent> {
        let limit = if self.heard { self.wanted.silence } else { self.wanted.start };
        let since = *self.silent.get_or_insert_with(Instant::now);
        match limit.checked_sub(since.elapsed()) {
            Some(left) if !left.is_zero() => Ok(left.min(LOOK_EVERY)),
            _ if self.heard => Err(Silent::Now(limit)),
            _ => Err(Silent::Never(limit)),
        }
    }
}

impl Source for Open {
    fn next(&mut self, frame: &mut Frame, stop: &Stop) -> Result<Next, SourceError> {
        loop {
            if self.window(frame)? {
                if !self.wait(stop) {
                    return Ok(Next::Stopped);
                }
                let live = self.pace == Pace::Live;
                frame.captured = if live { self.came } else { Instant::now() };
                (frame.ts, frame.seq, frame.truth) = (self.stamp(), self.seq, None);
                (self.seq, self.windows) = (self.seq + 1, self.windows + 1);
                return Ok(Next::Frame);
            }
            match self.after.take() {
                Some(Fed::End) => return Ok(Next::End),
                Some(Fed::Again) if self.windows == 0 => {
                    let short = Silent::Short(self.wanted.cut.length);
                    return Err(self.failed(short.into()));
                }
                Some(Fed::Again) => {
                    self.timeline.begin();
                    self.windows = 0;
                }
                _ => {}
            }
            if stop.said() {
                return Ok(Next::Stopped);
            }
            let limit = match self.patience() {
                Ok(limit) => limit,
                Err(silent) => return Err(self.failed(silent.into())),
            };
            let fed = self.feed.fill(&mut self.rows, limit, stop);
            match fed.map_err(|error| self.failed(error))? {
                Fed::Nothing => {}
                Fed::Some => {
                    (self.came, self.heard, self.silent) = (Instant::now(), true, None);
                }
                fed => (self.after, self.silent) = (Some(fed), None),
            }
        }
    }
}
