//! Frames of several pipelines in one run: what each of them is told is what it would be told alone.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod rig;

use std::time::Duration;

use rig::{Rig, batched, generation};
use vedette::pipeline::batch::Batch;
use wire::Observation;

const CPU: &str = "kind = 'onnxruntime'\nproviders = ['cpu']\nthreads = 1\n";
const SHADOW: &str = "kind = 'shadow'\nlatency_us = 1000\n";
/// Longer than a test may take: who is waited for so long fails it.
const LONG: Duration = Duration::from_secs(600);
const TOGETHER: Batch = Batch { max: 3, delay: Duration::from_millis(50) };

/// A source of pictures that are read as fast as they are inferred, of its own size and format.
fn camera(number: usize, frames: u32) -> String {
    let (width, height, format) =
        [(320, 180, "nv12"), (200, 300, "rgb"), (400, 240, "mjpeg")][number];
    format!(
        "kind = 'pattern'\nwidth = {width}\nheight = {height}\nformat = '{format}'\npace = 'free'\n\
         seed = {}\nframes = {frames}\n",
        number + 1
    )
}

fn read(body: &[u8]) -> Observation<'_> {
    serde_json::from_slice(body).unwrap()
}

/// That `seen` has every frame of its source, once and in order.
fn whole(seen: &[Vec<u8>], frames: u32) {
    let order: Vec<u64> = seen.iter().map(|body| read(body).frame.seq).collect();
    assert_eq!(order, (0..u64::from(frames)).collect::<Vec<_>>());
}

#[test]
fn each_camera_is_told_what_it_would_be_told_alone() {
    const FRAMES: u32 = 24;
    let cameras = [0, 1, 2].map(|number| camera(number, FRAMES));
    let sources = cameras.each_ref().map(String::as_str);
    let rig = Rig::start_all(&sources, batched(CPU, "1.0.0", 3, TOGETHER), 64, "");
    let healths = rig.healths.clone();
    let together = rig.finish_all(true);
    let shared: u64 = healths.iter().map(|health| health.counts().shared).sum();
    assert!(shared > u64::from(FRAMES), "only {shared} frames shared a run");
    for (source, seen) in sources.into_iter().zip(&together) {
        whole(seen, FRAMES);
        let alone = Rig::start(source, generation(CPU, "1.0.0"), 64, "").finish(true);
        let mut found = 0;
        for (one, other) in seen.iter().zip(&alone) {
            let (one, other) = (read(one), read(other));
            assert_eq!((one.frame.width_px, &one.truth), (other.frame.width_px, &other.truth));
            assert_eq!(one.detections.len(), other.detections.len(), "{source}");
            for (box_, same) in one.detections.iter().zip(other.detections.iter()) {
                assert_eq!(box_.label, same.label);
                // Sums in another order.
                assert!((box_.score - same.score).abs() < 1e-3, "{box_:?} {same:?}");
                let (a, b) = (box_.bounds, same.bounds);
                let off = [
                    a.x_px - b.x_px,
                    a.y_px - b.y_px,
                    a.width_px - b.width_px,
                    a.height_px - b.height_px,
                ];
                assert!(off.iter().all(|off| off.abs() < 0.05), "{box_:?} {same:?}");
            }
            found += one.detections.len();
        }
        assert!(found > 0, "nothing was found in {source}");
    }
}

#[test]
fn a_camera_that_stopped_is_waited_for_no_longer() {
    const FRAMES: u32 = 200;
    let (ends, goes_on) = (camera(0, FRAMES), camera(1, 1_000_000));
    let delay = Duration::from_secs(2);
    let first = batched(SHADOW, "1.0.0", 2, Batch { max: 2, delay });
    let rig = Rig::start_all(&[&ends, &goes_on], first, 1024, "");
    rig.until("frames of both", |rig| rig.healths.iter().all(|one| one.counts().inferred > 3));
    // Its source is closed, and may come back at any time.
    rig.doors[1].set_paused(true);
    let began = std::time::Instant::now();
    rig.until("the other's end", |rig| rig.health.counts().inferred == u64::from(FRAMES));
    assert!(began.elapsed() < 10 * delay, "each frame waited for it: {:?}", began.elapsed());
    rig.doors[1].set_paused(false);
    let so_far = rig.healths[1].counts().inferred;
    rig.until("its frames again", |rig| rig.healths[1].counts().inferred > so_far + 3);
    whole(&rig.finish_all(false)[0], FRAMES);
}

#[test]
fn a_camera_whose_next_frame_is_far_away_is_not_waited_for() {
    let quick = camera(0, 50);
    let slow = "kind = 'pattern'\nwidth = 320\nheight = 180\nrate_hz = 0.1\n";
    // The slow one's next frame is ten seconds away.
    let delay = Duration::from_secs(5);
    let first = batched(SHADOW, "1.0.0", 2, Batch { max: 2, delay });
    let rig = Rig::start_all(&[&quick, slow], first, 1024, "");
    rig.until("the quick one's end", |rig| rig.health.counts().inferred == 50);
    whole(&rig.finish_all(false)[0], 50);
}

#[test]
fn no_frame_is_lost_to_a_swap_between_batches() {
    const FRAMES: u32 = 300;
    let cameras = [0, 1, 2].map(|number| camera(number, FRAMES));
    let rig = Rig::start_all(
        &cameras.each_ref().map(String::as_str),
        batched(SHADOW, "1.0.0", 3, TOGETHER),
        1024,
        "",
    );
    // More together, fewer, and each alone; on the processor and beside it.
    let two = Batch { max: 2, ..TOGETHER };
    let batches = [(CPU, two), (SHADOW, Batch::ALONE), (SHADOW, TOGETHER), (CPU, TOGETHER)];
    for (number, (engine, batch)) in batches.into_iter().enumerate() {
        let next = batched(engine, &format!("1.0.{}", number + 1), 3, batch);
        let at = 40 * u64::try_from(number + 1).unwrap();
        rig.until("the frame of the swap", |rig| rig.health.counts().inferred >= at);
        rig.swap().hand_over(next);
    }
    let swap = rig.swap();
    for seen in rig.finish_all(true) {
        whole(&seen, FRAMES);
        assert_eq!(read(seen.last().unwrap()).model.version, "1.0.4");
    }
    assert_eq!(swap.adopted(), 5);
}

#[test]
fn a_model_on_trial_sees_frames_of_every_camera_of_a_batch() {
    let cameras = [0, 1].map(|number| camera(number, 1_000_000));
    let sources = cameras.each_ref().map(String::as_str);
    let rig = Rig::start_all(&sources, batched(SHADOW, "1.0.0", 2, TOGETHER), 16, "");
    let batch = Batch { max: 2, delay: LONG };
    let trial = rig.swap().try_out(&batched(CPU, "2.0.0", 2, batch).into()).unwrap();
    rig.until("frames of the trial", |_| trial.figures().inferred >= 5);
    assert_eq!(trial.figures().failed, 0);
    drop(trial);
    rig.finish_all(false);
}
