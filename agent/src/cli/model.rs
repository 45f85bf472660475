//! `vedette model`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{complain, say};
use crate::config::Section;
use crate::config::section::Mistakes;
use crate::config::tree::{At, parse};
use crate::hw::ort::Options;
use crate::hw::process::exit_now;
use crate::model::child;
use crate::model::graph::Policy;
use crate::model::verify::{Settings, Verdict, verify};
use crate::supervisor::exit;

/// A day: what builds an engine for longer hangs.
const TIME_LIMIT_S_MAX: u64 = 86_400;

/// 1 TiB: more than any board of this class has.
const MEMORY_LIMIT_MB_MAX: u64 = 1 << 20;

/// Looks at models.
#[derive(Debug, Args)]
pub(super) struct ModelCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Check a model: its graph, its model.toml, and its golden samples in a process of their own
    Verify(Verify),
    /// Show which releases are installed, under way and refused
    List(super::releases::Status),
    /// Go back to the release before; also while no daemon runs
    Rollback(super::releases::Rollback),
}

#[derive(Debug, Args)]
struct Verify {
    /// Model folder (model.onnx, model.toml, golden/), or a graph alone
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
    /// Provider to run it with, most preferred first
    #[arg(long = "provider", value_name = "NAME", value_delimiter = ',', default_values_t = ["cpu".to_owned()])]
    providers: Vec<String>,
    /// The ONNX Runtime library; otherwise ORT_DYLIB_PATH, otherwise the usual places
    #[arg(long, value_name = "FILE")]
    onnxruntime: Option<PathBuf>,
    /// Most seconds to open it and run its samples; building an engine for an accelerator takes minutes
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=TIME_LIMIT_S_MAX))]
    time_limit_s: u64,
    /// Most MiB of memory for that
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u64).range(64..=MEMORY_LIMIT_MB_MAX))]
    memory_limit_mb: u64,
    /// Take nodes that carry an accelerator's compiled code, which nothing can check
    #[arg(long)]
    allow_epcontext: bool,
    /// Check its graph and model.toml only: for a machine without ONNX Runtime
    #[arg(long)]
    without_running: bool,
}

impl ModelCommand {
    pub(super) fn run(self) -> u8 {
        match self.what {
            What::Verify(command) => command.run(),
            What::List(command) => command.run(),
            What::Rollback(command) => command.run(),
        }
    }
}

impl Verify {
    fn run(self) -> u8 {
        let settings = match self.settings() {
            Ok(settings) => settings,
            Err(message) => {
                complain(&message);
                return exit::USAGE;
            }
        };
        let verdict = verify(&self.path, &settings);
        if self.json {
            match serde_json::to_string(&verdict) {
                Ok(text) => say(&text),
                Err(error) => complain(&format!("the verdict cannot be written: {error}")),
            }
        } else {
            say(&in_words(&verdict));
        }
        if verdict.passed { exit::OK } else { exit::FAILED }
    }

    fn settings(&self) -> Result<Settings, String> {
        let program = std::env::current_exe()
            .map_err(|error| format!("cannot find this program to start it again: {error}"))?;
        Ok(Settings {
            program,
            library: self.onnxruntime.clone(),
            options: options(&self.providers)?,
            policy: Policy { ep_context: self.allow_epcontext },
            cache: None,
            time_limit: Duration::from_secs(self.time_limit_s),
            memory_limit_bytes: self.memory_limit_mb << 20,
            polite: true,
            run: !self.without_running,
        })
    }
}

/// The settings that the command line asks for, checked as those of a configuration are.
fn options(providers: &[String]) -> Result<Options, String> {
    let place = Path::new("command line");
    let table =
        parse(&format!("providers = {providers:?}\n"), place).map_err(|error| error.message)?;
    let mistakes = Mistakes::new();
    let section = Section::top(&table, At::File(place.into(), 1), Path::new("."), &mistakes);
    let options = Options::read(&section);
    section.finish();
    match mistakes.into_vec().first() {
        Some(mistake) => Err(format!("--provider: {}", mistake.message)),
        None => Ok(options),
    }
}

fn in_words(verdict: &Verdict) -> String {
    let mut text = format!("{}\n", verdict.model.display());
    for check in &verdict.checks {
        let mark = if check.passed { '✓' } else { '✗' };
        text.push_str(&format!("  {mark} {}\n", check.name));
        for line in &check.details {
            text.push_str(&format!("      {line}\n"));
        }
    }
    let failed = verdict.checks.iter().filter(|check| !check.passed).count();
    let summary = match failed {
        0 => "good".to_owned(),
        1 => "refused: 1 check failed".to_owned(),
        count => format!("refused: {count} checks failed"),
    };
    text.push_str(&summary);
    text
}

/// Opens a model for the process that asks on standard input.
#[derive(Debug, Args)]
pub(super) struct OpenModel {}

impl OpenModel {
    pub(super) fn run(self) -> u8 {
        exit_now(child::serve())
    }
}
