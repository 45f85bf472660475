//! The command line: one file a command.

mod annotate;
mod bench;
mod cameras;
mod capture;
mod check;
mod completions;
mod doctor;
mod kinds;
mod man;
mod model;
mod open;
mod probe;
mod record;
mod releases;
mod run;
mod setup_onnxruntime;
mod source;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::Config;
use crate::config::checked::PATH_DEFAULT;
use crate::config::section::Mistake;
use crate::supervisor::exit;

/// Runs ONNX models on camera and sensor streams, and survives its camera, its network and its power supply.
#[derive(Debug, Parser)]
#[command(name = "vedette", version, about, after_help = EXIT_CODES, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 all is well · 1 failed · 2 the command line is wrong · \
70 the accelerator is lost · 73 the state directory cannot be used · 78 the configuration is refused";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon: every configured pipeline, until told to stop
    Run(run::Run),
    /// Check the configuration and say everything that is wrong with it
    Check(check::Check),
    /// List the kinds of sources, engines, postprocesses and sinks, with an example of each, and of boards
    Kinds(kinds::Kinds),
    /// Draw what a model sees in one picture
    Annotate(annotate::Annotate),
    /// Look at models: verify one before it serves, list the releases, go back to the one before
    Model(model::ModelCommand),
    /// Show which releases are installed, under way and refused
    Status(releases::Status),
    /// Look for releases, or take one from a bundle
    Update(releases::UpdateCommand),
    /// Look for what keeps this device from doing its work, and say what to type
    Doctor(doctor::Doctor),
    /// Find the ONNX Runtime of this board, or say what to install
    SetupOnnxruntime(setup_onnxruntime::SetupOnnxruntime),
    /// Print how this board feels, or pack it into a file
    Probe(probe::Probe),
    /// List the cameras that are there, or write one frame of any source
    Cameras(cameras::Cameras),
    /// Record what a source sees, for replay
    Record(record::Record),
    /// Time a model's runs
    Bench(bench::Bench),
    /// Print shell completions
    Completions(completions::Completions),
    /// Print or write the manual pages
    Man(man::Man),
    /// Open a model for the process that asks on standard input
    #[command(name = crate::model::child::COMMAND, hide = true)]
    OpenModel(model::OpenModel),
    /// Give the frames of a camera to the daemon that asks on standard input
    #[command(name = crate::pipeline::source::child::COMMAND, hide = true)]
    Capture(capture::Capture),
}

impl Cli {
    /// Does what the command line says.
    #[must_use]
    pub fn run(self) -> ExitCode {
        ExitCode::from(match self.command {
            Command::Run(command) => command.run(),
            Command::Check(command) => command.run(),
            Command::Kinds(command) => command.run(),
            Command::Annotate(command) => command.run(),
            Command::Doctor(command) => command.run(),
            Command::SetupOnnxruntime(command) => command.run(),
            Command::Probe(command) => command.run(),
            Command::Cameras(command) => command.run(),
            Command::Record(command) => command.run(),
            Command::Bench(command) => command.run(),
            Command::Completions(command) => command.run(),
            Command::Man(command) => command.run(),
            Command::Model(command) => command.run(),
            Command::Status(command) => command.run(),
            Command::Update(command) => command.run(),
            Command::OpenModel(command) => command.run(),
            Command::Capture(command) => command.run(),
        })
    }
}

/// Where the configuration is.
#[derive(Debug, Args)]
struct ConfigArgs {
    /// Configuration file; `conf.d/*.toml` beside it and VEDETTE_ variables are read after it
    #[arg(short, long, value_name = "FILE", default_value = PATH_DEFAULT)]
    config: PathBuf,
}

impl ConfigArgs {
    /// The checked configuration; otherwise says on standard error what is wrong, and returns the exit code.
    fn load(&self) -> Result<Config, u8> {
        Config::load(&self.config, std::env::vars()).map_err(|mistakes| {
            complain(&self.refusal(&mistakes));
            exit::CONFIG
        })
    }

    fn refusal(&self, mistakes: &[Mistake]) -> String {
        let count = match mistakes.len() {
            1 => "1 mistake".to_owned(),
            count => format!("{count} mistakes"),
        };
        let mut text = format!("cannot use the configuration `{}`: {count}", self.config.display());
        for mistake in mistakes {
            text.push_str("\n  ");
            text.push_str(&mistake.to_string());
        }
        text
    }
}

/// Prints `text` on standard output. Who closed the pipe does not want to read on: that is no failure.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{text}").and_then(|()| out.flush()));
}

/// Prints `message` on standard error, as every message of this program begins.
pub(crate) fn complain(message: &str) {
    drop(writeln!(std::io::stderr(), "vedette: {message}"));
}
