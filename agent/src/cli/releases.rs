//! `vedette status`, `model list`, `model rollback`, `update check`, `update install`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{ConfigArgs, complain, say};
use crate::config::Config;
use crate::disk::{DiskError, StateDir};
use crate::report;
use crate::supervisor::exit;
use crate::update::slot::{Installed, SlotRecord};
use crate::update::store::Store;
use crate::update::{self, Answer, Command};

/// A daemon that starts or ends has the directory and does not listen: that is over within this.
const IN_BETWEEN: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Shows which releases are installed, under way and refused.
#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    config: ConfigArgs,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

/// Goes back to the release before, and leaves one that is under way.
#[derive(Debug, Args)]
pub(super) struct Rollback {
    #[command(flatten)]
    config: ConfigArgs,
    /// The model's name in the configuration; not needed where only one takes releases
    #[arg(value_name = "MODEL")]
    slot: Option<String>,
    /// Only if this is the version before
    #[arg(long, value_name = "VERSION")]
    to: Option<String>,
}

/// Looks for releases, and takes them from bundles.
#[derive(Debug, Args)]
pub(super) struct UpdateCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Ask the running daemon to look for releases now
    Check {
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Have the running daemon take a release from a bundle, and wait until it is committed; fails where it is not
    Install {
        #[command(flatten)]
        config: ConfigArgs,
        /// The file that `vedette-fleet bundle` made
        #[arg(value_name = "BUNDLE")]
        bundle: PathBuf,
    },
}

/// The models of `config` that take releases.
fn slots(config: &Config) -> Vec<(&str, String)> {
    let of_release = config.models.iter().filter(|model| model.release.is_some());
    of_release
        .map(|model| {
            let folder = &model.folder;
            (model.name.as_str(), format!("{} {}", folder.version, folder.path.display()))
        })
        .collect()
}

impl Status {
    pub(super) fn run(self) -> u8 {
        let config = match self.config.load() {
            Ok(config) => config,
            Err(code) => return code,
        };
        let store = Store::at(&config.state_dir);
        let trouble = match update::ask(&config.state_dir, &Command::Trouble) {
            Ok(Some(answer)) => Trouble::Daemon(answer.lines),
            Ok(None) => Trouble::NoDaemon,
            // An older daemon, or one that ends now.
            Err(_) => Trouble::Daemon(Vec::new()),
        };
        let mut all = Vec::new();
        for (slot, configured) in slots(&config) {
            match store.load(slot) {
                Ok(record) => {
                    let [progress_bytes, total_bytes] = progress(&store, &record);
                    let trouble = trouble.of(slot);
                    all.push(Shown { record, configured, progress_bytes, total_bytes, trouble });
                }
                Err(error) => {
                    complain(&report::chain(&error));
                    return exit::STATE;
                }
            }
        }
        if self.json {
            match serde_json::to_string(&all) {
                Ok(text) => say(&text),
                Err(error) => complain(&format!("the status cannot be written: {error}")),
            }
            return exit::OK;
        }
        if all.is_empty() {
            say("no model takes releases: give one a `release` in the configuration, and [update]");
        }
        for shown in &all {
            say(&in_words(shown));
        }
        if matches!(trouble, Trouble::NoDaemon) && !all.is_empty() {
            say("no daemon runs: nothing is looked for");
        }
        exit::OK
    }
}

/// What `status` shows of a slot.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    record: SlotRecord,
    /// The folder that the configuration names, and its version.
    configured: String,
    /// Bytes of the release under way that are here and verified.
    progress_bytes: u64,
    /// Its bytes in all; 0 where nothing is under way.
    total_bytes: u64,
    /// What keeps releases from coming, as the daemon last saw it.
    trouble: Option<String>,
}

/// What the daemon says of what keeps releases from coming.
enum Trouble {
    NoDaemon,
    Daemon(Vec<String>),
}

impl Trouble {
    /// What concerns `slot`: what begins with its name, or with none.
    fn of(&self, slot: &str) -> Option<String> {
        let Self::Daemon(lines) = self else { return None };
        let own = format!("{slot}: ");
        let concerns = |line: &String| match line.strip_prefix(&own) {
            None if line.starts_with("releases are not taken") => Some(line.clone()),
            rest => rest.map(str::to_owned),
        };
        lines.iter().find_map(concerns)
    }
}

/// How far the download of what is under way is, and its whole length.
fn progress(store: &Store, record: &SlotRecord) -> [u64; 2] {
    let offered = record.offered.as_ref().map(|offered| offered.installed.release.release);
    // Between two phases its document may be gone already.
    let Some(document) = offered.and_then(|digest| store.document(&digest).ok()) else {
        return [0, 0];
    };
    let blobs = store.blobs();
    [document.files.iter().map(|file| blobs.progress(file)).sum(), document.bytes()]
}

fn in_words(shown: &Shown) -> String {
    let Shown { record, configured, .. } = shown;
    let name = |installed: &Option<Installed>| match installed {
        Some(one) => {
            let release = &one.release;
            format!(
                "{} (counter {}, {})",
                release.version,
                release.counter,
                release.release.short()
            )
        }
        None => format!("the configured folder ({configured})"),
    };
    let mut lines = vec![record.slot.clone(), format!("  installed  {}", name(&record.good))];
    if record.way_back().is_some() {
        lines.push(format!("  before     {}", name(&record.previous)));
    }
    if let Some(offered) = &record.offered {
        let phase = format!("{:?}", record.phase).to_lowercase();
        let (release, tries) = (&offered.installed.release, offered.tries_left);
        let (here, total) = (shown.progress_bytes, shown.total_bytes);
        lines.push(format!(
            "  under way  {} (counter {}): {phase}, {here} of {total} bytes, {tries} tries left",
            release.version, release.counter
        ));
    }
    if let Some(refusal) = &record.refused {
        let phase = format!("{:?}", refusal.phase).to_lowercase();
        lines.push(format!(
            "  refused    {} while {phase}: {}",
            refusal.release.version, refusal.reason
        ));
    }
    if let Some(trouble) = &shown.trouble {
        lines.push(format!("  trouble    {trouble}"));
    }
    lines.join("\n")
}

impl Rollback {
    pub(super) fn run(self) -> u8 {
        let config = match self.config.load() {
            Ok(config) => config,
            Err(code) => return code,
        };
        let command = Command::Rollback { slot: self.slot.clone(), to: self.to.clone() };
        let until = Instant::now() + IN_BETWEEN;
        loop {
            match update::ask(&config.state_dir, &command) {
                Ok(Some(answer)) => return told(&answer),
                Ok(None) => {}
                Err(error) => return failed(&format!("the daemon did not answer: {error}")),
            }
            match StateDir::open(&config.state_dir) {
                Ok(_held) => return self.without_daemon(&config),
                Err(DiskError::Busy { .. }) if Instant::now() < until => {
                    std::thread::sleep(LOOK_AGAIN);
                }
                Err(error) => {
                    complain(&report::chain(&error));
                    return exit::STATE;
                }
            }
        }
    }

    /// The record alone is enough: what is committed is what is loaded at the next start.
    fn without_daemon(&self, config: &Config) -> u8 {
        let all = slots(config);
        let slot = match (&self.slot, all.as_slice()) {
            (Some(slot), all) if all.iter().any(|(name, _)| name == slot) => slot.as_str(),
            (None, [(only, _)]) => only,
            _ => {
                let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
                let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                return failed(&format!("which model? Those that take releases: {names}"));
            }
        };
        let gone = Store::open(&config.state_dir)
            .and_then(|store| update::go_back(&store, slot, self.to.as_deref()));
        match gone {
            Ok(Ok(record)) => {
                let now = record.good.map_or_else(
                    || "the configured folder".to_owned(),
                    |good| good.release.version,
                );
                say(&format!("{slot}: back to {now}, from the next start on"));
                exit::OK
            }
            Ok(Err(why)) => failed(&format!("{slot}: {why}")),
            Err(error) => {
                complain(&report::chain(&error));
                exit::STATE
            }
        }
    }
}

impl UpdateCommand {
    pub(super) fn run(self) -> u8 {
        let (config, command) = match &self.what {
            What::Check { config } => (config, Command::Check),
            What::Install { config, bundle } => match bundle.canonicalize() {
                Ok(bundle) => (config, Command::Install { bundle }),
                Err(error) => {
                    return failed(&format!(
                        "cannot use the bundle `{}`: {error}",
                        bundle.display()
                    ));
                }
            },
        };
        let config = match config.load() {
            Ok(config) => config,
            Err(code) => return code,
        };
        if slots(&config).is_empty() {
            return failed(
                "no model takes releases: give one a `release` in the configuration, and [update]",
            );
        }
        match update::ask(&config.state_dir, &command) {
            Ok(Some(answer)) => told(&answer),
            Ok(None) => failed(&format!(
                "no daemon uses `{}`: start it, it looks for releases by itself",
                config.state_dir.display()
            )),
            Err(error) => failed(&format!("the daemon did not answer: {error}")),
        }
    }
}

fn told(answer: &Answer) -> u8 {
    for line in &answer.lines {
        if answer.ok {
            say(line);
        } else {
            complain(line);
        }
    }
    if answer.ok { exit::OK } else { exit::FAILED }
}

fn failed(message: &str) -> u8 {
    complain(message);
    exit::FAILED
}
