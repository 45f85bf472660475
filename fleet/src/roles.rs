//! `vedette-fleet init`, `keys`, `refresh`: the roles, and whose keys they are.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use tough::schema::{RoleType, Root};
use wire::rollout::ROLE;

use crate::keys::{KeyRing, SigningKey};
use crate::repository::{Changed, Repository, delegation, near, new_root};
use crate::{KeyArgs, say};

/// Root keys: more than that nobody keeps apart.
const ROOT_KEYS_MAX: u64 = 16;

/// Make keys and an empty repository
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The repository to make
    repository: PathBuf,
    #[command(flatten)]
    keys: KeyArgs,
    /// Root keys to make
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=ROOT_KEYS_MAX))]
    root_keys: u64,
    /// Root keys that a new root needs
    #[arg(long, value_name = "N", default_value_t = 2)]
    threshold: u64,
    /// Leave the online keys (rollout, snapshot, timestamp) plain, so that a timer can sign
    #[arg(long)]
    unencrypted_online: bool,
    /// Leave all keys plain: for a trial
    #[arg(long)]
    unencrypted: bool,
}

/// Look at the keys, or replace a role's
#[derive(Debug, Args)]
pub(crate) struct Keys {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the keys
    List {
        #[command(flatten)]
        keys: KeyArgs,
    },
    /// Make a new key for a role, and have the root (or the release keys) say so
    Rotate {
        /// The repository
        repository: PathBuf,
        /// The role
        role: RoleName,
        #[command(flatten)]
        keys: KeyArgs,
        /// Leave the new key plain
        #[arg(long)]
        unencrypted: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RoleName {
    Root,
    Targets,
    Rollout,
    Snapshot,
    Timestamp,
}

impl RoleName {
    const ALL: [(Self, &str); 5] = [
        (Self::Root, "root"),
        (Self::Targets, "targets"),
        (Self::Rollout, ROLE),
        (Self::Snapshot, "snapshot"),
        (Self::Timestamp, "timestamp"),
    ];

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(role, _)| *role == self).map_or("", |(_, word)| word)
    }
}

/// Sign the timestamp anew, and the online roles whose signatures end soon: for a timer
#[derive(Debug, Args)]
pub(crate) struct Refresh {
    /// The repository
    repository: PathBuf,
    #[command(flatten)]
    keys: KeyArgs,
    /// Sign the list of releases anew, too: needs the offline key
    #[arg(long)]
    targets: bool,
}

impl Init {
    pub(crate) fn run(self) -> Result<()> {
        if self.threshold == 0 || self.threshold > self.root_keys {
            bail!(
                "a threshold of {} root keys cannot be reached with {}",
                self.threshold,
                self.root_keys
            );
        }
        if self.repository.join("metadata").exists() {
            bail!("`{}` is a repository already", self.repository.display());
        }
        let ring = self.keys.ring();
        if ring.root_path().exists() {
            bail!(
                "`{}` has keys already: another repository needs another directory",
                self.keys.keys.display()
            );
        }
        std::fs::create_dir_all(&self.keys.keys)
            .with_context(|| format!("cannot create `{}`", self.keys.keys.display()))?;
        let online = !(self.unencrypted || self.unencrypted_online);
        let mut roots = Vec::new();
        for number in 1..=self.root_keys {
            roots.push(make(&ring, &format!("root-{number}"), !self.unencrypted)?);
        }
        let targets = [make(&ring, "targets", !self.unencrypted)?];
        let rollout = [make(&ring, ROLE, online)?];
        let snapshot = [make(&ring, "snapshot", online)?];
        let timestamp = [make(&ring, "timestamp", online)?];
        let others = [
            (RoleType::Targets, targets.as_slice()),
            (RoleType::Snapshot, snapshot.as_slice()),
            (RoleType::Timestamp, timestamp.as_slice()),
        ];
        let root = new_root(1, self.threshold, &roots, others)?;
        let mut repository = Repository::new(&self.repository, root.clone(), &rollout)?;
        repository.install_root(&ring, root, &roots)?;
        repository.commit(&ring, Changed { targets: true, rollout: true }, true)?;
        say(&format!(
            "made the repository `{}` and its keys in `{}`\n\
             \n\
             give every device   {}\n\
             keep offline        root-*.key, each with somebody else: {} of {} make a new root\n\
             keep offline        targets.key: it signs releases\n\
             may be on a server  rollout.key, snapshot.key, timestamp.key\n\
             run by a timer      vedette-fleet refresh {} --keys {}, at least once a day",
            self.repository.display(),
            self.keys.keys.display(),
            ring.root_path().display(),
            self.threshold,
            self.root_keys,
            self.repository.display(),
            self.keys.keys.display(),
        ));
        Ok(())
    }
}

fn make(ring: &KeyRing, name: &str, encrypted: bool) -> Result<SigningKey> {
    let key = SigningKey::generate()?;
    ring.write(name, &key, encrypted)?;
    Ok(key)
}

impl Keys {
    pub(crate) fn run(self) -> Result<()> {
        match self.what {
            What::List { keys } => {
                let ring = keys.ring();
                for (_, role) in RoleName::ALL {
                    for name in ring.names(role)? {
                        say(&format!("{role:9}  {}", ring.path(&name).display()));
                    }
                }
                Ok(())
            }
            What::Rotate { repository, role, keys, unencrypted } => {
                let ring = keys.ring();
                let mut repository = Repository::open(&repository, &ring)?;
                rotate(&mut repository, &ring, role, !unencrypted)
            }
        }
    }
}

/// Gives `role` a new key. The old one goes to `<name>.old-<version>`, out of every role.
fn rotate(
    repository: &mut Repository,
    ring: &KeyRing,
    role: RoleName,
    encrypted: bool,
) -> Result<()> {
    let word = role.word();
    let old_names = ring.names(word)?;
    let old = ring.load(word)?;
    if role == RoleName::Rollout {
        let offline = ring.load("targets")?;
        drop(offline);
        set_aside(ring, &old_names, repository.targets.version.get())?;
        let new = [make(ring, word, encrypted)?];
        repository.targets.delegations = Some(delegation(&new)?);
        repository.commit(ring, Changed { targets: true, rollout: true }, false)?;
        say("the rollout role has a new key");
        return Ok(());
    }
    // A new root is signed by the old root keys, so they are read before anything is changed.
    let mut signers = ring.load("root")?;
    let number = repository.root.version.get() + 1;
    set_aside(ring, &old_names, number - 1)?;
    let (mut roots, threshold) = (signers.clone(), threshold(&repository.root));
    if role == RoleName::Root {
        roots.clear();
        for name in &old_names {
            roots.push(make(ring, name, encrypted)?);
        }
        signers.extend(roots.iter().cloned());
    } else {
        make(ring, word, encrypted)?;
    }
    let (targets, snapshot, timestamp) =
        (ring.load("targets")?, ring.load("snapshot")?, ring.load("timestamp")?);
    let others = [
        (RoleType::Targets, targets.as_slice()),
        (RoleType::Snapshot, snapshot.as_slice()),
        (RoleType::Timestamp, timestamp.as_slice()),
    ];
    let root = new_root(number, threshold, &roots, others)?;
    repository.install_root(ring, root, &signers)?;
    // Whatever the role signed is signed anew.
    repository.snapshot.expires = jiff::Timestamp::UNIX_EPOCH;
    repository.commit(
        ring,
        Changed { targets: role == RoleName::Targets, rollout: false },
        false,
    )?;
    say(&format!(
        "the {word} role has {} new key(s), of {} before",
        roots_of(role, &roots),
        old.len()
    ));
    Ok(())
}

fn roots_of(role: RoleName, roots: &[SigningKey]) -> usize {
    if role == RoleName::Root { roots.len() } else { 1 }
}

fn threshold(root: &Root) -> u64 {
    root.roles.get(&RoleType::Root).map_or(1, |keys| keys.threshold.get())
}

fn set_aside(ring: &KeyRing, names: &[String], number: u64) -> Result<()> {
    for name in names {
        let path = ring.path(name);
        crate::files::rename(&path, &path.with_extension(format!("key.old-{number}")))?;
    }
    Ok(())
}

impl Refresh {
    pub(crate) fn run(self) -> Result<()> {
        let ring = self.keys.ring();
        let mut repository = Repository::open(&self.repository, &ring)?;
        let rollout = near(repository.rollout.expires, ROLE);
        repository.commit(&ring, Changed { targets: self.targets, rollout }, false)?;
        say(&format!("signed until {}", repository.timestamp.expires));
        for (role, expires) in
            [("root", repository.root.expires), ("targets", repository.targets.expires)]
        {
            if near(expires, role) {
                say(&format!(
                    "soon: the {role} role's signatures end at {expires}, `status` says what to do"
                ));
            }
        }
        Ok(())
    }
}
