//! What keeps this device from doing its work, and the command to type.
//!
//! One file a check. Each gathers facts and has a pure function judge them, so that a test needs no broken device.
//! Nothing is changed: what is written to see whether it can be is removed again, and no lock is taken, so that the
//! examination may run beside the daemon. The service's configuration is
//! judged for the account that the service runs as, whoever asks.

mod account;
mod broker;
mod cameras;
mod clock;
mod configuration;
mod devices;
mod fleet;
mod library;
mod models;
mod service;
mod space;
mod state;
mod unit;

use std::path::{Path, PathBuf};

use serde::Serialize;

pub use account::Account;

use crate::config::Config;
use crate::config::checked::PATH_DEFAULT;
use crate::config::section::Mistake;
use crate::telemetry::{Tree, sysfs};

/// What came out of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All is well.
    Well,
    /// Something is to be done.
    Wrong,
    /// There was nothing to look at.
    Skipped,
}

/// One line of the examination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which check, in the words of the table.
    pub check: &'static str,
    /// What came out.
    pub verdict: Verdict,
    /// What was seen.
    pub said: String,
    /// What to do, a command or a sentence each; empty where all is well.
    pub todo: Vec<String>,
}

impl Finding {
    fn well(check: &'static str, said: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Well, said: said.into(), todo: Vec::new() }
    }

    fn skipped(check: &'static str, said: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Skipped, said: said.into(), todo: Vec::new() }
    }

    fn wrong<T: Into<String>>(
        check: &'static str,
        said: impl Into<String>,
        todo: impl IntoIterator<Item = T>,
    ) -> Self {
        let todo = todo.into_iter().map(Into::into).collect();
        Self { check, verdict: Verdict::Wrong, said: said.into(), todo }
    }
}

/// What is examined.
#[derive(Debug)]
pub struct Patient {
    /// Where the configuration is.
    pub path: PathBuf,
    /// What it is, or everything that is wrong with it.
    pub config: Result<Config, Vec<Mistake>>,
    /// Whether it is the service's.
    pub is_service: bool,
    /// Whom the daemon runs as.
    pub account: Account,
}

impl Patient {
    /// The configuration in `path` with the variables of this process, examined for the service's account where it is
    /// the service's configuration, and for this process's otherwise.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        let config = Config::load(&path, std::env::vars());
        let is_service = path == Path::new(PATH_DEFAULT);
        Self { account: Account::here(is_service), path, config, is_service }
    }
}

/// A check of one thing.
type Check = fn(&Patient) -> Vec<Finding>;

/// The checks, in the order in which a cause comes before what it causes.
const CHECKS: &[Check] = &[
    configuration::check,
    state::check,
    space::check,
    clock::check,
    library::check,
    devices::check,
    cameras::check,
    models::check,
    broker::check,
    fleet::check,
    service::check,
];

/// Examines `patient`; `each` hears what every check found, as soon as it is known. Whether all is well.
pub fn examine(patient: &Patient, mut each: impl FnMut(&Finding)) -> bool {
    let mut well = true;
    for check in CHECKS {
        for finding in check(patient) {
            well &= finding.verdict != Verdict::Wrong;
            each(&finding);
        }
    }
    well
}

/// Whether this board is one of NVIDIA's.
fn is_jetson() -> bool {
    Tree::open(Path::new("/")).is_ok_and(|tree| sysfs::is_jetson(&sysfs::identity(&tree)))
}

/// Waits for `work`, on a runtime of its own.
fn wait<T>(work: impl Future<Output = T>) -> std::io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    Ok(done)
}

/// What to say where the configuration would tell what to look at, and cannot be read.
const UNTIL_CONFIGURED: &str = "not looked at: the configuration comes first";
