//! A picture through a pipeline, over HTTP.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tests::{Bench, Daemon, Folder, PATIENCE, bench, http, places};

use crate::{api, daemon as small};

/// `bytes` in base64.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letter = |n: u32| char::from(LETTERS[usize::try_from(n & 63).unwrap_or(0)]);
    let group = |three: &[u8]| {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        let four = [bits >> 18, bits >> 12, bits >> 6, bits].map(letter);
        let kept = four.iter().take(three.len() + 1).collect::<String>();
        format!("{kept:=<4}")
    };
    bytes.chunks(3).map(group).collect()
}

#[test]
fn a_picture_is_answered_with_what_the_pipeline_would_publish() -> Result<()> {
    let folder = Folder::new()?;
    let pipeline = bench::pipeline("door", "shapes", bench::TEN_A_SECOND, "");
    let config = [bench::head(), api(""), bench::shapes()?, pipeline].concat();
    let mut daemon = Daemon::start(&folder, &config)?;
    let port = daemon.api_port()?;
    let golden = places::model("shapes")?.join("golden/square/input.png");
    let picture = std::fs::read(golden)?;
    let raw = http::post(port, "/v1/predict", &[("Content-Type", "image/png")], &picture)?;
    assert_eq!(raw.status, 200, "{}", raw.text());
    let raw = raw.json()?;
    assert_eq!(
        (raw["schema"].as_str(), raw["pipeline"].as_str()),
        (Some("vedette/observation/1"), Some("door"))
    );
    let detections = raw["detections"].as_array().context("no detections")?;
    ensure!(!detections.is_empty(), "{raw}");
    let body = json!({ "pipeline": "door", "input": { "image": base64(&picture) } }).to_string();
    let coded = http::post(port, "/predict", &[], body.as_bytes())?.json()?;
    assert_eq!(coded["detections"], raw["detections"]);
    assert_eq!(coded["model"], raw["model"]);
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

#[test]
fn a_threshold_that_was_asked_of_the_pipeline_holds_for_a_picture_too() -> Result<()> {
    let bench = Bench::new()?;
    let commands = "[commands]\nallow = [\"set\"]\n";
    let pipeline = bench::pipeline("door", "shapes", bench::TEN_A_SECOND, "");
    let daemon = bench.start(&[commands, &api(""), &bench::shapes()?, &pipeline].concat())?;
    let port = daemon.api_port()?;
    let picture = std::fs::read(places::model("shapes")?.join("golden/square/input.png"))?;
    let found = || -> Result<usize> {
        let answer = http::post(port, "/v1/predict", &[], &picture)?.json()?;
        Ok(answer["detections"].as_array().context("no detections")?.len())
    };
    ensure!(found()? > 0, "nothing is found");
    let body = json!({ "pipeline": "door", "threshold": 1.0 }).to_string();
    bench.listener.say("vedette/v1/dut/cmd/set/1", body)?;
    bench.listener.wait_count(&bench.topics.command_result("set", "1"), 1, PATIENCE)?;
    assert_eq!(found()?, 0);
    Ok(())
}

#[test]
fn what_is_no_picture_is_refused_with_what_was_expected() -> Result<()> {
    let folder = Folder::new()?;
    let (_daemon, port) = small(&folder, "")?;
    let picture = tests::picture::png(64, 48, 90);
    for (path, body, status, part) in [
        ("/v1/predict", &b""[..], 400, "expected a JPEG or PNG picture"),
        ("/v1/predict", b"GIF89a", 400, "it is neither a JPEG nor a PNG picture"),
        ("/v1/predict", &picture[..picture.len() / 2], 400, "damaged as a PNG picture"),
        ("/v1/predict", b"\xff\xd8\xff", 400, "JPEG"),
        ("/v1/predict", b"{", 400, "the request cannot be read"),
        ("/v1/predict", b"{\"input\": {}}", 400, "missing field `image`"),
        ("/v1/predict", b"{\"input\": {\"image\": \"&&\"}}", 400, "is no base64"),
        ("/v1/predict", b"{\"input\": {\"image\": \"\"}}", 400, "it is empty"),
        (
            "/v1/predict?pipeline=yard",
            &picture,
            404,
            "there is no pipeline `yard`; there are: door",
        ),
    ] {
        let answer = http::post(port, path, &[], body)?;
        let said = answer.error().unwrap_or_default();
        ensure!(answer.status == status && said.contains(part), "{path}: {} {said}", answer.status);
    }
    let answer = http::post(port, "/v1/predict?pipeline=door", &[], &picture)?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    Ok(())
}
