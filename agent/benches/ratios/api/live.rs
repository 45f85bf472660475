//! A live pipeline beside an API that is asked for more than it may do.

use std::time::Duration;

use super::client::{Client, get};
use super::load::{count, load};
use super::subject::Subject;
use crate::Bench;
use crate::daemon::{Daemon, wait};
use crate::table::{Goal, Row};

/// Clients, and how many of their requests may wait: the others are refused all the time.
const CLIENTS: usize = 24;
const QUEUE: usize = 16;

/// A camera of 30 frames a second on the detector, and requests to the same.
pub(super) const CAMERA: &str = "[sinks.log]\nkind = 'jsonl'\npath = 'observations.jsonl'\n\
    [[pipeline]]\nname = 'door'\nmodel = 'it'\nsinks = ['log']\n\
    source = { kind = 'pattern', width = 1280, height = 720, rate_hz = 30, format = 'nv12' }\n";

/// Frames that were lost while the API was loaded to its bound.
pub(crate) fn rows(bench: &Bench) -> Vec<Row> {
    let mut subject = Subject::detector(bench);
    let config = [subject.config().as_str(), CAMERA].concat();
    let api = format!("queue = {QUEUE}");
    let daemon = Daemon::with_api(bench, &api, &config);
    drop(subject.greet(daemon.port));
    let mut asks = Client::open(daemon.port);
    wait("infer frames", || Frames::read(&mut Client::open(daemon.port)).inferred > 0);
    let time = bench.load.unwrap_or(bench.either(Duration::from_secs(30), Duration::from_secs(2)));
    let before = Frames::read(&mut asks);
    let seen = load(daemon.port, CLIENTS, &subject.request, || std::thread::sleep(time));
    let after = Frames::read(&mut asks);
    let lost = (after.replaced - before.replaced) + (after.failed - before.failed);
    vec![Row {
        name: "frames lost at 30 fps while requests are refused for want of room".to_owned(),
        rounds: vec![count(lost)],
        goal: Goal::AtMost(0.0),
        peer: format!(
            "{} of {} inferred in {:.0} s; {:.0} requests/s answered well, {} refused, {} wrong; \
             {CLIENTS} clients, {QUEUE} may wait",
            after.inferred - before.inferred,
            after.captured - before.captured,
            seen.took.as_secs_f64(),
            seen.rate(),
            seen.refused,
            seen.wrong
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
}
