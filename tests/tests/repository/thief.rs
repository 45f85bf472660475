//! Somebody who has the operator's online keys and the server, and signs what the operator's program would not.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use aws_lc_rs::signature::Ed25519KeyPair;
use serde_json::{Value, json};
use tests::Fleet;
use wire::{Digest, RolloutDocument};

/// See the module.
pub(crate) struct Thief {
    keys: PathBuf,
    repository: PathBuf,
}

impl Thief {
    /// A thief of all of `fleet`.
    pub(crate) fn of(fleet: &Fleet) -> Self {
        Self { keys: fleet.folder().join("keys"), repository: fleet.folder().join("repo") }
    }

    pub(crate) fn metadata(&self) -> PathBuf {
        self.repository.join("metadata")
    }

    /// Puts `bytes` onto the server as the target `name`; what a role would say of it.
    pub(crate) fn upload(&self, name: &str, bytes: &[u8]) -> Result<Value> {
        let digest = Digest::of(bytes);
        let path = self.repository.join("targets").join(format!("{digest}.{name}"));
        vedette::disk::replace(&path, bytes)?;
        Ok(json!({ "length": bytes.len(), "hashes": { "sha256": digest.to_string() } }))
    }

    /// Rolls `rollout` out, and has the rollout role list `targets` beside it.
    pub(crate) fn roll_out(
        &self,
        rollout: &RolloutDocument,
        targets: &[(&str, Value)],
    ) -> Result<()> {
        let name = RolloutDocument::target(&rollout.model, &rollout.group);
        let entry = self.upload(&name, &serde_json::to_vec(rollout)?)?;
        let mut role = self.read(&self.newest("rollout")?)?;
        role["signed"]["targets"][&name] = entry;
        for (name, entry) in targets {
            role["signed"]["targets"][*name] = entry.clone();
        }
        let rollout = self.put("rollout", role, &["rollout"])?;
        let mut snapshot = self.read(&self.newest("snapshot")?)?;
        snapshot["signed"]["meta"]["rollout.json"] = rollout;
        let snapshot = self.put("snapshot", snapshot, &["snapshot"])?;
        self.stamp(|timestamp| timestamp["meta"]["snapshot.json"] = snapshot.clone())
    }

    /// Signs the timestamp anew, changed, with the next version where `change` sets none.
    pub(crate) fn stamp(&self, change: impl Fn(&mut Value)) -> Result<()> {
        let mut timestamp = self.read("timestamp.json")?;
        let version = timestamp["signed"]["version"].as_u64().context("no version")?;
        timestamp["signed"]["version"] = (version + 1).into();
        change(&mut timestamp["signed"]);
        let bytes = self.sign(timestamp, &["timestamp"])?;
        Ok(vedette::disk::replace(&self.metadata().join("timestamp.json"), &bytes)?)
    }

    /// Adds a root that is like the newest but for its version, signed by `keys`.
    pub(crate) fn next_root(&self, version: u64, keys: &[&str]) -> Result<()> {
        let mut root = self.read(&format!("{}.root.json", version - 1))?;
        root["signed"]["version"] = version.into();
        let bytes = self.sign(root, keys)?;
        let path = self.metadata().join(format!("{version}.root.json"));
        Ok(std::io::Write::write_all(&mut std::fs::File::create(path)?, &bytes)?)
    }

    /// The rollout that devices see now.
    pub(crate) fn rollout(&self) -> Result<RolloutDocument> {
        let role = self.read(&self.newest("rollout")?)?;
        let name = RolloutDocument::target("brightness", "default");
        let digest = role["signed"]["targets"][&name]["hashes"]["sha256"].as_str();
        let digest = digest.context("nothing is rolled out")?;
        let path = self.repository.join("targets").join(format!("{digest}.{name}"));
        Ok(RolloutDocument::parse(&std::fs::read(path)?)?)
    }

    /// Writes the next version of a role; what the snapshot or timestamp would say of it.
    fn put(&self, role: &str, mut document: Value, keys: &[&str]) -> Result<Value> {
        let version = document["signed"]["version"].as_u64().context("no version")? + 1;
        document["signed"]["version"] = version.into();
        let bytes = self.sign(document, keys)?;
        let name = format!("{version}.{role}.json");
        vedette::disk::replace(&self.metadata().join(name), &bytes)?;
        let digest = Digest::of(&bytes).to_string();
        Ok(json!({ "version": version, "length": bytes.len(), "hashes": { "sha256": digest } }))
    }

    /// `document` with the signatures of `keys` only, whose identifiers the old ones have.
    fn sign(&self, mut document: Value, keys: &[&str]) -> Result<Vec<u8>> {
        let message = canonical(&document["signed"]);
        let mut signatures = Vec::new();
        for key in keys {
            let file: Value =
                serde_json::from_slice(&std::fs::read(self.keys.join(format!("{key}.key")))?)?;
            let secret = unhex(file["secret"].as_str().context("no key")?)?;
            let pair = Ed25519KeyPair::from_pkcs8(&secret).ok().context("no key")?;
            let public = aws_lc_rs::signature::KeyPair::public_key(&pair).as_ref().to_vec();
            let public = json!({
                "keytype": "ed25519", "scheme": "ed25519", "keyval": { "public": hex(&public) },
            });
            let id = Digest::of(canonical(&public).as_bytes()).to_string();
            let signature = hex(pair.sign(message.as_bytes()).as_ref());
            signatures.push(json!({ "keyid": id, "sig": signature }));
        }
        document["signatures"] = signatures.into();
        Ok(serde_json::to_vec(&document)?)
    }

    pub(crate) fn read(&self, name: &str) -> Result<Value> {
        let path = self.metadata().join(name);
        let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
        Ok(serde_json::from_slice(&bytes)?)
    }

    pub(crate) fn newest(&self, role: &str) -> Result<String> {
        super::newest(&self.metadata(), role)
    }
}

/// Canonical JSON of what the metadata has: sorted keys, no spaces.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            let pair =
                |key: &String| format!("{}:{}", Value::from(key.as_str()), canonical(&map[key]));
            format!("{{{}}}", keys.into_iter().map(pair).collect::<Vec<_>>().join(","))
        }
        Value::Array(list) => {
            format!("[{}]", list.iter().map(canonical).collect::<Vec<_>>().join(","))
        }
        plain => plain.to_string(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    let digits = |at: usize| text.get(at..at + 2).context("half a byte");
    (0..text.len()).step_by(2).map(|at| Ok(u8::from_str_radix(digits(at)?, 16)?)).collect()
}

/// Lets somebody who has only the server change the file `path`.
pub(crate) fn overwrite(path: &Path, change: impl Fn(&mut Value)) -> Result<()> {
    super::edit(path, change)
}
