//! The operator's keys: Ed25519, one file each, in one directory or wherever the operator says.
//!
//! ```text
//! KEYS/root.json           the root of trust as this operator knows it: what devices are given
//! KEYS/root-1.key ...      offline: a threshold of them signs a new root
//! KEYS/targets.key         offline: signs releases
//! KEYS/rollout.key, snapshot.key, timestamp.key    online
//! ```
//!
//! A key that is kept elsewhere is named with `--key-file ROLE=FILE` and counts as if it lay here.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use async_trait::async_trait;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::Ed25519KeyPair;
use tough::key_source::KeySource;
use tough::schema::decoded::{Decoded, Hex};
use tough::schema::key::Key;
use tough::sign::Sign;

use crate::keyfile::{self, KEY_BYTES_MAX};
use crate::roles::RoleName;
use crate::{KeyArgs, files};

/// Names of the passphrase's file in the environment.
const PASSPHRASE_FILE: &str = "VEDETTE_FLEET_PASSPHRASE_FILE";
/// How the file of a key ends that no role has yet.
const NEW: &str = ".key.new";
/// A shorter passphrase is guessed.
const PASSPHRASE_MIN: usize = 8;

/// A key file that does not lie with the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedKey {
    role: &'static str,
    path: PathBuf,
}

impl NamedKey {
    /// Reads `ROLE=FILE`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            let roles: Vec<&str> = RoleName::words().collect();
            format!("`{text}` is not ROLE=FILE, where ROLE is one of {}", roles.join(", "))
        };
        let (role, path) = text.split_once('=').ok_or_else(wrong)?;
        let role = RoleName::words().find(|word| *word == role).ok_or_else(wrong)?;
        if path.is_empty() {
            return Err(wrong());
        }
        Ok(Self { role, path: path.into() })
    }
}

/// What a key is called in the metadata.
pub(crate) type KeyId = Decoded<Hex>;

/// A key that can sign.
#[derive(Clone)]
pub(crate) struct SigningKey {
    pkcs8: Vec<u8>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

impl SigningKey {
    /// A new one.
    pub(crate) fn generate() -> Result<Self> {
        let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
        Ok(Self {
            pkcs8: made.map_err(|_| anyhow!("the system has no random numbers"))?.as_ref().to_vec(),
        })
    }

    fn pair(&self) -> Result<Ed25519KeyPair> {
        Ed25519KeyPair::from_pkcs8(&self.pkcs8)
            .map_err(|error| anyhow!("it is no Ed25519 key: {error}"))
    }

    /// Its public half.
    pub(crate) fn public(&self) -> Result<Key> {
        Ok(self.pair()?.tuf_key())
    }

    fn id(&self) -> Result<KeyId> {
        Ok(self.public()?.key_id()?)
    }
}

#[async_trait]
impl KeySource for SigningKey {
    async fn as_sign(
        &self,
    ) -> Result<Box<dyn Sign>, Box<dyn std::error::Error + Send + Sync + 'static>> {
        Ok(Box::new(self.pair()?))
    }

    async fn write(
        &self,
        _: &str,
        _: &str,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync + 'static>> {
        Err("keys are written by `vedette-fleet init` and `keys rotate`".into())
    }
}

/// Where the keys are, and how they are unlocked.
pub(crate) struct KeyRing {
    dir: PathBuf,
    named: Vec<NamedKey>,
    passphrase_file: Option<PathBuf>,
    passphrase: OnceCell<String>,
    /// What was read already, by role: unlocking costs time by design.
    read: RefCell<BTreeMap<String, Vec<SigningKey>>>,
}

impl KeyRing {
    pub(crate) fn new(keys: &KeyArgs) -> Self {
        let from_environment = || std::env::var_os(PASSPHRASE_FILE).map(PathBuf::from);
        Self {
            dir: keys.keys.clone(),
            named: keys.named.clone(),
            passphrase_file: keys.passphrase_file.clone().or_else(from_environment),
            passphrase: OnceCell::new(),
            read: RefCell::default(),
        }
    }

    /// The root of trust as this operator knows it.
    pub(crate) fn root_path(&self) -> PathBuf {
        self.dir.join("root.json")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.key"))
    }

    /// Where a new key waits until the repository names it.
    pub(crate) fn new_path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}{NEW}"))
    }

    /// Names of all keys here that begin with `role`, in order.
    pub(crate) fn names(&self, role: &str) -> Result<Vec<String>> {
        self.ending(role, ".key")
    }

    /// Names of the keys of `role` whose files end with `end`, in order.
    fn ending(&self, role: &str, end: &str) -> Result<Vec<String>> {
        let listing = std::fs::read_dir(&self.dir)
            .with_context(|| format!("cannot read the keys in `{}`", self.dir.display()))?;
        let mut names = Vec::new();
        for entry in listing {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if let Some(name) = name.strip_suffix(end)
                && (name == role
                    || name.strip_prefix(role).is_some_and(|rest| rest.starts_with('-')))
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// The files that the operator named for `role`.
    pub(crate) fn named<'a>(&'a self, role: &'a str) -> impl Iterator<Item = &'a Path> {
        self.named.iter().filter(move |key| key.role == role).map(|key| key.path.as_path())
    }

    /// The keys of `role`, at least one.
    pub(crate) fn load(&self, role: &str) -> Result<Vec<SigningKey>> {
        if let Some(known) = self.read.borrow().get(role) {
            return Ok(known.clone());
        }
        let mut keys = self.load_named(role)?;
        for name in self.names(role)? {
            keys.push(self.read(&self.path(&name))?);
        }
        if keys.is_empty() {
            bail!(
                "there is no key of role {role} in `{}`, and this step needs it: bring it there, or name its file \
                 with `--key-file {role}=FILE`",
                self.dir.display()
            );
        }
        self.remember(role, keys.clone());
        Ok(keys)
    }

    /// Those of `role` that the operator named.
    pub(crate) fn load_named(&self, role: &str) -> Result<Vec<SigningKey>> {
        self.named(role).map(|path| self.read(path)).collect()
    }

    /// From now on, `keys` are those of `role`.
    pub(crate) fn remember(&self, role: &str, keys: Vec<SigningKey>) {
        self.read.borrow_mut().insert(role.to_owned(), keys);
    }

    /// Makes sure that what signs for `roles` is at hand, before anything is changed.
    pub(crate) fn unlock(&self, roles: &[&str]) -> Result<()> {
        roles.iter().try_for_each(|role| self.load(role).map(drop))
    }

    /// Puts the new keys `new` into place; the old ones of `role` that lie here make room, all but those of `kept`.
    /// Where they are now.
    pub(crate) fn swap(
        &self,
        role: &str,
        new: &[String],
        kept: &[String],
        number: u64,
    ) -> Result<Vec<PathBuf>> {
        let mut old = Vec::new();
        for name in self.names(role)?.iter().filter(|name| !kept.contains(name)) {
            let aside = self.path(name).with_extension(format!("key.old-{number}"));
            files::rename(&self.path(name), &aside)?;
            old.push(aside);
        }
        for name in new {
            files::rename(&self.new_path(name), &self.path(name))?;
        }
        old.extend(self.named(role).map(PathBuf::from));
        Ok(old)
    }

    /// Puts the new keys of `role` into place that a rotation left when it was cut off, where they are of `ids`.
    pub(crate) fn take_up(&self, role: &str, ids: &[KeyId], number: u64) -> Result<()> {
        // A key that cannot be read is left: whoever has to sign with it is told so.
        let ours = |path: &Path| {
            self.read(path).and_then(|key| key.id()).is_ok_and(|id| ids.contains(&id))
        };
        let mut new = self.ending(role, NEW)?;
        new.retain(|name| ours(&self.new_path(name)));
        if new.is_empty() {
            return Ok(());
        }
        let mut kept = self.names(role)?;
        kept.retain(|name| ours(&self.path(name)));
        self.swap(role, &new, &kept, number).map(drop)
    }

    /// The new key `name`, where a rotation left it that was cut off before anything named it.
    pub(crate) fn left(&self, name: &str) -> Result<Option<SigningKey>> {
        let path = self.new_path(name);
        if path.exists() { self.read(&path).map(Some) } else { Ok(None) }
    }

    fn read(&self, path: &Path) -> Result<SigningKey> {
        let key = SigningKey { pkcs8: keyfile::read(path, || self.passphrase(false))? };
        key.pair().with_context(|| format!("cannot use the key `{}`", path.display()))?;
        Ok(key)
    }

    /// Asks for the passphrase of new keys, if it is not known yet.
    pub(crate) fn choose_passphrase(&self) -> Result<()> {
        self.passphrase(true).map(drop)
    }

    /// Writes a new key file; an old one of that name is never overwritten.
    pub(crate) fn write(
        &self,
        path: &Path,
        role: &str,
        key: &SigningKey,
        lock: bool,
    ) -> Result<()> {
        if path.exists() {
            bail!("there is a key `{}` already: it is not overwritten", path.display());
        }
        self.seal(path, role, key, lock)
    }

    /// Writes `key`, over what is at `path`.
    pub(crate) fn seal(&self, path: &Path, role: &str, key: &SigningKey, lock: bool) -> Result<()> {
        let passphrase = if lock { Some(self.passphrase(true)?) } else { None };
        keyfile::write(path, role, &key.pkcs8, passphrase)
    }

    /// The passphrase: from its file, or asked for once on the terminal.
    fn passphrase(&self, new: bool) -> Result<&str> {
        if let Some(known) = self.passphrase.get() {
            return Ok(known);
        }
        let passphrase = match &self.passphrase_file {
            Some(path) => {
                keyfile::private(path, "passphrase file")?;
                let text = String::from_utf8(files::read(path, KEY_BYTES_MAX)?);
                let text = text.with_context(|| format!("`{}` is no text", path.display()))?;
                text.lines().next().unwrap_or_default().to_owned()
            }
            None => asked(new)?,
        };
        if passphrase.len() < PASSPHRASE_MIN {
            bail!(
                "the passphrase has {} bytes, at least {PASSPHRASE_MIN} are needed",
                passphrase.len()
            );
        }
        Ok(self.passphrase.get_or_init(|| passphrase))
    }
}

fn asked(new: bool) -> Result<String> {
    let ask = |prompt: &str| {
        rpassword::prompt_password(prompt).context(
            "there is no terminal to ask for the passphrase: use --passphrase-file, or --unencrypted",
        )
    };
    let passphrase = ask("Passphrase for the keys: ")?;
    if new && ask("Once more: ")? != passphrase {
        bail!("the two are not the same");
    }
    Ok(passphrase)
}
