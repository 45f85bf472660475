//! What an owner gets wrong on a device: one clear message with what to do, the right exit code, and what is
//! installed stays as it is.

use anyhow::{Result, ensure};
use rustix::process::Signal;
use tests::bench::{self, BRIGHTNESS};
use tests::folder::set_mode;
use tests::{Bench, Daemon, Ended, Fleet, Folder, Kind, Launch, PATIENCE, onnx};

fn vedette(folder: &Folder, args: &[&str]) -> Result<Ended> {
    let args: Vec<&str> = args.iter().copied().chain(["--config", "vedette.toml"]).collect();
    Launch::test(folder, &args)?.start()?.wait_exit(PATIENCE)
}

/// A device of `fleet` without its head.
fn config(folder: &Folder, fleet: &Fleet) -> Result<String> {
    tests::fleet::write_model(folder, BRIGHTNESS, &onnx::brightness(13), "1.0.0", 0.5)?;
    let model = bench::model(BRIGHTNESS, BRIGHTNESS) + "release = \"brightness\"\n";
    Ok(fleet.update() + &model + &bench::pipeline("door", BRIGHTNESS, bench::TEN_A_SECOND, ""))
}

#[test]
fn a_link_that_cannot_be_is_a_mistake_of_the_configuration() -> Result<()> {
    let (fleet, folder) = (Fleet::new()?, Folder::new()?);
    let good = bench::head() + &config(&folder, &fleet)?;
    for name in ["device.pem", "device.key", "loose.key", "token"] {
        set_mode(&folder.write(name, "x")?, if name == "loose.key" { 0o644 } else { 0o640 })?;
    }
    let url = format!("url = \"{}\"", fleet.url());
    let root = fleet.folder().join("keys/root.json").display().to_string();
    let table = [
        (url.as_str(), "url = \"models.example.com\"", "is no address"),
        (&url, "url = \"http://\"", "is no address"),
        (&url, "url = \"http://[::1\"", "is no address"),
        (&url, "url = \"ftp://models.example.com\"", "neither http nor https"),
        (&url, "url = \"https://models.example.com/?a=b\"", "what is behind `?`"),
        (&url, "url = \"https://me:word@models.example.com\"", "belongs into the `token_file`"),
        (&root, "nowhere.json", "there is no such file"),
        ("poll_s = 600", "poll_s = 1", "poll_s"),
        ("poll_s = 600", "group = \"a/b\"", "`a/b` is not a name"),
        ("poll_s = 600", "window_utc = \"25:00-26:00\"", "is no time of the day"),
        ("poll_s = 600", "bandwidth_kib_s = 1", "bandwidth_kib_s"),
        ("poll_s = 600", "cert_file = 'device.pem'", "has no `key_file` beside it"),
        ("poll_s = 600", "token_file = 'none'", "there is no such file"),
        ("poll_s = 600", "token_file = 'loose.key'", "everybody on this device may read it"),
        (
            "poll_s = 600",
            "cert_file = 'device.pem'\nkey_file = 'loose.key'",
            "everybody on this device may read it",
        ),
    ];
    for (from, to, why) in table {
        ensure!(good.contains(from), "{from}");
        folder.write("vedette.toml", good.replace(from, to))?;
        for command in ["check", "run"] {
            let ended = vedette(&folder, &[command])?;
            assert_eq!(ended.code, Some(78), "{command} {to}: {}", ended.log);
            assert!(ended.log.contains(why), "{command} {to}: {}", ended.log);
            assert!(ended.log.contains("1 mistake\n"), "{command} {to}: {}", ended.log);
        }
        ensure!(!folder.join("state").exists(), "{to}: something was made");
    }
    Ok(())
}

#[test]
fn a_command_that_cannot_be_is_refused_and_what_is_installed_stays() -> Result<()> {
    let (bench, fleet, stranger) = (Bench::new()?, Fleet::new()?, Fleet::new()?);
    for fleet in [&fleet, &stranger] {
        fleet.release("2.0.0", Kind::Good, 1)?;
        fleet.must(&["bundle", "repo", "b.tar", "--model", "brightness"])?;
    }
    let own = std::fs::read(fleet.folder().join("b.tar"))?;
    bench.folder.write("cut.tar", &own[..own.len() / 2])?;
    bench.folder.write("stranger.tar", std::fs::read(stranger.folder().join("b.tar"))?)?;
    bench.folder.write("text.tar", "this is no bundle")?;
    bench.folder.write("empty.tar", "")?;
    let config = config(&bench.folder, &fleet)?.replace(fleet.url(), "http://127.0.0.1:9");
    let mut daemon = bench.start(&config)?;
    let state = |bench: &Bench| bench.folder.contents("state/slots");
    let before = state(&bench)?;
    for (args, code, why) in [
        (
            &["update", "install", "none.tar"][..],
            1,
            "cannot use the bundle `none.tar`: No such file",
        ),
        (&["update", "install", "text.tar"], 1, "it is no bundle"),
        (&["update", "install", "empty.tar"], 1, "it is no bundle"),
        (&["update", "install", "brightness"], 1, "cannot use the bundle"),
        (&["update", "install", "stranger.tar"], 1, "wrong signatures"),
        (&["update", "check"], 1, "http://127.0.0.1:9"),
        (&["model", "rollback"], 1, "there is nothing before it"),
        (&["model", "rollback", "--to", "9.9.9"], 1, "there is nothing before it"),
        (&["model", "rollback", "other"], 1, "no model `other` takes releases"),
        (&["model", "forget"], 2, "unrecognized subcommand"),
        (&["update", "install"], 2, "<BUNDLE>"),
    ] {
        let ended = vedette(&bench.folder, args)?;
        assert_eq!(ended.code, Some(code), "{args:?}: {}", ended.log);
        assert!(ended.log.contains(why), "{args:?}: {}", ended.log);
        assert!(state(&bench)? == before, "{args:?}: something changed");
    }
    // Half of a bundle is not a whole one, wherever it was cut.
    let cut = vedette(&bench.folder, &["update", "install", "cut.tar"])?;
    assert_eq!(cut.code, Some(1), "{}", cut.log);
    bench.listener.take();
    bench.observed("door", 3)?;
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

#[test]
fn a_root_or_key_that_is_none_stops_releases_and_not_the_pipeline() -> Result<()> {
    let (bench, fleet) = (Bench::new()?, Fleet::new()?);
    let config = config(&bench.folder, &fleet)?;
    bench.folder.write("garbage.json", "{}")?;
    set_mode(&bench.folder.write("garbage.key", "none")?, 0o600)?;
    let root = fleet.folder().join("keys/root.json").display().to_string();
    for (from, to, why) in [
        (root.as_str(), "garbage.json", "garbage.json` cannot be used"),
        ("poll_s = 600", "cert_file = 'garbage.key'\nkey_file = 'garbage.key'", "garbage.key"),
        ("poll_s = 600", "ca_file = 'garbage.key'", "garbage.key"),
    ] {
        let mut daemon = bench.start(&config.replace(from, to))?;
        for args in [&["update", "check"][..], &["update", "install", "garbage.json"]] {
            let ended = vedette(&bench.folder, args)?;
            assert_eq!(ended.code, Some(1), "{to}: {}", ended.log);
            assert!(ended.log.contains("releases are not taken"), "{to}: {}", ended.log);
            assert!(ended.log.contains(why), "{to}: {}", ended.log);
        }
        bench.listener.take();
        bench.observed("door", 3)?;
        assert_eq!(daemon.stop()?.code, Some(0), "{to}");
    }
    Ok(())
}

#[test]
fn a_state_directory_that_is_none_is_exit_73() -> Result<()> {
    let (fleet, folder) = (Fleet::new()?, Folder::new()?);
    let config = bench::head() + &config(&folder, &fleet)?;
    folder.write("state", "a file")?;
    let ended = Daemon::run(&folder, &config)?;
    assert_eq!(ended.code, Some(73), "{}", ended.log);
    std::fs::remove_file(folder.join("state"))?;
    let daemon = Daemon::start(&folder, &config)?;
    daemon.wait_log(bench::RUNNING, PATIENCE)?;
    daemon.signal(Signal::KILL)?;
    drop(daemon);
    folder.write("state/slots/brightness.json", "half a rec")?;
    for args in [&["status"][..], &["model", "list"], &["model", "rollback"]] {
        let ended = vedette(&folder, args)?;
        assert_eq!(ended.code, Some(73), "{args:?}: {}", ended.log);
        assert!(
            ended.log.contains("the record of model `brightness` is damaged: remove `"),
            "{}",
            ended.log
        );
    }
    Ok(())
}
