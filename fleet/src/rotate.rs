//! `vedette-fleet keys rotate`: a role's new key, and what has to be signed for that.
//!
//! Everything that can be missing (a passphrase, a signer, room on the disk for the key) is found out before the
//! repository is changed. The new key is durable as `<name>.key.new` before anything names it; the old one goes to
//! `<name>.key.old-<version>` when nothing does any more. Whose key is lost needs it not: only its successor signs.
//!
//! **Invariant:** wherever a rotation is cut off, the next command can finish it: no key that a root names is removed,
//! and what the key before signed is accepted until it is signed anew. `tests/desk/rotation.rs` cuts it at every file.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use tough::schema::{RoleType, Root};
use wire::rollout::ROLE;

use crate::keys::{KeyRing, SigningKey};
use crate::repository::{Changed, Repository, delegation, successor};
use crate::roles::RoleName;

/// A role's next key.
struct Fresh {
    name: String,
    key: SigningKey,
    /// Whether an earlier rotation left it.
    left: bool,
}

/// Devices can see that the keys change, and the command did not get to its end.
#[derive(Debug)]
pub(crate) struct CutOff;

impl fmt::Display for CutOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the new key is named already, and the rotation was cut off: `vedette-fleet refresh` finishes it, do not \
             remove a `.key.new`",
        )
    }
}

/// Gives `role` a new key, or as many as it had where it is the root. What was done, in words.
pub(crate) fn rotate(
    repository: &mut Repository,
    ring: &KeyRing,
    role: RoleName,
    lock: bool,
) -> Result<String> {
    let word = role.word();
    if repository.is_unsettled() {
        repository.commit(ring, Changed::default(), false)?;
    }
    let online: Vec<&str> =
        ["snapshot", "timestamp"].into_iter().filter(|other| *other != word).collect();
    ring.unlock(&online)?;
    let mut fresh = Vec::new();
    for name in names(&repository.root, role) {
        let left = ring.left(&name)?;
        let (left, key) = (left.is_some(), left.map_or_else(SigningKey::generate, Ok)?);
        fresh.push(Fresh { name, key, left });
    }
    let keys: Vec<SigningKey> = fresh.iter().map(|one| one.key.clone()).collect();
    let (number, before) = (repository.root.version.get(), repository.timestamp.version);
    let root = match root_type(role) {
        // The releases' keys say who signs rollouts.
        None => {
            ring.unlock(&["targets"])?;
            None
        }
        Some(kind) => {
            let root = successor(&repository.root, kind, &keys)?;
            let mut signers = ring.load("root")?;
            if role == RoleName::Root {
                signers.extend(keys.iter().cloned());
            }
            let bytes = repository.sign_root(&root, &signers)?;
            Some((root, bytes))
        }
    };
    let written = write(ring, word, &fresh, lock).and_then(|()| {
        ring.remember(word, keys.clone());
        match root {
            Some((root, bytes)) => {
                let changed = Changed { targets: role == RoleName::Targets, rollout: false };
                repository.install_root(root, bytes, changed)
            }
            None => {
                repository.targets.delegations = Some(delegation(&keys)?);
                repository.commit(ring, Changed { targets: true, rollout: true }, false)
            }
        }
    });
    if let Err(error) = written {
        if repository.has_root(number + 1) || repository.shows_since(before) {
            return Err(error.context(CutOff));
        }
        let made = fresh.iter().filter(|one| !one.left);
        made.for_each(|one| drop(std::fs::remove_file(ring.new_path(&one.name))));
        return Err(error);
    }
    let names: Vec<String> = fresh.iter().map(|one| one.name.clone()).collect();
    let old = ring.swap(word, &names, &[], number).context(CutOff)?;
    if role != RoleName::Rollout {
        // Whatever the role signed is signed anew.
        repository.commit(ring, Changed::default(), false).context(CutOff)?;
    }
    Ok(in_words(ring, word, &fresh, &old))
}

/// What the role is called in the root; the root knows nothing of who signs rollouts.
fn root_type(role: RoleName) -> Option<RoleType> {
    match role {
        RoleName::Root => Some(RoleType::Root),
        RoleName::Targets => Some(RoleType::Targets),
        RoleName::Snapshot => Some(RoleType::Snapshot),
        RoleName::Timestamp => Some(RoleType::Timestamp),
        RoleName::Rollout => None,
    }
}

/// How the role's new keys are called. Of the root there are as many as before, wherever those are now.
fn names(root: &Root, role: RoleName) -> Vec<String> {
    let count = root.roles.get(&RoleType::Root).map_or(1, |keys| keys.keyids.len());
    match role {
        RoleName::Root if count > 1 => {
            (1..=count).map(|number| format!("{}-{number}", role.word())).collect()
        }
        _ => vec![role.word().to_owned()],
    }
}

fn write(ring: &KeyRing, word: &str, fresh: &[Fresh], lock: bool) -> Result<()> {
    fresh.iter().try_for_each(|one| ring.seal(&ring.new_path(&one.name), word, &one.key, lock))
}

fn in_words(ring: &KeyRing, word: &str, fresh: &[Fresh], old: &[PathBuf]) -> String {
    let list = |paths: Vec<String>| paths.join(", ");
    let new = list(fresh.iter().map(|one| ring.path(&one.name).display().to_string()).collect());
    let mut text = format!("the {word} role has {} new key(s): {new}", fresh.len());
    if !old.is_empty() {
        let old = list(old.iter().map(|path| path.display().to_string()).collect());
        text.push_str(&format!("\nnothing needs the old: destroy {old}"));
    }
    if word == "root" {
        text.push_str("\nkeep them offline, each with somebody else");
    }
    if word == ROLE || word == "timestamp" || word == "snapshot" {
        text.push_str("\nbring the new one to whatever signs by a timer");
    }
    text
}
