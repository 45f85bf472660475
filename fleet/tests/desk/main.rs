//! An operator's desk, a folder in which the program is run, and what is tried there.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod init;
mod rollout;
mod rotation;
mod server;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A folder of its own.
pub(crate) struct Desk(TempDir);

impl Desk {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs `line`: its exit code, and what it said.
    pub(crate) fn run(&self, line: &str) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vedette-fleet"));
        command.args(line.split_whitespace()).current_dir(self.0.path()).stdin(Stdio::null());
        command.env_remove("VEDETTE_FLEET_PASSPHRASE_FILE").env("LANG", "C");
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8_lossy(&said).into_owned())
    }

    pub(crate) fn must(&self, line: &str) -> String {
        let (code, said) = self.run(line);
        assert_eq!(code, 0, "{line}: {said}");
        said
    }

    pub(crate) fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.path(name)).ok()
    }

    #[expect(clippy::disallowed_methods, reason = "a test's file need not outlive a power cut")]
    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// The keys whose files end with `end`.
    pub(crate) fn ending(&self, end: &str) -> Vec<String> {
        let keys = std::fs::read_dir(self.path("keys")).unwrap();
        let mut names: Vec<String> =
            keys.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.retain(|name| name.ends_with(end));
        names.sort();
        names
    }
}
