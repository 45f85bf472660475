//! `vedette completions`.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::Cli;
use crate::supervisor::exit;

/// Prints a completion script for a shell.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// Which shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> u8 {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "vedette", &mut script);
        super::say(String::from_utf8_lossy(&script).trim_end());
        exit::OK
    }
}
