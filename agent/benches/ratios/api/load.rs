//! Many clients at once, each on a thread and a connection of its own, and what they saw.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::client::Client;
use super::subject::Asked;

/// What clients saw together.
pub(super) struct Seen {
    /// Requests that were answered well, by their time in microseconds.
    pub(super) times: Histogram<u64>,
    /// Those that were told to come again.
    pub(super) refused: u64,
    /// Those that were answered otherwise, and each client's last answer where its numbers are others.
    pub(super) wrong: u64,
    /// From the first request to the last answer.
    pub(super) took: Duration,
}

impl Seen {
    fn new() -> Self {
        // Up to the client's patience.
        let times = Histogram::new_with_bounds(1, 60_000_000, 3).unwrap();
        Self { times, refused: 0, wrong: 0, took: Duration::ZERO }
    }

    /// Requests a second that were answered well.
    pub(super) fn rate(&self) -> f64 {
        count(self.times.len()) / self.took.as_secs_f64()
    }

    /// The time within which so large a part of the answers came, in milliseconds.
    pub(super) fn within_ms(&self, part: f64) -> f64 {
        count(self.times.value_at_quantile(part)) / 1e3
    }
}

/// Has `clients` ask as fast as they are answered, while `meanwhile` runs.
pub(super) fn load(port: u16, clients: usize, asked: &Asked, meanwhile: impl FnOnce()) -> Seen {
    let (over, ready) = (AtomicBool::new(false), Barrier::new(clients + 1));
    let ask = || {
        let (mut client, mut seen, mut last) = (Client::open(port), Seen::new(), None);
        ready.wait();
        while !over.load(Ordering::Relaxed) {
            let began = Instant::now();
            let answer = client.ask(&asked.request);
            match answer.status {
                200 if asked.fits(&answer) => {
                    let us = u64::try_from(began.elapsed().as_micros()).unwrap();
                    seen.times.saturating_record(us.max(1));
                }
                429 => seen.refused += 1,
                _ => seen.wrong += 1,
            }
            last = Some(answer);
        }
        let ended = Instant::now();
        // One that does not fit was counted.
        let last = last.filter(|answer| asked.fits(answer));
        seen.wrong += u64::from(last.is_some_and(|answer| asked.fault(&answer).is_some()));
        (seen, ended)
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(ask)).collect();
        ready.wait();
        let began = Instant::now();
        meanwhile();
        over.store(true, Ordering::Relaxed);
        let mut all = Seen::new();
        for thread in threads {
            let (seen, ended) = thread.join().unwrap();
            all.times.add(seen.times).unwrap();
            all.refused += seen.refused;
            all.wrong += seen.wrong;
            all.took = all.took.max(ended.duration_since(began));
        }
        all
    })
}

#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "counts below 2^53")]
pub(super) fn count(number: u64) -> f64 {
    number as f64
}
