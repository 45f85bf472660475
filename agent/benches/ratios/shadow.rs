//! The accelerator's shadow: the run replaced by a wait, which leaves the processor free as a GPU does.

use crate::Bench;
use crate::bytes::{Bytes, Memory};
use crate::frames::Format;
use crate::model::Model;
use crate::path::DataPath;
use crate::peer::Peer;
use crate::quiet::rounds;
use crate::table::{Goal, Row, median};

/// Frames of a round: 0.3 s at the longer wait.
const FRAMES: usize = 90;

/// Frames of a round whose bytes are only moved: each once, so that none is in the cache.
const MOVED: u64 = 32;

/// NV12 → 640 → YOLO postprocess → JSON, at an accelerator's two speeds.
pub(crate) fn rows(bench: &Bench) -> Vec<Row> {
    [1000_u32, 3500].into_iter().flat_map(|wait_us| at(bench, wait_us)).collect()
}

fn at(bench: &Bench, wait_us: u32) -> Vec<Row> {
    let wait_ms = f64::from(wait_us) / 1000.0;
    let folder = bench.models.join("yolo-n-size");
    let model = Model::read(&folder);
    let engine = model.engine(&format!("kind = 'shadow'\nlatency_us = {wait_us}\n"));
    let mut path = DataPath::start(model.generation(engine, "1.0.0"), None);
    let mut peer = Peer::waiting(bench, &folder, wait_ms);
    let own = [peer.pid()];
    let mut memory = Memory::new(Bytes::of(model.picture()));
    let mut moved = |seq| memory.moved(&bench.frames.next(Format::Nv12, seq));
    let rounds = rounds(bench.plan(), &own, || {
        let ours = path.round(&bench.frames, Format::Nv12, FRAMES);
        let moved: Vec<f64> = (0..MOVED).map(&mut moved).collect();
        (ours, peer.run(FRAMES / 3), median(&moved))
    });
    let fps = rounds.each(|(ours, _, _)| ours.fps);
    let cpu_ms = rounds.each(|(ours, _, _)| ours.cpu_ms);
    let peer_fps = rounds.each(|(_, theirs, _)| 1000.0 / theirs.wall_ms);
    let peer_cpu_ms = rounds.each(|(_, theirs, _)| theirs.cpu_ms);
    let moved_ms = rounds.each(|(_, _, moved_ms)| *moved_ms);
    vec![
        Row {
            name: format!("shadow {wait_ms} ms: % of the ideal frame rate"),
            rounds: fps.iter().map(|fps| fps * wait_ms / 10.0).collect(),
            goal: Goal::AtLeast(95.0),
            peer: format!(
                "{:.0} fps; Python {:.0}; {}",
                median(&fps),
                median(&peer_fps),
                rounds.how
            ),
        },
        Row {
            name: format!("shadow {wait_ms} ms: Python's processor time a frame ÷ ours"),
            rounds: peer_cpu_ms.iter().zip(&cpu_ms).map(|(peer, ours)| peer / ours).collect(),
            goal: Goal::AtLeast(9.0),
            peer: format!(
                "{:.2} ms ÷ {:.3} ms (without the thread that feeds); its bytes alone {:.3} ms; {}",
                median(&peer_cpu_ms),
                median(&cpu_ms),
                median(&moved_ms),
                rounds.how
            ),
        },
    ]
}
