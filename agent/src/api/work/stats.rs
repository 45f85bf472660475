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
        self.count += 1;
        self.time += time;
    }
}

/// See the module.
#[derive(Debug, Clone, Default)]
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
    /// Runs.
    pub(in crate::api) runs: u64,
    /// Runs by how many requests went together.
    pub(in crate::api) batches: BTreeMap<usize, Tally>,
    /// Requests whose clients went away before their turn.
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
    /// A run of so many requests took so long.
    pub(super) fn ran(&mut self, requests: usize, time: Duration) {
        self.runs += 1;
        self.batches.entry(requests).or_default().add(time);
    }

    pub(super) fn cancelled(&mut self, count: usize) {
        self.cancelled += u64::try_from(count).unwrap_or(0);
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
}
