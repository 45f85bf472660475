//! The hidden command that captures in a process of its own.

use clap::Args;

use crate::hw::process::exit_now;
use crate::pipeline::source::child;

/// Takes no arguments: what to do comes on standard input.
#[derive(Debug, Args)]
pub(super) struct Capture {}

impl Capture {
    pub(super) fn run(self) -> u8 {
        exit_now(child::serve())
    }
}
