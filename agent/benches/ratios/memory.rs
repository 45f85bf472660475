//! Resident memory: the daemon itself as a process, against the peer with one frame in memory.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Bench;
use crate::peer::Peer;
use crate::table::{Goal, Row};

/// Longest time until the frames are there.
const PATIENCE: Duration = Duration::from_secs(120);

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

/// Ends it with its owner.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Resident memory of the daemon, in MiB, once it has written so many observations.
fn daemon(bench: &Bench, model: &Path, frames: usize) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "device = 'bench'\nstate_dir = 'state'\nonnxruntime = {:?}\n\
         [models.it]\npath = {model:?}\nproviders = ['cpu']\nthreads = 2\n\
         [sinks.log]\nkind = 'jsonl'\npath = 'observations.jsonl'\n\
         [[pipeline]]\nname = 'bench'\nmodel = 'it'\nsinks = ['log']\n\
         source = {{ kind = 'pattern', width = 1920, height = 1080, rate_hz = 30, format = 'nv12' }}\n",
        std::path::absolute(&bench.onnxruntime).unwrap()
    );
    let file = folder.path().join("vedette.toml");
    vedette::disk::replace(&file, config.as_bytes()).unwrap();
    let mut command = Command::new(&bench.vedette);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("VEDETTE_") {
            command.env_remove(name);
        }
    }
    command.arg("run").arg("--config").arg(&file).stdout(Stdio::null());
    if std::env::var_os("BENCH_LOG").is_none() {
        command.stderr(Stdio::null());
    }
    let daemon = Daemon(command.spawn().unwrap());
    let (log, began) = (folder.path().join("observations.jsonl"), Instant::now());
    let written = || std::fs::read(&log).map_or(0, |bytes| bytes.split(|&b| b == b'\n').count());
    while written() <= frames {
        assert!(began.elapsed() < PATIENCE, "the daemon did not write {frames} observations");
        std::thread::sleep(Duration::from_millis(50));
    }
    resident_mb(daemon.0.id())
}

fn resident_mb(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024.0
}
