//! A model reloaded again and again under frames: whether one is lost, and what the frame after a swap waits.
//!
//! Models are opened and let go of all the time, on a machine of few processors beside each frame, and only some of
//! them are handed over; the others are dropped by a thread like the one that drops what a swap replaced. What differs
//! between the frames after a swap and the others is the swap. Were the next one opened after a swap and then awaited,
//! it would be that frame that nearly always has a load beside it, and seldom another.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use vedette::pipeline::worker::Generation;

use crate::Bench;
use crate::frames::Format;
use crate::model::{Model, on_cpu};
use crate::path::DataPath;
use crate::table::{Goal, Row, quantile};

/// Time from frame to frame: 100 a second.
const PERIOD: Duration = Duration::from_millis(10);
/// Models that are opened for each that is handed over: there must be other frames to compare with.
const OPENED: u32 = 3;

/// The shapes detector, reloaded.
pub(crate) fn rows(bench: &Bench) -> Vec<Row> {
    let swaps = bench.either(1000, 40);
    let model = Model::read(&bench.shapes);
    let generation = |version: u64| {
        let version = format!("1.0.{version}");
        model.generation(model.engine(&on_cpu(1)), &version)
    };
    let path = DataPath::start(generation(0), Some(100.0));
    let (ended, fed) = (AtomicBool::new(false), AtomicU64::new(0));
    let (unused, dropped) = sync_channel::<Generation>(1);
    std::thread::scope(|scope| {
        scope.spawn(|| dropped.into_iter().for_each(drop));
        scope.spawn(|| {
            let mut due = Instant::now();
            while !ended.load(Ordering::SeqCst) {
                let seq = fed.fetch_add(1, Ordering::SeqCst);
                assert!(path.desk.post(0, &mut bench.frames.next(Format::Nv12, seq)));
                due += PERIOD;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        });
        for version in 1..=swaps {
            for _ in 1..OPENED {
                unused.send(generation(version)).unwrap();
            }
            path.swap.hand_over(generation(version));
            // The first of all is the one that it was started with.
            while path.swap.adopted() <= version {
                std::thread::sleep(PERIOD / 10);
            }
        }
        drop(unused);
        std::thread::sleep(10 * PERIOD);
        ended.store(true, Ordering::SeqCst);
    });
    std::thread::sleep(10 * PERIOD);
    judge(&path, fed.into_inner(), swaps)
}

/// What became of the `fed` frames.
fn judge(path: &DataPath, fed: u64, swaps: u64) -> Vec<Row> {
    let health = path.health();
    let (mut after, mut others, mut last) = (Vec::new(), Vec::new(), "1.0.0".to_owned());
    let (mut due, mut at_swaps) = (0, 0);
    path.take(usize::try_from(health.inferred).unwrap(), |seen| {
        let latency = f64::from(seen.timings.latency_ms);
        let gap = seen.frame.seq - due;
        due = seen.frame.seq + 1;
        if seen.model.version == last {
            others.push(latency);
        } else {
            at_swaps += gap;
            last = seen.model.version.to_string();
            after.push(latency);
        }
    });
    let p99 = |latencies: &[f64]| quantile(latencies, 0.99);
    let p50 = |latencies: &[f64]| quantile(latencies, 0.5);
    let lost = u32::try_from(fed - health.inferred).unwrap();
    vec![
        Row {
            name: format!("frames lost in {swaps} reloads at 100 fps"),
            rounds: vec![f64::from(lost)],
            goal: Goal::AtMost(0.0),
            peer: format!(
                "{} of {fed} inferred, {} replaced by newer ones, {at_swaps} of them just before a swap",
                health.inferred, health.replaced
            ),
        },
        Row {
            name: "p99 of the frames after a swap ÷ p99 of the others".to_owned(),
            rounds: vec![p99(&after) / p99(&others)],
            goal: Goal::AtMost(1.05),
            peer: format!(
                "{:.2} ms ÷ {:.2} ms (p50 {:.2} and {:.2}), {} and {} frames",
                p99(&after),
                p99(&others),
                p50(&after),
                p50(&others),
                after.len(),
                others.len()
            ),
        },
    ]
}
