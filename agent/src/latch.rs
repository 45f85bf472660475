//! When an alarm is raised, or an event begins, and when it ends: bad long enough, then good long enough.
//!
//! What lies between good and bad (the hysteresis) and what is not known change nothing, and whatever was being
//! waited for begins anew: only an unbroken run of bad raises, only an unbroken run of good ends.

use std::time::Duration;

/// What a reading says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is as it should not be.
    Bad,
    /// It is as it should be.
    Good,
    /// Neither, or nobody knows.
    Open,
}

/// The state of one alarm, or of one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latch {
    hold: Duration,
    clear: Duration,
    raised: bool,
    /// Since when the verdict has been the one that would change the state.
    since: Option<Duration>,
}

impl Latch {
    /// Not raised. It is once it was bad for `hold`, and ends once it was good for `clear`.
    #[must_use]
    pub fn new(hold: Duration, clear: Duration) -> Self {
        Self { hold, clear, raised: false, since: None }
    }

    /// Whether it is raised.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.raised
    }

    /// Hears `verdict` at `now` by the monotonic clock. True where that raised the alarm or ended it.
    pub fn hear(&mut self, verdict: Verdict, now: Duration) -> bool {
        let (wanted, wait) =
            if self.raised { (Verdict::Good, self.clear) } else { (Verdict::Bad, self.hold) };
        if verdict != wanted {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        let changes = now.saturating_sub(since) >= wait;
        if changes {
            self.raised = !self.raised;
            self.since = None;
        }
        changes
    }
}

/// `value` against a limit that it should stay below, good again below `clear`.
#[must_use]
pub fn above(value: Option<f64>, limit: f64, clear: f64) -> Verdict {
    match value {
        Some(value) if value > limit => Verdict::Bad,
        Some(value) if value <= clear => Verdict::Good,
        _ => Verdict::Open,
    }
}

/// `value` against a limit that it should stay above, good again above `clear`.
#[must_use]
pub fn below(value: Option<f64>, limit: f64, clear: f64) -> Verdict {
    above(value.map(|value| -value), -limit, -clear)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_unbroken_run_changes_the_state() {
        use Verdict::{Bad, Good, Open};
        // One verdict a second; bad for 2 s raises, good for 3 s ends.
        for (verdicts, raised) in [
            (&[Bad][..], &[false][..]),
            (&[Bad, Bad, Bad], &[false, false, true]),
            (&[Bad, Bad, Good, Bad, Bad], &[false; 5]),
            (&[Bad, Bad, Open, Bad, Bad], &[false; 5]),
            (
                &[Bad, Bad, Bad, Good, Good, Good, Good],
                &[false, false, true, true, true, true, false],
            ),
            (
                &[Bad, Bad, Bad, Good, Good, Open, Good, Good, Good, Bad],
                &[false, false, true, true, true, true, true, true, true, true],
            ),
        ] {
            let mut latch = Latch::new(Duration::from_secs(2), Duration::from_secs(3));
            let mut now = Duration::from_secs(100);
            let states: Vec<bool> = verdicts
                .iter()
                .map(|verdict| {
                    now += Duration::from_secs(1);
                    let before = latch.is_raised();
                    let changed = latch.hear(*verdict, now);
                    assert_eq!(changed, before != latch.is_raised());
                    latch.is_raised()
                })
                .collect();
            assert_eq!(states, raised, "{verdicts:?}");
        }
    }

    #[test]
    fn a_limit_has_a_hysteresis_and_nothing_is_no_verdict() {
        for (value, verdict) in [
            (Some(21.0), Verdict::Bad),
            (Some(20.0), Verdict::Open),
            (Some(10.1), Verdict::Open),
            (Some(10.0), Verdict::Good),
            (None, Verdict::Open),
        ] {
            assert_eq!(above(value, 20.0, 10.0), verdict, "{value:?}");
        }
        for (value, verdict) in
            [(Some(4.9), Verdict::Bad), (Some(6.0), Verdict::Open), (Some(7.0), Verdict::Good)]
        {
            assert_eq!(below(value, 5.0, 7.0), verdict, "{value:?}");
        }
    }
}
