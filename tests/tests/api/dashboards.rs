//! The dashboard for Grafana asks for nothing that `/metrics` does not have.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use tests::bench::{self, BRIGHTNESS};
use tests::{Bench, http, onnx, places};

use crate::api;
use crate::metrics::BOARD;

/// What a dashboard shows beyond that: rails, a fan, what throttles, memory and the processor.
pub(crate) const MORE: &[(&str, &str)] = &[
    ("sys/class/hwmon/hwmon0/name", "pwmfan\n"),
    ("sys/class/hwmon/hwmon0/pwm1", "128\n"),
    ("sys/class/hwmon/hwmon0/pwm1_enable", "1\n"),
    ("sys/class/hwmon/hwmon1/name", "ina3221\n"),
    ("sys/class/hwmon/hwmon1/in1_label", "VDD_IN\n"),
    ("sys/class/hwmon/hwmon1/in1_input", "5016\n"),
    ("sys/class/hwmon/hwmon1/curr1_input", "1550\n"),
    ("sys/class/hwmon/hwmon3/name", "soctherm_oc\n"),
    ("sys/class/hwmon/hwmon3/oc3_event_cnt", "27390\n"),
    ("sys/class/thermal/cooling_device0/type", "gpu-throttle-alert\n"),
    ("sys/class/thermal/cooling_device0/cur_state", "0\n"),
    ("sys/class/thermal/cooling_device0/max_state", "2\n"),
    ("proc/meminfo", "MemTotal: 8000000 kB\nMemAvailable: 4000000 kB\n"),
];

/// Every string under a key `expr`, `query` or `definition`.
fn queries(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(object) => {
            for (key, value) in object {
                match value {
                    serde_json::Value::String(text)
                        if ["expr", "definition", "query"].contains(&key.as_str()) =>
                    {
                        found.push(text.clone());
                    }
                    _ => queries(value, found),
                }
            }
        }
        serde_json::Value::Array(list) => list.iter().for_each(|value| queries(value, found)),
        _ => {}
    }
}

/// Names of metrics in a query.
fn names(query: &str) -> impl Iterator<Item = &str> {
    let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("vedette_") || word.starts_with("process_"))
}

#[test]
fn every_query_of_the_grafana_dashboard_names_a_metric_that_is_there() -> Result<()> {
    let path = places::repository().join("agent/dashboards/grafana.json");
    let dashboard: serde_json::Value = serde_json::from_slice(&std::fs::read(path)?)?;
    let mut asked = Vec::new();
    queries(&dashboard, &mut asked);
    let asked: BTreeSet<&str> = asked.iter().flat_map(|query| names(query)).collect();
    ensure!(asked.len() > 15, "only {asked:?}");

    // A copied tree has the board, this machine the processor.
    let mut there = told("sysroot = \"board\"")?;
    there.extend(told("")?);
    let missing: Vec<_> = asked.iter().filter(|name| !there.contains(**name)).collect();
    ensure!(missing.is_empty(), "not in /metrics: {missing:?}");
    Ok(())
}

/// Names of all samples that a daemon tells which watches its board as `telemetry` says.
fn told(telemetry: &str) -> Result<BTreeSet<String>> {
    let bench = Bench::new()?;
    for (path, text) in BOARD.iter().chain(MORE) {
        bench.folder.write(&format!("board/{path}"), text)?;
    }
    let model = bench::brightness(&bench.folder, BRIGHTNESS, &onnx::brightness(13))?;
    let door = bench::pipeline("door", BRIGHTNESS, bench::TEN_A_SECOND, "");
    let board = format!("[telemetry]\nevery_s = 1\n{telemetry}\n");
    let daemon = bench.start(&[board, api(""), model, door].concat())?;
    let port = daemon.api_port()?;
    bench.observed("door", 3)?;
    // The load of the processor is known from the second sample on.
    bench.listener.wait_count(&bench.topics.telemetry_board(), 2, tests::PATIENCE)?;
    http::get(port, "/healthz")?;
    let text = http::get(port, "/metrics")?.text();
    let names = text.lines().filter_map(|line| line.split(['{', ' ']).next());
    Ok(names.map(str::to_owned).collect())
}
