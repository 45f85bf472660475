//! No frame is lost to a swap: every frame of a source that waits for none is observed, in order, once.

mod rig;

use std::sync::Arc;

use rig::{Rig, generation};
use vedette::hw::jpeg::Encoder;
use wire::Observation;

/// Engines: one on the processor, and one that overlaps as an accelerator does.
const ENGINES: [&str; 2] = [
    "kind = 'onnxruntime'\nproviders = ['cpu']\nthreads = 1\n",
    "kind = 'shadow'\nlatency_us = 1000\n",
];
/// Frames in all.
const FRAMES: u64 = 600;

/// Which frames were observed, and what version of the model saw each.
fn told(bodies: &[Vec<u8>]) -> serde_json::Result<(Vec<u64>, Vec<String>)> {
    let seen = bodies.iter().map(|body| {
        let seen: Observation<'_> = serde_json::from_slice(body)?;
        Ok((seen.frame.seq, seen.model.version.into_owned()))
    });
    seen.collect()
}

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
        let (order, versions) = told(&bodies).unwrap();
        assert_eq!(order, (0..FRAMES).collect::<Vec<_>>(), "{from} to {to}");
        assert!(versions.is_sorted(), "a version came back: {from} to {to}");
        assert_eq!(versions.last().map(String::as_str), Some("1.0.3"));
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
        let (order, _) = told(&bodies).unwrap();
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

/// Whether this process has a thread of this name.
fn has_thread(name: &str) -> bool {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    // One may have ended meanwhile.
    let mut names =
        threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("comm")).ok());
    names.any(|comm| comm.trim_end() == name)
}

#[test]
fn frames_that_wait_and_take_long_to_prepare_are_prepared_while_one_runs_and_none_is_lost() {
    assert!(
        std::thread::available_parallelism().unwrap().get() > 1,
        "a machine with one processor cannot check this"
    );
    let folder = tempfile::tempdir().unwrap();
    let (width, height) = (1280_u32, 720_u32);
    let mut seed = 7_u32;
    let noise: Vec<u8> = (0..3 * width * height)
        .map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed.to_le_bytes()[3]
        })
        .collect();
    let mut jpeg = Vec::new();
    Encoder::new().unwrap().encode_rgb(&noise, width, height, 90, &mut jpeg).unwrap();
    for number in 0..200 {
        vedette::disk::replace(&folder.path().join(format!("{number:03}.jpg")), &jpeg).unwrap();
    }
    let path = folder.path().display();
    let source = format!("kind = 'replay'\npath = '{path}'\npace = 'free'\n");
    let rig = Rig::start(&source, generation(ENGINES[0], "1.0.0"), 4096, "");
    rig.until("a thread that prepares", |_| has_thread("prepare"));
    // The next one begins as every model on a processor does, and goes over in turn.
    rig.swap().hand_over(generation(ENGINES[0], "1.0.1"));
    rig.until("the second model", |rig| rig.swap().adopted() == 2);
    let bodies = rig.finish(true);
    let (order, versions) = told(&bodies).unwrap();
    assert_eq!(order, (0..200).collect::<Vec<_>>());
    assert!(versions.is_sorted(), "a version came back");
    assert_eq!(versions.last().map(String::as_str), Some("1.0.1"));
}
