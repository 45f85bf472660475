//! What a frame takes beside the run of its model: against the bare run, and against the peer.

use vedette::pipeline::engine::Lane;
use vedette::pipeline::preprocess::Preprocess;

use crate::Bench;
use crate::bytes::Bytes;
use crate::frames::Format;
use crate::model::{Model, on_cpu};
use crate::path::{DataPath, Round};
use crate::peer::{Peer, PeerRound};
use crate::quiet::{Rounds, rounds};
use crate::table::{Goal, Row, median};

/// Most runs of a round after which a frame's rows are read.
const ROWS_RUNS: usize = 8;

/// One model, one camera, and what is promised of them.
struct Case {
    model: &'static str,
    what: &'static str,
    format: Format,
    threads: u32,
    /// Frames of a round, so many that the median is one and so few that rounds are short.
    frames: usize,
    /// Frame time ÷ raw run at most.
    ratio: f64,
    /// The peer's time outside of the run ÷ ours at least.
    outside: Option<f64>,
}

/// NV12 → MobileNetV2, two threads.
pub(crate) fn mobilenet(bench: &Bench) -> Vec<Row> {
    Case {
        model: "mobilenet-v2",
        what: "NV12 → MobileNetV2 224, 2 threads",
        format: Format::Nv12,
        threads: 2,
        frames: 32,
        ratio: 1.04,
        outside: Some(10.0),
    }
    .rows(bench)
}

/// NV12 → a detector of YOLOv8n's size, two threads.
pub(crate) fn yolo(bench: &Bench) -> Vec<Row> {
    Case {
        model: "yolo-n-size",
        what: "NV12 → YOLOv8n-size 640 with NMS, 2 threads",
        format: Format::Nv12,
        threads: 2,
        frames: 6,
        ratio: 1.012,
        outside: Some(6.0),
    }
    .rows(bench)
}

/// MJPEG → MobileNetV2, one thread.
pub(crate) fn mjpeg(bench: &Bench) -> Vec<Row> {
    Case {
        model: "mobilenet-v2",
        what: "MJPEG → MobileNetV2 224, 1 thread",
        format: Format::Mjpeg,
        threads: 1,
        frames: 32,
        ratio: 1.65,
        outside: None,
    }
    .rows(bench)
}

/// The model's bare run, on what it is given anyway.
struct Raw {
    lane: Box<dyn Lane>,
    seq: u64,
}

impl Raw {
    /// Median time of `count` runs.
    fn round(&mut self, count: usize) -> f64 {
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let began = std::time::Instant::now();
            self.lane.run().unwrap();
            times.push(began.elapsed().as_secs_f64() * 1e3);
        }
        median(&times)
    }

    /// Median time of reading the rows that a tensor is made of, and nothing else, after a run as every frame's is.
    fn rows(&mut self, bench: &Bench, bytes: Bytes, count: usize) -> f64 {
        let mut times = Vec::with_capacity(count);
        for seq in (self.seq..).take(count) {
            self.lane.run().unwrap();
            times.push(bytes.read_rows(&bench.frames.next(Format::Nv12, seq)));
            self.seq = seq + 1;
        }
        median(&times)
    }
}

impl Case {
    fn rows(&self, bench: &Bench) -> Vec<Row> {
        let folder = bench.models.join(self.model);
        let model = Model::read(&folder);
        let engine = model.engine(&on_cpu(self.threads));
        let mut raw = Raw { lane: engine.lane(1).unwrap(), seq: 0 };
        let mut preprocess = Preprocess::new(model.picture()).unwrap();
        let frame = bench.frames.next(self.format, 0);
        preprocess.run(&frame, raw.lane.input_mut(0).unwrap()).unwrap();
        let bytes = Bytes::of(model.picture());
        let mut path = DataPath::start(model.generation(engine, "1.0.0"), None);
        let mut peer = self.outside.map(|_| Peer::open(bench, &folder, self.threads));
        let own: Vec<u32> = peer.iter().map(Peer::pid).collect();
        let rounds = rounds(bench.plan(), &own, || Sample {
            run_ms: raw.round(self.frames),
            ours: path.round(&bench.frames, self.format, self.frames),
            // Beside the peer alone: what it is compared with.
            rows_ms: peer.is_some().then(|| raw.rows(bench, bytes, self.frames.min(ROWS_RUNS))),
            theirs: peer.as_mut().map(|peer| peer.run(self.frames)),
        });
        let mut rows = vec![self.against_the_run(&rounds, bench.frames.bytes(self.format) / 1024)];
        rows.extend(self.outside.map(|goal| self.against_the_peer(&rounds, goal)));
        rows
    }

    fn against_the_run(&self, rounds: &Rounds<Sample>, size_kib: usize) -> Row {
        let middle = |of: fn(&Sample) -> f64| median(&rounds.each(of));
        Row {
            name: format!("frame time ÷ raw run, {}", self.what),
            rounds: rounds.each(|round| round.ours.frame_ms / round.run_ms),
            goal: Goal::AtMost(self.ratio),
            peer: format!(
                "{:.2} ms ÷ {:.2} ms; outside the run {:.3} ms: {:.3} before, {:.3} after; frames of {size_kib} KiB; {}",
                middle(|round| round.ours.frame_ms),
                middle(|round| round.run_ms),
                middle(|round| round.ours.outside_ms),
                middle(|round| round.ours.preprocess_ms),
                middle(|round| round.ours.postprocess_ms),
                rounds.how
            ),
        }
    }

    fn against_the_peer(&self, rounds: &Rounds<Sample>, goal: f64) -> Row {
        let theirs = |of: fn(&PeerRound) -> f64| {
            rounds.each(|round| round.theirs.as_ref().map_or(f64::NAN, of))
        };
        let ours = rounds.each(|round| round.ours.outside_ms);
        let outside = theirs(|round| round.outside_ms);
        Row {
            name: format!("Python's time outside the run ÷ ours, {}", self.what),
            rounds: outside.iter().zip(&ours).map(|(theirs, ours)| theirs / ours).collect(),
            goal: Goal::AtLeast(goal),
            peer: format!(
                "{:.2} ms of {:.2} ÷ {:.3} ms of {:.2}; reading the frame's rows alone {:.3} ms; {}",
                median(&outside),
                median(&theirs(|round| round.total_ms)),
                median(&ours),
                median(&rounds.each(|round| round.ours.frame_ms)),
                median(&rounds.each(|round| round.rows_ms.unwrap_or(f64::NAN))),
                rounds.how
            ),
        }
    }
}

/// One round of each.
struct Sample {
    run_ms: f64,
    ours: Round,
    theirs: Option<PeerRound>,
    rows_ms: Option<f64>,
}
