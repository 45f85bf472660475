//! Which broker is tried next, and when.

use std::time::Duration;

use crate::supervisor::Pause;

/// Goes round the brokers: the next one at once, and after each whole round a pause that doubles until a broker
/// has acknowledged something.
#[derive(Debug)]
pub(super) struct Round {
    brokers: usize,
    current: usize,
    failed: usize,
    pause: Pause,
}

impl Round {
    pub(super) fn new(brokers: usize) -> Self {
        Self { brokers, current: 0, failed: 0, pause: Pause::default() }
    }

    /// The broker to be tried.
    pub(super) fn current(&self) -> usize {
        self.current
    }

    /// How long to wait after the current one failed. `progress`: it had acknowledged something, so that it
    /// deserves another try, and the preferred one before it.
    pub(super) fn after(&mut self, progress: bool) -> Duration {
        if progress {
            (self.current, self.failed, self.pause) = (0, 0, Pause::default());
            return jittered(self.pause.after(Duration::ZERO));
        }
        self.failed += 1;
        self.current = (self.current + 1) % self.brokers.max(1);
        if self.failed.is_multiple_of(self.brokers.max(1)) {
            jittered(self.pause.after(Duration::ZERO))
        } else {
            Duration::ZERO
        }
    }
}

/// Half to the whole of `pause`, so that a fleet does not return to its broker in step.
fn jittered(pause: Duration) -> Duration {
    let random =
        std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), 0);
    let per_mille = u32::try_from(random % 501).unwrap_or(500);
    pause / 2 + pause / 1000 * per_mille
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jittered_pause_is_half_to_whole() {
        for _ in 0..1000 {
            let pause = jittered(Duration::from_secs(10));
            assert!(
                (Duration::from_secs(5)..=Duration::from_secs(10)).contains(&pause),
                "{pause:?}"
            );
        }
    }

    #[test]
    fn every_broker_is_tried_before_the_pause_and_the_preferred_one_first_after_success() {
        let mut round = Round::new(2);
        let mut seen = Vec::new();
        for progress in [false, false, false, false, false, true, false] {
            let at = round.current();
            let pause = round.after(progress);
            // Half to whole of 1, 2, ... seconds: which one it is shows in the whole seconds rounded up.
            seen.push((at, pause.as_millis().div_ceil(1000)));
        }
        assert_eq!(seen.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [0, 1, 0, 1, 0, 1, 0]);
        let waits: Vec<bool> = seen.iter().map(|(_, pause)| *pause > 0).collect();
        assert_eq!(waits, [false, true, false, true, false, true, false]);
    }
}
