//! `/metrics`, as promtool and a reader see it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use tests::bench::{self, BRIGHTNESS};
use tests::{Bench, http, onnx, places};

use crate::api;

/// The samples of a text, by their name and labels.
pub(crate) fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let samples = lines.filter_map(|line| line.rsplit_once(' '));
    let mut all = BTreeMap::new();
    for (name, value) in samples {
        if let Ok(value) = value.parse() {
            assert!(all.insert(name.to_owned(), value).is_none(), "{name} is there twice");
        }
    }
    all
}

/// A board of a few files, so that each family has something to say.
pub(crate) const BOARD: &[(&str, &str)] = &[
    ("proc/device-tree/model", "NVIDIA Jetson Orin NX Developer Kit\0"),
    ("proc/device-tree/compatible", "nvidia,p3768-0000+p3767-0000\0nvidia,tegra234\0"),
    ("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n"),
    ("sys/class/thermal/thermal_zone0/temp", "47375\n"),
    ("sys/devices/platform/bus@0/17000000.gpu/load", "427\n"),
];

#[test]
fn metrics_are_clean_for_promtool_and_say_what_the_daemon_does() -> Result<()> {
    let bench = Bench::new()?;
    for (path, text) in BOARD {
        bench.folder.write(&format!("board/{path}"), text)?;
    }
    let model = bench::brightness(&bench.folder, BRIGHTNESS, &onnx::brightness(13))?;
    let gate = "gate = { every = 2 }";
    let door = bench::pipeline("door", BRIGHTNESS, bench::TEN_A_SECOND, gate);
    let board = "[telemetry]\nevery_s = 1\nsysroot = \"board\"\n";
    let daemon = bench.start(&[board, &api(""), &model, &door].concat())?;
    let port = daemon.api_port()?;
    bench.observed("door", 3)?;
    bench.listener.wait_count(&bench.topics.telemetry_board(), 1, tests::PATIENCE)?;
    http::get(port, "/healthz")?;
    let answer = http::get(port, "/metrics")?;
    let of = |name: &str| answer.headers.get(name).map(String::as_str);
    assert_eq!(of("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    promtool(&answer.body)?;

    let found = samples(&answer.text());
    let value = |name: &str| found.get(name).copied().with_context(|| format!("no {name}"));
    for (name, least) in [
        ("vedette_pipeline_frames_inferred_total{pipeline=\"door\"}", 3.0),
        ("vedette_pipeline_frames_skipped_total{pipeline=\"door\"}", 1.0),
        ("vedette_pipeline_stage_seconds_count{pipeline=\"door\",stage=\"inference\"}", 3.0),
        ("vedette_pipeline_latency_seconds_bucket{pipeline=\"door\",le=\"+Inf\"}", 3.0),
        ("vedette_mqtt_connected", 1.0),
        ("vedette_api_requests_total{route=\"/healthz\",code=\"200\"}", 1.0),
        ("process_resident_memory_bytes", 1e6),
    ] {
        ensure!(value(name)? >= least, "{name} is {}", value(name)?);
    }
    assert_eq!(value("vedette_temperature_celsius{zone=\"cpu-thermal\"}")?, 47.375);
    ensure!((value("vedette_gpu_load_ratio")? - 0.427).abs() < 1e-9);
    assert_eq!(value("vedette_alarm_active{alarm=\"temperature\"}")?, 0.0);
    // What is not known is not there.
    ensure!(!answer.text().contains("vedette_power_watts"), "{}", answer.text());
    Ok(())
}

/// Prometheus' own opinion.
fn promtool(text: &[u8]) -> Result<()> {
    let mut promtool = Command::new(places::program("promtool")?)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    promtool.stdin.take().context("no input")?.write_all(text)?;
    let said = promtool.wait_with_output()?;
    let complaints = String::from_utf8_lossy(&said.stderr).into_owned();
    ensure!(said.status.success() && complaints.is_empty(), "promtool: {complaints}");
    Ok(())
}
