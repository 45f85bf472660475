//! How many samples a second come, measured. Pure.

/// Shortest time over which it is measured.
const LEAST_S: f64 = 0.5;
/// Fewest samples of it.
const LEAST_SAMPLES: u32 = 4;
/// Two measurements in a row that differ by less are one rate: samples come in packets.
const SAME: f64 = 0.2;
/// How much of a further measurement of one rate counts.
const NEW: f64 = 0.2;
/// And one that differs by more from what is configured is another: clocks are better than that, and a sensor that
/// lost every fifth sample has a fault that is to be seen.
const OTHER: f64 = 0.25;

/// Measures a rate.
#[derive(Debug, Default)]
pub(super) struct Rate {
    began: Option<f64>,
    count: u32,
    before: Option<f64>,
    smooth_hz: Option<f64>,
}

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Measured {
    /// Samples a second.
    pub(super) rate_hz: f64,
    /// The same, smoothed over some measurements.
    pub(super) smooth_hz: f64,
    /// Whether the measurement before says the same.
    pub(super) settled: bool,
}

impl Rate {
    /// A sample came at `now`, in seconds. The rate, where an interval is over.
    pub(super) fn came(&mut self, now: f64) -> Option<Measured> {
        let began = *self.began.get_or_insert(now);
        let passed = now - began;
        if passed < LEAST_S || self.count < LEAST_SAMPLES {
            // Time that goes back is no time.
            if passed < 0.0 {
                (self.began, self.count) = (Some(now), 0);
            }
            self.count += 1;
            return None;
        }
        let rate_hz = f64::from(self.count) / passed;
        let settled = self.before.is_some_and(|before| differ(before, rate_hz) < SAME);
        let known = self.smooth_hz.filter(|known| !is_other(rate_hz, *known));
        let smooth_hz = known.map_or(rate_hz, |known| known + NEW * (rate_hz - known));
        (self.began, self.count) = (Some(now), 1);
        (self.before, self.smooth_hz) = (Some(rate_hz), Some(smooth_hz));
        Some(Measured { rate_hz, smooth_hz, settled })
    }

    /// A sample came that cannot be used: it took its time all the same.
    pub(super) fn skip(&mut self) {
        self.count += u32::from(self.began.is_some());
    }

    /// Begins anew.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

fn differ(one: f64, other: f64) -> f64 {
    (one / other).max(other / one) - 1.0
}

/// Whether `measured` is another rate than `expected`.
pub(super) fn is_other(measured: f64, expected: f64) -> bool {
    differ(measured, expected) > OTHER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_measured_twice_a_second_and_settled_once_two_agree() {
        let mut rate = Rate::default();
        let mut seen = Vec::new();
        for n in 0..3500_u32 {
            // 1,000 Hz in packets of 100, ten times as fast from the second second on.
            let at = if n < 2000 { f64::from(n / 100) / 10.0 } else { 2.0 };
            let at = at + if n < 2000 { 0.0 } else { f64::from((n - 2000) / 100) / 100.0 };
            seen.extend(rate.came(at));
        }
        assert_eq!(seen.len(), 4, "{seen:?}");
        assert!((seen[0].rate_hz - 1000.0).abs() < 1.0 && !seen[0].settled, "{seen:?}");
        assert!(seen[1].settled);
    }

    #[test]
    fn a_slow_sensor_is_measured_over_some_samples() {
        let mut rate = Rate::default();
        let seen: Vec<_> = (0..9).filter_map(|n| rate.came(f64::from(n) * 10.0)).collect();
        assert_eq!(seen[0], Measured { rate_hz: 0.1, smooth_hz: 0.1, settled: false });
        assert!(seen[1].settled);
        assert!(!is_other(0.1, 0.11) && is_other(1000.0, 100.0) && is_other(70.0, 100.0));
    }
}
