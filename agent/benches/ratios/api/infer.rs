//! What the protocol adds to a run: one client, and sixteen.

use std::time::Duration;

use super::load::load;
use super::subject::Subject;
use crate::Bench;
use crate::daemon::Daemon;
use crate::quiet::{Rounds, TICK, rounds, ticks};
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
    alone: Sixteen,
    batched: Sixteen,
}

/// What all clients at once were given, and how many processors were taken for it.
struct Sixteen {
    requests_hz: f64,
    by_daemon: f64,
    by_clients: f64,
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
        let own = [alone.pid(), batched.pid()];
        let rounds = rounds(bench.plan(), &own, || {
            let (pairs, mut runs) = (subject.pairs(&mut client, self.count), Vec::new());
            // Before, between and after, since the machine is not the same from one second to the next.
            runs.extend(subject.runs(self.count));
            let alone = self.sixteen(&alone, &subject, time);
            runs.extend(subject.runs(self.count));
            let batched = self.sixteen(&batched, &subject, time);
            runs.extend(subject.runs(self.count));
            Sample {
                run_ms: median(&pairs.runs),
                request_ms: median(&pairs.requests),
                runs_hz: 1e3 * rate(&runs),
                alone,
                batched,
            }
        });
        self.told(&rounds)
    }

    fn sixteen(&self, daemon: &Daemon, subject: &Subject, time: Duration) -> Sixteen {
        let taken = || [daemon.busy(), TICK * ticks(std::process::id())];
        let before = taken();
        let seen = load(daemon.port, CLIENTS, &subject.asked, || std::thread::sleep(time));
        let after = taken();
        assert_eq!((seen.refused, seen.wrong), (0, 0), "{}", self.what);
        let share = |of: usize| (after[of] - before[of]).as_secs_f64() / seen.took.as_secs_f64();
        Sixteen { requests_hz: seen.rate(), by_daemon: share(0), by_clients: share(1) }
    }

    fn told(&self, rounds: &Rounds<Sample>) -> Vec<Row> {
        let middle = |of: fn(&Sample) -> f64| median(&rounds.each(of));
        let (what, how) = (self.what, &rounds.how);
        let runs_hz = middle(|round| round.runs_hz);
        let peer = |which: fn(&Sample) -> &Sixteen| {
            let middle = |of: fn(&Sixteen) -> f64| median(&rounds.each(|round| of(which(round))));
            format!(
                "{:.0}/s ÷ {runs_hz:.0}/s; the daemon took {:.2} processors, the clients {:.2}; {how}",
                middle(|all| all.requests_hz),
                middle(|all| all.by_daemon),
                middle(|all| all.by_clients)
            )
        };
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
                rounds: rounds.each(|round| round.alone.requests_hz / round.runs_hz),
                goal: Goal::AtLeast(0.9),
                peer: peer(|round| &round.alone),
            },
        ];
        if self.gains {
            rows.push(Row {
                name: format!("same, requests joined to batches, {what}"),
                rounds: rounds.each(|round| round.batched.requests_hz / round.runs_hz),
                goal: Goal::AtLeast(1.0),
                peer: peer(|round| &round.batched),
            });
        }
        rows
    }
}

/// How many a millisecond, one after the other.
fn rate(times_ms: &[f64]) -> f64 {
    f64::from(u32::try_from(times_ms.len()).unwrap()) / times_ms.iter().sum::<f64>()
}
