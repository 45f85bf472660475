//! `vedette man`.

use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory as _};
use clap_mangen::Man as Page;

use super::{Cli, complain, say};
use crate::disk;
use crate::report;
use crate::supervisor::exit;

/// Prints the manual page, or writes one for each command.
#[derive(Debug, Args)]
pub(super) struct Man {
    /// Write vedette.1 and one page a command into this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(self) -> u8 {
        let command = Cli::command();
        let Some(dir) = self.dir else {
            say(String::from_utf8_lossy(&page(command)).trim_end());
            return exit::OK;
        };
        let subcommands = command.get_subcommands().filter(|sub| !sub.is_hide_set());
        let mut pages: Vec<(String, Vec<u8>)> = subcommands
            .map(|sub| format!("vedette-{}", sub.get_name()))
            .zip(command.get_subcommands().filter(|sub| !sub.is_hide_set()))
            .map(|(name, sub)| (name.clone(), page(sub.clone().name(name))))
            .collect();
        pages.push(("vedette".to_owned(), page(command.clone())));
        for (name, page) in pages {
            if let Err(error) = write(&dir, &name, &page) {
                complain(&report::chain(&error));
                return exit::FAILED;
            }
        }
        exit::OK
    }
}

fn write(dir: &Path, name: &str, page: &[u8]) -> Result<(), disk::DiskError> {
    disk::replace(&dir.join(format!("{name}.1")), page)
}

fn page(command: clap::Command) -> Vec<u8> {
    let mut page = Vec::new();
    // Writing to a Vec cannot fail.
    drop(Page::new(command).render(&mut page));
    page
}
