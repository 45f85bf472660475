//! Health, readiness and status.

use std::time::Instant;

use anyhow::{Result, ensure};
use tests::bench::{self, BRIGHTNESS};
use tests::{Daemon, Folder, PATIENCE, http, onnx};

use crate::{api, daemon};

/// Asks until `path` is answered with `status`.
fn wait(port: u16, path: &str, status: u16) -> Result<http::Answer> {
    let began = Instant::now();
    loop {
        let answer = http::get(port, path)?;
        if answer.status == status {
            return Ok(answer);
        }
        ensure!(began.elapsed() < PATIENCE, "{path} is still {}: {}", answer.status, answer.text());
        std::thread::yield_now();
    }
}

#[test]
fn a_daemon_that_infers_is_ready_and_says_how_it_does() -> Result<()> {
    let folder = Folder::new()?;
    let (mut daemon, port) = daemon(&folder, "")?;
    assert_eq!(http::get(port, "/healthz")?.text(), "ok\n");
    let ready = wait(port, "/readyz", 200)?.json()?;
    assert_eq!(ready, serde_json::json!({ "ready": true, "reasons": [] }));
    let status = http::get(port, "/v1/status")?.json()?;
    assert_eq!(status["ready"], true);
    assert_eq!(status["broker"], serde_json::Value::Null);
    let door = &status["pipelines"][0];
    assert_eq!((door["name"].as_str(), door["model"].as_str()), (Some("door"), Some(BRIGHTNESS)));
    ensure!(door["inferred"].as_u64() > Some(0), "{door}");
    ensure!(door["steps"]["inference_ms"].as_f64() > Some(0.0), "{door}");
    assert_eq!(status["engines"][0]["provider"], "cpu");
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

#[test]
fn a_daemon_whose_camera_is_missing_is_healthy_but_not_ready_and_says_why() -> Result<()> {
    let folder = Folder::new()?;
    let model = bench::brightness(&folder, BRIGHTNESS, &onnx::brightness(13))?;
    let source = "kind = \"replay\", path = \"missing\", rate_hz = 10";
    let door = bench::pipeline("door", BRIGHTNESS, source, "");
    let daemon = Daemon::start(&folder, &[bench::head(), api(""), model, door].concat())?;
    let port = daemon.api_port()?;
    assert_eq!(http::get(port, "/healthz")?.status, 200);
    let answer = http::get(port, "/readyz")?;
    assert_eq!(answer.status, 503);
    let reason = answer.json()?["reasons"][0].to_string();
    ensure!(reason.contains("pipeline door: no frame yet"), "{reason}");
    Ok(())
}

#[test]
fn a_device_without_a_camera_may_serve_its_models_alone() -> Result<()> {
    let folder = Folder::new()?;
    let model = bench::brightness(&folder, BRIGHTNESS, &onnx::brightness(13))?;
    let mut daemon = Daemon::start(&folder, &[bench::head(), api(""), model].concat())?;
    let port = daemon.api_port()?;
    assert_eq!(http::get(port, "/readyz")?.status, 200);
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}
