//! `vedette-fleet init`, `keys`, `refresh`: the roles, and whose keys they are.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use tough::schema::RoleType;
use wire::rollout::ROLE;

use crate::keys::{KeyRing, SigningKey};
use crate::repository::{Changed, Repository, near, new_root};
use crate::rotate::rotate;
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
pub(crate) enum RoleName {
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

    /// How the role is called.
    pub(crate) fn word(self) -> &'static str {
        Self::ALL.iter().find(|(role, _)| *role == self).map_or("", |(_, word)| word)
    }

    /// How each is called.
    pub(crate) fn words() -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().map(|(_, word)| *word)
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
        let plan = self.plan(&ring)?;
        let here = [&self.repository.join("targets"), &self.keys.keys, &self.repository];
        let new: Vec<&Path> =
            here.into_iter().map(PathBuf::as_path).filter(|dir| !dir.exists()).collect();
        if let Err(error) = self.make(&ring, &plan) {
            self.undo(&new, &ring, &plan);
            return Err(error);
        }
        say(&self.told(&ring));
        Ok(())
    }

    /// All keys, those that are to be made in memory only: what cannot be read or asked for is known now.
    fn plan(&self, ring: &KeyRing) -> Result<Vec<Planned>> {
        let mut plan = Vec::new();
        for (role, word) in RoleName::ALL {
            let (count, offline) = match role {
                RoleName::Root => (usize::try_from(self.root_keys)?, true),
                RoleName::Targets => (1, true),
                _ => (1, false),
            };
            let named = ring.load_named(word)?;
            if named.len() > count {
                bail!("{} key files are named for role {word}, which has {count}", named.len());
            }
            let (mut keys, mut made) = (named, Vec::new());
            for number in keys.len() + 1..=count {
                let name = if count == 1 { word.to_owned() } else { format!("{word}-{number}") };
                let key = SigningKey::generate()?;
                if ring.path(&name).exists() {
                    let path = ring.path(&name);
                    bail!("there is a key `{}` already: it is not overwritten", path.display());
                }
                made.push((name, key.clone()));
                keys.push(key);
            }
            let lock = !(self.unencrypted || (self.unencrypted_online && !offline));
            if lock && !made.is_empty() {
                ring.choose_passphrase()?;
            }
            ring.remember(word, keys.clone());
            plan.push(Planned { role, lock, keys, made });
        }
        Ok(plan)
    }

    /// Writes the keys and the repository.
    fn make(&self, ring: &KeyRing, plan: &[Planned]) -> Result<()> {
        let dir = &self.keys.keys;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .with_context(|| format!("cannot create `{}`", dir.display()))?;
        for planned in plan {
            for (name, key) in &planned.made {
                ring.write(&ring.path(name), planned.role.word(), key, planned.lock)?;
            }
        }
        let of = |role| {
            plan.iter().find(|one| one.role == role).map_or(&[][..], |one| one.keys.as_slice())
        };
        let others = [
            (RoleType::Targets, of(RoleName::Targets)),
            (RoleType::Snapshot, of(RoleName::Snapshot)),
            (RoleType::Timestamp, of(RoleName::Timestamp)),
        ];
        let root = new_root(1, self.threshold, of(RoleName::Root), others)?;
        let mut repository =
            Repository::new(&self.repository, root.clone(), of(RoleName::Rollout))?;
        let bytes = repository.sign_root(&root, of(RoleName::Root))?;
        let changed = Changed { targets: true, rollout: true };
        repository.install_root(root, bytes, changed)?;
        repository.commit(ring, changed, true)
    }

    /// Takes back what was made, where not all of it could be; of the directories, those of `new`.
    fn undo(&self, new: &[&Path], ring: &KeyRing, plan: &[Planned]) {
        let made = plan.iter().flat_map(|one| &one.made).map(|(name, _)| ring.path(name));
        made.chain([ring.root_path()]).for_each(|path| drop(std::fs::remove_file(path)));
        drop(std::fs::remove_dir_all(self.repository.join("metadata")));
        drop(std::fs::remove_file(self.repository.join(".lock")));
        new.iter().for_each(|dir| drop(std::fs::remove_dir(dir)));
    }

    /// What was made, and what is to be kept where.
    fn told(&self, ring: &KeyRing) -> String {
        let (repository, keys) = (self.repository.display(), self.keys.keys.display());
        let mut text = format!(
            "made the repository `{repository}` and its keys in `{keys}`\n\
             \n\
             give every device   {}\n\
             keep offline        root-*.key, each with somebody else: {} of {} make a new root\n\
             keep offline        targets.key: it signs releases\n\
             may be on a server  rollout.key, snapshot.key, timestamp.key\n\
             run by a timer      vedette-fleet refresh {repository} --keys {keys}, at least once a day",
            ring.root_path().display(),
            self.threshold,
            self.root_keys,
        );
        for word in RoleName::words() {
            for path in ring.named(word) {
                text.push_str(&format!("\nstays where it is   {}: {word}", path.display()));
            }
        }
        if self.unencrypted {
            text.push_str("\nnot encrypted       every key: whoever reads the files can sign");
        }
        text
    }
}

/// The keys of one role that `init` gives it.
struct Planned {
    role: RoleName,
    /// Whether new ones are encrypted.
    lock: bool,
    keys: Vec<SigningKey>,
    /// Those of them that are new, with their names.
    made: Vec<(String, SigningKey)>,
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
                    for path in ring.named(role) {
                        say(&format!("{role:9}  {}", path.display()));
                    }
                }
                Ok(())
            }
            What::Rotate { repository, role, keys, unencrypted } => {
                let ring = keys.ring();
                let mut repository = Repository::open(&repository, &ring)?;
                rotate(&mut repository, &ring, role, !unencrypted).map(|text| say(&text))
            }
        }
    }
}

impl Refresh {
    pub(crate) fn run(self) -> Result<()> {
        let ring = self.keys.ring();
        let mut repository = Repository::open(&self.repository, &ring)?;
        let rollout = near(repository.rollout.expires, ROLE);
        ring.unlock(&["timestamp"])?;
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
