//! What a sensor sends when something is wrong with it: counted, said once with what to do, and over when it is over.

use std::net::TcpListener;

use anyhow::{Context as _, Result, ensure};
use tests::Bench;

use crate::rig::{AGAIN, Mode, Rig, Sensor};

#[test]
fn what_is_no_sample_is_counted_and_said_and_windows_flow_again_when_it_is_over() -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let source = format!("kind = \"tcp\", address = \"{}\"", listener.local_addr()?);
    let rig = Rig::start(Bench::new()?, &source, "")?;
    let sensor = Sensor::serving(listener)?;
    rig.flows("pump")?;
    let mut before = 0;
    for (mode, said) in [
        (Mode::NotNumber, "`x` is `nan`"),
        (Mode::Missing, "2 columns instead of 3"),
        (Mode::Text, "`E (312) i2c: timeout`"),
        (Mode::Endless, "a line is longer than a sample can be"),
    ] {
        sensor.set(mode);
        rig.says(said)?;
        sensor.set(Mode::Well);
        rig.flows_within("pump", AGAIN).with_context(|| format!("{mode:?}"))?;
        let told = rig.told("more that was unusable", |samples| {
            samples["unusable_total"].as_u64() > Some(before)
        })?;
        before = told["samples"]["unusable_total"].as_u64().unwrap_or_default();
    }
    // Each kind once, however many lines there were.
    let log = rig.daemon.log();
    ensure!(log.matches("no number, and the sample is left out").count() == 1, "{log}");
    ensure!(!log.contains("has closed the connection"), "{log}");
    drop(sensor);
    rig.end()
}

#[test]
fn a_sensor_that_is_ten_times_as_fast_is_said_and_its_machine_is_still_known() -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let source =
        format!("kind = \"tcp\", address = \"{}\", rate_hz = 1000", listener.local_addr()?);
    let rig = Rig::start(Bench::new()?, &source, "")?;
    let sensor = Sensor::serving(listener)?;
    rig.flows("pump")?;
    let near = |rate: f64, wanted: f64| (0.8..1.2).contains(&(rate / wanted));
    rig.told("a measured rate", |samples| {
        samples["rate_hz"].as_f64().is_some_and(|rate| near(rate, 1000.0))
    })?;
    sensor.set(Mode::TenTimes);
    rig.says("samples come at another rate than `rate_hz` says")?;
    rig.told("ten times the rate", |samples| {
        samples["rate_hz"].as_f64().is_some_and(|rate| near(rate, 10_000.0))
    })?;
    rig.flows_within("pump", AGAIN)?;
    sensor.set(Mode::Well);
    rig.flows_within("pump", AGAIN)?;
    drop(sensor);
    rig.end()
}

#[test]
fn a_pause_of_a_sensor_is_a_gap_and_no_window_reaches_over_it() -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let source =
        format!("kind = \"tcp\", address = \"{}\", silence_s = 20", listener.local_addr()?);
    let rig = Rig::start(Bench::new()?, &source, "")?;
    let sensor = Sensor::serving(listener)?;
    rig.flows("pump")?;
    sensor.set(Mode::Silent);
    for _ in 0..4 {
        rig.flows("door")?;
    }
    sensor.set(Mode::Well);
    rig.flows_within("pump", AGAIN)?;
    let told = rig.told("the gap", |samples| samples["gaps_total"].as_u64() >= Some(1))?;
    ensure!(told["samples"]["unusable_total"] == 0, "{told}");
    drop(sensor);
    rig.end()
}
