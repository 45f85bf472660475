//! The chain of roots: which one is the newest, and what the one before it still vouches for.
//!
//! A rotation puts its root into place before what the new key signs: between the two, the rest of the repository is
//! signed by the key before. Whoever changes the repository accepts that, and signs it anew; no device does. For each
//! operator it ends when the new root lies beside the keys, so that a key that was replaced vouches for nothing later.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use tough::schema::{Role, Root, Signed};

use crate::files;
use crate::repository::{METADATA_BYTES_MAX, load};

/// Most versions of the root that are looked through.
const ROOTS_MAX: u64 = 10_000;

/// The newest root.
pub(crate) struct Chain {
    pub(crate) root: Root,
    /// The one before, where the newest is newer than what was trusted.
    before: Option<Root>,
    /// The newest root's bytes, where it is newer than what was trusted.
    pub(crate) newer: Option<Vec<u8>>,
}

impl Chain {
    /// Whether `role` is signed by its keys of the root before only.
    ///
    /// # Errors
    /// It is signed by neither.
    pub(crate) fn of_before<T: Role + Serialize>(&self, role: &Signed<T>) -> Result<bool> {
        let Err(error) = self.root.verify_role(role) else { return Ok(false) };
        match &self.before {
            Some(before) if before.verify_role(role).is_ok() => Ok(true),
            _ => Err(error.into()),
        }
    }
}

/// The newest root that `trusted` leads to, each signed by the one before: others may have made new ones.
pub(crate) fn follow(dir: &Path, trusted: Root) -> Result<Chain> {
    let own: Signed<Root> = load(dir, &name(trusted.version.get()))?;
    if own.signed != trusted {
        bail!(
            "the root in `{}` is not the one in the keys' `root.json`: somebody changed one of the two",
            dir.display()
        );
    }
    let mut chain = Chain { root: trusted, before: None, newer: None };
    for _ in 0..ROOTS_MAX {
        let number = chain.root.version.get() + 1;
        let path = dir.join("metadata").join(name(number));
        if !path.is_file() {
            break;
        }
        let next: Signed<Root> = load(dir, &name(number))?;
        let signed =
            chain.root.verify_role(&next).is_ok() && next.signed.verify_role(&next).is_ok();
        if !signed || next.signed.version.get() != number {
            bail!("`{}` is not signed by the root before it: somebody changed it", path.display());
        }
        chain.newer = Some(files::read(&path, METADATA_BYTES_MAX)?);
        chain.before = Some(std::mem::replace(&mut chain.root, next.signed));
    }
    Ok(chain)
}

/// The newest root of all, whoever signed it.
pub(crate) fn newest(dir: &Path) -> Result<Chain> {
    let mut newest: Option<Chain> = None;
    for number in 1..=ROOTS_MAX {
        if !dir.join("metadata").join(name(number)).is_file() {
            break;
        }
        let root: Signed<Root> = load(dir, &name(number))?;
        let before = newest.map(|chain| chain.root);
        newest = Some(Chain { root: root.signed, before, newer: None });
    }
    newest.with_context(|| format!("`{}` has no root", dir.display()))
}

fn name(number: u64) -> String {
    format!("{number}.root.json")
}
