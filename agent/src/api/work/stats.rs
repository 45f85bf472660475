//! What was counted of the requests to one version of a model, in the words of the statistics
//! extension.

use std::collections::BTreeMap;
use std::time::Duration;

/// A count and the time that it took together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::api) struct Tally {
    pub(in crate::api) count: u64,
    pub(in crate::api) time: Duration,
}

impl Tally {
    fn add(&mut self, time: Duration) {
        self.join(Self { count: 1, time });
    }

    fn join(&mut self, other: Self) {
        self.count += other.count;
        self.time += other.time;
    }
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::api) struct Stats {
    /// Requests that were answered well, from their arrival to their answer.
    pub(in crate::api) success: Tally,
    /// Those that were not.
    pub(in crate::api) fail: Tally,
    /// Waiting for a run.
    pub(in crate::api) queue: Tally,
    /// Reading what was asked.
    pub(in crate::api) input: Tally,
    /// The run.
    pub(in crate::api) infer: Tally,
    /// Writing the answer.
    pub(in crate::api) output: Tally,
    /// Items that were inferred.
    pub(in crate::api) items: u64,
    /// Runs that went well.
    pub(in crate::api) runs: u64,
    /// Those by how many items went together.
    pub(in crate::api) batches: BTreeMap<usize, Tally>,
    /// Requests that were given up before they were answered.
    pub(in crate::api) cancelled: u64,
    /// When the last request came, in milliseconds since 1970; 0 before the first.
    pub(in crate::api) last_ms: i64,
}

/// How long the steps of one request took.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::api) struct Times {
    pub(in crate::api) whole: Duration,
    pub(in crate::api) input: Duration,
    pub(in crate::api) queued: Duration,
    pub(in crate::api) ran: Duration,
    pub(in crate::api) output: Duration,
    pub(in crate::api) items: u64,
}

impl Stats {
    /// A run of so many items went well, and took so long.
    pub(super) fn ran(&mut self, items: usize, time: Duration) {
        self.runs += 1;
        self.batches.entry(items).or_default().add(time);
    }

    /// A request was given up.
    pub(in crate::api) fn cancelled(&mut self) {
        self.cancelled += 1;
    }

    /// A request was answered well.
    pub(in crate::api) fn answered(&mut self, times: &Times, now_ms: i64) {
        self.success.add(times.whole);
        self.queue.add(times.queued);
        self.input.add(times.input);
        self.infer.add(times.ran);
        self.output.add(times.output);
        self.items += times.items;
        self.last_ms = now_ms;
    }

    /// A request was refused, after so long.
    pub(in crate::api) fn refused(&mut self, time: Duration, now_ms: i64) {
        self.fail.add(time);
        self.last_ms = now_ms;
    }

    /// Counts what `other` has counted, too.
    pub(in crate::api) fn add(&mut self, other: &Self) {
        self.success.join(other.success);
        self.fail.join(other.fail);
        self.queue.join(other.queue);
        self.input.join(other.input);
        self.infer.join(other.infer);
        self.output.join(other.output);
        self.items += other.items;
        self.runs += other.runs;
        for (items, tally) in &other.batches {
            self.batches.entry(*items).or_default().join(*tally);
        }
        self.cancelled += other.cancelled;
        self.last_ms = self.last_ms.max(other.last_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_files_of_one_version_did_is_counted_together() {
        let second = Duration::from_secs(1);
        let mut one = Stats::default();
        one.ran(2, second);
        one.answered(&Times { whole: second, ran: second, items: 3, ..Times::default() }, 70);
        one.cancelled();
        let mut both = one.clone();
        let mut other = Stats::default();
        other.ran(2, second);
        other.refused(second, 50);
        both.add(&other);
        let tally = |count, seconds| Tally { count, time: second * seconds };
        let batches = BTreeMap::from([(2, tally(2, 2))]);
        let expected = Stats { runs: 2, fail: tally(1, 1), batches, ..one };
        assert_eq!(both, expected);
    }
}
