//! What runs cost beside their time: the power that the board draws meanwhile.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::telemetry::sampler::Sampler;
use crate::telemetry::tree::Tree;
use wire::telemetry::Readings;

/// How often power is read: a rail's sensor averages over some ten milliseconds.
const PERIOD: Duration = Duration::from_millis(200);

/// Reads the power on a thread of its own until it is asked.
pub(super) struct Meter {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<u64>>>,
}

impl Meter {
    /// Begins to read.
    pub(super) fn start() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let ends = over.clone();
        let watch = move || {
            let mut found = Vec::new();
            let Ok(tree) = Tree::open(Path::new("/")) else { return found };
            let (mut sampler, began) = (Sampler::new(tree, None, false), Instant::now());
            while !ends.load(Ordering::Relaxed) {
                std::thread::park_timeout(PERIOD);
                found.extend(power_mw(&sampler.sample(began.elapsed())));
            }
            found
        };
        Self { over, thread: std::thread::Builder::new().name("meter".into()).spawn(watch).ok() }
    }

    /// The mean power in watts since the start; `None` where nothing here tells it.
    pub(super) fn stop(mut self) -> Option<f64> {
        self.over.store(true, Ordering::Relaxed);
        let thread = self.thread.take()?;
        thread.thread().unpark();
        let found = thread.join().ok()?;
        let sum: u64 = found.iter().sum();
        let count = u64::try_from(found.len()).ok().filter(|count| *count > 0)?;
        Some(super::count(sum) / super::count(count) / 1e3)
    }
}

/// The board's whole power; where no rail tells it, that of the GPU.
fn power_mw(readings: &Readings) -> Option<u64> {
    readings.power.total_mw.or_else(|| readings.nvml.first()?.power_mw)
}
