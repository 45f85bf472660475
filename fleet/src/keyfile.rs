//! One key in one file: ours, encrypted with a passphrase or plain, or PKCS #8 in PEM as other programs write it.
//!
//! A file of ours is JSON; its secret is encrypted by XChaCha20-Poly1305 under what Argon2id makes of the
//! passphrase. A file that somebody else may read or write is not used, whatever is in it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use chacha20poly1305::aead::Aead as _;
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};

use crate::files;

/// Largest key file, and largest passphrase file.
pub(crate) const KEY_BYTES_MAX: u64 = 16 << 10;
/// Bits of a file's mode that somebody else has.
const OTHERS: u32 = 0o077;
/// What trying one passphrase costs: 64 MiB and three passes, as the standard recommends where memory allows.
const ARGON2: (u32, u32, u32) = (64 << 10, 3, 1);
/// Most that a file may ask for: a damaged one must not take the machine's memory.
const ARGON2_MAX: (u32, u32, u32) = (1 << 20, 16, 16);
/// How PKCS #8 begins in PEM.
const PEM: &[u8] = b"-----BEGIN ";

/// A key file of ours.
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

/// Refuses a file that others may read or write: what is in it may be theirs by now.
pub(crate) fn private(path: &Path, what: &str) -> Result<()> {
    let found = std::fs::metadata(path)
        .with_context(|| format!("cannot read the {what} `{}`", path.display()))?;
    if found.permissions().mode() & OTHERS != 0 {
        let path = path.display();
        bail!(
            "others may read or write the {what} `{path}`: run `chmod 600 {path}`, and think about who did"
        );
    }
    Ok(())
}

/// The PKCS #8 bytes in the key file `path`. `passphrase` is asked for only where it is encrypted.
pub(crate) fn read<'a>(
    path: &Path,
    passphrase: impl FnOnce() -> Result<&'a str>,
) -> Result<Vec<u8>> {
    private(path, "key")?;
    let bytes = files::read(path, KEY_BYTES_MAX)?;
    let no_key =
        || format!("`{}` is no key: neither vedette-fleet's nor PKCS #8 in PEM", path.display());
    if bytes.starts_with(PEM) {
        let pem = pem::parse(&bytes).with_context(no_key)?;
        return match pem.tag() {
            "PRIVATE KEY" => Ok(pem.into_contents()),
            tag => bail!(
                "`{}` holds `{tag}`: only PKCS #8 without a passphrase (`PRIVATE KEY`) is read; keep it encrypted by \
                 other means",
                path.display()
            ),
        };
    }
    let file: KeyFile = serde_json::from_slice(&bytes).with_context(no_key)?;
    if file.schema != SCHEMA {
        bail!("{}: it is of schema `{}`", no_key(), file.schema);
    }
    let secret = unhex(&file.secret).with_context(no_key)?;
    let Some(lock) = &file.lock else { return Ok(secret) };
    let cipher = cipher(passphrase()?, lock).with_context(no_key)?;
    let nonce = unhex(&lock.nonce).with_context(no_key)?;
    let nonce: [u8; 24] =
        nonce.try_into().map_err(|_| anyhow!("{}: its nonce is damaged", no_key()))?;
    cipher
        .decrypt(&XNonce::from(nonce), secret.as_slice())
        .map_err(|_| anyhow!("the passphrase does not fit the key `{}`", path.display()))
}

/// Writes the PKCS #8 bytes of a key of `role` to `path`; encrypted where there is a passphrase.
pub(crate) fn write(path: &Path, role: &str, pkcs8: &[u8], passphrase: Option<&str>) -> Result<()> {
    let random = |bytes: &mut [u8]| {
        SystemRandom::new().fill(bytes).map_err(|_| anyhow!("the system has no random numbers"))
    };
    let (secret, lock) = match passphrase {
        Some(passphrase) => {
            let (mut salt, mut nonce) = ([0; 16], [0; 24]);
            random(&mut salt)?;
            random(&mut nonce)?;
            let (memory_kib, passes, lanes) = ARGON2;
            let lock = Lock { salt: hex(&salt), nonce: hex(&nonce), memory_kib, passes, lanes };
            let sealed = cipher(passphrase, &lock)?
                .encrypt(&XNonce::from(nonce), pkcs8)
                .map_err(|_| anyhow!("the key cannot be encrypted"))?;
            (sealed, Some(lock))
        }
        None => (pkcs8.to_vec(), None),
    };
    let file =
        KeyFile { schema: SCHEMA.to_owned(), role: role.to_owned(), secret: hex(&secret), lock };
    files::replace(path, &serde_json::to_vec_pretty(&file)?, 0o600)
}

fn cipher(passphrase: &str, lock: &Lock) -> Result<XChaCha20Poly1305> {
    let damaged = |what: String| anyhow!("its lock is damaged: {what}");
    let (memory, passes, lanes) = ARGON2_MAX;
    if lock.memory_kib > memory || lock.passes > passes || lock.lanes > lanes {
        return Err(damaged("it asks for too much".to_owned()));
    }
    let params = Params::new(lock.memory_kib, lock.passes, lock.lanes, Some(32))
        .map_err(|error| damaged(error.to_string()))?;
    let mut key = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.as_bytes(), &unhex(&lock.salt)?, &mut key)
        .map_err(|error| damaged(error.to_string()))?;
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
