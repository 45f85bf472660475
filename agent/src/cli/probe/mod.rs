//! `vedette probe`: how this board feels, once.

mod table;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{complain, say};
use crate::report;
use crate::supervisor::exit;
use crate::telemetry::{Sampler, Tree, capture};

/// Between the two samples: how busy a core is, and how often something happens, needs two.
const BETWEEN: Duration = Duration::from_millis(500);

/// Reads everything that this board says of itself, and prints it.
#[derive(Debug, Args)]
pub(super) struct Probe {
    /// JSON instead of text
    #[arg(long)]
    json: bool,
    /// Read below this directory, or from a file that `--capture` made, instead of this board
    #[arg(long, value_name = "DIR_OR_FILE", default_value = "/")]
    sysroot: PathBuf,
    /// Write the board's files into one archive, to be read by `--sysroot` elsewhere. Nothing in it names the
    /// device or its owner
    #[arg(long, value_name = "FILE")]
    capture: Option<PathBuf>,
    /// Read, print and capture the serial number too
    #[arg(long)]
    with_serials: bool,
    /// NVIDIA's management library, where it is not the system's
    #[arg(long, value_name = "FILE")]
    nvml: Option<PathBuf>,
}

impl Probe {
    pub(super) fn run(self) -> u8 {
        match self.try_run() {
            Ok(()) => exit::OK,
            Err(message) => {
                complain(&message);
                exit::FAILED
            }
        }
    }

    fn try_run(&self) -> Result<(), String> {
        let tree = Tree::open(&self.sysroot).map_err(|error| report::chain(&error))?;
        if let Some(file) = &self.capture {
            return self.pack(&tree, file);
        }
        let mut sampler = Sampler::new(tree, self.nvml.clone(), self.with_serials);
        let mut readings = sampler.sample(Duration::ZERO);
        if sampler.tree().is_live() {
            std::thread::sleep(BETWEEN);
            readings = sampler.sample(BETWEEN);
        }
        if self.json {
            let text =
                serde_json::to_string_pretty(&readings).map_err(|error| report::chain(&error))?;
            say(&text);
        } else {
            let colour = std::io::stdout().is_terminal();
            say(&table::page(sampler.board().title, &readings, colour));
        }
        Ok(())
    }

    fn pack(&self, tree: &Tree, file: &std::path::Path) -> Result<(), String> {
        let mut bytes = Vec::new();
        let count = capture::pack(tree, self.with_serials, &mut bytes)
            .map_err(|error| report::chain(&error))?;
        crate::disk::replace(file, &bytes).map_err(|error| report::chain(&error))?;
        if self.json {
            say(&serde_json::json!({ "capture": file, "files": count }).to_string());
        } else {
            say(&format!("{count} files in {}; read it with --sysroot", file.display()));
        }
        Ok(())
    }
}
