//! A live pipeline beside an API that is asked for more than it may do.

use std::time::{Duration, Instant};

use super::client::{Client, get};
use super::load::{Seen, count, load};
use super::subject::Subject;
use crate::Bench;
use crate::daemon::{Daemon, wait};
use crate::quiet::{Plan, rounds};
use crate::table::{Goal, Row};

/// Clients, and how many of their requests may wait: the others are refused all the time.
const CLIENTS: usize = 24;
const QUEUE: usize = 16;

/// Frames a second that the camera gives.
const CAMERA_HZ: f64 = 30.0;

/// The configuration of a camera on the model `it`.
pub(super) fn camera() -> String {
    format!(
        "[sinks.log]\nkind = 'jsonl'\npath = 'observations.jsonl'\n\
         [[pipeline]]\nname = 'door'\nmodel = 'it'\nsinks = ['log']\n\
         source = {{ kind = 'pattern', width = 1280, height = 720, rate_hz = {CAMERA_HZ}, \
         format = 'nv12' }}\n"
    )
}

/// Waits until the camera's frames are inferred.
pub(super) fn await_frames(port: u16) {
    wait("infer frames", || Frames::read(&mut Client::open(port)).inferred > 0);
}

/// The one round.
struct Sample {
    seen: Seen,
    frames: Frames,
    span: Duration,
}

/// Frames that were lost while the API was loaded to its bound.
pub(crate) fn rows(bench: &Bench) -> Vec<Row> {
    let mut subject = Subject::detector(bench);
    let config = [subject.config(), camera()].concat();
    let api = format!("queue = {QUEUE}");
    let daemon = Daemon::with_api(bench, &api, &config);
    drop(subject.greet(daemon.port));
    let mut asks = Client::open(daemon.port);
    await_frames(daemon.port);
    let time = bench.load.unwrap_or(bench.either(Duration::from_secs(30), Duration::from_secs(2)));
    let once = Plan { enough: 1, most: 1 };
    let mut rounds = rounds(once, &[daemon.pid()], || {
        let before = Frames::read(&mut asks);
        let began = Instant::now();
        let seen = load(daemon.port, CLIENTS, &subject.asked, || std::thread::sleep(time));
        let span = began.elapsed();
        Sample { seen, frames: Frames::read(&mut asks).since(&before), span }
    });
    let Sample { seen, frames, span } = rounds.all.remove(0);
    let (refused, wrong) = (seen.refused, seen.wrong);
    assert!(
        refused > 0 && wrong == 0,
        "{refused} requests were refused, which has to happen, and {wrong} answered wrong"
    );
    // One may be on its way at either end. A starved source gives none, which is no frame replaced.
    let due = (CAMERA_HZ * span.as_secs_f64()).floor() - 1.0;
    let missing = (due - count(frames.captured)).max(0.0);
    vec![Row {
        name: format!("frames lost at {CAMERA_HZ} fps while requests are refused for want of room"),
        rounds: vec![count(frames.replaced + frames.failed) + missing],
        goal: Goal::AtMost(0.0),
        peer: format!(
            "{} of {} inferred in {:.0} s, {missing} never captured; {:.0} requests/s answered \
             well, {refused} refused; {CLIENTS} clients, {QUEUE} may wait; {}",
            frames.inferred,
            frames.captured,
            span.as_secs_f64(),
            seen.rate(),
            rounds.how
        ),
    }]
}

/// What was counted of the pipeline's frames.
struct Frames {
    captured: u64,
    inferred: u64,
    replaced: u64,
    failed: u64,
}

impl Frames {
    fn read(client: &mut Client) -> Self {
        let answer = client.ask(&get("/metrics"));
        let text = std::str::from_utf8(answer.body).unwrap();
        let of = |what: &str| {
            let name = format!("vedette_pipeline_frames_{what}_total{{pipeline=\"door\"}} ");
            text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap()
        };
        Self {
            captured: of("captured"),
            inferred: of("inferred"),
            replaced: of("replaced"),
            failed: of("failed"),
        }
    }

    /// What came after `before`.
    fn since(&self, before: &Self) -> Self {
        Self {
            captured: self.captured - before.captured,
            inferred: self.inferred - before.inferred,
            replaced: self.replaced - before.replaced,
            failed: self.failed - before.failed,
        }
    }
}
