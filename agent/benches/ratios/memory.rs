//! Resident memory: the daemon itself as a process, against the peer with one frame in memory.

use std::path::Path;

use crate::Bench;
use crate::daemon::{Daemon, wait};
use crate::peer::Peer;
use crate::table::{Goal, Row};

/// Both models.
pub(crate) fn rows(bench: &Bench) -> Vec<Row> {
    [("mobilenet-v2", 0.6), ("yolo-n-size", 0.65)]
        .into_iter()
        .map(|(name, goal)| {
            let model = std::path::absolute(bench.models.join(name)).unwrap();
            let frames = bench.either(200, 30);
            let ours = daemon(bench, &model, frames);
            let mut peer = Peer::small(bench, &model, 2);
            let theirs = peer.run(frames).resident_mb;
            Row {
                name: format!(
                    "resident memory ÷ Python's, NV12 1080p → {name}, after {frames} frames"
                ),
                rounds: vec![ours / theirs],
                goal: Goal::AtMost(goal),
                peer: format!("{ours:.0} MiB ÷ {theirs:.0} MiB"),
            }
        })
        .collect()
}

/// Resident memory of the daemon, in MiB, once it has written so many observations.
fn daemon(bench: &Bench, model: &Path, frames: usize) -> f64 {
    let config = format!(
        "[models.it]\npath = {model:?}\nproviders = ['cpu']\nthreads = 2\n\
         [sinks.log]\nkind = 'jsonl'\npath = 'observations.jsonl'\n\
         [[pipeline]]\nname = 'bench'\nmodel = 'it'\nsinks = ['log']\n\
         source = {{ kind = 'pattern', width = 1920, height = 1080, rate_hz = 30, format = 'nv12' }}\n"
    );
    let daemon = Daemon::start(bench, &config);
    let log = daemon.folder().join("observations.jsonl");
    let written = || std::fs::read(&log).map_or(0, |bytes| bytes.split(|&b| b == b'\n').count());
    wait("write its observations", || written() > frames);
    daemon.resident_mb()
}
