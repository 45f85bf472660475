//! `vedette setup-onnxruntime`.

mod advice;
mod found;
mod wheel;

use std::path::{Path, PathBuf};

use clap::Args;

use super::{complain, say};
use crate::report;
use crate::supervisor::exit;
use crate::telemetry::{Tree, sysfs};

/// Where the library for the processor alone is put: one of the places that the daemon looks in.
const DIR_DEFAULT: &str = "/opt/onnxruntime/lib";

/// Finds the ONNX Runtime of this board, or says what to install. Nothing is downloaded unless asked for.
#[derive(Debug, Args)]
pub(super) struct SetupOnnxruntime {
    /// Have pip download the build for the processor alone, check its digest, and install it
    #[arg(long, conflicts_with = "wheel")]
    download: bool,
    /// The same from this wheel, for a device without a network
    #[arg(long, value_name = "FILE")]
    wheel: Option<PathBuf>,
    /// Install it here; the daemon looks in the default by itself
    #[arg(long, value_name = "DIR", default_value = DIR_DEFAULT)]
    dir: PathBuf,
    /// Look below this directory
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    root: PathBuf,
}

impl SetupOnnxruntime {
    pub(super) fn run(self) -> u8 {
        if self.download || self.wheel.is_some() {
            return match wheel::install(self.wheel.as_deref(), &self.dir) {
                Ok(library) => {
                    let path = library.display();
                    say(&format!("installed `{path}`, for the processor alone"));
                    if self.dir != Path::new(DIR_DEFAULT) {
                        say(&format!("in vedette.toml: onnxruntime = \"{path}\""));
                    }
                    say("then: sudo systemctl restart vedette");
                    exit::OK
                }
                Err(error) => {
                    complain(&report::chain(&error));
                    exit::FAILED
                }
            };
        }
        let board = Tree::open(&self.root).map(|tree| sysfs::identity(&tree)).ok();
        let found = found::search(&self.root);
        let is_jetson = board.as_ref().is_some_and(sysfs::is_jetson);
        let l4t = board.and_then(|board| board.l4t);
        for one in &found {
            say(&one.to_string());
        }
        let best = found.iter().filter(|one| one.version.is_ok()).max_by_key(|one| one.providers());
        let lines = advice::lines(best, is_jetson, l4t.as_deref());
        lines.iter().for_each(|line| say(line));
        let serves = best.is_some_and(|best| !is_jetson || best.has_gpu());
        if serves { exit::OK } else { exit::FAILED }
    }
}
