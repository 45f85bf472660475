//! The last sample of the board, for whoever asks while the next one is not taken yet, and a few figures of those of
//! the last quarter of an hour, for charts.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;
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

/// What a chart shows of one sample; `null` where the board does not tell it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Point {
    /// When it was taken, in milliseconds since 1970.
    pub at_ms: i64,
    /// Load of the GPU.
    pub gpu_percent: Option<f64>,
    /// Load of the processor.
    pub cpu_percent: Option<f64>,
    /// Hottest zone, or the GPU where no zone is known.
    pub hottest_c: Option<f64>,
    /// The whole board, or the GPU where no rail is known.
    pub power_mw: Option<u64>,
    /// Memory in use.
    pub memory_used_percent: Option<f64>,
    /// Fastest of the fans.
    pub fan_percent: Option<f64>,
    /// Whether something throttled the clocks.
    pub throttled: bool,
}

/// How far a chart goes back.
const HISTORY_MS: i64 = 15 * 60 * 1000;
/// Points are at least so far apart: more are not seen on a screen.
const POINT_MS: i64 = 5000;

#[derive(Debug, Default)]
struct Kept {
    last: Option<Arc<Sample>>,
    /// At most [`HISTORY_MS`] / [`POINT_MS`].
    points: VecDeque<Point>,
}

impl Kept {
    fn add(&mut self, point: Point) {
        // Whose clock was set back begins anew.
        if self.points.back().is_some_and(|last| last.at_ms > point.at_ms) {
            self.points.clear();
        }
        if self.points.back().is_some_and(|last| point.at_ms - last.at_ms < POINT_MS) {
            return;
        }
        while self.points.front().is_some_and(|first| point.at_ms - first.at_ms > HISTORY_MS) {
            self.points.pop_front();
        }
        self.points.push_back(point);
    }
}

fn point(at: Timestamp, readings: &Readings) -> Point {
    let nvml = readings.nvml.first();
    let memory = &readings.memory;
    let used = memory.total_bytes.zip(memory.available_bytes).filter(|(total, _)| *total > 0);
    let fans = readings.fans.values().filter_map(|fan| fan.duty_percent);
    Point {
        at_ms: at.as_millisecond(),
        gpu_percent: readings.gpu.load_percent,
        cpu_percent: readings.host.cpu_percent,
        hottest_c: readings.thermal.hottest_c.or_else(|| nvml?.temperature_c),
        power_mw: readings.power.total_mw.or_else(|| nvml?.power_mw),
        memory_used_percent: used.map(|(total, free)| 100.0 * (1.0 - ratio(free, total))),
        fan_percent: fans.reduce(f64::max).or_else(|| nvml?.fan_percent),
        throttled: readings.throttle.active == Some(true),
    }
}

#[expect(clippy::as_conversions, reason = "bytes of memory, far below 2^53")]
#[expect(clippy::cast_precision_loss, reason = "bytes of memory, far below 2^53")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

/// Holds the last sample.
#[derive(Debug, Clone, Default)]
pub struct Seen(Arc<Mutex<Kept>>);

impl Seen {
    /// The last sample; `None` before the first, and where the board is not watched.
    #[must_use]
    pub fn last(&self) -> Option<Arc<Sample>> {
        self.kept().last.clone()
    }

    /// The last quarter of an hour, oldest first.
    #[must_use]
    pub fn history(&self) -> Vec<Point> {
        self.kept().points.iter().copied().collect()
    }

    pub(super) fn set<'a>(&self, readings: &Readings, alarms: impl Iterator<Item = &'a Standing>) {
        let at = Timestamp::now();
        let sample = Sample { at, readings: readings.clone(), alarms: alarms.cloned().collect() };
        let mut kept = self.kept();
        kept.add(point(at, readings));
        kept.last = Some(Arc::new(sample));
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_goes_back_a_quarter_of_an_hour_and_no_clock_makes_it_longer() {
        let mut kept = Kept::default();
        let add = |kept: &mut Kept, at_ms| {
            kept.add(Point { at_ms, ..point(Timestamp::UNIX_EPOCH, &Readings::default()) });
            kept.points.len()
        };
        for second in 0..3600 {
            assert!(add(&mut kept, second * 1000) <= 181, "{second}");
        }
        assert_eq!(kept.points.back().unwrap().at_ms - kept.points[0].at_ms, HISTORY_MS);
        assert_eq!(add(&mut kept, 5), 1);
        assert_eq!(add(&mut kept, 6), 1);
        assert_eq!(add(&mut kept, i64::MAX / 2), 1);
    }
}
