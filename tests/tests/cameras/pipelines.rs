//! GStreamer pipelines of one's own.

use anyhow::{Result, ensure};
use tests::bench::{self, BRIGHTNESS};
use tests::{Bench, PATIENCE, onnx};

use crate::rig::Rig;

fn source(pipeline: &str) -> String {
    format!("kind = \"gstreamer\", pipeline = \"{pipeline}\", rate_hz = 10")
}

/// A white picture of an odd size, whose rows GStreamer pads.
fn white(format: &str) -> String {
    format!(
        "videotestsrc pattern=white is-live=true ! video/x-raw,format={format},width=101,height=75,framerate=10/1"
    )
}

#[test]
fn every_format_that_a_pipeline_ends_in_is_read_with_its_padding() -> Result<()> {
    let ends = ["NV12", "I420", "YUY2", "RGB", "BGR", "GRAY8"].map(white);
    let jpeg = white("I420") + " ! jpegenc";
    for end in ends.into_iter().chain([jpeg]) {
        let rig = Rig::start(Bench::new()?, &source(&end))?;
        ensure!(rig.flows("gate")? == (101, 75), "{end}");
        let brightness = rig.brightness("gate")?;
        // GStreamer's white is that of video, 235 of 255, and grey and its JPEG have no word for that range.
        let narrow = end.contains("GRAY8") || end.contains("jpegenc");
        let white = if narrow { 235.0 / 255.0 } else { 1.0 };
        ensure!((white - 0.02..white + 0.02).contains(&brightness), "{end}: {brightness}");
        rig.end()?;
    }
    Ok(())
}

#[test]
fn a_pipeline_that_comes_to_its_end_ends_and_loses_no_more_than_was_not_taken() -> Result<()> {
    let bench = Bench::new()?;
    let model = bench::brightness(&bench.folder, BRIGHTNESS, &onnx::brightness(13))?;
    let text =
        "videotestsrc num-buffers=30 is-live=true ! video/x-raw,width=64,height=48,framerate=30/1";
    let config =
        model + &bench::pipeline("gate", BRIGHTNESS, &(source(text) + ", ends = true"), "");
    let ended = bench.start(&config)?.wait_exit(PATIENCE)?;
    ensure!(ended.code == Some(0), "{ended:?}");
    ensure!(bench.goodbye()?.iter().any(|m| m.topic == bench.topics.observation("gate")));
    Ok(())
}

#[test]
fn a_pipeline_that_cannot_work_is_said_in_one_line_with_what_to_do() -> Result<()> {
    for (text, said) in [
        ("nosuch ! videoconvert", "there is no GStreamer element `nosuch`"),
        ("videotestsrc ! avdec_nosuch", "install gstreamer1.0-libav"),
        ("videotestsrc ! video/x-raw,format=ARGB", "end it in `videoconvert`"),
        ("audiotestsrc", "end it in `videoconvert`"),
        ("videotestsrc ! video/x-raw,format=NV12 ! ! x", "GStreamer: "),
        ("videotestsrc num-buffers=1", "the stream ended"),
        ("filesrc location=/nonexistent ! decodebin ! videoconvert", "No such file"),
        ("videotestsrc ! valve drop=true", "no first frame came within 1 s"),
    ] {
        let rig = Rig::start(Bench::new()?, &(source(text) + ", start_s = 1"))?;
        rig.says(said)?;
        rig.end()?;
    }
    let rig = Rig::start(Bench::new()?, "kind = \"csi\"")?;
    rig.says(
        "there is no GStreamer element `nvarguscamerasrc`: install GStreamer plugins of JetPack",
    )?;
    rig.end()
}
