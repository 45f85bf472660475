//! The Python peer: a child that stays, so that its rounds alternate with ours.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::Bench;
use crate::frames::FRAMES;

/// A peer with a model open.
pub(crate) struct Peer {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

/// What some frames took it.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct PeerRound {
    /// Median time of a frame.
    pub(crate) total_ms: f64,
    /// Median of that time without the model's run.
    #[serde(default)]
    pub(crate) outside_ms: f64,
    /// Mean time of a frame.
    #[serde(default)]
    pub(crate) wall_ms: f64,
    /// Processor time a frame, all threads.
    #[serde(default)]
    pub(crate) cpu_ms: f64,
    /// Resident memory after it.
    pub(crate) resident_mb: f64,
}

impl Peer {
    /// Starts one on `model`, with all the frames.
    pub(crate) fn open(bench: &Bench, model: &Path, threads: u32) -> Self {
        Self::with(bench, model, threads, FRAMES, None)
    }

    /// The same, with a wait in the place of the run.
    pub(crate) fn waiting(bench: &Bench, model: &Path, wait_ms: f64) -> Self {
        Self::with(bench, model, 2, FRAMES, Some(wait_ms))
    }

    /// The same, with one frame in memory.
    pub(crate) fn small(bench: &Bench, model: &Path, threads: u32) -> Self {
        Self::with(bench, model, threads, 1, None)
    }

    fn with(bench: &Bench, model: &Path, threads: u32, count: usize, wait_ms: Option<f64>) -> Self {
        let mut child = Command::new(&bench.peer[0])
            .args(&bench.peer[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut peer = Self { child, to, from };
        let ask = json!({
            "do": "open", "model": model, "threads": threads, "frames": bench.frames.folder(),
            "count": count, "wait_ms": wait_ms,
        });
        let opened = peer.ask(&ask);
        eprintln!("bench: peer: {}", opened["versions"].as_str().unwrap_or_default());
        peer
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `frames` frames through the whole pipeline.
    pub(crate) fn run(&mut self, frames: usize) -> PeerRound {
        serde_json::from_value(self.ask(&json!({ "do": "run", "frames": frames }))).unwrap()
    }

    /// `frames` frames to the tensor only, by the way called `how`.
    pub(crate) fn tensor(&mut self, how: &str, frames: usize) -> PeerRound {
        let ask = json!({ "do": "tensor", "frames": frames, "how": how });
        serde_json::from_value(self.ask(&ask)).unwrap()
    }

    fn ask(&mut self, ask: &Value) -> Value {
        writeln!(self.to.as_mut().unwrap(), "{ask}").unwrap();
        let mut answer = String::new();
        self.from.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).expect("the peer's own message is above")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.to = None;
        self.child.wait().unwrap();
    }
}
