//! The operator's program as a new user calls it: keys that are encrypted or elsewhere, and what it refuses, with
//! nothing changed.

use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use tests::fleet::Programs;
use tests::folder::set_mode;
use tests::{Fleet, Folder, Kind, places};

/// A file that no more than this can be written to, in the shell's blocks: less than the model has.
const BLOCKS: &str = "64";

/// An operator's desk: a folder with a passphrase, and the program.
struct Desk {
    folder: Folder,
    programs: Programs,
}

impl Desk {
    fn new() -> Result<Self> {
        let desk = Self { folder: Folder::new()?, programs: Programs::test()? };
        desk.secret("pass", "correct horse battery staple\n")?;
        Ok(desk)
    }

    fn secret(&self, name: &str, text: &str) -> Result<()> {
        set_mode(&self.folder.write(name, text)?, 0o600)
    }

    fn run(&self, line: &str) -> Result<Output> {
        let mut command = Command::new(&self.programs.fleet);
        command.args(line.split_whitespace()).current_dir(self.folder.path());
        command.env_remove("VEDETTE_FLEET_PASSPHRASE_FILE").env("LANG", "C").stdin(Stdio::null());
        command.env("ORT_DYLIB_PATH", &self.programs.onnxruntime);
        command.output().context("cannot start `vedette-fleet`")
    }

    fn must(&self, line: &str) -> Result<String> {
        let output = self.run(line)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{line}: {said}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// It is refused with `code` and `why`, in one message, and every file stays what it was.
    fn refused(&self, line: &str, code: i32, why: &str) -> Result<()> {
        let before = self.folder.contents("")?;
        let output = self.run(line)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(code), "{line}: {:?}: {said}", output.status);
        ensure!(said.contains(why), "{line}: {said}");
        ensure!(code == 2 || said.matches("vedette-fleet: ").count() == 1, "{line}: {said}");
        let mut after = self.folder.contents("")?;
        // The lock may appear: it is empty.
        after.retain(|path, _| before.contains_key(path) || !path.ends_with("repo/.lock"));
        let new: Vec<_> = after.keys().filter(|path| !before.contains_key(*path)).collect();
        ensure!(new.is_empty(), "{line}: made {new:?}");
        ensure!(before == after, "{line}: something changed");
        Ok(())
    }

    /// A model that would be accepted, in the folder `model`.
    fn model(&self) -> Result<()> {
        let graph = tests::onnx::brightness(13);
        tests::fleet::write_model(&self.folder, "model", &graph, "1.0.0", 0.5)
    }
}

#[test]
fn keys_are_encrypted_at_rest_and_what_to_keep_offline_is_said() -> Result<()> {
    let desk = Desk::new()?;
    let said = desk.must("init repo --keys keys --passphrase-file pass")?;
    for line in [
        "give every device   keys/root.json",
        "keep offline        root-*.key, each with somebody else: 2 of 3 make a new root",
        "keep offline        targets.key: it signs releases",
        "may be on a server  rollout.key, snapshot.key, timestamp.key",
    ] {
        ensure!(said.contains(line), "{said}");
    }
    for name in ["root-1", "root-2", "root-3", "targets", "rollout", "snapshot", "timestamp"] {
        let text = desk.folder.read(&format!("keys/{name}.key"))?;
        let file: serde_json::Value = serde_json::from_str(&text)?;
        ensure!(file["lock"]["salt"].is_string(), "{name} is not encrypted");
    }
    let root: serde_json::Value = serde_json::from_str(&desk.folder.read("keys/root.json")?)?;
    let role = &root["signed"]["roles"]["root"];
    assert_eq!((&role["threshold"], role["keyids"].as_array().map(Vec::len)), (&2.into(), Some(3)));
    // A timer's keys may be plain, the offline ones are not.
    desk.must("init repo-2 --keys keys-2 --passphrase-file pass --unencrypted-online")?;
    desk.must("refresh repo-2 --keys keys-2")?;
    desk.refused("refresh repo-2 --keys keys-2 --targets", 1, "there is no terminal to ask")
}

#[test]
fn a_key_may_lie_where_the_operator_says() -> Result<()> {
    let desk = Desk::new()?;
    desk.model()?;
    let pem = desk.folder.join("stick.pem");
    let mut openssl = Command::new(places::program("openssl")?);
    openssl.args(["genpkey", "-algorithm", "ed25519", "-out"]).arg(&pem);
    ensure!(openssl.output()?.status.success(), "openssl");
    set_mode(&pem, 0o600)?;
    let named = "--keys keys --passphrase-file pass --key-file targets=stick.pem";
    let said = desk.must(&format!("init repo {named}"))?;
    ensure!(said.contains("stays where it is   stick.pem: targets"), "{said}");
    ensure!(!desk.folder.join("keys/targets.key").exists(), "another one was made");
    let without = "publish repo model --keys keys --passphrase-file pass";
    desk.refused(without, 1, "there is no key of role targets in `keys`")?;
    desk.must(&format!("publish repo model {named}"))?;
    let other = "publish repo model --keys keys --passphrase-file pass --key-file";
    desk.refused(&format!("{other} targets=pass"), 1, "`pass` is no key")?;
    desk.refused(&format!("{other} targets=nowhere"), 1, "cannot read the key `nowhere`")?;
    desk.refused(&format!("{other} goals=pass"), 2, "ROLE is one of root, targets")?;
    set_mode(&pem, 0o640)?;
    desk.refused(&format!("publish repo model {named}"), 1, "run `chmod 600 stick.pem`")
}

#[test]
fn a_rotation_needs_a_threshold_of_the_root_keys_and_keeps_those_that_are_elsewhere() -> Result<()>
{
    let desk = Desk::new()?;
    desk.must("init repo --keys keys --unencrypted")?;
    let root = |number: u32| -> Result<serde_json::Value> {
        let text = desk.folder.read(&format!("repo/metadata/{number}.root.json"))?;
        Ok(serde_json::from_str::<serde_json::Value>(&text)?["signed"].clone())
    };
    let away = |name: &str| {
        let key = desk.folder.read(&format!("keys/{name}.key"))?;
        std::fs::remove_file(desk.folder.join(&format!("keys/{name}.key")))?;
        desk.secret(&format!("{name}.away"), &key)
    };
    away("root-3")?;
    // A key that is lost is replaced without it.
    std::fs::remove_file(desk.folder.join("keys/timestamp.key"))?;
    desk.must("keys rotate repo timestamp --keys keys --unencrypted")?;
    let (first, second) = (root(1)?, root(2)?);
    assert_eq!(first["roles"]["root"], second["roles"]["root"]);
    assert_eq!(first["roles"]["targets"], second["roles"]["targets"]);
    assert_ne!(first["roles"]["timestamp"], second["roles"]["timestamp"]);
    assert_eq!(second["keys"].as_object().map(serde_json::Map::len), Some(6));

    away("root-2")?;
    for role in ["root", "targets", "snapshot", "timestamp"] {
        let line = format!("keys rotate repo {role} --keys keys --unencrypted");
        desk.refused(&line, 1, "too few of the root keys are here")?;
    }
    let named = "--key-file root=root-2.away --key-file root=root-3.away";
    let said = desk.must(&format!("keys rotate repo root --keys keys --unencrypted {named}"))?;
    ensure!(said.contains("the root role has 3 new key(s)"), "{said}");
    ensure!(said.contains("destroy keys/root-1.key.old-2, root-2.away, root-3.away"), "{said}");
    assert_eq!(root(3)?["roles"]["root"]["keyids"].as_array().map(Vec::len), Some(3));
    desk.must("keys rotate repo rollout --keys keys --unencrypted")?;
    desk.must("refresh repo --keys keys")?;
    // Another operator's root is of before: it follows the signatures.
    let first = std::fs::read(desk.folder.join("repo/metadata/1.root.json"))?;
    desk.folder.write("keys/root.json", first)?;
    desk.must("refresh repo --keys keys")?;
    assert_eq!(desk.folder.read("keys/root.json")?, desk.folder.read("repo/metadata/3.root.json")?);
    desk.folder.edit("repo/metadata/2.root.json", "\"version\": 2", "\"version\": 3")?;
    desk.folder
        .write("keys/root.json", std::fs::read(desk.folder.join("repo/metadata/1.root.json"))?)?;
    desk.refused("refresh repo --keys keys", 1, "is not signed by the root before it")
}

#[test]
fn what_cannot_be_is_refused_in_one_message_and_nothing_changes() -> Result<()> {
    let desk = Desk::new()?;
    desk.model()?;
    desk.secret("other", "another passphrase\n")?;
    desk.secret("short", "abc\n")?;
    desk.must("init repo --keys keys --passphrase-file pass")?;
    desk.must("publish repo model --keys keys --passphrase-file pass")?;
    desk.must("rollout repo brightness 1.0.0 --keys keys --passphrase-file pass")?;
    desk.must("bundle repo b.tar --model brightness")?;
    let model = desk.folder.read("model/model.toml")?;
    desk.folder.write("model/model.toml", model.replace("1.0.0", "2.0.0"))?;
    let table = [
        ("init fresh --keys fresh-keys", 1, "there is no terminal to ask for the passphrase"),
        ("init fresh --keys fresh-keys --passphrase-file none", 1, "cannot read the passphrase"),
        ("init fresh --keys fresh-keys --passphrase-file short", 1, "at least 8 are needed"),
        ("init fresh --keys fresh-keys --unencrypted --threshold 4", 1, "cannot be reached with 3"),
        ("init fresh --keys keys --passphrase-file pass", 1, "`keys` has keys already"),
        ("init repo --keys fresh-keys --passphrase-file pass", 1, "`repo` is a repository already"),
        (
            "publish repo model --keys keys --passphrase-file other",
            1,
            "the passphrase does not fit",
        ),
        ("publish repo model --keys none --passphrase-file pass", 1, "have no `root.json`"),
        ("publish model model --keys keys --passphrase-file pass", 1, "`model` is no repository"),
        (
            "publish repo none --keys keys --passphrase-file pass",
            1,
            "cannot read `none/model.toml`",
        ),
        ("publish repo keys --keys keys --passphrase-file pass", 1, "keys/model.toml`"),
        ("publish repo model --keys keys --passphrase-file pass --counter 1", 1, "is not above 1"),
        (
            "publish repo model --keys keys --passphrase-file pass --vedette none",
            1,
            "cannot start `none`",
        ),
        ("rollout repo brightness 9.9.9 --keys keys --passphrase-file pass", 1, "there is 1.0.0"),
        ("rollout repo other 1.0.0 --keys keys --passphrase-file pass", 1, "none is published"),
        ("rollout repo brightness 1.0.0 --keys keys --waves 10,x", 1, "`x` is no share"),
        ("rollout repo brightness 1.0.0 --keys keys --every 6d", 2, "`6d` is no time"),
        ("rollout repo brightness 1.0.0 --keys keys --devices a/b", 2, "`a/b` is not a name"),
        ("rollout repo brightness 1.0.0 --keys keys --passphrase-file other", 1, "does not fit"),
        ("halt repo other --keys keys --passphrase-file pass", 1, "there is no rollout of other"),
        ("refresh repo --keys keys --passphrase-file other", 1, "does not fit"),
        ("keys rotate repo snapshot --keys keys --passphrase-file other", 1, "does not fit"),
        ("keys rotate repo release --keys keys --passphrase-file pass", 2, "possible values"),
        ("status none", 1, "`none` is no repository"),
        ("status repo other", 1, "there is no release of other"),
        ("bundle repo none/b.tar --model brightness", 1, "cannot write `none/b.tar`"),
        ("bundle repo b.tar --model other", 1, "there is no rollout of other"),
        ("serve none", 1, "`none` is no repository: `vedette-fleet init` makes one"),
        ("serve repo --listen nowhere", 2, "invalid socket address"),
        ("serve repo --listen 192.0.2.1:80", 1, "cannot listen on 192.0.2.1:80"),
    ];
    for (line, code, why) in table {
        desk.refused(line, code, why)?;
    }
    set_mode(&desk.folder.join("keys/snapshot.key"), 0o644)?;
    let line = "refresh repo --keys keys --passphrase-file pass --targets";
    desk.refused(line, 1, "run `chmod 600 keys/snapshot.key`")?;
    set_mode(&desk.folder.join("pass"), 0o604)?;
    desk.refused(line, 1, "run `chmod 600 pass`")?;
    desk.folder.write("repo/targets/targets.key.old-1", "")?;
    desk.refused("serve repo", 1, "there is a key in the repository")
}

#[test]
fn a_disk_that_ends_while_publishing_leaves_what_devices_see() -> Result<()> {
    let fleet = Fleet::new()?;
    fleet.release("1.0.0", Kind::Good, 1)?;
    let shapes = places::model("shapes")?;
    let before = fleet.folder().contents("repo")?;
    // A limit on the size of a file is what a test without a disk of its own can have.
    let script = format!("trap '' XFSZ; ulimit -f {BLOCKS}; exec \"$@\"");
    let programs = Programs::test()?;
    let output = Command::new("sh")
        .args(["-c", &script, "sh"])
        .arg(&programs.fleet)
        .args(["publish", "repo", "--keys", "keys", "--without-running"])
        .arg(shapes)
        .current_dir(fleet.folder().path())
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    ensure!(said.contains("cannot copy `") && said.contains("File too large"), "{said}");
    ensure!(fleet.folder().contents("repo")? == before, "something stayed: {said}");
    let shapes = places::model("shapes")?.display().to_string();
    fleet.must(&["publish", "repo", &shapes, "--keys", "keys", "--without-running"]).map(drop)
}
