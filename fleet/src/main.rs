//! `vedette-fleet`, the operator's program: keys, publishing, rollout, a server for it all.
//!
//! Everything is static files below one directory. What they say is in `wire/PROTOCOL.md`; what each key can and
//! cannot do, in `wire/THREATS.md`.
#![forbid(unsafe_code)]

mod bundle;
mod files;
mod keyfile;
mod keys;
mod publish;
mod repository;
mod roles;
mod rollout;
mod roots;
mod rotate;
mod serve;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

/// The operator's program of Vedette: keys, releases, rollouts.
#[derive(Debug, Parser)]
#[command(name = "vedette-fleet", version, about, after_help = EXIT_CODES, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 all is well · 1 failed · 2 the command line is wrong";

#[derive(Debug, Subcommand)]
enum Command {
    Init(roles::Init),
    Publish(Box<publish::Publish>),
    Rollout(rollout::Rollout),
    Halt(rollout::Halt),
    /// Let a halted rollout go on; waves that had not begun are later by as long as it was halted
    Resume(rollout::Halt),
    Status(rollout::Status),
    Keys(roles::Keys),
    Refresh(roles::Refresh),
    Bundle(bundle::Bundle),
    Serve(serve::Serve),
    /// Print shell completions
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print the manual page
    Man,
}

/// Where the keys are.
#[derive(Debug, Args)]
struct KeyArgs {
    /// Directory of the keys
    #[arg(long, value_name = "DIR")]
    keys: PathBuf,
    /// File whose first line is the keys' passphrase [default: VEDETTE_FLEET_PASSPHRASE_FILE, then asked for]
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// A role's key that lies elsewhere, such as on a stick; may be repeated. Ours, or PKCS #8 in PEM
    #[arg(long = "key-file", value_name = "ROLE=FILE", value_parser = keys::NamedKey::parse)]
    named: Vec<keys::NamedKey>,
}

impl KeyArgs {
    /// The keys, none of them read yet.
    fn ring(&self) -> keys::KeyRing {
        keys::KeyRing::new(self)
    }
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Who closed the pipe does not want to read on.
            drop(writeln!(std::io::stderr(), "vedette-fleet: {error:#}{}", advice(&error)));
            ExitCode::FAILURE
        }
    }
}

/// What to do about a failure that the disk brought.
fn advice(error: &anyhow::Error) -> &'static str {
    use std::io::ErrorKind;
    let cut = error.downcast_ref::<rotate::CutOff>().is_some();
    let kinds = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    match kinds.map(std::io::Error::kind).next() {
        Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded) if cut => {
            "\nmake room on that disk first"
        }
        Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
            "\nmake room on that disk, then run it again: devices see what they saw before"
        }
        Some(ErrorKind::ReadOnlyFilesystem) => "\nthat disk is mounted read-only",
        Some(ErrorKind::PermissionDenied) if cut => "\nrun that as the user who owns that file",
        Some(ErrorKind::PermissionDenied) => "\nrun it as the user who owns that file",
        _ => "",
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    let mut text = Vec::new();
    match command {
        Command::Init(command) => return command.run(),
        Command::Publish(command) => return command.run(),
        Command::Rollout(command) => return command.run(),
        Command::Halt(command) => return command.run(true),
        Command::Resume(command) => return command.run(false),
        Command::Status(command) => return command.run(),
        Command::Keys(command) => return command.run(),
        Command::Refresh(command) => return command.run(),
        Command::Bundle(command) => return command.run(),
        Command::Serve(command) => return command.run(),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "vedette-fleet", &mut text);
        }
        Command::Man => clap_mangen::Man::new(Cli::command()).render(&mut text)?,
    }
    drop(std::io::stdout().lock().write_all(&text));
    Ok(())
}

/// Prints `text` on standard output.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{text}").and_then(|()| out.flush()));
}
