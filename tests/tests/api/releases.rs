//! What the API tells of releases, and a roll-back over HTTP.

use anyhow::{Result, ensure};
use serde_json::Value;
use tests::bench::{self, BRIGHTNESS};
use tests::heard::exactly;
use tests::{Bench, Daemon, Fleet, Folder, Kind, PATIENCE, http, onnx};
use wire::{ModelState, Phase};

use crate::{api, daemon};

const TOKEN: (&str, &str) = ("Authorization", "Bearer s3cret");
const ROLLBACK: &str = "/v1/models/brightness/rollback";

/// A device whose configured model is `brightness` 1.0.0, which takes releases as `update` says, and an API whose
/// token is [`TOKEN`]'s.
pub(crate) fn config(folder: &Folder, update: &str) -> Result<String> {
    let token = folder.write("token", "s3cret\n")?;
    tests::folder::set_mode(&token, 0o600)?;
    tests::fleet::write_model(folder, BRIGHTNESS, &onnx::brightness(13), "1.0.0", 0.5)?;
    let model = bench::model(BRIGHTNESS, BRIGHTNESS) + "release = \"brightness\"\n";
    let door = bench::pipeline("door", BRIGHTNESS, bench::TEN_A_SECOND, "");
    Ok([update, &api("token_file = \"token\""), &model, &door].concat())
}

/// Waits until the slot rests with `version` installed (`None`: the configured folder), and asks whether the API says
/// so too.
pub(crate) fn rests(bench: &Bench, port: u16, version: Option<&str>) -> Result<()> {
    let topic = bench.topics.model_state(BRIGHTNESS);
    bench.listener.wait(&format!("{version:?} installed"), PATIENCE * 2, |messages| {
        let last = messages.iter().rev().find(|message| message.topic == topic)?;
        let state: ModelState<'_> = exactly(&last.body).ok()?;
        let installed = state.installed.as_ref().map(|one| one.version.as_str());
        (state.phase == Phase::Idle && installed == version).then_some(())
    })?;
    let slot = &http::get(port, "/v1/status")?.json()?["releases"][0];
    ensure!(slot["installed"]["version"].as_str() == version && slot["phase"] == "idle", "{slot}");
    Ok(())
}

#[test]
fn a_release_is_rolled_back_over_http_and_once_only() -> Result<()> {
    let (bench, fleet) = (Bench::new()?, Fleet::new()?);
    fleet.release("2.0.0", Kind::Good, 2)?;
    let mut daemon = bench.start(&config(&bench.folder, &fleet.update())?)?;
    let port = daemon.api_port()?;
    bench.observed("door", 5)?;
    bench.listener.say(&bench.topics.model_install(BRIGHTNESS), "now")?;
    rests(&bench, port, Some("2.0.0"))?;
    assert_eq!(http::post(port, ROLLBACK, &[], b"")?.status, 401);
    let done = http::post(port, ROLLBACK, &[TOKEN], b"")?;
    assert_eq!(done.status, 200, "{}", done.text());
    ensure!(done.json()?["lines"][0].as_str().is_some_and(|line| line.starts_with("brightness: ")));
    rests(&bench, port, None)?;
    let again = http::post(port, ROLLBACK, &[TOKEN], b"")?;
    assert_eq!(again.status, 409, "{}", again.text());
    ensure!(again.error()?.starts_with("brightness: "), "{}", again.text());
    let other = http::post(port, "/v1/models/other/rollback", &[TOKEN], b"")?;
    assert_eq!(other.error()?, "no model `other` takes releases here");
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

#[test]
fn who_can_take_no_release_at_all_says_why() -> Result<()> {
    let folder = Folder::new()?;
    folder.write("root.json", "{\"signed\": ")?;
    let update = "[update]\nurl = \"http://127.0.0.1:9\"\nroot = \"root.json\"\n";
    let config = config(&folder, update)?;
    let mut daemon = Daemon::start(&folder, &[bench::head(), config].concat())?;
    let port = daemon.api_port()?;
    let broken = http::get(port, "/v1/status")?.json()?["releases_broken"].clone();
    ensure!(broken.as_str().is_some_and(|why| why.contains("root.json")), "{broken}");
    let refused = http::post(port, ROLLBACK, &[TOKEN], b"")?;
    // To go back needs no trust.
    assert_eq!(refused.status, 409);
    ensure!(refused.error()?.contains("there is nothing before it"), "{}", refused.text());
    let metrics = http::get(port, "/metrics")?.text();
    ensure!(metrics.contains("vedette_releases_broken 1"), "{metrics}");
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

#[test]
fn a_device_that_takes_no_releases_is_not_broken() -> Result<()> {
    let folder = Folder::new()?;
    let (_daemon, port) = daemon(&folder, "")?;
    let status = http::get(port, "/v1/status")?.json()?;
    assert_eq!(
        (&status["releases_broken"], &status["releases"]),
        (&Value::Null, &Value::Array(Vec::new()))
    );
    Ok(())
}
