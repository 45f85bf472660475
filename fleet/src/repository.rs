//! The repository: static files, signed. Read, changed in memory, and written with the timestamp last.
//!
//! Whatever is on the disk is verified against the root that the operator keeps with the keys before any of it is
//! signed again: a web server that somebody took over cannot have its own releases signed this way.

use std::collections::HashMap;
use std::fs::File;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use aws_lc_rs::rand::SystemRandom;
use jiff::{SignedDuration, Timestamp as Time};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tough::TargetName;
use tough::editor::signed::SignedRole;
use tough::key_source::KeySource;
use tough::schema::{
    DelegatedRole, DelegatedTargets, Delegations, Hashes, KeyHolder, Metafile, PathPattern,
    PathSet, Role, RoleKeys, RoleType, Root, Signed, Snapshot, Target, Targets, Timestamp,
};
use wire::Digest;
use wire::rollout::{PATHS, ROLE};

use crate::files;
use crate::keys::{KeyId, KeyRing, SigningKey};
use crate::roles::RoleName;
use crate::roots::{self, Chain};

/// Version of the specification that is written.
const SPEC: &str = "1.0.0";
/// Largest metadata file that is read.
pub(crate) const METADATA_BYTES_MAX: u64 = 8 << 20;

/// How long each role's word is good, in hours: offline keys are seldom at hand, online ones sign by a timer.
pub(crate) const LIFETIMES_H: [(&str, i64); 5] = [
    ("root", 365 * 24),
    ("targets", 90 * 24),
    ("rollout", 7 * 24),
    ("snapshot", 7 * 24),
    ("timestamp", 48),
];

/// The five roles as they are on the disk.
pub(crate) struct Repository {
    pub(crate) dir: PathBuf,
    pub(crate) root: Root,
    pub(crate) targets: Targets,
    pub(crate) rollout: Targets,
    pub(crate) snapshot: Snapshot,
    pub(crate) timestamp: Timestamp,
    unsettled: Unsettled,
    _lock: Option<File>,
}

/// What a rotation leaves to do once its root is in place.
#[derive(Default)]
struct Unsettled {
    /// A role whose old key signed what is on the disk: devices refuse it.
    signatures: bool,
    /// Whether the list of releases is among what such a key signed.
    targets: bool,
    /// The root that is not beside the keys yet. It gets there last: until then what the key before signed is ours.
    root: Option<Vec<u8>>,
}

/// What is to be signed anew, besides snapshot and timestamp.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Changed {
    pub(crate) targets: bool,
    pub(crate) rollout: bool,
}

fn version(number: u64) -> Result<NonZeroU64> {
    NonZeroU64::new(number).ok_or_else(|| anyhow!("a version is at least 1"))
}

/// When a role that is signed now expires: whole seconds, as the specification has it.
fn expires(role: &str) -> Result<Time> {
    let hours = LIFETIMES_H.iter().find(|(name, _)| *name == role).map_or(24, |(_, hours)| *hours);
    let end = Time::now().checked_add(SignedDuration::from_hours(hours))?;
    Ok(Time::from_second(end.as_second())?)
}

/// The keys of one role.
fn role_keys(keys: &[SigningKey], threshold: u64, known: &mut KeyMap) -> Result<RoleKeys> {
    let mut keyids = Vec::new();
    for key in keys {
        let public = key.public()?;
        let id = public.key_id()?;
        known.insert(id.clone(), public);
        keyids.push(id);
    }
    Ok(RoleKeys { keyids, threshold: version(threshold)?, _extra: HashMap::new() })
}

type KeyMap = HashMap<KeyId, tough::schema::key::Key>;

/// A root for these keys.
pub(crate) fn new_root(
    number: u64,
    threshold: u64,
    roots: &[SigningKey],
    others: [(RoleType, &[SigningKey]); 3],
) -> Result<Root> {
    let mut keys = KeyMap::new();
    let mut roles = HashMap::new();
    roles.insert(RoleType::Root, role_keys(roots, threshold, &mut keys)?);
    for (role, own) in others {
        roles.insert(role, role_keys(own, 1, &mut keys)?);
    }
    Ok(Root {
        spec_version: SPEC.to_owned(),
        consistent_snapshot: true,
        version: version(number)?,
        expires: expires("root")?,
        keys,
        roles,
        _extra: HashMap::new(),
    })
}

/// The root after `old`: `role` has `keys` from now on, and everybody else those that they had. What only the old
/// keys of the role were in it for is not in it any more.
pub(crate) fn successor(old: &Root, role: RoleType, keys: &[SigningKey]) -> Result<Root> {
    let threshold = old.roles.get(&role).map_or(1, |keys| keys.threshold.get());
    let mut root = old.clone();
    root.version = version(old.version.get() + 1)?;
    root.expires = expires("root")?;
    let known = role_keys(keys, threshold, &mut root.keys)?;
    root.roles.insert(role, known);
    let roles = root.roles.clone();
    root.keys.retain(|id, _| roles.values().any(|role| role.keyids.contains(id)));
    Ok(root)
}

/// The delegation to the rollout role's keys.
pub(crate) fn delegation(keys: &[SigningKey]) -> Result<Delegations> {
    let mut delegations = Delegations::new();
    let role = role_keys(keys, 1, &mut delegations.keys)?;
    delegations.roles.push(DelegatedRole {
        name: ROLE.to_owned(),
        keyids: role.keyids,
        threshold: role.threshold,
        paths: PathSet::Paths(vec![PathPattern::new(PATHS)?]),
        terminating: true,
        targets: None,
    });
    Ok(delegations)
}

impl Repository {
    /// An empty one of `root`, whose rollouts are signed by `rollout`.
    pub(crate) fn new(dir: &Path, root: Root, rollout: &[SigningKey]) -> Result<Self> {
        for part in ["metadata", "targets"] {
            let path = dir.join(part);
            std::fs::create_dir_all(&path)
                .with_context(|| format!("cannot create `{}`", path.display()))?;
        }
        let empty = |role| -> Result<Targets> {
            Ok(Targets::new(SPEC.to_owned(), version(1)?, expires(role)?))
        };
        let mut targets = empty("targets")?;
        targets.delegations = Some(delegation(rollout)?);
        Ok(Self {
            dir: dir.to_owned(),
            root,
            targets,
            rollout: empty("rollout")?,
            snapshot: Snapshot::new(SPEC.to_owned(), version(1)?, expires("snapshot")?),
            timestamp: Timestamp::new(SPEC.to_owned(), version(1)?, expires("timestamp")?),
            unsettled: Unsettled::default(),
            _lock: Some(files::lock(dir)?),
        })
    }

    /// The repository in `dir`, to be changed by whoever has `keys`.
    pub(crate) fn open(dir: &Path, keys: &KeyRing) -> Result<Self> {
        if !dir.join("metadata").is_dir() {
            bail!("`{}` is no repository: `vedette-fleet init` makes one", dir.display());
        }
        let lock = files::lock(dir)?;
        let trusted = files::read(&keys.root_path(), METADATA_BYTES_MAX).context(
            "the keys have no `root.json` beside them, which says what to trust of the repository",
        )?;
        let trusted: Signed<Root> =
            serde_json::from_slice(&trusted).context("the keys' `root.json` is no root")?;
        let mut chain = roots::follow(dir, trusted.signed)?;
        let newer = chain.newer.take();
        let mut repository = Self::read(dir, chain, Some(lock))?;
        for role in RoleName::words() {
            let number = repository.root.version.get().saturating_sub(1);
            keys.take_up(role, &repository.key_ids(role), number)?;
        }
        match newer {
            Some(bytes) if !repository.unsettled.signatures => {
                files::replace(&keys.root_path(), &bytes, 0o644)?;
            }
            newer => repository.unsettled.root = newer,
        }
        Ok(repository)
    }

    /// The repository in `dir`, to be looked at.
    pub(crate) fn look(dir: &Path) -> Result<Self> {
        if !dir.join("metadata").is_dir() {
            bail!("`{}` is no repository: `vedette-fleet init` makes one", dir.display());
        }
        let repository = Self::read(dir, roots::newest(dir)?, None)?;
        if repository.unsettled.signatures {
            bail!(
                "a rotation was cut off, and devices take nothing from `{}`: run `vedette-fleet refresh` with the \
                 role's new key",
                dir.display()
            );
        }
        Ok(repository)
    }

    fn read(dir: &Path, chain: Chain, lock: Option<File>) -> Result<Self> {
        let wrong = |role: &str| {
            format!("the {role} role in `{}` is not signed by its keys", dir.display())
        };
        let mut unsettled = Unsettled::default();
        let timestamp: Signed<Timestamp> = load(dir, "timestamp.json")?;
        unsettled.signatures |= chain.of_before(&timestamp).with_context(|| wrong("timestamp"))?;
        let pinned = |meta: &HashMap<String, Metafile>, name: &str| -> Result<u64> {
            let found = meta.get(name).ok_or_else(|| anyhow!("the repository has no {name}"))?;
            Ok(found.version.get())
        };
        let number = pinned(&timestamp.signed.meta, "snapshot.json")?;
        let snapshot: Signed<Snapshot> = load(dir, &format!("{number}.snapshot.json"))?;
        unsettled.signatures |= chain.of_before(&snapshot).with_context(|| wrong("snapshot"))?;
        let number = pinned(&snapshot.signed.meta, "targets.json")?;
        let targets: Signed<Targets> = load(dir, &format!("{number}.targets.json"))?;
        unsettled.targets = chain.of_before(&targets).with_context(|| wrong("targets"))?;
        unsettled.signatures |= unsettled.targets;
        let number = pinned(&snapshot.signed.meta, &format!("{ROLE}.json"))?;
        let rollout: Signed<Targets> = load(dir, &format!("{number}.{ROLE}.json"))?;
        let delegations =
            targets.signed.delegations.as_ref().context("nobody may sign rollouts")?;
        delegations.verify_role(&rollout, ROLE).with_context(|| wrong(ROLE))?;
        Ok(Self {
            dir: dir.to_owned(),
            root: chain.root,
            targets: targets.signed,
            rollout: rollout.signed,
            snapshot: snapshot.signed,
            timestamp: timestamp.signed,
            unsettled,
            _lock: lock,
        })
    }

    /// The keys that may sign for `role`.
    fn key_ids(&self, role: &str) -> Vec<KeyId> {
        let delegated = self.targets.delegations.iter().flat_map(|delegations| &delegations.roles);
        let delegated = delegated.map(|known| (known.name.clone(), &known.keyids));
        let own = self.root.roles.iter().map(|(kind, keys)| (kind.to_string(), &keys.keyids));
        own.chain(delegated)
            .filter(|(name, _)| name == role)
            .flat_map(|(_, ids)| ids.clone())
            .collect()
    }

    /// Whether what an earlier rotation left is still to be signed.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.unsettled.signatures
    }

    /// Whether there is a root `number`.
    pub(crate) fn has_root(&self, number: u64) -> bool {
        self.dir.join("metadata").join(format!("{number}.root.json")).exists()
    }

    /// Whether devices can see another timestamp than `before`: a file can be in place and its rename have failed.
    pub(crate) fn shows_since(&self, before: NonZeroU64) -> bool {
        let timestamp = load::<Signed<Timestamp>>(&self.dir, "timestamp.json");
        timestamp.map_or(true, |found| found.signed.version != before)
    }

    /// Where a target's file lies.
    pub(crate) fn target_path(&self, name: &str, digest: &Digest) -> PathBuf {
        self.dir.join("targets").join(format!("{digest}.{name}"))
    }

    /// The target `name` of the offline role, as digest and length.
    pub(crate) fn find(targets: &Targets, name: &str) -> Option<(Digest, u64)> {
        let target = targets.targets.get(&TargetName::new(name).ok()?)?;
        let bytes: [u8; 32] = target.hashes.sha256.as_ref().try_into().ok()?;
        Some((Digest::from_bytes(bytes), target.length))
    }

    /// Lists the target `name` in a role.
    pub(crate) fn list(
        targets: &mut Targets,
        name: &str,
        digest: &Digest,
        length: u64,
    ) -> Result<()> {
        let target = Target {
            length,
            hashes: Hashes { sha256: digest.as_bytes().to_vec().into(), _extra: HashMap::new() },
            custom: HashMap::new(),
            _extra: HashMap::new(),
        };
        targets.targets.insert(TargetName::new(name)?, target);
        Ok(())
    }

    /// A document that is a target, as it is on the disk.
    pub(crate) fn document(
        &self,
        targets: &Targets,
        name: &str,
        max: u64,
    ) -> Result<Option<Vec<u8>>> {
        let Some((digest, _)) = Self::find(targets, name) else { return Ok(None) };
        let bytes = files::read(&self.target_path(name, &digest), max)?;
        if Digest::of(&bytes) != digest {
            bail!("`{name}` is not what was signed: somebody changed it");
        }
        Ok(Some(bytes))
    }

    /// Signs what changed, with snapshot and timestamp, and puts it into place: the timestamp last.
    pub(crate) fn commit(
        &mut self,
        keys: &KeyRing,
        mut changed: Changed,
        first: bool,
    ) -> Result<()> {
        changed.targets |= self.unsettled.targets;
        let next = |old: NonZeroU64| version(if first { 1 } else { old.get() + 1 });
        let holder = KeyHolder::Root(self.root.clone());
        let mut written = Vec::new();
        if changed.targets {
            self.targets.version = next(self.targets.version)?;
            self.targets.expires = expires("targets")?;
            let signed = sign(self.targets.clone(), &holder, &keys.load("targets")?)?;
            self.pin("targets.json", &signed);
            written
                .push((format!("{}.targets.json", self.targets.version), signed.buffer().clone()));
        }
        if changed.rollout {
            self.rollout.version = next(self.rollout.version)?;
            self.rollout.expires = expires("rollout")?;
            let delegations =
                self.targets.delegations.clone().context("nobody may sign rollouts")?;
            let role = DelegatedTargets { name: ROLE.to_owned(), targets: self.rollout.clone() };
            let signed = sign(role, &KeyHolder::Delegations(delegations), &keys.load(ROLE)?)?;
            self.pin(&format!("{ROLE}.json"), &signed);
            written
                .push((format!("{}.{ROLE}.json", self.rollout.version), signed.buffer().clone()));
        }
        let stale = |expires: Time, role| near(expires, role);
        let anew = changed.targets || changed.rollout || self.unsettled.signatures;
        if anew || stale(self.snapshot.expires, "snapshot") {
            self.snapshot.version = next(self.snapshot.version)?;
            self.snapshot.expires = expires("snapshot")?;
            let signed = sign(self.snapshot.clone(), &holder, &keys.load("snapshot")?)?;
            self.timestamp.meta.insert("snapshot.json".to_owned(), metafile(&signed));
            written.push((
                format!("{}.snapshot.json", self.snapshot.version),
                signed.buffer().clone(),
            ));
        }
        self.timestamp.version = next(self.timestamp.version)?;
        self.timestamp.expires = expires("timestamp")?;
        let signed = sign(self.timestamp.clone(), &holder, &keys.load("timestamp")?)?;
        written.push(("timestamp.json".to_owned(), signed.buffer().clone()));
        for (name, bytes) in written {
            files::replace(&self.dir.join("metadata").join(name), &bytes, 0o644)?;
        }
        if let Some(root) = &self.unsettled.root {
            files::replace(&keys.root_path(), root, 0o644)?;
        }
        self.unsettled = Unsettled::default();
        Ok(())
    }

    /// `root`, signed by its own keys and those of the one before.
    pub(crate) fn sign_root(&self, root: &Root, signers: &[SigningKey]) -> Result<Vec<u8>> {
        let own = sign_with(root.clone(), &KeyHolder::Root(root.clone()), signers);
        let mut signed = own.context(TOO_FEW)?.signed().clone();
        if root.version.get() > 1 {
            let before = sign_with(root.clone(), &KeyHolder::Root(self.root.clone()), signers);
            for signature in &before.context(TOO_FEW)?.signed().signatures {
                if !signed.signatures.iter().any(|known| known.keyid == signature.keyid) {
                    signed.signatures.push(signature.clone());
                }
            }
            self.root.verify_role(&signed).context(TOO_FEW)?;
        }
        root.verify_role(&signed).context(TOO_FEW)?;
        let mut bytes = serde_json::to_vec_pretty(&signed)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Puts a signed root into place, which has other keys for `changed`. [`Self::commit`] does the rest: it signs
    /// anew what the keys before signed, and puts the root beside the keys.
    pub(crate) fn install_root(
        &mut self,
        root: Root,
        bytes: Vec<u8>,
        changed: Changed,
    ) -> Result<()> {
        let name = format!("{}.root.json", root.version);
        files::replace(&self.dir.join("metadata").join(name), &bytes, 0o644)?;
        self.root = root;
        self.unsettled =
            Unsettled { signatures: true, targets: changed.targets, root: Some(bytes) };
        Ok(())
    }

    fn pin<T>(&mut self, name: &str, signed: &SignedRole<T>)
    where
        T: Role + Serialize,
    {
        self.snapshot.meta.insert(name.to_owned(), metafile(signed));
    }
}

/// Whether a third of a role's life is left, or less.
pub(crate) fn near(expires: Time, role: &str) -> bool {
    let hours = LIFETIMES_H.iter().find(|(name, _)| *name == role).map_or(24, |(_, hours)| *hours);
    let left = expires.duration_since(Time::now());
    left < SignedDuration::from_hours(hours) / 3
}

/// What a root lacks that not enough keys signed.
const TOO_FEW: &str = "too few of the root keys are here: a new root needs a threshold of the old and of the new \
                       ones; bring more of them, or name their files with `--key-file root=FILE`";

fn metafile<T: Role + Serialize>(signed: &SignedRole<T>) -> Metafile {
    let hashes = Hashes { sha256: signed.sha256().to_vec().into(), _extra: HashMap::new() };
    Metafile {
        length: Some(*signed.length()),
        hashes: Some(hashes),
        version: signed.signed().signed.version(),
        _extra: HashMap::new(),
    }
}

fn sign<T>(role: T, holder: &KeyHolder, keys: &[SigningKey]) -> Result<SignedRole<T>>
where
    T: Role + Serialize,
{
    sign_with(role, holder, keys).with_context(|| {
        format!(
            "the keys of the {} role that are here are not those that the repository knows; where there is a \
             `.key.new` beside them, a rotation was cut off: it is the one",
            T::TYPE
        )
    })
}

fn sign_with<T>(role: T, holder: &KeyHolder, keys: &[SigningKey]) -> Result<SignedRole<T>>
where
    T: Role + Serialize,
{
    let keys: Vec<Box<dyn KeySource>> = keys
        .iter()
        .map(|key| {
            let key: Box<dyn KeySource> = Box::new(key.clone());
            key
        })
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    Ok(runtime.block_on(SignedRole::new(role, holder, &keys, &SystemRandom::new()))?)
}

/// A file of the metadata.
pub(crate) fn load<T: DeserializeOwned>(dir: &Path, name: &str) -> Result<T> {
    let path = dir.join("metadata").join(name);
    serde_json::from_slice(&files::read(&path, METADATA_BYTES_MAX)?)
        .with_context(|| format!("`{}` is no metadata", path.display()))
}
