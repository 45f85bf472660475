//! `[update]` of the configuration as a real daemon takes it: certificate, token, group, bandwidth, window, and the
//! `install` topic; what the local commands say meanwhile.

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use tests::bench::{self, BRIGHTNESS};
use tests::heard::exactly;
use tests::{Bench, Ended, Fleet, Guard, Kind, Launch, Nginx, PATIENCE, Stdout, onnx};
use wire::{ModelState, Phase};

/// Waits until the slot is in `phase` with `installed` installed.
fn stands(bench: &Bench, phase: Phase, installed: Option<&str>) -> Result<()> {
    let topic = bench.topics.model_state(BRIGHTNESS);
    let what = format!("{phase:?} with {installed:?}");
    bench.listener.wait(&what, PATIENCE * 2, |messages| {
        let last = messages.iter().rev().find(|message| message.topic == topic)?;
        let state: ModelState<'_> = exactly(&last.body).ok()?;
        let version = state.installed.map(|one| one.version);
        (state.phase == phase && version.as_deref() == installed).then_some(())
    })
}

/// What a `vedette` command says on standard output, and its end.
fn vedette(bench: &Bench, args: &[&str]) -> Result<(String, Ended)> {
    let args: Vec<&str> = args.iter().copied().chain(["--config", "vedette.toml"]).collect();
    let mut command = Launch::test(&bench.folder, &args)?.stdout(Stdout::Pipe).start()?;
    let mut said = String::new();
    let mut out = command.take_stdout().context("no output")?;
    std::io::Read::read_to_string(&mut out, &mut said)?;
    Ok((said, command.wait_exit(PATIENCE)?))
}

/// A maintenance window of an hour that begins in `hours`.
fn window(hours: i64) -> Result<String> {
    let at = |hours| -> Result<String> {
        let time = Timestamp::now().checked_add(SignedDuration::from_hours(hours))?;
        Ok(time.to_string()[11..16].to_owned())
    };
    Ok(format!("window_utc = \"{}-{}\"\n", at(hours)?, at(hours + 1)?))
}

/// The configuration of a device behind `nginx`: where releases come from, what it has in place of `keys`, and the rest.
struct Device {
    update: String,
    ca: String,
    certificate: String,
    token: String,
    rest: String,
}

impl Device {
    fn new(bench: &Bench, fleet: &Fleet, nginx: &Nginx) -> Result<Self> {
        tests::fleet::write_model(&bench.folder, BRIGHTNESS, &onnx::brightness(13), "1.0.0", 0.5)?;
        let file = |name: &str| nginx.folder().join(name).display().to_string();
        let model = bench::model(BRIGHTNESS, BRIGHTNESS) + "release = \"brightness\"\n";
        let (certificate, key) = (file("device.pem"), file("device.key"));
        Ok(Self {
            update: fleet.update().replace(fleet.url(), &nginx.url()),
            ca: format!("ca_file = '{}'\n", file("ca.pem")),
            certificate: format!("cert_file = '{certificate}'\nkey_file = '{key}'\n"),
            token: format!("token_file = '{}'\n", file("token")),
            rest: model + &bench::pipeline("door", BRIGHTNESS, bench::TEN_A_SECOND, ""),
        })
    }

    /// With everything that the server asks for, and a window.
    fn whole(&self, window: &str) -> String {
        let Self { update, ca, certificate, token, rest } = self;
        let more = "group = \"canary\"\nbandwidth_kib_s = 1024\n";
        format!("{update}{ca}{certificate}{token}{more}{window}{rest}")
    }
}

#[test]
fn a_server_that_sends_its_clients_on_to_plain_http_is_not_followed() -> Result<()> {
    let (bench, fleet) = (Bench::new()?, Fleet::new()?);
    let nginx = Nginx::start(&fleet.folder().join("repo"), Guard::Downgrading)?;
    let Device { update, ca, rest, .. } = Device::new(&bench, &fleet, &nginx)?;
    let mut daemon = bench.start(&format!("{update}{ca}{rest}"))?;
    bench.observed("door", 1)?;
    let (said, _) = vedette(&bench, &["update", "check"])?;
    let log = daemon.log();
    ensure!(
        format!("{said}{log}").contains("a redirect from https to plain http"),
        "{said}\n{log}"
    );
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

#[test]
fn who_asks_again_and_again_does_not_keep_a_probation_from_ending() -> Result<()> {
    let (bench, fleet) = (Bench::new()?, Fleet::new()?);
    fleet.release("2.0.0", Kind::Good, 1)?;
    tests::fleet::write_model(&bench.folder, BRIGHTNESS, &onnx::brightness(13), "1.0.0", 0.5)?;
    let model = bench::model(BRIGHTNESS, BRIGHTNESS) + "release = \"brightness\"\n";
    let door = bench::pipeline("door", BRIGHTNESS, bench::TEN_A_SECOND, "");
    let mut daemon = bench.start(&(fleet.update() + &model + &door))?;
    let began = std::time::Instant::now();
    loop {
        let (said, _) = vedette(&bench, &["update", "check"])?;
        if said.contains("2.0.0 is installed") {
            break;
        }
        ensure!(began.elapsed() < PATIENCE * 2, "it still says: {said}");
    }
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

#[test]
fn whoever_has_not_all_that_the_server_asks_for_is_told_so() -> Result<()> {
    let (bench, fleet) = (Bench::new()?, Fleet::new()?);
    let nginx = Nginx::start(&fleet.folder().join("repo"), Guard::Locked)?;
    let Device { update, ca, certificate, token, rest } = Device::new(&bench, &fleet, &nginx)?;
    for (what, keys, why) in [
        ("no authority", String::new(), "cannot be reached"),
        ("no certificate", ca.clone() + &token, "400"),
        ("no token", ca + &certificate, "401"),
    ] {
        let mut daemon = bench.start(&(update.clone() + &keys + &rest))?;
        let (_, check) = vedette(&bench, &["update", "check"])?;
        assert_eq!(check.code, Some(1), "{what}");
        assert!(check.log.contains(why), "{what}: {}", check.log);
        let (status, _) = vedette(&bench, &["status"])?;
        assert!(status.contains("trouble"), "{what}: {status}");
        assert_eq!(daemon.stop()?.code, Some(0), "{what}");
    }
    Ok(())
}

#[test]
fn a_device_with_certificate_and_token_takes_its_groups_release_in_its_window() -> Result<()> {
    let (bench, fleet) = (Bench::new()?, Fleet::new()?);
    fleet.release("2.0.0", Kind::Good, 1)?;
    let model = fleet.model("3.0.0", Kind::Good)?;
    let vedette_path = tests::places::vedette()?.display().to_string();
    let terms = ["--soak-s", "1", "--min-inferences", "5", "--probation-s", "1"];
    let publish = ["publish", "repo", &model, "--keys", "keys", "--vedette", &vedette_path];
    fleet.must(&[&publish[..], &terms].concat())?;
    fleet.must(&["rollout", "repo", BRIGHTNESS, "3.0.0", "--keys", "keys", "--group", "canary"])?;

    let nginx = Nginx::start(&fleet.folder().join("repo"), Guard::Locked)?;
    let device = Device::new(&bench, &fleet, &nginx)?;

    // Outside its window it fetches, and waits; the commands say so at once.
    let mut daemon = bench.start(&device.whole(&window(2)?))?;
    bench.listener.take();
    bench.listener.say(&bench.topics.model_install(BRIGHTNESS), "now")?;
    stands(&bench, Phase::Staging, None)?;
    let (check, ended) = vedette(&bench, &["update", "check"])?;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(check.contains("3.0.0 is here, and waits for the maintenance window"), "{check}");
    let (status, _) = vedette(&bench, &["status", "--json"])?;
    let status: serde_json::Value = serde_json::from_str(&status)?;
    let slot = &status[0];
    assert_eq!(slot["offered"]["installed"]["release"]["version"], "3.0.0", "{status}");
    assert!(slot["total_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{status}");
    assert_eq!(slot["progress_bytes"], slot["total_bytes"], "{status}");
    let (list, _) = vedette(&bench, &["model", "list"])?;
    ensure!(list.contains("under way  3.0.0 (counter 2): staging"), "{list}");
    // Its owner does not want it now.
    let (_, back) = vedette(&bench, &["model", "rollback"])?;
    assert_eq!(back.code, Some(0), "{}", back.log);
    stands(&bench, Phase::Idle, None)?;
    assert_eq!(daemon.stop()?.code, Some(0));

    let mut daemon = bench.start(&device.whole(&window(0)?))?;
    stands(&bench, Phase::Idle, Some("3.0.0"))?;
    assert_eq!(daemon.stop()?.code, Some(0));
    let (status, _) = vedette(&bench, &["status"])?;
    ensure!(status.contains("installed  3.0.0 (counter 2"), "{status}");
    ensure!(status.contains("before     the configured folder"), "{status}");
    ensure!(status.contains("no daemon runs"), "{status}");
    Ok(())
}
