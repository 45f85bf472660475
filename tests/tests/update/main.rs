//! Releases: published by a real operator, pulled by a real daemon, tried, committed, refused, rolled back.

mod by_hand;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use tests::bench::{self, BRIGHTNESS};
use tests::heard::{every_frame, exactly, observations, unbroken};
use tests::{Bench, Daemon, Ended, Fleet, Kind, Launch, Message, PATIENCE, onnx};
use wire::{ModelEvent, ModelState, Phase};

/// Frames fast enough to lose one.
const SOURCE: &str =
    r#"kind = "pattern", width = 320, height = 240, rate_hz = 30, format = "nv12""#;

/// Seconds of a probation that is waited for.
const WATCHED_S: u32 = 2;

/// A device whose configured model is `brightness` 1.0.0, and which takes its releases from `fleet`.
fn config(bench: &Bench, fleet: &Fleet) -> Result<String> {
    tests::fleet::write_model(&bench.folder, BRIGHTNESS, &onnx::brightness(13), "1.0.0", 0.5)?;
    let model = bench::model(BRIGHTNESS, BRIGHTNESS) + "release = \"brightness\"\n";
    Ok(fleet.update() + &model + &bench::pipeline("door", BRIGHTNESS, SOURCE, ""))
}

/// The device looks for releases now.
fn look(bench: &Bench) -> Result<()> {
    bench.listener.say(&bench.topics.model_install(BRIGHTNESS), "now")
}

/// Runs a `vedette` command beside the daemon.
fn vedette(bench: &Bench, args: &[&str]) -> Result<Ended> {
    let args: Vec<&str> = args.iter().copied().chain(["--config", "vedette.toml"]).collect();
    Launch::test(&bench.folder, &args)?.start()?.wait_exit(PATIENCE)
}

/// The slot's last state that was heard.
fn state<'a>(bench: &Bench, messages: &'a [Message]) -> Option<ModelState<'a>> {
    let topic = bench.topics.model_state(BRIGHTNESS);
    let last = messages.iter().rev().find(|message| message.topic == topic)?;
    exactly(&last.body).ok()
}

/// Waits until the slot rests with `version` installed (`None`: the configured folder) and `refused` refused.
fn rests(bench: &Bench, version: Option<&str>, refused: Option<&str>) -> Result<String> {
    let what = format!("{version:?} installed and {refused:?} refused");
    bench.listener.wait(&what, PATIENCE * 2, |messages| {
        let state = state(bench, messages)?;
        let installed = state.installed.as_ref().map(|one| one.version.as_str());
        let refusal = state.refused.as_ref().map(|one| one.release.version.as_str());
        let there = state.phase == Phase::Idle && installed == version && refusal == refused;
        there.then(|| state.refused.map(|one| one.reason).unwrap_or_default())
    })
}

/// Each phase that the slot went to, in order.
fn phases(bench: &Bench, messages: &[Message]) -> Result<Vec<Phase>> {
    let topic = bench.topics.model_event(BRIGHTNESS);
    let events = messages.iter().filter(|message| message.topic == topic);
    events.map(|message| Ok(exactly::<ModelEvent<'_>>(&message.body)?.to)).collect()
}

#[test]
fn a_device_that_cannot_rehearse_now_refuses_nothing_and_tries_again() -> Result<()> {
    let (bench, fleet) = (Bench::new()?, Fleet::new()?);
    fleet.release("2.0.0", Kind::Good, WATCHED_S)?;
    let text = bench.head() + &config(&bench, &fleet)?;
    let place = bench.folder.path().join("later");
    let start = || Daemon::prepare(&bench.folder, &text)?.env("TMPDIR", &place).start();
    let mut daemon = start()?;
    bench.observed("door", 5)?;
    look(&bench)?;
    // Who looks for the cause starts it again, more often than a release that dies is tried.
    for _ in 0..4 {
        daemon.wait_log("cannot rehearse a release", PATIENCE)?;
        assert_eq!(daemon.stop()?.code, Some(0));
        daemon = start()?;
    }
    daemon.wait_log("cannot rehearse a release", PATIENCE)?;
    let state = bench.listener.wait("the rehearsal", PATIENCE, |messages| {
        let state = state(&bench, messages)?;
        (state.phase == Phase::Rehearsing).then_some(state.refused.is_some())
    })?;
    assert!(!state, "refused for what the device could not");
    std::fs::create_dir(&place)?;
    look(&bench)?;
    rests(&bench, Some("2.0.0"), None)?;
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

#[test]
fn a_release_is_pulled_tried_and_committed_without_losing_a_frame() -> Result<()> {
    let (bench, fleet) = (Bench::new()?, Fleet::new()?);
    fleet.release("2.0.0", Kind::Good, WATCHED_S)?;
    let mut daemon = bench.start(&config(&bench, &fleet)?)?;
    bench.observed("door", 5)?;
    look(&bench)?;
    rests(&bench, Some("2.0.0"), None)?;
    let went = [
        Phase::Fetching,
        Phase::Staging,
        Phase::Rehearsing,
        Phase::Trialing,
        Phase::Committing,
        Phase::Probation,
        Phase::Idle,
    ];
    // The event of a phase is sent after the state that has it.
    bench.listener.wait_count(&bench.topics.model_event(BRIGHTNESS), went.len(), PATIENCE)?;
    assert_eq!(phases(&bench, &bench.listener.heard())?, went);
    let status = vedette(&bench, &["status"])?;
    assert_eq!(status.code, Some(0));
    let again = vedette(&bench, &["update", "check"])?;
    assert_eq!(again.code, Some(0), "{}", again.log);

    // The owner goes back, and the next look does not take it again.
    let wrong = vedette(&bench, &["model", "rollback", "--to", "9.9.9"])?;
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.log.contains("there is no version 9.9.9 to go back to"), "{}", wrong.log);
    assert_eq!(vedette(&bench, &["model", "rollback"])?.code, Some(0));
    rests(&bench, None, Some("2.0.0"))?;
    assert_eq!(vedette(&bench, &["update", "check"])?.code, Some(0));
    rests(&bench, None, Some("2.0.0"))?;
    assert_eq!(daemon.stop()?.code, Some(0));

    let heard = bench.goodbye()?;
    let seen = observations(&heard, &bench.topics, "door")?;
    unbroken(&seen)?;
    every_frame(&seen)?;
    let mut versions: Vec<&str> = seen.iter().map(|one| &*one.model.version).collect();
    versions.dedup();
    assert_eq!(versions, ["1.0.0", "2.0.0", "1.0.0"]);
    Ok(())
}

#[test]
fn a_bad_release_is_refused_by_name_and_the_one_before_never_stops() -> Result<()> {
    let (bench, fleet) = (Bench::new()?, Fleet::new()?);
    fleet.release("2.0.0", Kind::Good, WATCHED_S)?;
    let mut daemon = bench.start(&config(&bench, &fleet)?)?;
    look(&bench)?;
    rests(&bench, Some("2.0.0"), None)?;
    for (version, kind, why) in [
        ("3.0.0", Kind::Wrong, "golden"),
        ("4.0.0", Kind::Garbage, "graph: "),
        ("5.0.0", Kind::Slow, "95 of 100 frames take"),
        ("5.5.0", Kind::Hungry, "64 MiB"),
    ] {
        fleet.release(version, kind, WATCHED_S)?;
        look(&bench)?;
        let reason = rests(&bench, Some("2.0.0"), Some(version))?;
        assert!(reason.contains(why), "{version}: {reason}");
    }
    // A good one after all that is taken.
    fleet.release("6.0.0", Kind::Good, WATCHED_S)?;
    look(&bench)?;
    rests(&bench, Some("6.0.0"), None)?;
    assert_eq!(daemon.stop()?.code, Some(0));
    let heard = bench.goodbye()?;
    let seen = observations(&heard, &bench.topics, "door")?;
    unbroken(&seen)?;
    let mut versions: Vec<&str> = seen.iter().map(|one| &*one.model.version).collect();
    versions.dedup();
    assert_eq!(versions.last(), Some(&"6.0.0"));
    assert!(versions.iter().all(|version| ["1.0.0", "2.0.0", "6.0.0"].contains(version)));
    Ok(())
}

/// Waits until the slot is in `phase`.
fn reaches(bench: &Bench, phase: Phase) -> Result<()> {
    let topic = bench.topics.model_event(BRIGHTNESS);
    bench.listener.wait(&format!("{phase:?}"), PATIENCE, |messages| {
        let mut own = messages.iter().filter(|message| message.topic == topic);
        own.any(|message| exactly::<ModelEvent<'_>>(&message.body).is_ok_and(|one| one.to == phase))
            .then_some(())
    })
}

fn kill(daemon: &mut Daemon) -> Result<()> {
    daemon.signal(Signal::KILL)?;
    let ended = daemon.wait_exit(PATIENCE)?;
    ensure!(ended.signal.is_some(), "{ended:?}");
    Ok(())
}

#[test]
fn a_daemon_that_is_killed_in_any_phase_ends_on_the_release() -> Result<()> {
    for phase in [
        Phase::Fetching,
        Phase::Staging,
        Phase::Rehearsing,
        Phase::Trialing,
        Phase::Committing,
        Phase::Probation,
    ] {
        let (bench, fleet) = (Bench::new()?, Fleet::new()?);
        fleet.release("2.0.0", Kind::Good, WATCHED_S)?;
        let config = config(&bench, &fleet)?;
        let mut daemon = bench.start(&config)?;
        look(&bench)?;
        reaches(&bench, phase)?;
        kill(&mut daemon)?;
        bench.listener.take();
        let mut daemon = bench.start(&config)?;
        look(&bench)?;
        rests(&bench, Some("2.0.0"), None).with_context(|| format!("killed in {phase:?}"))?;
        assert_eq!(daemon.stop()?.code, Some(0));
    }
    Ok(())
}

#[test]
fn a_release_that_dies_three_times_in_probation_goes_back_before_it_is_loaded() -> Result<()> {
    let (bench, fleet) = (Bench::new()?, Fleet::new()?);
    fleet.release("2.0.0", Kind::Good, 600)?;
    let config = config(&bench, &fleet)?;
    let mut daemon = bench.start(&config)?;
    look(&bench)?;
    reaches(&bench, Phase::Probation)?;
    for _ in 0..2 {
        kill(&mut daemon)?;
        daemon = bench.start(&config)?;
        let state = vedette(&bench, &["status", "--json"])?;
        assert_eq!(state.code, Some(0));
    }
    kill(&mut daemon)?;
    bench.listener.take();
    let mut daemon = bench.start(&config)?;
    let reason = rests(&bench, None, Some("2.0.0"))?;
    assert!(reason.contains("died 3 times"), "{reason}");
    let topic = bench.topics.observation("door");
    let heard = bench.listener.wait_count(&topic, 3, PATIENCE)?;
    let seen = observations(&heard, &bench.topics, "door")?;
    assert!(seen.iter().all(|one| one.model.version == "1.0.0"));
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

#[test]
fn a_clean_stop_in_probation_costs_no_try() -> Result<()> {
    let (bench, fleet) = (Bench::new()?, Fleet::new()?);
    fleet.release("2.0.0", Kind::Good, 600)?;
    let config = config(&bench, &fleet)?;
    let mut daemon = bench.start(&config)?;
    look(&bench)?;
    reaches(&bench, Phase::Probation)?;
    for _ in 0..4 {
        assert_eq!(daemon.stop()?.code, Some(0));
        daemon = bench.start(&config)?;
    }
    let heard = bench.listener.heard();
    let state = state(&bench, &heard).context("no state")?;
    assert_eq!(state.phase, Phase::Probation);
    assert_eq!(state.installed.map(|one| one.version), Some("2.0.0".to_owned()));
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

#[test]
fn a_bundle_is_taken_without_a_network_and_what_is_none_is_refused() -> Result<()> {
    let (bench, fleet) = (Bench::new()?, Fleet::new()?);
    fleet.release("2.0.0", Kind::Good, WATCHED_S)?;
    fleet.must(&["bundle", "repo", "b.tar", "--model", "brightness"])?;
    let mut bytes = std::fs::read(fleet.folder().join("b.tar"))?;
    bench.folder.write("b.tar", &bytes)?;
    let card = b"summary = \"Says";
    let at = bytes.windows(card.len()).position(|window| window == card).context("no card")?;
    bytes[at] ^= 1;
    bench.folder.write("tampered.tar", &bytes)?;
    bench.folder.write("none.tar", "this is no bundle, and much too short to be one")?;
    let config = config(&bench, &fleet)?.replace(fleet.url(), "http://127.0.0.1:9");
    let mut daemon = bench.start(&config)?;
    for (bundle, why) in [
        ("missing.tar", "cannot use the bundle `missing.tar`: No such file"),
        ("none.tar", "it is no bundle"),
        ("tampered.tar", "is not what was signed"),
    ] {
        let refused = vedette(&bench, &["update", "install", bundle])?;
        assert_eq!(refused.code, Some(1), "{bundle}");
        assert!(refused.log.contains(why), "{bundle}: {}", refused.log);
    }
    let taken = vedette(&bench, &["update", "install", "b.tar"])?;
    assert_eq!(taken.code, Some(0), "{}", taken.log);
    rests(&bench, Some("2.0.0"), None)?;
    assert_eq!(daemon.stop()?.code, Some(0));

    // With no daemon, the record alone goes back.
    assert_eq!(vedette(&bench, &["model", "rollback", BRIGHTNESS])?.code, Some(0));
    let nowhere = vedette(&bench, &["model", "rollback", BRIGHTNESS])?;
    assert_eq!(nowhere.code, Some(1));
    let nobody = vedette(&bench, &["update", "check"])?;
    assert!(nobody.log.contains("no daemon uses"), "{}", nobody.log);
    bench.listener.take();
    let mut daemon = bench.start(&config)?;
    rests(&bench, None, Some("2.0.0"))?;
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

#[test]
fn a_halted_rollout_is_left_and_a_resumed_one_taken() -> Result<()> {
    let (bench, fleet) = (Bench::new()?, Fleet::new()?);
    fleet.release("2.0.0", Kind::Good, WATCHED_S)?;
    fleet.must(&["halt", "repo", "brightness", "--keys", "keys"])?;
    let mut daemon = bench.start(&config(&bench, &fleet)?)?;
    assert_eq!(vedette(&bench, &["update", "check"])?.code, Some(0));
    assert!(phases(&bench, &bench.listener.heard())?.is_empty());
    fleet.must(&["resume", "repo", "brightness", "--keys", "keys"])?;
    look(&bench)?;
    rests(&bench, Some("2.0.0"), None)?;
    // The operator's keys change, and the device follows.
    for role in ["root", "targets", "rollout", "snapshot", "timestamp"] {
        fleet.must(&["keys", "rotate", "repo", role, "--keys", "keys", "--unencrypted"])?;
    }
    fleet.release("3.0.0", Kind::Good, WATCHED_S)?;
    look(&bench)?;
    rests(&bench, Some("3.0.0"), None)?;
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

#[test]
fn an_operator_is_told_what_is_wrong_and_nothing_changes() -> Result<()> {
    let fleet = Fleet::new()?;
    fleet.release("1.0.0", Kind::Good, WATCHED_S)?;
    let before = std::fs::read(fleet.folder().join("repo/metadata/timestamp.json"))?;
    fleet.model("2.0.0", Kind::Wrong)?;
    fleet.model("3.0.0", Kind::Garbage)?;
    let keys = ["--keys", "keys"];
    for (args, why) in [
        (vec!["publish", "repo", "m-2.0.0"], "is refused, as a device would refuse it:\n  golden"),
        (vec!["publish", "repo", "m-3.0.0"], "is refused, as a device would refuse it:\n  graph"),
        (vec!["publish", "repo", "nowhere"], "cannot read `nowhere/model.toml`"),
        (vec!["publish", "nowhere", "m-1.0.0"], "`nowhere` is no repository"),
        (vec!["publish", "repo", "m-1.0.0", "--p95-ms", "7"], "is published with other content"),
        (
            vec!["rollout", "repo", "brightness", "9.9.9"],
            "there is no release 9.9.9 of brightness: there is 1.0.0",
        ),
        (vec!["rollout", "repo", "other", "1.0.0"], "none is published"),
        (vec!["rollout", "repo", "brightness", "1.0.0", "--waves", "50,10"], "not ascending"),
        (vec!["rollout", "repo", "brightness", "1.0.0", "--waves", "lots"], "`lots` is no share"),
        (vec!["halt", "repo", "other"], "there is no rollout of other"),
        (vec!["init", "repo"], "`repo` is a repository already"),
    ] {
        let args: Vec<&str> = args.into_iter().chain(keys).collect();
        let output = fleet.run(&args)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.contains(why), "{args:?}: {said}");
    }
    let loose = fleet.folder().join("keys/targets.key");
    std::fs::set_permissions(&loose, std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    fleet.model("4.0.0", Kind::Good)?;
    let output = fleet.run(&["publish", "repo", "m-4.0.0", "--keys", "keys"])?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("run `chmod 600"), "{said}");
    let after = std::fs::read(fleet.folder().join("repo/metadata/timestamp.json"))?;
    assert!(before == after, "something was signed");
    Ok(())
}
