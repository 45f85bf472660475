//! What a thief of the server, or of an online key, can do: slow down, pause, choose among releases above a device's
//! floor. And what not.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tests::bench::{self, BRIGHTNESS};
use tests::{Bench, Fleet, Kind, Launch, PATIENCE, onnx};
use vedette::report;
use vedette::update::trust::TrustError;
use wire::{Digest, ReleaseDocument};

use crate::Device;
use crate::thief::{Thief, overwrite};

/// A fleet with the releases 1.0.0 and 2.0.0, and a device that saw the second.
fn robbed() -> Result<(Fleet, Thief, Device)> {
    let fleet = Fleet::new()?;
    fleet.release("1.0.0", Kind::Good, 1)?;
    fleet.release("2.0.0", Kind::Good, 1)?;
    let (thief, device) = (Thief::of(&fleet), Device::new(&fleet)?);
    assert_eq!(device.version(Timestamp::now())?.as_deref(), Some("2.0.0"));
    Ok((fleet, thief, device))
}

fn refused(device: &Device, now: Timestamp) -> Result<String> {
    let error = device.version(now).err().context("it is taken")?;
    Ok(report::chain(&error))
}

/// The document of `version` as it was published.
fn document(fleet: &Fleet, version: &str) -> Result<(Digest, ReleaseDocument)> {
    let wanted = ReleaseDocument::target(BRIGHTNESS, version);
    for entry in std::fs::read_dir(fleet.folder().join("repo/targets"))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some((digest, target)) = name.split_once('.')
            && target == wanted
        {
            let bytes = std::fs::read(entry.path())?;
            return Ok((digest.parse()?, ReleaseDocument::parse(&bytes)?));
        }
    }
    Err(anyhow::anyhow!("{version} is not published"))
}

#[test]
fn with_the_online_keys_nobody_releases_anything() -> Result<()> {
    let (fleet, thief, device) = robbed()?;
    let (signed, mut own) = document(&fleet, "2.0.0")?;
    (own.version, own.counter) = ("9.0.0".to_owned(), 9);
    let bytes = serde_json::to_vec(&own)?;
    let name = ReleaseDocument::target(BRIGHTNESS, "9.0.0");
    let mut rollout = thief.rollout()?;
    (rollout.version, rollout.counter) = ("9.0.0".to_owned(), 9);
    rollout.release = Digest::of(&bytes);
    // The release is listed by the rollout role, which may not: a foreign target of a delegate.
    let entry = thief.upload(&name, &bytes)?;
    thief.roll_out(&rollout, &[(&name, entry)])?;
    let said = refused(&device, Timestamp::now())?;
    assert!(said.starts_with("not allowed: the release keys did not sign"), "{said}");

    // Under the name of a release that was signed, with other content.
    let name = ReleaseDocument::target(BRIGHTNESS, "2.0.0");
    (own.version, own.counter) = ("2.0.0".to_owned(), 2);
    let bytes = serde_json::to_vec(&own)?;
    (rollout.version, rollout.counter) = ("2.0.0".to_owned(), 2);
    rollout.release = Digest::of(&bytes);
    let entry = thief.upload(&name, &bytes)?;
    thief.roll_out(&rollout, &[(&name, entry)])?;
    let said = refused(&device, Timestamp::now())?;
    assert!(
        said.contains("disagree: `release~brightness~2.0.0.json` has another digest"),
        "{said}"
    );

    // An old release as if it were a new one.
    let (digest, _) = document(&fleet, "1.0.0")?;
    (rollout.version, rollout.counter, rollout.release) = ("1.0.0".to_owned(), 99, digest);
    thief.roll_out(&rollout, &[])?;
    let said = refused(&device, Timestamp::now())?;
    assert!(said.starts_with("the rollout and the release disagree"), "{said}");

    // Choosing among what was signed is what the keys are for; a foreign target beside it changes nothing.
    (rollout.version, rollout.counter, rollout.release) = ("2.0.0".to_owned(), 2, signed);
    thief.roll_out(
        &rollout,
        &[("file~anything", json!({ "length": 1, "hashes": { "sha256": "00" } }))],
    )?;
    assert_eq!(device.version(Timestamp::now())?.as_deref(), Some("2.0.0"));
    Ok(())
}

#[test]
fn with_the_online_keys_nobody_takes_a_device_back_to_an_older_release() -> Result<()> {
    let (bench, fleet) = (Bench::new()?, Fleet::new()?);
    fleet.release("1.0.1", Kind::Good, 1)?;
    let (digest, old) = document(&fleet, "1.0.1")?;
    fleet.release("2.0.0", Kind::Good, 1)?;
    tests::fleet::write_model(&bench.folder, BRIGHTNESS, &onnx::brightness(13), "1.0.0", 0.5)?;
    let model = bench::model(BRIGHTNESS, BRIGHTNESS) + "release = \"brightness\"\n";
    let pipeline = bench::pipeline("door", BRIGHTNESS, bench::TEN_A_SECOND, "");
    let mut daemon = bench.start(&(fleet.update() + &model + &pipeline))?;
    let installed = |version: &str| {
        let wanted = format!("\"version\":\"{version}\"");
        let topic = bench.topics.model_state(BRIGHTNESS);
        bench.listener.wait(version, PATIENCE * 2, |messages| {
            let last = messages.iter().rev().find(|message| message.topic == topic)?;
            let text = String::from_utf8_lossy(&last.body).into_owned();
            (text.contains("\"phase\":\"idle\"") && text.contains(&wanted)).then_some(())
        })
    };
    bench.listener.say(&bench.topics.model_install(BRIGHTNESS), "now")?;
    installed("2.0.0")?;

    let thief = Thief::of(&fleet);
    let mut rollout = thief.rollout()?;
    (rollout.version, rollout.counter, rollout.release) = ("1.0.1".to_owned(), old.counter, digest);
    thief.roll_out(&rollout, &[])?;
    let checked = Launch::test(&bench.folder, &["update", "check", "--config", "vedette.toml"])?
        .stdout(tests::Stdout::Pipe)
        .start()?;
    let said = output(checked)?;
    ensure!(said.contains("1.0.1 has counter 1, this device had 2 already"), "{said}");
    installed("2.0.0")?;
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

/// What a command prints.
fn output(mut command: tests::Daemon) -> Result<String> {
    let mut said = String::new();
    let mut stdout = command.take_stdout().context("no output")?;
    std::io::Read::read_to_string(&mut stdout, &mut said)?;
    command.wait_exit(PATIENCE)?;
    Ok(said)
}

#[test]
fn with_the_timestamp_key_a_thief_can_only_wait_until_it_is_rotated() -> Result<()> {
    let (fleet, thief, device) = robbed()?;
    let now = Timestamp::now();
    let days = |days: i64| now.checked_add(SignedDuration::from_hours(24 * days));
    // An older snapshot under a newer timestamp.
    let before = thief.read("timestamp.json")?;
    thief.stamp(|timestamp| {
        let snapshot = &mut timestamp["meta"]["snapshot.json"];
        let older = snapshot["version"].as_u64().unwrap_or(2) - 1;
        *snapshot = json!({ "version": older });
    })?;
    let said = refused(&device, now)?;
    assert!(said.starts_with("rollback:"), "{said}");

    // The newest snapshot for ever, by the largest version that there is: frozen until the snapshot expires.
    thief.stamp(|timestamp| {
        timestamp["meta"] = before["signed"]["meta"].clone();
        timestamp["version"] = u32::MAX.into();
        timestamp["expires"] = "2099-01-01T00:00:00Z".into();
    })?;
    assert_eq!(device.version(now)?.as_deref(), Some("2.0.0"));
    let frozen = device.version(days(8)?).err().context("frozen for ever")?;
    assert!(matches!(&frozen, TrustError::Expired(_)), "{frozen:?}");

    // The operator rotates the key: new ones count from where his own metadata stood.
    vedette::disk::replace(
        &thief.metadata().join("timestamp.json"),
        &serde_json::to_vec(&before)?,
    )?;
    fleet.must(&["keys", "rotate", "repo", "timestamp", "--keys", "keys", "--unencrypted"])?;
    fleet.release("3.0.0", Kind::Good, 1)?;
    assert_eq!(device.version(Timestamp::now())?.as_deref(), Some("3.0.0"));
    Ok(())
}

#[test]
fn a_document_that_does_not_end_or_is_another_one_is_refused() -> Result<()> {
    let (fleet, _, _) = robbed()?;
    let endless = |bytes: &mut Vec<u8>| bytes.extend(vec![b' '; 1 << 20]);
    let other = |bytes: &mut Vec<u8>| bytes[1] = b'\t';
    type Change<'a> = &'a dyn Fn(&mut Vec<u8>);
    let table: [(&str, &str, Change<'_>); 4] = [
        ("rollout~", "endless:", &endless),
        ("rollout~", "mix and match:", &other),
        ("release~brightness~2", "endless:", &endless),
        ("release~brightness~2", "mix and match:", &other),
    ];
    for (begin, named, change) in table {
        let mut seen = 0;
        for entry in std::fs::read_dir(fleet.folder().join("repo/targets"))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.split_once('.').is_none_or(|(_, target)| !target.starts_with(begin)) {
                continue;
            }
            let whole = std::fs::read(&path)?;
            let mut changed = whole.clone();
            change(&mut changed);
            vedette::disk::replace(&path, &changed)?;
            let said = refused(&Device::new(&fleet)?, Timestamp::now());
            vedette::disk::replace(&path, &whole)?;
            // Rollouts of before are not asked for.
            if let Ok(said) = said {
                assert!(said.starts_with(named), "{name}: {said}");
                seen += 1;
            }
        }
        assert_eq!(seen, 1, "{begin} {named}");
    }
    assert_eq!(Device::new(&fleet)?.version(Timestamp::now())?.as_deref(), Some("2.0.0"));
    Ok(())
}

#[test]
fn a_thousand_roots_are_followed_in_bounded_steps() -> Result<()> {
    const ROOTS: u64 = 1000;
    let (fleet, thief, device) = robbed()?;
    for version in 2..=ROOTS + 1 {
        thief.next_root(version, &["root-1", "root-2"])?;
    }
    let mut steps = 0;
    while let Err(error) = device.version(Timestamp::now()) {
        assert!(matches!(error, TrustError::Endless(_)), "{error:?}");
        steps += 1;
        assert!(steps < 40, "it does not get on");
    }
    assert!(steps >= ROOTS / 32 - 1, "a thousand roots in {steps} steps");
    // One more, signed by too few: the name of the attack, and what was trusted stays.
    thief.next_root(ROOTS + 2, &["root-1"])?;
    let said = refused(&device, Timestamp::now())?;
    assert!(said.starts_with("wrong signatures:"), "{said}");
    std::fs::remove_file(thief.metadata().join(format!("{}.root.json", ROOTS + 2)))?;
    assert_eq!(device.version(Timestamp::now())?.as_deref(), Some("2.0.0"));
    drop(fleet);
    Ok(())
}

#[test]
fn a_server_that_was_taken_over_has_nothing_of_its_own_signed() -> Result<()> {
    let (fleet, thief, _) = robbed()?;
    let metadata = thief.metadata();
    let listed = |path: &Path| {
        overwrite(path, |document| {
            document["signed"]["targets"]["release~brightness~9.0.0.json"] =
                json!({ "length": 1, "hashes": { "sha256": "00".repeat(32) } });
        })
    };
    let files = [
        (thief.newest("targets")?, "the targets role in `repo` is not signed by its keys"),
        (thief.newest("rollout")?, "the rollout role in `repo` is not signed by its keys"),
        (thief.newest("snapshot")?, "the snapshot role in `repo` is not signed by its keys"),
        ("timestamp.json".to_owned(), "the timestamp role in `repo` is not signed by its keys"),
        ("1.root.json".to_owned(), "is not the one in the keys' `root.json`"),
    ];
    fleet.model("3.0.0", Kind::Good)?;
    let commands: [&[&str]; 3] = [
        &["publish", "repo", "m-3.0.0", "--without-running"],
        &["halt", "repo", BRIGHTNESS],
        &["refresh", "repo", "--targets"],
    ];
    for (name, why) in files {
        let path = metadata.join(&name);
        let own = std::fs::read(&path)?;
        match name.as_str() {
            name if name.ends_with("targets.json") || name.ends_with("rollout.json") => {
                listed(&path)?
            }
            _ => overwrite(&path, |document| {
                document["signed"]["expires"] = "2099-01-01T00:00:00Z".into();
            })?,
        }
        let count = std::fs::read_dir(&metadata)?.count();
        for args in commands {
            let ended = fleet.run(&[args, &["--keys", "keys"]].concat())?;
            let said = String::from_utf8_lossy(&ended.stderr);
            assert_eq!(ended.status.code(), Some(1), "{name} {args:?}: {said}");
            assert!(said.contains(why), "{name} {args:?}: {said}");
        }
        assert_eq!(std::fs::read_dir(&metadata)?.count(), count, "something was signed");
        vedette::disk::replace(&path, &own)?;
    }
    Ok(())
}
