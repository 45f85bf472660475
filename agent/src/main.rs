//! The daemon and its command line.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    vedette::cli::Cli::parse().run()
}
