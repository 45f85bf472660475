//! Each way on which samples come: it flows, is cut, is said, and flows again.

use std::fs::{File, remove_file};
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tests::{Bench, Listener, PATIENCE, bench};

use crate::machine::Machine;
use crate::rig::{AGAIN, Mode, Rig, Sensor};

/// The other end of a serial line whose port is at `port`.
fn plug(port: &Path) -> Result<Sensor> {
    let line = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&line)?;
    unlockpt(&line)?;
    fcntl_setfl(&line, OFlags::NONBLOCK)?;
    let name = ptsname(&line, Vec::new())?.into_string()?;
    drop(remove_file(port));
    symlink(name, port)?;
    Ok(Sensor::into(File::from(line)))
}

#[test]
fn a_serial_line_is_read_pulled_and_plugged_in_again() -> Result<()> {
    let bench = Bench::new()?;
    let port = bench.folder.join("port");
    let sensor = plug(&port)?;
    let rig = Rig::start(bench, "kind = \"serial\", device = \"port\", baud = 921600", "")?;
    let seen = rig.flows("pump")?;
    ensure!(seen["frame"]["width_px"] == 256 && seen["frame"]["height_px"] == 3, "{seen}");
    ensure!(seen["anomaly"]["anomalous"] == false, "{seen}");
    drop(sensor);
    rig.says("was its cable pulled?")?;
    let sensor = plug(&port)?;
    rig.flows_within("pump", AGAIN)?;
    drop(sensor);
    rig.end()
}

#[test]
fn a_server_is_read_cut_off_and_back() -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    let source = format!("kind = \"tcp\", address = \"{address}\"");
    let rig = Rig::start(Bench::new()?, &source, "")?;
    let sensor = Sensor::serving(listener)?;
    rig.flows("pump")?;
    drop(sensor);
    rig.says("has closed the connection")?;
    rig.says("nothing listens there")?;
    let listener = TcpListener::bind(address)?;
    let sensor = Sensor::serving(listener)?;
    rig.flows_within("pump", AGAIN)?;
    drop(sensor);
    rig.end()
}

#[test]
fn standard_input_is_read_to_its_end() -> Result<()> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    let source = "kind = \"stdin\", format = \"jsonl\"";
    let with = |launch: tests::Launch| launch.stdin(Stdio::from(reader));
    let rig = Rig::start_with(Bench::new()?, source, "", with)?;
    let mut pipe = File::from(writer);
    let mut machine = Machine::new(2);
    // Each packet is several windows: none is lost.
    for _ in 0..4 {
        pipe.write_all(machine.packet(640).as_bytes())?;
    }
    let seen = rig.bench.observed("pump", 19)?;
    let last: serde_json::Value = serde_json::from_slice(&seen[18].body)?;
    ensure!(last["frame"]["seq"] == 18 && last["frame"]["dropped"] == 0, "{last}");
    drop(pipe);
    rig.says("the source has ended")?;
    rig.end()
}

#[test]
fn a_topic_is_heard_falls_silent_and_is_heard_again() -> Result<()> {
    let bench = Bench::new()?;
    let topic = "hall/pump";
    let voice = Mutex::new(Listener::start(bench.broker.port(), None)?);
    let source = format!("kind = \"mqtt-samples\", topic = \"{topic}\", silence_s = 1");
    let rig = Rig::start(bench, &source, "")?;
    let sensor = Sensor::sending(move |packet| {
        let voice = voice.lock().map_err(drop);
        voice.is_ok_and(|voice| packet.is_empty() || voice.say(topic, packet).is_ok())
    });
    let seen = rig.flows("pump")?;
    ensure!(seen["frame"]["dropped"] == 0, "{seen}");
    sensor.set(Mode::Silent);
    rig.says("nothing came for 1 s")?;
    sensor.set(Mode::Well);
    rig.flows_within("pump", AGAIN)?;
    drop(sensor);
    rig.end()
}

/// More tries than a pause that doubles has in the time that the slowest of them takes for three.
const TRIES_MAX: usize = 12;

#[test]
fn what_is_not_there_is_said_in_one_line_with_what_to_do_and_tried_with_pauses() -> Result<()> {
    let bench = Bench::new()?;
    let closed = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
    let closed = format!("kind = \"tcp\", address = \"{closed}\"");
    let cases = [
        ("kind = \"serial\", device = \"nosuch\"", "there is no such port: is it plugged in?"),
        ("kind = \"serial\", device = \"/dev/null\"", "it is no serial port"),
        (&closed, "nothing listens there"),
        ("kind = \"tcp\", address = \"sensor.invalid:1\"", "`sensor.invalid` is not known"),
        ("kind = \"jsonl\", path = \"nosuch.jsonl\"", "No such file"),
        (
            "kind = \"iio\", device = \"nosuch\", rate_hz = 9, root = \".\"",
            "there is no such device",
        ),
    ];
    let mut more = String::new();
    for (number, (source, _)) in cases.iter().enumerate() {
        more += &bench::pipeline(&format!("pump{number}"), "vibration", source, "");
    }
    bench.folder.write("pump.csv", "x,y,z\n".to_owned() + &Machine::new(1).lines(1000))?;
    let source = "kind = \"csv\", path = \"pump.csv\", loop = true";
    let rig = Rig::start(bench, source, &more)?;
    let began = Instant::now();
    for (source, said) in &cases {
        // Not at once, and then after twice as long.
        rig.daemon.wait_log_lines(said, 3, PATIENCE).with_context(|| (*source).to_owned())?;
    }
    let log = rig.daemon.log();
    for (source, said) in &cases {
        let times = log.matches(said).count();
        ensure!(times <= TRIES_MAX, "{source}: said {times} times");
    }
    ensure!(began.elapsed() > Duration::from_millis(1900), "{:?}", began.elapsed());
    rig.flows("door")?;
    rig.flows("pump")?;
    rig.end()
}
