//! A child process, what it says on standard error, and its end.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use crate::places::patient;

/// Most lines of a log that an error shows: the end is where the trouble is.
const TAIL_LINES: usize = 40;

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code; `None` where a signal killed it.
    pub code: Option<i32>,
    /// The signal that killed it.
    pub signal: Option<i32>,
    /// All that it said on standard error.
    pub log: String,
}

/// A running process.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: Arc<Log>,
    reader: Option<JoinHandle<()>>,
    ended: Option<Ended>,
}

/// What was said so far.
#[derive(Debug, Default)]
struct Log {
    said: Mutex<Said>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct Said {
    text: String,
    closed: bool,
}

impl Process {
    /// Starts `command`; its standard error is kept, and written to `copy` too where one is named.
    pub(crate) fn start(command: &mut Command, copy: Option<&Path>) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let copy = match copy {
            Some(path) => Some(
                File::create(path).with_context(|| format!("cannot write `{}`", path.display()))?,
            ),
            None => None,
        };
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start `{name}`"))?;
        let log = Arc::new(Log::default());
        let stderr = child.stderr.take().context("its standard error is no pipe")?;
        let writer = log.clone();
        let reader = std::thread::spawn(move || writer.fill(stderr, copy));
        Ok(Self { name, child, log, reader: Some(reader), ended: None })
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// All that was said so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().text.clone()
    }

    /// Sends a signal; the process must not have ended.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(self.pid()?, signal)
            .with_context(|| format!("cannot send {signal:?} to {}", self.name))
    }

    /// Waits until `count` lines have `text` in them.
    pub(crate) fn wait_log(&self, text: &str, count: usize, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + patient(limit);
        let mut said = self.log.lock();
        loop {
            let found = said.text.lines().filter(|line| line.contains(text)).count();
            if found >= count {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if said.closed || left.is_zero() {
                let why = if said.closed { "until it ended" } else { "in time" };
                bail!(
                    "{} said `{text}` {found} times {why}, expected {count}; {}",
                    self.name,
                    tail(&said.text)
                );
            }
            let waited = self.log.news.wait_timeout(said, left);
            said = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for its end.
    pub(crate) fn wait_exit(&mut self, limit: Duration) -> Result<Ended> {
        if let Some(ended) = &self.ended {
            return Ok(ended.clone());
        }
        let pidfd = pidfd_open(self.pid()?, PidfdFlags::empty()).context("pidfd_open")?;
        let deadline = Instant::now() + patient(limit);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).map_err(|_| anyhow!("the limit is too long"))?;
            let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
            match poll(&mut fds, Some(&left)) {
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).context("poll"),
                Ok(0) => bail!("{} did not end within {limit:?}; {}", self.name, tail(&self.log())),
                Ok(_) => return self.reap(),
            }
        }
    }

    fn reap(&mut self) -> Result<Ended> {
        let status = self.child.wait().with_context(|| format!("cannot wait for {}", self.name))?;
        if let Some(reader) = self.reader.take() {
            reader.join().map_err(|_| anyhow!("the reader of a log panicked"))?;
        }
        let ended = Ended { code: status.code(), signal: status.signal(), log: self.log() };
        self.ended = Some(ended.clone());
        Ok(ended)
    }

    pub(crate) fn pid(&self) -> Result<Pid> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        pid.filter(|_| self.ended.is_none()).with_context(|| format!("{} has ended", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended.is_none() {
            // It may have ended by itself: then there is nothing to kill.
            drop(self.child.kill());
            drop(self.reap());
        }
        if std::thread::panicking() {
            drop(writeln!(std::io::stderr(), "{}: {}", self.name, tail(&self.log())));
        }
    }
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps every line of `from` until it is closed.
    fn fill(&self, from: impl Read, mut copy: Option<File>) {
        let (mut from, mut line) = (BufReader::new(from), Vec::new());
        loop {
            line.clear();
            match from.read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
            if let Some(copy) = &mut copy {
                // The text in memory is what counts.
                drop(copy.write_all(&line));
            }
            self.lock().text.push_str(&String::from_utf8_lossy(&line));
            self.news.notify_all();
        }
        self.lock().closed = true;
        self.news.notify_all();
    }
}

/// The end of a log, for an error.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let first = lines.len().saturating_sub(TAIL_LINES);
    let mut text =
        if lines.is_empty() { "it said nothing".to_owned() } else { "it said:".to_owned() };
    for line in &lines[first..] {
        text.push_str(&format!("\n    {line}"));
    }
    text
}
