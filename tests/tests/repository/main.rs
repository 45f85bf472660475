//! What the operator's program writes, in the eyes of others: python-tuf's client, and attackers.

mod theft;
mod thief;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use tests::{Fleet, Folder, Kind};
use vedette::update::LinkSettings;
use vedette::update::http::Http;
use vedette::update::trust::{Trust, TrustError};
use vedette::update::written;

/// What python-tuf's client makes of the repository, with what it trusts in `directory`: how many targets it has.
fn ngclient(fleet: &Fleet, root: &Path, directory: &Path) -> Result<u32> {
    let python =
        std::env::var_os("VEDETTE_TEST_PYTHON").context("VEDETTE_TEST_PYTHON is not set")?;
    let script = tests::places::repository().join("tests/python/ngclient.py");
    let output =
        Command::new(python).arg(script).arg(root).arg(fleet.url()).arg(directory).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}");
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse()?)
}

#[test]
fn python_tuf_accepts_every_repository_as_a_newcomer_and_as_a_follower() -> Result<()> {
    let (fleet, device) = (Fleet::new()?, Folder::new()?);
    let first = device.join("first.json");
    std::fs::copy(fleet.folder().join("keys/root.json"), &first)?;
    let keys = ["--keys", "keys"];
    let rotate = |role: &str| {
        let args = ["keys", "rotate", "repo", role, "--keys", "keys", "--unencrypted"];
        fleet.must(&args).map(drop)
    };
    let run = |args: &[&str]| fleet.must(&[args, &keys].concat()).map(drop);
    let rollout = ["rollout", "repo", "brightness", "2.0.0"];
    type Step<'a> = (&'a str, u32, Box<dyn Fn() -> Result<()> + 'a>);
    let steps: Vec<Step<'_>> = vec![
        ("an empty one", 0, Box::new(|| Ok(()))),
        ("a release", 6, Box::new(|| fleet.release("1.0.0", Kind::Good, 1))),
        ("a second one", 8, Box::new(|| fleet.release("2.0.0", Kind::Good, 1))),
        ("a halt", 8, Box::new(|| run(&["halt", "repo", "brightness"]))),
        ("a resumption", 8, Box::new(|| run(&["resume", "repo", "brightness"]))),
        ("waves", 8, Box::new(|| run(&[&rollout[..], &["--waves", "1,50,100"]].concat()))),
        (
            "named devices",
            8,
            Box::new(|| run(&[&rollout[..], &["--devices", "dut,other"]].concat())),
        ),
        ("another group", 9, Box::new(|| run(&[&rollout[..], &["--group", "lab"]].concat()))),
        ("a refresh", 9, Box::new(|| run(&["refresh", "repo", "--targets"]))),
        ("a new root", 9, Box::new(|| rotate("root"))),
        ("a new targets key", 9, Box::new(|| rotate("targets"))),
        ("a new rollout key", 9, Box::new(|| rotate("rollout"))),
        ("a new snapshot key", 9, Box::new(|| rotate("snapshot"))),
        ("a new timestamp key", 9, Box::new(|| rotate("timestamp"))),
    ];
    for (number, (what, count, step)) in steps.iter().enumerate() {
        step().with_context(|| (*what).to_owned())?;
        for client in ["follower".to_owned(), format!("newcomer-{number}")] {
            let found = ngclient(&fleet, &first, &device.join(&client));
            let found = found.with_context(|| format!("{what}, {client}"))?;
            assert_eq!(found, *count, "{what}, {client}");
        }
    }
    Ok(())
}

/// One device's trust in a fleet's repository.
struct Device {
    folder: Folder,
    trust: Trust,
    transport: Arc<Http>,
}

impl Device {
    fn new(fleet: &Fleet) -> Result<Self> {
        Self::written(fleet, written())
    }

    /// One whose program was written at `written`.
    fn written(fleet: &Fleet, written: Timestamp) -> Result<Self> {
        let folder = Folder::quick()?;
        let root = folder.join("root.json");
        std::fs::copy(fleet.folder().join("keys/root.json"), &root)?;
        let trust = Trust::open(&root, &folder.join("tuf"), written)?;
        let transport = Arc::new(Http::new(fleet.url(), &LinkSettings::default())?);
        Ok(Self { folder, trust, transport })
    }

    /// Refreshes at `now`, and asks for the rollout and its release: the version, where all is well.
    fn version(&self, now: Timestamp) -> Result<Option<String>, TrustError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(TrustError::Store)?;
        runtime.block_on(async {
            let mut view = self.trust.refresh(self.transport.clone(), now).await?;
            let Some(rollout) = view.rollout("brightness", "default").await? else {
                return Ok(None);
            };
            view.release(&rollout).await.map(|(release, _)| Some(release.version))
        })
    }
}

/// Copies the files of `from` over those of `to`.
fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

fn edit(path: &Path, change: impl Fn(&mut serde_json::Value)) -> Result<()> {
    let mut document = serde_json::from_slice(&std::fs::read(path)?)?;
    change(&mut document);
    Ok(vedette::disk::replace(path, &serde_json::to_vec(&document)?)?)
}

/// What an attacker does to the repository (its metadata now and as it was before) or to time.
type Attack = fn(&Path, &Path, &Path) -> Result<()>;

#[test]
fn an_attack_is_refused_by_its_name() -> Result<()> {
    let table: [(&str, &str, Attack); 9] = [
        ("replay", "rollback:", |now, before, _| copy(before, now)),
        ("replay after the device's memory was emptied", "rollback:", |now, before, tuf| {
            copy(before, now)?;
            for name in ["timestamp.json", "snapshot.json", "targets.json", "rollout.json"] {
                vedette::disk::replace(&tuf.join(name), b"")?;
            }
            Ok(())
        }),
        ("tampered timestamp", "wrong signatures:", |now, _, _| {
            edit(&now.join("timestamp.json"), |document| document["signed"]["version"] = 99.into())
        }),
        ("tampered targets", "mix and match:", |now, _, _| {
            let name = newest(now, "targets")?;
            edit(&now.join(name), |document| document["signed"]["version"] = 1.into())
        }),
        ("mix and match", "mix and match:", |now, before, _| {
            let (name, old) = (newest(now, "snapshot")?, newest(before, "snapshot")?);
            vedette::disk::replace(&now.join(name), &std::fs::read(before.join(old))?)?;
            Ok(())
        }),
        ("too few signatures", "wrong signatures:", |now, _, _| {
            let name = newest(now, "root")?;
            let next = now.join("2.root.json");
            std::fs::copy(now.join(name), &next)?;
            edit(&next, |document| {
                document["signed"]["version"] = 2.into();
                document["signatures"].as_array_mut().into_iter().for_each(|all| all.truncate(1));
            })
        }),
        ("endless metadata", "endless:", |now, _, _| {
            let mut bytes = std::fs::read(now.join("timestamp.json"))?;
            bytes.resize(4 << 20, b' ');
            Ok(vedette::disk::replace(&now.join("timestamp.json"), &bytes)?)
        }),
        ("no metadata", "malformed metadata:", |now, _, _| {
            Ok(vedette::disk::replace(&now.join("timestamp.json"), b"<html>")?)
        }),
        ("both copies of the floors damaged", "the memory of the newest versions", |_, _, tuf| {
            for name in ["floors.json", "floors.2.json"] {
                vedette::disk::replace(&tuf.join(name), b"")?;
            }
            Ok(())
        }),
    ];
    for (what, named, attack) in table {
        let fleet = Fleet::new()?;
        fleet.release("1.0.0", Kind::Good, 1)?;
        let (metadata, before) =
            (fleet.folder().join("repo/metadata"), fleet.folder().join("before"));
        copy(&metadata, &before)?;
        let device = Device::new(&fleet)?;
        assert_eq!(device.version(Timestamp::now())?.as_deref(), Some("1.0.0"), "{what}");
        fleet.release("2.0.0", Kind::Good, 1)?;
        assert_eq!(device.version(Timestamp::now())?.as_deref(), Some("2.0.0"), "{what}");
        attack(&metadata, &before, &device.folder.join("tuf")).with_context(|| what.to_owned())?;
        let mut refused = device.version(Timestamp::now());
        if refused.is_ok() {
            // What a device has, it need not ask for again: the attack is on those that have it not.
            refused = Device::new(&fleet)?.version(Timestamp::now());
        }
        let said = refused.err().map(|error| vedette::report::chain(&error)).unwrap_or_default();
        assert!(said.starts_with(named), "{what}: `{said}`");
    }
    Ok(())
}

/// The newest file of a role.
fn newest(metadata: &Path, role: &str) -> Result<String> {
    let mut newest = 0;
    for entry in std::fs::read_dir(metadata)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some(number) = name.strip_suffix(&format!(".{role}.json")) {
            newest = newest.max(number.parse()?);
        }
    }
    Ok(format!("{newest}.{role}.json"))
}

#[test]
fn a_clock_that_is_wrong_neither_fools_nor_locks_out() -> Result<()> {
    let fleet = Fleet::new()?;
    fleet.release("1.0.0", Kind::Good, 1)?;
    let device = Device::new(&fleet)?;
    let now = Timestamp::now();
    let days = |days: i64| now.checked_add(SignedDuration::from_hours(24 * days));
    let (early, ahead) = (Timestamp::UNIX_EPOCH, days(400)?);
    // Far ahead everything has expired, and nothing of that is remembered.
    let expired = device.version(ahead).err().context("400 days ahead")?;
    assert!(matches!(expired, TrustError::Expired(_)), "{expired:?}");
    for clock in [now, early, days(-30)?] {
        assert_eq!(device.version(clock)?.as_deref(), Some("1.0.0"), "{clock}");
    }
    // Held back metadata expires, also for a device that wakes up in 1970.
    fleet.release("2.0.0", Kind::Good, 1)?;
    assert_eq!(device.version(days(1)?)?.as_deref(), Some("2.0.0"));
    let frozen = device.version(days(3)?).err().context("frozen")?;
    assert!(matches!(frozen, TrustError::Expired(_)), "{frozen:?}");
    assert_eq!(device.version(early)?.as_deref(), Some("2.0.0"));
    // A new device in 1970 is not earlier than its program: what expired before that was written is none.
    let device = Device::written(&fleet, days(3)?)?;
    let old = device.version(early).err().context("older than the program")?;
    assert!(matches!(old, TrustError::Expired(_)), "{old:?}");
    Ok(())
}
