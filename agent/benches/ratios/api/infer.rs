//! What the protocol adds to a run: one client, and sixteen.

use std::time::Duration;

use super::load::load;
use super::subject::Subject;
use crate::Bench;
use crate::daemon::Daemon;
use crate::quiet::{Rounds, rounds};
use crate::table::{Goal, Row, median};

/// Clients at one time.
const CLIENTS: usize = 16;

/// One model, and what is promised of it.
struct Case {
    what: &'static str,
    /// Runs and requests of a round.
    count: usize,
    /// Whether a run of several items takes less than several runs.
    gains: bool,
}

/// One round of each.
struct Sample {
    run_ms: f64,
    request_ms: f64,
    runs_hz: f64,
    requests_hz: f64,
    batched_hz: f64,
}

/// Both models.
pub(crate) fn rows(bench: &Bench) -> Vec<Row> {
    let small = Case { what: "dense-768 (3 KB)", count: 300, gains: true };
    let large = Case { what: "shapes (1.2 MB)", count: 30, gains: false };
    let mut rows = small.rows(bench, Subject::small(bench));
    rows.extend(large.rows(bench, Subject::detector(bench)));
    rows
}

impl Case {
    fn rows(&self, bench: &Bench, mut subject: Subject) -> Vec<Row> {
        let alone = Daemon::with_api(bench, "batch_max = 1", &subject.config());
        let batched = Daemon::with_api(bench, "batch_max = 16", &subject.config());
        let mut client = subject.greet(alone.port);
        drop(subject.greet(batched.port));
        let time = bench.either(Duration::from_secs(1), Duration::from_millis(200));
        let sixteen = |daemon: &Daemon, subject: &Subject| {
            let seen = load(daemon.port, CLIENTS, &subject.request, || std::thread::sleep(time));
            assert_eq!((seen.refused, seen.wrong), (0, 0), "{}", self.what);
            seen.rate()
        };
        let own = [alone.pid(), batched.pid()];
        let rounds = rounds(bench.plan(), &own, || {
            let runs = subject.runs(self.count);
            Sample {
                run_ms: median(&runs),
                runs_hz: 1e3 * rate(&runs),
                request_ms: median(&subject.requests(&mut client, self.count)),
                requests_hz: sixteen(&alone, &subject),
                batched_hz: sixteen(&batched, &subject),
            }
        });
        self.told(&rounds)
    }

    fn told(&self, rounds: &Rounds<Sample>) -> Vec<Row> {
        let middle = |of: fn(&Sample) -> f64| median(&rounds.each(of));
        let (what, how) = (self.what, &rounds.how);
        let runs_hz = middle(|round| round.runs_hz);
        let mut rows = vec![
            Row {
                name: format!("OIP over loopback HTTP: added p50, µs, {what}"),
                rounds: rounds.each(|round| 1e3 * (round.request_ms - round.run_ms)),
                goal: Goal::AtMost(150.0),
                peer: format!(
                    "{:.3} ms − {:.3} ms; {how}",
                    middle(|round| round.request_ms),
                    middle(|round| round.run_ms)
                ),
            },
            Row {
                name: format!("{CLIENTS} clients' requests ÷ bare runs on one processor, {what}"),
                rounds: rounds.each(|round| round.requests_hz / round.runs_hz),
                goal: Goal::AtLeast(0.9),
                peer: format!("{:.0}/s ÷ {runs_hz:.0}/s; {how}", middle(|round| round.requests_hz)),
            },
        ];
        if self.gains {
            rows.push(Row {
                name: format!("same, requests joined to batches, {what}"),
                rounds: rounds.each(|round| round.batched_hz / round.runs_hz),
                goal: Goal::AtLeast(1.0),
                peer: format!("{:.0}/s ÷ {runs_hz:.0}/s; {how}", middle(|round| round.batched_hz)),
            });
        }
        rows
    }
}

/// How many a millisecond, one after the other.
fn rate(times_ms: &[f64]) -> f64 {
    f64::from(u32::try_from(times_ms.len()).unwrap()) / times_ms.iter().sum::<f64>()
}
