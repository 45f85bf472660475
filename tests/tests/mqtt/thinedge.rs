//! What the device says stands in thin-edge's tree too, where the configuration wants it.

use anyhow::Result;
use serde_json::{Value, json};
use tests::bench::{self, BRIGHTNESS};
use tests::{Bench, Listener, PATIENCE, onnx};

#[test]
fn an_alarm_and_a_measurement_are_repeated_where_thin_edge_looks() -> Result<()> {
    let bench = Bench::new()?;
    let edge = Listener::of("te/#", bench.broker.port(), None)?;
    let model = bench::brightness(&bench.folder, BRIGHTNESS, &onnx::brightness(13))?;
    let light = bench::pipeline("light", BRIGHTNESS, bench::TEN_A_SECOND, "");
    let mut daemon = bench.start(&format!("[thinedge]\n{model}{light}"))?;
    bench.listener.wait_status(&bench.topics, wire::StatusWord::Online, PATIENCE)?;
    // As the device itself would say it: it is heard back from the broker.
    let alarm = json!({ "ts": "T", "active": true, "subject": "cpu", "value": 99 });
    bench.listener.leave(&bench.topics.alarm("test"), alarm.to_string())?;
    let raised = edge.wait_count("te/device/main///a/test", 1, PATIENCE)?;
    let raised: Value = serde_json::from_slice(&raised[0].body)?;
    assert_eq!(raised["text"], "test: cpu, 99");
    let body = json!({ "ts": "T", "seq": 1, "inferred_rate_hz": 9.5, "latency_p50_ms": null });
    bench.listener.say(&bench.topics.telemetry_pipeline("test"), body.to_string())?;
    let said = edge.wait_count("te/device/main///m/vedette_pipeline_test", 1, PATIENCE)?;
    let said: Value = serde_json::from_slice(&said[0].body)?;
    assert_eq!(said, json!({ "time": "T", "inferred_rate_hz": 9.5 }));
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}
