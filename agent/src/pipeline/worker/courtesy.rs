//! How the thread that finishes comes by a processor.
//!
//! The thread that runs wakes it, and would be put off its processor by it between two runs: the next run began only
//! when the frame before was finished, though its frame was long prepared. So it waits for a free processor. Where
//! others keep all of them busy it would wait for theirs to be taken away, milliseconds, and keep its buffers from
//! being filled again: there it takes its turn as others do.

use std::time::Duration;

use crate::hw::process;

/// Waking takes a tenth of this, mostly; whoever waits longer after a run waits for a processor.
const LATE: Duration = Duration::from_micros(500);

/// What a late frame weighs against one in time: more than one of four late, and no processor is free.
const LATE_WEIGHT: u32 = 3;

/// Some eight late frames in a row: not for one moment of other work.
const LATE_MOST: u32 = 24;

/// Frames until it is tried again: what the trial costs, some late frames, is little among so many.
const PRESSED: u32 = 1000;

/// Whether this thread gives way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Courtesy {
    /// It does, and that has delayed it by this weight lately.
    GivesWay(u32),
    /// Not for so many frames more.
    Presses(u32),
    /// The system, or who chose the threads' policy, does not let it be changed.
    Left,
}

impl Courtesy {
    /// This thread gives way from now on.
    pub(super) fn begin() -> Self {
        Self::GivesWay(0).applied()
    }

    /// A frame of this thread waited for so long after its run.
    pub(super) fn note(&mut self, waited: Duration) {
        let next = self.after(waited);
        let changed = std::mem::discriminant(&next) != std::mem::discriminant(self);
        *self = if changed { next.applied() } else { next };
    }

    fn after(self, waited: Duration) -> Self {
        match self {
            Self::GivesWay(weight) if waited > LATE => match weight + LATE_WEIGHT {
                weight if weight < LATE_MOST => Self::GivesWay(weight),
                _ => Self::Presses(PRESSED),
            },
            Self::GivesWay(weight) => Self::GivesWay(weight.saturating_sub(1)),
            Self::Presses(0) => Self::GivesWay(0),
            Self::Presses(left) => Self::Presses(left - 1),
            Self::Left => Self::Left,
        }
    }

    fn applied(self) -> Self {
        match process::give_way(matches!(self, Self::GivesWay(_))) {
            Ok(true) => self,
            Ok(false) => Self::Left,
            Err(error) => {
                tracing::debug!(%error, "finishing a frame may delay the next run");
                Self::Left
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(frames: &[(usize, Duration)], mut courtesy: Courtesy) -> Courtesy {
        for &(count, waited) in frames {
            (0..count).for_each(|_| courtesy = courtesy.after(waited));
        }
        courtesy
    }

    #[test]
    fn it_presses_where_no_processor_is_free_and_tries_again() {
        let (soon, late) = (Duration::from_micros(20), Duration::from_millis(2));
        let begin = Courtesy::GivesWay(0);
        assert_eq!(after(&[(7, late), (21, soon)], begin), begin);
        assert_eq!(after(&[(8, late)], begin), Courtesy::Presses(PRESSED));
        // One of three.
        let third = [(1, late), (2, soon)].repeat(40);
        assert!(matches!(after(&third, begin), Courtesy::Presses(_)));
        // One of five: a moment now and then.
        let fifth = [(1, late), (4, soon)].repeat(400);
        assert_eq!(after(&fifth, begin), begin);
        let pressed = after(&[(8, late), (1000, late)], begin);
        assert_eq!(pressed, Courtesy::Presses(0));
        assert_eq!(after(&[(1, late)], pressed), begin);
    }

    #[test]
    fn a_thread_of_the_ordinary_policy_gives_way_and_stops() {
        let stages = std::thread::spawn(|| {
            let mut courtesy = Courtesy::begin();
            let begun = courtesy;
            (0..8).for_each(|_| courtesy.note(2 * LATE));
            [begun, courtesy]
        });
        assert_eq!(stages.join().unwrap(), [Courtesy::GivesWay(0), Courtesy::Presses(PRESSED)]);
    }

    #[test]
    fn the_batch_policy_that_somebody_chose_is_kept() {
        let kept = std::thread::spawn(|| {
            assert!(process::give_way(true).unwrap());
            let mut courtesy = Courtesy::begin();
            (0..8).for_each(|_| courtesy.note(2 * LATE));
            // It is of the batch policy still.
            (courtesy, process::give_way(false).unwrap())
        });
        assert_eq!(kept.join().unwrap(), (Courtesy::Left, true));
    }
}
