//! What the owner of a device, or the operator of its fleet, does while a release is under way, and bundles that bring
//! nothing.

use anyhow::{Context as _, Result, bail, ensure};
use tests::bench::BRIGHTNESS;
use tests::{Bench, Fleet, Kind, Launch, PATIENCE};
use wire::Phase;

use crate::{WATCHED_S, config, kill, look, reaches, rests, state, vedette};

/// Where no server is.
const NOWHERE: &str = "http://127.0.0.1:9";

/// Takes a file of a release from the server.
fn take_a_file(fleet: &Fleet) -> Result<()> {
    for entry in std::fs::read_dir(fleet.folder().join("repo/targets"))? {
        let path = entry?.path();
        if !path.to_string_lossy().contains('~') {
            return Ok(std::fs::remove_file(path)?);
        }
    }
    bail!("there is no file of a release")
}

/// Makes the bundle `name`, where the device can read it.
fn bundle(bench: &Bench, fleet: &Fleet, name: &str, more: &[&str]) -> Result<()> {
    let args = [&["bundle", "repo", name, "--model", "brightness"], more].concat();
    fleet.must(&args)?;
    bench.folder.write(name, std::fs::read(fleet.folder().join(name))?).map(drop)
}

#[test]
fn a_fetch_that_lost_its_source_is_ended_by_a_bundle_or_by_the_owner() -> Result<()> {
    let (bench, fleet) = (Bench::new()?, Fleet::new()?);
    fleet.release("2.0.0", Kind::Good, WATCHED_S)?;
    bundle(&bench, &fleet, "b.tar", &[])?;
    take_a_file(&fleet)?;
    let config = config(&bench, &fleet)?;
    let mut daemon = bench.start(&config)?;
    look(&bench)?;
    daemon.wait_log("the release is not here yet", PATIENCE)?;
    let left = vedette(&bench, &["model", "rollback"])?;
    assert_eq!(left.code, Some(0), "{}", left.log);
    rests(&bench, None, None)?;
    bench.listener.take();
    look(&bench)?;
    reaches(&bench, Phase::Fetching)?;
    kill(&mut daemon)?;

    let mut daemon = bench.start(&config.replace(fleet.url(), NOWHERE))?;
    daemon.wait_log("the release is not here yet", PATIENCE)?;
    fleet.release("3.0.0", Kind::Garbage, WATCHED_S)?;
    bundle(&bench, &fleet, "other.tar", &[])?;
    let other = vedette(&bench, &["update", "install", "other.tar"])?;
    assert_eq!(other.code, Some(1));
    assert!(other.log.contains("2.0.0 is being fetched"), "{}", other.log);
    let brought = vedette(&bench, &["update", "install", "b.tar"])?;
    assert_eq!(brought.code, Some(0), "{}", brought.log);
    rests(&bench, Some("2.0.0"), None)?;
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

#[test]
fn a_halt_reaches_who_waited_for_his_window_and_who_is_on_trial() -> Result<()> {
    let (bench, fleet) = (Bench::new()?, Fleet::new()?);
    let halt = |verb| fleet.must(&[verb, "repo", "brightness", "--keys", "keys"]);
    fleet.release("2.0.0", Kind::Good, WATCHED_S)?;
    let config = config(&bench, &fleet)?;
    // Twelve hours away.
    let now = jiff::Timestamp::now().as_second().rem_euclid(86_400) / 3600;
    let window = format!("window_utc = \"{:02}:00-{:02}:59\"\n", (now + 12) % 24, (now + 12) % 24);
    let mut daemon = bench.start(&config.replace("poll_s", &format!("{window}poll_s")))?;
    look(&bench)?;
    reaches(&bench, Phase::Staging)?;
    assert_eq!(daemon.stop()?.code, Some(0));
    halt("halt")?;
    let mut daemon = bench.start(&config)?;
    reaches(&bench, Phase::Withdrawing)?;
    rests(&bench, None, None)?;

    halt("resume")?;
    let name = fleet.model("3.0.0", Kind::Good)?;
    // Long enough for the operator's program to run meanwhile.
    let vedette = tests::places::vedette()?.display().to_string();
    let terms = ["--soak-s", "10", "--min-inferences", "10", "--probation-s", "1"];
    let publish = ["publish", "repo", &name, "--keys", "keys", "--vedette", &vedette];
    fleet.must(&[publish.as_slice(), &terms].concat())?;
    fleet.must(&["rollout", "repo", "brightness", "3.0.0", "--keys", "keys"])?;
    bench.listener.take();
    look(&bench)?;
    reaches(&bench, Phase::Trialing)?;
    halt("halt")?;
    reaches(&bench, Phase::Withdrawing)?;
    rests(&bench, None, None)?;
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

#[test]
fn who_can_take_no_release_loses_none_and_goes_back_all_the_same() -> Result<()> {
    let (bench, fleet) = (Bench::new()?, Fleet::new()?);
    fleet.release("2.0.0", Kind::Good, 600)?;
    let text = config(&bench, &fleet)?;
    let mut daemon = bench.start(&text)?;
    look(&bench)?;
    reaches(&bench, Phase::Probation)?;
    assert_eq!(daemon.stop()?.code, Some(0));
    fleet.folder().write("keys/root.json", "{\"signed\": ")?;
    for _ in 0..4 {
        let mut daemon = bench.start(&text)?;
        daemon.wait_log("no release is taken until this is mended", PATIENCE)?;
        assert_eq!(daemon.stop()?.code, Some(0));
    }
    let mut daemon = bench.start(&text)?;
    let heard = bench.listener.heard();
    let stands = state(&bench, &heard).context("no state")?;
    assert_eq!((stands.phase, stands.refused.is_some()), (Phase::Probation, false));
    let back = vedette(&bench, &["model", "rollback", BRIGHTNESS])?;
    assert_eq!(back.code, Some(0), "{}", back.log);
    rests(&bench, None, Some("2.0.0"))?;
    let checked = vedette(&bench, &["update", "check"])?;
    ensure!(
        checked.code == Some(1) && checked.log.contains("releases are not taken"),
        "{checked:?}"
    );
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

#[test]
fn a_bundle_that_installs_nothing_fails_and_says_why() -> Result<()> {
    let (bench, fleet) = (Bench::new()?, Fleet::new()?);
    fleet.release("2.0.0", Kind::Good, WATCHED_S)?;
    let rollout = ["rollout", "repo", "brightness", "2.0.0", "--keys", "keys", "--group", "lab"];
    fleet.must(&rollout)?;
    bundle(&bench, &fleet, "lab.tar", &["--group", "lab"])?;
    fleet.must(&["halt", "repo", "brightness", "--keys", "keys"])?;
    bundle(&bench, &fleet, "halted.tar", &[])?;
    fleet.must(&["resume", "repo", "brightness", "--keys", "keys"])?;
    bundle(&bench, &fleet, "good.tar", &[])?;
    fleet.release("3.0.0", Kind::Wrong, WATCHED_S)?;
    bundle(&bench, &fleet, "wrong.tar", &[])?;
    fleet.release("4.0.0", Kind::Good, WATCHED_S)?;
    bundle(&bench, &fleet, "torn.tar", &[])?;
    let mut torn = std::fs::read(bench.folder.join("torn.tar"))?;
    let card = b"summary = \"Says";
    let at = torn.windows(card.len()).position(|window| window == card).context("no card")?;
    torn[at] ^= 1;
    bench.folder.write("torn.tar", &torn)?;
    let mut daemon = bench.start(&config(&bench, &fleet)?.replace(fleet.url(), NOWHERE))?;
    bench.observed("door", 5)?;
    for (name, code, said, installed, refused) in [
        ("lab.tar", 1, "it has no release of brightness for group default", None, None),
        ("halted.tar", 1, "the rollout of 2.0.0 is halted", None, None),
        ("good.tar", 0, "", Some("2.0.0"), None),
        ("good.tar", 0, "", Some("2.0.0"), None),
        ("wrong.tar", 1, "3.0.0 is refused: golden", Some("2.0.0"), Some("3.0.0")),
        ("wrong.tar", 1, "3.0.0 was refused: golden", Some("2.0.0"), Some("3.0.0")),
        (
            "torn.tar",
            1,
            "4.0.0 is not installed: `model.toml` is not what was signed",
            Some("2.0.0"),
            Some("3.0.0"),
        ),
    ] {
        let ended = vedette(&bench, &["update", "install", name])?;
        assert_eq!(ended.code, Some(code), "{name}: {}", ended.log);
        assert!(ended.log.contains(said), "{name}: {}", ended.log);
        rests(&bench, installed, refused).context(name)?;
    }
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

#[test]
fn what_a_bundle_has_not_is_not_made_up_for_by_what_was_seen_before() -> Result<()> {
    let (bench, fleet) = (Bench::new()?, Fleet::new()?);
    fleet.release("2.0.0", Kind::Good, WATCHED_S)?;
    let rollout = ["rollout", "repo", "brightness", "2.0.0", "--keys", "keys", "--group", "lab"];
    fleet.must(&rollout)?;
    fleet.must(&["halt", "repo", "brightness", "--keys", "keys"])?;
    bundle(&bench, &fleet, "lab.tar", &["--group", "lab"])?;
    let mut daemon = bench.start(&config(&bench, &fleet)?)?;
    let seen = vedette(&bench, &["update", "check"])?;
    assert_eq!(seen.code, Some(0), "{}", seen.log);
    let brought = vedette(&bench, &["update", "install", "lab.tar"])?;
    assert_eq!(brought.code, Some(1), "{}", brought.log);
    let said = "it has no release of brightness for group default";
    assert!(brought.log.contains(said), "{}", brought.log);
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

#[test]
fn a_repository_that_does_not_answer_keeps_nobody_from_ending() -> Result<()> {
    let (bench, fleet) = (Bench::new()?, Fleet::new()?);
    // It is connected to, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", silent.local_addr()?);
    let mut daemon = bench.start(&config(&bench, &fleet)?.replace(fleet.url(), &url))?;
    look(&bench)?;
    let (_asked, _) = silent.accept()?;
    let ended = daemon.stop()?;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    Ok(())
}

#[test]
fn a_roll_back_that_cannot_open_the_model_before_says_so_and_goes_when_it_can() -> Result<()> {
    let (bench, fleet) = (Bench::new()?, Fleet::new()?);
    fleet.release("2.0.0", Kind::Good, WATCHED_S)?;
    let text = config(&bench, &fleet)?;
    let mut daemon = bench.start(&text)?;
    look(&bench)?;
    rests(&bench, Some("2.0.0"), None)?;
    assert_eq!(daemon.stop()?.code, Some(0));
    // Another run has the model before on its disk only.
    let mut daemon = bench.start(&text)?;
    let graph = format!("{BRIGHTNESS}/model.onnx");
    let good = std::fs::read(bench.folder.join(&graph))?;
    // The command reads a configuration too, and would refuse one that is damaged.
    tests::fleet::write_model(&bench.folder, "whole", &good, "1.0.0", 0.5)?;
    let whole = bench.folder.read("vedette.toml")?.replace("path = 'brightness'", "path = 'whole'");
    bench.folder.write("whole.toml", whole)?;
    bench.folder.write(&graph, &good[..good.len() / 2])?;
    let back = ["model", "rollback", "--config", "whole.toml"];
    let back = Launch::test(&bench.folder, &back)?.start()?.wait_exit(PATIENCE)?;
    assert_eq!(back.code, Some(1), "{}", back.log);
    assert!(back.log.contains("; it is tried again"), "{}", back.log);
    bench.folder.write(&graph, &good)?;
    rests(&bench, None, Some("2.0.0"))?;
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

#[test]
fn who_comes_when_too_many_wait_is_told_so() -> Result<()> {
    let (bench, fleet) = (Bench::new()?, Fleet::new()?);
    let mut daemon = bench.start(&config(&bench, &fleet)?)?;
    let socket = bench.folder.path().join("state/control.sock");
    let waiting: Vec<_> = (0..8)
        .map(|_| std::os::unix::net::UnixStream::connect(&socket))
        .collect::<std::io::Result<_>>()?;
    let told = vedette(&bench, &["update", "check"])?;
    assert_eq!(told.code, Some(1), "{}", told.log);
    assert!(told.log.contains("too many requests wait already"), "{}", told.log);
    drop(waiting);
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}
