//! Sixteen clients on the committed detector, for as long as is asked for.

use std::time::{Duration, Instant};

use super::load::{Seen, count, load};
use super::subject::Subject;
use crate::Bench;
use crate::daemon::Daemon;
use crate::quiet::{Plan, rounds};
use crate::table::{Goal, Row};

/// Clients at one time.
const CLIENTS: usize = 16;
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// The one round.
struct Sample {
    seen: Seen,
    memory_mb: Vec<f64>,
    /// Processors that the daemon took.
    spent: f64,
}

/// The whole figures.
pub(crate) fn rows(bench: &Bench) -> Vec<Row> {
    let processors = std::thread::available_parallelism().unwrap().get();
    let mut subject = Subject::detector(bench);
    let api = format!("batch_max = 1\nrunners = {processors}");
    let daemon = Daemon::with_api(bench, &api, &subject.config());
    drop(subject.greet(daemon.port));
    let bare = bench.either(Duration::from_secs(3), Duration::from_millis(500));
    let before_hz = subject.most_hz(processors, bare);
    let time = bench.load.unwrap_or(bench.either(Duration::from_secs(60), Duration::from_secs(2)));
    let once = Plan { enough: 1, most: 1 };
    let mut rounds = rounds(once, &[daemon.pid()], || {
        let (mut memory_mb, own) = (Vec::new(), daemon.busy());
        let seen = load(daemon.port, CLIENTS, &subject.asked, || {
            let began = Instant::now();
            while began.elapsed() < time {
                std::thread::sleep(LOOK);
                memory_mb.push(daemon.resident_mb());
            }
        });
        let spent = (daemon.busy() - own).as_secs_f64() / seen.took.as_secs_f64();
        Sample { seen, memory_mb, spent }
    });
    let sample = rounds.all.remove(0);
    let after_hz = subject.most_hz(processors, bare);
    let bare_hz = (before_hz + after_hz) / 2.0;
    told(&sample, processors, bare_hz, &rounds.how)
}

fn told(sample: &Sample, processors: usize, bare_hz: f64, how: &str) -> Vec<Row> {
    let Sample { seen, memory_mb, spent } = sample;
    let what = format!("{CLIENTS} clients on shapes for {:.0} s", seen.took.as_secs_f64());
    let well = seen.times.len();
    let all = well + seen.refused + seen.wrong;
    // What is taken once, for sixteen connections and their answers, is there after a tenth.
    let (begin, end) = (memory_mb[memory_mb.len() / 10], memory_mb[memory_mb.len() - 1]);
    let of_bare = format!(
        "{:.2} of the bare runs, {bare_hz:.0}/s on {processors} processors; the daemon took {spent:.2} of them",
        seen.rate() / bare_hz
    );
    let row = |name: &str, value: f64, goal: Goal, peer: String| Row {
        name: format!("{what}: {name}"),
        rounds: vec![value],
        goal,
        peer: format!("{peer}; {how}"),
    };
    vec![
        row("requests a second", seen.rate(), Goal::AtLeast(500.0), of_bare),
        row(
            "p99, ms",
            seen.within_ms(0.99),
            Goal::AtMost(100.0),
            format!("p50 {:.1}, highest {:.1}", seen.within_ms(0.5), seen.within_ms(1.0)),
        ),
        row(
            "answered well, %",
            100.0 * count(well) / count(all),
            Goal::AtLeast(99.95),
            format!("{well} of {all}; {} were told to come again", seen.refused),
        ),
        row(
            "memory at the end ÷ after a tenth",
            end / begin,
            Goal::AtMost(1.02),
            format!("{end:.1} MiB ÷ {begin:.1} MiB"),
        ),
    ]
}
