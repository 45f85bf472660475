//! The model `vibration` on a machine that goes bad: it says so within the delay that its card states.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::{Bench, PATIENCE};

use crate::machine::{Machine, RATE_HZ};
use crate::rig::Rig;

/// Seconds without a fault, and seconds in which it would grow to severity 1; the recording ends long before.
const ONSET_S: usize = 40;
const GROWTH_S: f64 = 600.0;
/// Windows from the onset after which the fault is reported at the latest, by the model's card, for a bearing.
const LATEST_WINDOWS: usize = 829;
/// Samples from one window to the next, and of one.
const HOP: usize = 128;
const LENGTH: usize = 256;
/// What the card reports after.
const RULE: &str = "[[pipeline.events]]\nname = \"bearing\"\nkind = \"anomaly\"\nwindows = 8\n";

/// A recording of a machine whose bearing goes bad.
fn going_bad(seed: u64, seconds: usize) -> String {
    let mut machine = Machine::new(seed);
    let mut text = "x,y,z\n".to_owned();
    let onset = ONSET_S * 1000;
    for sample in 0..seconds * 1000 {
        let since = u32::try_from(sample.saturating_sub(onset)).unwrap_or(u32::MAX);
        machine.severity = (f64::from(since) / RATE_HZ / GROWTH_S).min(1.0);
        text += &machine.lines(1);
    }
    text
}

#[test]
fn a_machine_that_goes_bad_is_told_within_the_delay_that_the_models_card_states() -> Result<()> {
    let bench = Bench::new()?;
    let seconds = ONSET_S + (LATEST_WINDOWS * HOP + LENGTH).div_ceil(1000) + 5;
    bench.folder.write("pump.csv", going_bad(11, seconds))?;
    let source = "kind = \"csv\", path = \"pump.csv\", pace = \"free\"";
    let rig = Rig::start(bench, source, RULE)?;
    let topic = rig.bench.topics.event("pump");
    let events = rig.bench.listener.wait_count(&topic, 1, PATIENCE)?;
    let event: Value = serde_json::from_slice(&events[0].body)?;
    ensure!(event["event"] == "bearing" && event["state"] == "began", "{event}");
    ensure!(event["value"].as_f64() >= event["limit"].as_f64(), "{event}");
    let window = usize::try_from(event["frame_seq"].as_u64().context("no frame")?)?;
    // The first window that ends after the onset.
    let onset = (ONSET_S * 1000 - LENGTH) / HOP;
    ensure!(window > onset, "told {} windows before the onset: {event}", onset - window);
    ensure!(window - onset <= LATEST_WINDOWS, "told after {} windows: {event}", window - onset);
    rig.end()
}

#[test]
fn a_healthy_machine_is_not_told_and_none_of_its_windows_is_lost() -> Result<()> {
    let bench = Bench::new()?;
    let mut machine = Machine::new(5);
    bench.folder.write("pump.csv", "x,y,z\n".to_owned() + &machine.lines(60_000))?;
    let source = "kind = \"csv\", path = \"pump.csv\", pace = \"free\"";
    let rig = Rig::start(bench, source, RULE)?;
    let windows = (60_000 - LENGTH) / HOP + 1;
    let seen = rig.bench.observed("pump", windows)?;
    let mut over = 0;
    for (number, message) in seen.iter().enumerate() {
        let body: Value = serde_json::from_slice(&message.body)?;
        ensure!(body["frame"]["seq"] == number && body["frame"]["dropped"] == 0, "{body}");
        ensure!(body["frame"]["width_px"] == LENGTH && body["frame"]["height_px"] == 3, "{body}");
        over += usize::from(body["anomaly"]["anomalous"] == true);
    }
    // 0.5 % by the card, and four times that by chance.
    ensure!(over <= windows / 50, "{over} of {windows} windows of a healthy machine");
    let topic = rig.bench.topics.event("pump");
    ensure!(!rig.bench.listener.heard().iter().any(|message| message.topic == topic));
    let told = rig.told("all samples", |samples| samples["received_total"] == 60_000)?;
    ensure!(told["samples"]["rate_hz"] == 1000.0, "{told}");
    rig.end()
}

#[test]
fn a_recording_is_replayed_at_its_own_times_and_again() -> Result<()> {
    let bench = Bench::new()?;
    let mut machine = Machine::new(3);
    let mut text = "at,x,y,z\n".to_owned();
    for sample in 0..1500 {
        text += &format!("{},{}", 1_700_000_000_000_u64 + sample, machine.lines(1));
    }
    bench.folder.write("pump.csv", text)?;
    let source = "kind = \"csv\", path = \"pump.csv\", pace = \"recorded\", loop = true, time = \"at\", time_unit = \"ms\"";
    let rig = Rig::start(bench, source, "")?;
    // More than are in it.
    let seen = rig.bench.observed("pump", 15)?;
    let first: Value = serde_json::from_slice(&seen[0].body)?;
    let last: Value = serde_json::from_slice(&seen[14].body)?;
    ensure!(last["frame"]["dropped"] == 0 && first["frame"]["seq"] == 0, "{last}");
    let took = seen[14].at.duration_since(seen[0].at).as_secs_f64();
    ensure!((1.2..20.0).contains(&took), "15 windows in {took} s");
    let told = rig.told("no gap", |samples| samples["received_total"].as_u64() > Some(1500))?;
    ensure!(
        told["samples"]["gaps_total"] == 0 && told["samples"]["clock_jumps_total"] == 0,
        "{told}"
    );
    rig.end()
}

#[test]
fn a_file_without_a_wanted_column_is_named_with_those_it_has_and_disturbs_nobody() -> Result<()> {
    let bench = Bench::new()?;
    bench.folder.write("pump.csv", "time,x,y\n0,1,2\n")?;
    let rig = Rig::start(bench, "kind = \"csv\", path = \"pump.csv\"", "")?;
    rig.says("no column `z`: known are `time`, `x`, `y`")?;
    rig.bench.folder.write("pump.csv", "x,y,z\n".to_owned() + &Machine::new(1).lines(3000))?;
    rig.flows("pump")?;
    rig.end()
}
