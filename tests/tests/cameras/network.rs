//! RTSP cameras: a real server, killed, stopped, changed, and with another password.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tests::camera::Stream;
use tests::{Bench, Camera, Login, PATIENCE};

use crate::rig::Rig;

fn source(camera: &Camera, more: &str) -> String {
    format!("kind = \"rtsp\", url = \"{}\", rate_hz = 10{more}", camera.url())
}

#[test]
fn frames_of_a_network_camera_flow_whatever_it_encodes() -> Result<()> {
    for (codec, more) in [
        ("h264", ""),
        ("h264", ", codec = \"h264\", transport = \"udp\""),
        ("h265", ", codec = \"auto\", decoder = \"software\""),
        ("h265", ", codec = \"h265\""),
        ("jpeg", ""),
    ] {
        let camera = Camera::start(&Stream { codec, ..Stream::default() })?;
        let rig = Rig::start(Bench::new()?, &source(&camera, more))?;
        let size = rig.flows("gate").with_context(|| format!("{codec}{more}"))?;
        ensure!(size == (320, 240), "{codec}{more}: {size:?}");
        rig.end()?;
    }
    Ok(())
}

#[test]
fn a_camera_that_is_cut_off_comes_back_as_another_and_the_door_never_stops() -> Result<()> {
    let mut camera = Camera::start(&Stream::default())?;
    let rig = Rig::start(Bench::new()?, &source(&camera, ""))?;
    ensure!(rig.flows("gate")? == (320, 240));
    camera.kill();
    rig.says("cannot read the camera")?;
    rig.says("nothing listens there")?;
    camera.restart(&Stream { size: (426, 240), codec: "h265", ..Stream::default() })?;
    ensure!(rig.flows("gate")? == (426, 240));
    rig.end()
}

#[test]
fn a_camera_that_stands_still_is_noticed_by_the_frame_clock_alone() -> Result<()> {
    let camera = Camera::start(&Stream::default())?;
    let rig = Rig::start(Bench::new()?, &source(&camera, ""))?;
    rig.flows("gate")?;
    camera.freeze()?;
    rig.says("no frame came for 2.5 s")?;
    camera.thaw()?;
    rig.flows("gate")?;
    rig.end()
}

#[test]
fn a_wrong_password_is_named_and_a_right_one_is_taken_and_neither_is_shown_to_anybody() -> Result<()>
{
    let login = Login { user: "viewer".to_owned(), password: "kept secret".to_owned() };
    let camera = Camera::start(&Stream { login: Some(login), ..Stream::default() })?;
    let bench = Bench::new()?;
    bench.folder.write("password", "wrong secret\n")?;
    let more = ", user = \"viewer\", password_file = \"password\"";
    let rig = Rig::start(bench, &source(&camera, more))?;
    rig.says("the camera refuses user or password: look at `user` and `password_file`")?;
    rig.bench.folder.write("password", "kept secret\n")?;
    rig.flows("gate")?;
    let children = rig.children()?;
    ensure!(!children.is_empty(), "no capture process");
    for child in children {
        for file in ["cmdline", "environ"] {
            let text = std::fs::read(format!("/proc/{child}/{file}"))?;
            let text = String::from_utf8_lossy(&text);
            ensure!(!text.contains("secret") && !text.contains("viewer"), "{file}: {text}");
        }
    }
    ensure!(!rig.daemon.log().contains("secret"), "{}", rig.daemon.log());
    rig.end()
}

#[test]
fn what_cannot_be_a_camera_is_said_in_one_line_with_what_to_do_and_tried_with_pauses() -> Result<()>
{
    let camera = Camera::start(&Stream::default())?;
    let other = Bench::new()?;
    let (nothing, mqtt) = (camera.url().replace("/stream", "/nothing"), other.broker.port());
    drop(other);
    for (url, said) in [
        (nothing, "the camera has no such stream: look at the path in `url`"),
        (
            "rtsp://camera.invalid/stream".to_owned(),
            "the host's name `camera.invalid` is not known",
        ),
        (format!("rtsp://127.0.0.1:{mqtt}/stream"), "nothing listens there"),
    ] {
        let rig = Rig::start(Bench::new()?, &format!("kind = \"rtsp\", url = \"{url}\""))?;
        let began = Instant::now();
        rig.says(said)?;
        // Not at once, and then after twice as long.
        rig.says_times(said, 3)?;
        ensure!(began.elapsed() > Duration::from_millis(2900), "{:?}", began.elapsed());
        rig.end()?;
    }
    Ok(())
}

#[test]
fn a_capture_process_that_is_killed_is_started_again_and_none_outlives_the_daemon() -> Result<()> {
    let camera = Camera::start(&Stream::default())?;
    let mut rig = Rig::start(Bench::new()?, &source(&camera, ""))?;
    for signal in [Signal::ABORT, Signal::STOP] {
        rig.flows("gate")?;
        let children = rig.children()?;
        ensure!(children.len() == 1, "{children:?}");
        kill_process(process(children[0])?, signal)?;
        rig.says(if signal == Signal::STOP { "no frame came" } else { "ended with signal 6" })?;
        rig.flows("gate")?;
        ensure!(rig.children()?.len() == 1, "the stopped process is still there");
    }
    let child = process(rig.children()?[0])?;
    rig.daemon.signal(Signal::KILL)?;
    rig.daemon.wait_exit(PATIENCE)?;
    let deadline = Instant::now() + PATIENCE;
    while is_alive(child) {
        ensure!(Instant::now() < deadline, "a capture process outlives the daemon");
        std::thread::yield_now();
    }
    Ok(())
}

/// Whether it runs; one that has ended may wait for whoever inherited it.
fn is_alive(child: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.as_raw_nonzero()));
    stat.is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| !rest.starts_with(" Z")))
}

fn process(number: i32) -> Result<Pid> {
    Pid::from_raw(number).context("no process")
}
