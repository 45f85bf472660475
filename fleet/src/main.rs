//! `vedette-fleet`, the operator's program: keys, publishing, rollout.
//!
//! So far it is the door only: help, completions and manual page. What it will do is issue by issue in
//! `CHANGELOG.md`.
#![forbid(unsafe_code)]

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

/// The operator's program of Vedette. Keys, publishing and rollout are not built yet.
#[derive(Debug, Parser)]
#[command(name = "vedette-fleet", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print shell completions
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print the manual page
    Man,
}

fn main() -> anyhow::Result<ExitCode> {
    let mut text = Vec::new();
    match Cli::parse().command {
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "vedette-fleet", &mut text);
        }
        Command::Man => clap_mangen::Man::new(Cli::command()).render(&mut text)?,
    }
    // Who closed the pipe does not want to read on.
    drop(std::io::stdout().lock().write_all(&text));
    Ok(ExitCode::SUCCESS)
}
