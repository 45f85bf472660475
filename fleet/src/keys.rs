//! The operator's keys: Ed25519, one file each, encrypted with a passphrase or plain.
//!
//! ```text
//! KEYS/root.json           the root of trust as this operator knows it: what devices are given
//! KEYS/root-1.key ...      offline: a threshold of them signs a new root
//! KEYS/targets.key         offline: signs releases
//! KEYS/rollout.key, snapshot.key, timestamp.key    online
//! ```

use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use argon2::{Algorithm, Argon2, Params, Version};
use async_trait::async_trait;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use aws_lc_rs::signature::Ed25519KeyPair;
use chacha20poly1305::aead::Aead as _;
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};
use tough::key_source::KeySource;
use tough::schema::key::Key;
use tough::sign::Sign;

use crate::files;

/// Largest key file.
const KEY_BYTES_MAX: u64 = 16 << 10;
/// Bits of a file's mode that somebody else has.
const OTHERS: u32 = 0o077;
/// Names of the passphrase's file in the environment.
const PASSPHRASE_FILE: &str = "VEDETTE_FLEET_PASSPHRASE_FILE";
/// A shorter passphrase is guessed.
const PASSPHRASE_MIN: usize = 8;
/// What trying one passphrase costs: 64 MiB and three passes, as the standard recommends where memory allows.
const ARGON2: (u32, u32, u32) = (64 << 10, 3, 1);

/// A key file.
#[derive(Serialize, Deserialize)]
struct KeyFile {
    schema: String,
    role: String,
    /// PKCS #8, hexadecimal; encrypted where there is a `lock`.
    secret: String,
    lock: Option<Lock>,
}

/// How a secret is encrypted: Argon2id, then XChaCha20-Poly1305.
#[derive(Serialize, Deserialize)]
struct Lock {
    salt: String,
    nonce: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

const SCHEMA: &str = "vedette/key/1";

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
        Ed25519KeyPair::from_pkcs8(&self.pkcs8).map_err(|error| anyhow!("it is no key: {error}"))
    }

    /// Its public half.
    pub(crate) fn public(&self) -> Result<Key> {
        Ok(self.pair()?.tuf_key())
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
    passphrase_file: Option<PathBuf>,
    passphrase: std::cell::OnceCell<String>,
}

impl KeyRing {
    pub(crate) fn new(dir: &Path, passphrase_file: Option<PathBuf>) -> Self {
        let from_environment = || std::env::var_os(PASSPHRASE_FILE).map(PathBuf::from);
        let passphrase_file = passphrase_file.or_else(from_environment);
        Self { dir: dir.to_owned(), passphrase_file, passphrase: std::cell::OnceCell::new() }
    }

    /// The root of trust as this operator knows it.
    pub(crate) fn root_path(&self) -> PathBuf {
        self.dir.join("root.json")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.key"))
    }

    /// Names of all keys here that begin with `role`, in order.
    pub(crate) fn names(&self, role: &str) -> Result<Vec<String>> {
        let listing = std::fs::read_dir(&self.dir)
            .with_context(|| format!("cannot read the keys in `{}`", self.dir.display()))?;
        let mut names = Vec::new();
        for entry in listing {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if let Some(name) = name.strip_suffix(".key")
                && (name == role
                    || name.strip_prefix(role).is_some_and(|rest| rest.starts_with('-')))
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// The keys of `role`, at least one.
    pub(crate) fn load(&self, role: &str) -> Result<Vec<SigningKey>> {
        let names = self.names(role)?;
        if names.is_empty() {
            bail!("there is no key of role {role} in `{}`: this step needs it", self.dir.display());
        }
        names.iter().map(|name| self.read(name)).collect()
    }

    fn read(&self, name: &str) -> Result<SigningKey> {
        let path = self.path(name);
        let mode = std::fs::metadata(&path)
            .with_context(|| format!("cannot read the key `{}`", path.display()))?
            .permissions()
            .mode();
        if mode & OTHERS != 0 {
            let path = path.display();
            bail!(
                "others may read or write the key `{path}`: run `chmod 600 {path}`, and think about who did"
            );
        }
        let bytes = files::read(&path, KEY_BYTES_MAX)?;
        let no_key = || format!("`{}` is no key of vedette-fleet", path.display());
        let file: KeyFile = serde_json::from_slice(&bytes).with_context(no_key)?;
        if file.schema != SCHEMA {
            bail!("{}: it is of schema `{}`", no_key(), file.schema);
        }
        let secret = unhex(&file.secret).with_context(no_key)?;
        let pkcs8 = match &file.lock {
            None => secret,
            Some(lock) => {
                let cipher = cipher(self.passphrase(false)?, lock)?;
                let nonce = unhex(&lock.nonce).with_context(no_key)?;
                let nonce: [u8; 24] =
                    nonce.try_into().map_err(|_| anyhow!("{}: its nonce is damaged", no_key()))?;
                cipher.decrypt(&XNonce::from(nonce), secret.as_slice()).map_err(|_| {
                    anyhow!("the passphrase does not fit the key `{}`", path.display())
                })?
            }
        };
        let key = SigningKey { pkcs8 };
        key.pair().with_context(no_key)?;
        Ok(key)
    }

    /// Writes a new key file; an old one of that name is never overwritten.
    pub(crate) fn write(&self, name: &str, key: &SigningKey, encrypted: bool) -> Result<()> {
        let path = self.path(name);
        if path.exists() {
            bail!("there is a key `{}` already: it is not overwritten", path.display());
        }
        let random = |bytes: &mut [u8]| {
            SystemRandom::new().fill(bytes).map_err(|_| anyhow!("the system has no random numbers"))
        };
        let (secret, lock) = if encrypted {
            let (mut salt, mut nonce) = ([0; 16], [0; 24]);
            random(&mut salt)?;
            random(&mut nonce)?;
            let (memory_kib, passes, lanes) = ARGON2;
            let lock = Lock { salt: hex(&salt), nonce: hex(&nonce), memory_kib, passes, lanes };
            let sealed = cipher(self.passphrase(true)?, &lock)?
                .encrypt(&XNonce::from(nonce), key.pkcs8.as_slice())
                .map_err(|_| anyhow!("the key cannot be encrypted"))?;
            (sealed, Some(lock))
        } else {
            (key.pkcs8.clone(), None)
        };
        let role = name.split('-').next().unwrap_or(name).to_owned();
        let file = KeyFile { schema: SCHEMA.to_owned(), role, secret: hex(&secret), lock };
        files::replace(&path, &serde_json::to_vec_pretty(&file)?, 0o600)
    }

    /// The passphrase: from its file, or asked for once on the terminal.
    fn passphrase(&self, new: bool) -> Result<&str> {
        if let Some(known) = self.passphrase.get() {
            return Ok(known);
        }
        let passphrase = match &self.passphrase_file {
            Some(path) => {
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

fn cipher(passphrase: &str, lock: &Lock) -> Result<XChaCha20Poly1305> {
    let params = Params::new(lock.memory_kib, lock.passes, lock.lanes, Some(32))
        .map_err(|error| anyhow!("the key's lock is damaged: {error}"))?;
    let mut key = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.as_bytes(), &unhex(&lock.salt)?, &mut key)
        .map_err(|error| anyhow!("the key's lock is damaged: {error}"))?;
    Ok(XChaCha20Poly1305::new(&key.into()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        bail!("it is not hexadecimal");
    }
    (0..text.len() / 2)
        .map(|index| {
            u8::from_str_radix(&text[2 * index..2 * index + 2], 16).context("it is not hexadecimal")
        })
        .collect()
}
