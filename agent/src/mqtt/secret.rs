//! What must not stand in a configuration: in a file, or a credential that systemd hands over.

use std::path::{Path, PathBuf};

use crate::config::Section;
use crate::disk;
use crate::supervisor::Failure;

/// How a configuration names a credential of systemd.
const CREDENTIAL: &str = "credential:";
/// Where systemd says that credentials are.
const DIRECTORY: &str = "CREDENTIALS_DIRECTORY";
/// Where they are of the service, for who examines it: root's, and there while it runs.
const OF_SERVICE: &str = "/run/credentials/vedette.service";
/// Largest file: a chain of certificates has a few kilobytes.
const MAX_BYTES: u64 = 1 << 20;

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// In this file.
    File(PathBuf),
    /// In this credential of systemd (`LoadCredential=`).
    Credential(String),
}

impl Secret {
    /// Reads where the secret of `key` is: a path, or `credential:NAME`.
    #[must_use]
    pub fn read(section: &Section<'_>, key: &'static str) -> Option<Self> {
        let text = section.text(key)?;
        let Some(name) = text.strip_prefix(CREDENTIAL) else {
            return section.path(key).map(Self::File);
        };
        if name.is_empty() || name.contains('/') || name.starts_with('.') {
            section.mistake(key, format!("`{name}` is no name of a credential"));
        }
        Some(Self::Credential(name.to_owned()))
    }

    /// All of it.
    ///
    /// # Errors
    /// It cannot be read now; the supervisor tries on.
    pub fn bytes(&self) -> Result<Vec<u8>, Failure> {
        let path = match self {
            Self::File(path) => path.clone(),
            Self::Credential(name) => {
                let path = credential(name);
                if !is_service() && !path.exists() {
                    return Err(Failure::retry(
                        format!("there is no credential `{name}`"),
                        "the unit has no LoadCredential= for it ($CREDENTIALS_DIRECTORY is not set)",
                    ));
                }
                path
            }
        };
        read(&path)
    }

    /// Why this process cannot have what the service has; `None` where it can, or where the service cannot either.
    #[must_use]
    pub fn withheld(&self) -> Option<String> {
        let Self::Credential(name) = self else { return None };
        if is_service() {
            return None;
        }
        let path = credential(name);
        let error = std::fs::File::open(&path).err()?;
        Some(format!(
            "the credential `{name}` is the service's, while it runs, and root's: cannot read `{}`: {error}",
            path.display()
        ))
    }

    /// Its first line.
    ///
    /// # Errors
    /// As [`Secret::bytes`].
    pub fn line(&self) -> Result<String, Failure> {
        let bytes = self.bytes()?;
        let text = String::from_utf8_lossy(&bytes);
        Ok(text.lines().next().unwrap_or_default().to_owned())
    }
}

/// Whether systemd handed credentials to this process.
fn is_service() -> bool {
    std::env::var_os(DIRECTORY).is_some()
}

/// Where the credential `name` is.
fn credential(name: &str) -> PathBuf {
    std::env::var_os(DIRECTORY).map_or_else(|| OF_SERVICE.into(), PathBuf::from).join(name)
}

/// The file at `path`.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    disk::read_bounded(path, MAX_BYTES)
        .map_err(|error| Failure::retry(format!("cannot read `{}`", path.display()), error))
}
