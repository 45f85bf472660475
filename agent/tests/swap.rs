//! No frame is lost to a swap: every frame of a source that waits for none is observed, in order, once.

mod rig;

use std::sync::Arc;

use rig::{Rig, generation};
use wire::Observation;

/// Engines: one on the processor, and one that overlaps as an accelerator does.
const ENGINES: [&str; 2] = [
    "kind = 'onnxruntime'\nproviders = ['cpu']\nthreads = 1\n",
    "kind = 'shadow'\nlatency_us = 1000\n",
];
/// Frames in all.
const FRAMES: u64 = 600;

#[test]
fn no_frame_is_lost_or_doubled_by_a_swap() {
    // From each kind of engine to each: the two loops hand over to one another too.
    for (from, to) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let source = format!(
            "kind = 'pattern'\nwidth = 320\nheight = 180\npace = 'free'\nseed = 5\nframes = {FRAMES}\n"
        );
        let rig = Rig::start(&source, generation(ENGINES[from], "1.0.0"), 4096, "");
        for (number, at) in [(1, 100), (2, 200), (3, 300)] {
            let engine = ENGINES[if number % 2 == 1 { to } else { from }];
            let next = generation(engine, &format!("1.0.{number}"));
            rig.until("the frame of the swap", |rig| rig.health.summary().inferred >= at);
            rig.swap().hand_over(next);
        }
        let swap = rig.swap();
        let bodies = rig.finish(true);
        let seen: Vec<(u64, String)> = bodies
            .iter()
            .map(|body| {
                let seen: Observation<'_> = serde_json::from_slice(body).unwrap();
                (seen.frame.seq, seen.model.version.into_owned())
            })
            .collect();
        let order: Vec<u64> = seen.iter().map(|(seq, _)| *seq).collect();
        assert_eq!(order, (0..FRAMES).collect::<Vec<_>>(), "{from} to {to}");
        assert!(seen.is_sorted_by(|(_, a), (_, b)| a <= b), "a version came back: {from} to {to}");
        assert_eq!(seen.last().map(|(_, version)| version.as_str()), Some("1.0.3"));
        assert_eq!(swap.adopted(), 4);
    }
}

#[test]
fn a_model_on_trial_sees_frames_unheard_and_takes_over_without_losing_one() {
    for (from, to) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let source = format!(
            "kind = 'pattern'\nwidth = 320\nheight = 180\npace = 'free'\nseed = 5\nframes = {FRAMES}\n"
        );
        let first = Arc::new(generation(ENGINES[from], "1.0.0"));
        let rig = Rig::start(&source, first.clone(), 4096, "");
        let second = Arc::new(generation(ENGINES[to], "2.0.0"));
        let trial = rig.swap().try_out(&second).unwrap();
        rig.until("frames of the trial", |_| trial.figures().inferred >= 5);
        let figures = trial.figures();
        assert!(figures.failed == 0 && figures.p95_ms.is_some(), "{figures:?}");
        drop(trial);
        // Taken into use, and back again: the same two that were loaded, no third.
        rig.swap().hand_over(second);
        rig.until("the second model", |rig| rig.swap().adopted() == 2);
        rig.swap().hand_over(first);
        let bodies = rig.finish(true);
        let order: Vec<u64> = bodies
            .iter()
            .map(|body| serde_json::from_slice::<Observation<'_>>(body).unwrap().frame.seq)
            .collect();
        assert_eq!(order, (0..FRAMES).collect::<Vec<_>>(), "{from} to {to}");
    }
}

#[test]
fn a_trial_that_nobody_waits_for_ends_with_the_frames() {
    let source =
        "kind = 'pattern'\nwidth = 320\nheight = 180\npace = 'free'\nseed = 5\nframes = 20\n";
    let rig = Rig::start(source, generation(ENGINES[0], "1.0.0"), 64, "");
    let trial = rig.swap().try_out(&Arc::new(generation(ENGINES[0], "2.0.0"))).unwrap();
    assert_eq!(rig.finish(true).len(), 20);
    drop(trial);
}
