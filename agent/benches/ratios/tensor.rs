//! The first step alone, in place: frame after frame from memory, none of them in the cache.

use std::time::Instant;

use vedette::hw::pages;
use vedette::pipeline::preprocess::{Margin, Preprocess};
use vedette::pipeline::tensor::ElementsMut;

use crate::Bench;
use crate::frames::{FRAMES, Format};
use crate::model::Model;
use crate::peer::Peer;
use crate::quiet::rounds;
use crate::table::{Goal, Row, median};

/// The peer's ways, and what they are.
const WAYS: [(&str, &str); 2] =
    [("nv12", "cvtColor, resize"), ("nv12_planes", "planes resized, then cvtColorTwoPlane")];

/// NV12 → the detector's tensor.
pub(crate) fn rows(bench: &Bench) -> Vec<Row> {
    let folder = bench.models.join("yolo-n-size");
    let model = Model::read(&folder);
    let mut preprocess = Preprocess::new(model.picture()).unwrap();
    let (mut tensor, mut margin) = (pages::with_room(preprocess.elements()), Margin::default());
    tensor.resize(preprocess.elements(), 0.0_f32);
    let mut peer = Peer::open(bench, &folder, 1);
    let own = [peer.pid()];
    let rounds = rounds(bench.plan(), &own, || {
        let mut times = Vec::new();
        for seq in 0..2 * u64::try_from(FRAMES).unwrap() {
            let frame = bench.frames.next(Format::Nv12, seq);
            let began = Instant::now();
            preprocess
                .run_within(&frame, ElementsMut::F32(&mut tensor), &mut margin, None)
                .unwrap();
            times.push(began.elapsed().as_secs_f64() * 1e3);
        }
        (median(&times), WAYS.map(|(how, _)| peer.tensor(how, FRAMES).total_ms))
    });
    let row = |(way, (_, what)): (usize, (&str, &str))| Row {
        name: format!("OpenCV's time from NV12 1080p to a 640 tensor ÷ ours, 1 thread: {what}"),
        rounds: rounds.each(|(ours, theirs)| theirs[way] / ours),
        goal: Goal::AtLeast(4.0),
        peer: format!(
            "{:.2} ms ÷ {:.3} ms; {}",
            median(&rounds.each(|(_, theirs)| theirs[way])),
            median(&rounds.each(|(ours, _)| *ours)),
            rounds.how
        ),
    };
    WAYS.into_iter().enumerate().map(row).collect()
}
