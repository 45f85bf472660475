//! The real daemon, as a process.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use crate::process::{Ended, Process};
use crate::{Folder, PATIENCE, places};

/// Name of the configuration in a test's folder.
const CONFIG: &str = "vedette.toml";

/// Where a daemon's standard output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdout {
    /// To nobody.
    Dropped,
    /// Into a pipe that can be read with [`Daemon::take_stdout`]; one page long, so that it is full soon where
    /// nobody does.
    Pipe,
}

/// A `vedette` command that is about to be started: what it inherits of the environment, and what not.
#[derive(Debug)]
pub struct Launch {
    command: Command,
    stdout: Stdout,
    copy: Option<PathBuf>,
}

/// Capacity of a pipe that nobody reads: the least that the kernel gives.
const PIPE_BYTES: usize = 4096;

impl Launch {
    /// The binary `vedette` with `args`, in the directory `inside`, with the library `onnxruntime`. What the
    /// caller's environment says to a daemon is not passed on.
    #[must_use]
    pub fn new(vedette: &Path, onnxruntime: &Path, inside: &Path, args: &[&str]) -> Self {
        let mut command = Command::new(vedette);
        command.args(args).current_dir(inside).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("VEDETTE_") {
                command.env_remove(name);
            }
        }
        command.env_remove("RUST_LOG").env("ORT_DYLIB_PATH", onnxruntime);
        Self { command, stdout: Stdout::Dropped, copy: None }
    }

    /// `vedette` with `args`, in `folder`, with the binary and the library that the tests use.
    ///
    /// # Errors
    /// There is no binary or no library.
    pub fn test(folder: &Folder, args: &[&str]) -> Result<Self> {
        Ok(Self::new(&places::vedette()?, &places::onnxruntime()?, folder.path(), args))
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Says where its standard output goes.
    #[must_use]
    pub fn stdout(mut self, stdout: Stdout) -> Self {
        self.stdout = stdout;
        self
    }

    /// Gives it a standard input.
    #[must_use]
    pub fn stdin(mut self, stdin: Stdio) -> Self {
        self.command.stdin(stdin);
        self
    }

    /// Writes its log to `path` too.
    #[must_use]
    pub fn log_to(mut self, path: PathBuf) -> Self {
        self.copy = Some(path);
        self
    }

    /// Keeps a terminal's Ctrl-C from it: whoever started it ends it.
    #[must_use]
    pub fn apart(mut self) -> Self {
        self.command.process_group(0);
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// The system refuses.
    pub fn start(mut self) -> Result<Daemon> {
        let stdout = if self.stdout == Stdout::Pipe { Stdio::piped() } else { Stdio::null() };
        let mut process = Process::start(self.command.stdout(stdout), self.copy.as_deref())?;
        let stdout = process.child().stdout.take();
        if let Some(pipe) = &stdout {
            rustix::pipe::fcntl_setpipe_size(pipe, PIPE_BYTES).context("cannot size a pipe")?;
        }
        Ok(Daemon { process, stdout })
    }
}

/// A daemon, or another `vedette` command; killed on drop.
#[derive(Debug)]
pub struct Daemon {
    process: Process,
    stdout: Option<ChildStdout>,
}

impl Daemon {
    /// Starts `vedette run` in `folder`, with `config` as its configuration.
    ///
    /// # Errors
    /// There is no binary or no library, or the configuration cannot be written.
    pub fn start(folder: &Folder, config: &str) -> Result<Self> {
        Self::prepare(folder, config)?.start()
    }

    /// The same, not yet started.
    ///
    /// # Errors
    /// As [`Daemon::start`].
    pub fn prepare(folder: &Folder, config: &str) -> Result<Launch> {
        folder.write(CONFIG, config)?;
        Launch::test(folder, &["run", "--config", CONFIG])
    }

    /// Runs it until it ends by itself.
    ///
    /// # Errors
    /// As [`Daemon::start`], and where it does not end.
    pub fn run(folder: &Folder, config: &str) -> Result<Ended> {
        Self::start(folder, config)?.wait_exit(PATIENCE)
    }

    /// Its process number.
    ///
    /// # Errors
    /// It has ended.
    pub fn pid(&self) -> Result<i32> {
        Ok(self.process.pid()?.as_raw_nonzero().get())
    }

    /// All that it said on standard error so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Its standard output, where that is a pipe, once.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.stdout.take()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Waits until its log has `text`.
    ///
    /// # Errors
    /// It ended, or the time did; with the log.
    pub fn wait_log(&self, text: &str, limit: Duration) -> Result<()> {
        self.process.wait_log(text, 1, limit)
    }

    /// Waits until its API listens, and returns the port. The configuration has `[api]` with port 0.
    ///
    /// # Errors
    /// It does not come to that.
    pub fn api_port(&self) -> Result<u16> {
        self.wait_log("the API listens", PATIENCE)?;
        let log = self.log();
        let line = log.lines().rev().find(|line| line.contains("the API listens"));
        let address = line.and_then(|line| line.split("address=").nth(1));
        let port = address.and_then(|text| text.split_whitespace().next()?.rsplit(':').next());
        port.with_context(|| format!("no address in {line:?}"))?.parse().context("no port")
    }

    /// Waits until `count` lines of its log have `text`.
    ///
    /// # Errors
    /// It ended, or the time did; with the log.
    pub fn wait_log_lines(&self, text: &str, count: usize, limit: Duration) -> Result<()> {
        self.process.wait_log(text, count, limit)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It did not end in time; with the log.
    pub fn wait_exit(&mut self, limit: Duration) -> Result<Ended> {
        self.process.wait_exit(limit)
    }

    /// Tells it to stop and waits for its end.
    ///
    /// # Errors
    /// It had ended before, or did not end in time.
    pub fn stop(&mut self) -> Result<Ended> {
        self.signal(Signal::TERM)?;
        self.wait_exit(PATIENCE)
    }
}
