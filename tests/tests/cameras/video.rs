//! Cameras of the kernel's, by a stand-in for their driver (`tests/c/v4l2_camera.c`).

use anyhow::{Result, ensure};
use tests::video::Video;
use tests::{Bench, Daemon, PATIENCE};

use crate::rig::Rig;

fn source(video: &Video, more: &str) -> String {
    format!("kind = \"v4l2\", device = \"{}\", {more}", video.path().display())
}

fn start(video: &Video, more: &str) -> Result<Rig> {
    Rig::start_with(Bench::new()?, &source(video, more), |launch| video.shown_to(launch))
}

#[test]
fn the_cheapest_format_that_is_fast_enough_is_taken_and_frames_flow() -> Result<()> {
    for (more, size, started, white) in [
        ("width = 640, height = 480, rate_hz = 30", (640, 480), "start 30 1196444237", false),
        ("width = 640, height = 480, rate_hz = 10", (640, 480), "start 10 1448695129", true),
        ("width = 320, height = 240, rate_hz = 10", (320, 240), "start 10 842094158", true),
        ("width = 320, height = 240, format = \"grey\"", (320, 240), "start 10 1497715271", true),
        ("width = 640, height = 480, format = \"yuyv\"", (640, 480), "start 10 1448695129", true),
    ] {
        let video = Video::new()?;
        let rig = start(&video, more)?;
        ensure!(rig.flows("gate")? == size, "{more}");
        ensure!(video.log().contains(started), "{more}: {}", video.log());
        let brightness = rig.brightness("gate")?;
        ensure!(!white || (0.98..1.02).contains(&brightness), "{more}: {brightness}");
        rig.end()?;
    }
    Ok(())
}

#[test]
fn a_camera_is_unplugged_fails_falls_silent_and_frames_flow_again() -> Result<()> {
    let video = Video::new()?;
    let rig = start(&video, "width = 320, height = 240, rate_hz = 10")?;
    for (fault, said) in [
        ("unplugged", "it was unplugged"),
        ("eio", "cable, power supply or USB bandwidth"),
        ("silent", "no frame came for 2.5 s"),
        ("damaged", "no frame came for 2.5 s but"),
        ("short", "damaged ones"),
    ] {
        rig.flows("gate")?;
        match fault {
            "unplugged" => video.unplug()?,
            other => video.is(other)?,
        }
        // Both say of damaged pictures that they were damaged.
        rig.says_times(said, if fault == "short" { 2 } else { 1 })?;
        if fault == "unplugged" {
            rig.says("is the camera plugged in?")?;
        }
        video.replug()?;
        rig.flows("gate")?;
    }
    rig.end()
}

#[test]
fn what_a_camera_cannot_is_said_in_one_line_with_what_to_do() -> Result<()> {
    for (fault, more, said) in [
        ("eacces", "", "add the user to group video"),
        ("ebusy", "", "another program uses it"),
        ("enodev", "", "plug the camera in again"),
        ("planes", "", "use the source `gstreamer` with v4l2src"),
        ("metadata", "", "gives no frames"),
        ("h264", "", "it does not give a format that is read here; it gives H264"),
        ("", ", format = \"rgb\"", "it does not give rgb; it gives yuyv, mjpeg, grey, nv12"),
        ("", ", controls = { brightnes = 3 }", "did you mean `brightness`?"),
        ("", ", controls = { brightness = 300 }", "goes from 0 to 255 by 1: 300 does not"),
        (
            "",
            ", controls = { auto_exposure = \"Auto\" }",
            "known are `Manual Mode`, `Aperture Priority Mode`",
        ),
    ] {
        let video = Video::new()?;
        video.is(fault)?;
        let rig = start(&video, &format!("width = 320, height = 240, rate_hz = 10{more}"))?;
        rig.says(said)?;
        rig.end()?;
    }
    let video = Video::new()?;
    let rig = start(&video, "width = 1000, height = 1000")?;
    rig.says("it does not give 1000 x 1000; it gives yuyv 640x480 320x240; mjpeg 640x480 320x240")?;
    rig.end()?;
    let folder = tests::Folder::new()?;
    folder.write("no-camera", "")?;
    let path = folder.join("no-camera");
    let rig =
        Rig::start(Bench::new()?, &format!("kind = \"v4l2\", device = \"{}\"", path.display()))?;
    rig.says("it does not know Video4Linux")?;
    rig.end()
}

#[test]
fn controls_are_set_by_their_names_and_those_that_decide_others_first() -> Result<()> {
    let video = Video::new()?;
    let controls = "controls = { brightness = 7, exposure_time_absolute = 100, auto_exposure = \"Manual Mode\" }";
    let rig = start(&video, &format!("width = 320, height = 240, rate_hz = 10, {controls}"))?;
    rig.flows("gate")?;
    let log = video.log();
    let set: Vec<&str> = log.lines().filter(|line| line.starts_with("control")).collect();
    ensure!(set == ["control 2305 1", "control 2304 7", "control 2306 100"], "{log}");
    rig.end()
}

#[test]
fn two_names_for_a_camera_and_none_are_mistakes() -> Result<()> {
    let bench = Bench::new()?;
    for (source, said) in [
        ("kind = \"v4l2\"", "is missing: a file such as /dev/video0, or `usb`"),
        ("kind = \"v4l2\", device = \"/dev/video0\", usb = \"046d:0825\"", "keep one"),
        ("kind = \"v4l2\", usb = \"webcam\"", "expected VENDOR:PRODUCT[:SERIAL]"),
        ("kind = \"v4l2\", device = \"x\", controls = { a = [1] }", "an entry of its menu"),
    ] {
        let text = format!(
            "{}[[pipeline]]\nname = \"a\"\nmodel = \"m\"\nsource = {{ {source} }}\n",
            bench.head()
        );
        let mut daemon = Daemon::start(&bench.folder, &text)?;
        let ended = daemon.wait_exit(PATIENCE)?;
        ensure!(ended.code == Some(78) && ended.log.contains(said), "{}", ended.log);
    }
    Ok(())
}
