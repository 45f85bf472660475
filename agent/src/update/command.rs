//! What the owner of the device asks of the running daemon, and the socket over which it is asked.
//!
//! `control.sock` in the state directory, for the directory's owner alone. One request and one answer a
//! connection, each one line of JSON.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

use super::told::{Last, Standing};

/// The socket's name in the state directory.
pub const SOCKET: &str = "control.sock";

/// Longest request: a path and a few words.
const REQUEST_BYTES_MAX: u64 = 16 << 10;

/// How long a request may take to arrive once the connection is there.
const REQUEST_TIME: Duration = Duration::from_secs(5);

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub enum Command {
    /// Look for releases now.
    Check,
    /// Say what keeps releases from coming, where something does.
    Trouble,
    /// Take the release in a bundle.
    Install {
        /// The bundle, absolute.
        bundle: PathBuf,
    },
    /// Go back to what was committed before.
    Rollback {
        /// Which slot; `None`: the only one.
        slot: Option<String>,
        /// Which version is expected there; `None`: whatever it is.
        to: Option<String>,
    },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether all went well.
    pub ok: bool,
    /// A line for each slot.
    pub lines: Vec<String>,
}

/// A command on its way to one slot's worker.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) command: Command,
    pub(super) reply: oneshot::Sender<Said>,
}

impl Asked {
    /// Answers. Who hung up meanwhile hears nothing.
    pub(super) fn answer(self, said: impl Into<Said>) {
        drop(self.reply.send(said.into()));
    }
}

/// What one slot's worker says, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// All went well.
    Well(String),
    /// It is not about this slot; whether it went well is for others to say.
    Elsewhere(String),
    /// It did not go well.
    Failed(String),
}

impl From<Result<String, String>> for Said {
    fn from(result: Result<String, String>) -> Self {
        result.map_or_else(Self::Failed, Self::Well)
    }
}

/// The way to the workers of the slots, by name.
#[derive(Debug, Clone, Default)]
pub struct Desk {
    pub(super) workers: Vec<(String, mpsc::Sender<Asked>)>,
    pub(super) standings: Vec<(String, Last)>,
    /// Why no release can be taken. The workers watch what is committed, and go back.
    pub(super) broken: Option<String>,
}

impl Desk {
    /// Where each slot stands.
    #[must_use]
    pub fn standings(&self) -> Vec<(String, Standing)> {
        let stands = |last: &Last| last.lock().map(|last| last.clone()).unwrap_or_default();
        self.standings.iter().map(|(slot, last)| (slot.clone(), stands(last))).collect()
    }

    /// Why no release can be taken at all, where that is so.
    #[must_use]
    pub fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    /// Passes `command` on to whom it concerns, and waits for what comes of it.
    pub async fn ask(&self, command: &Command) -> Answer {
        if let Some(why) = &self.broken
            && !matches!(command, Command::Rollback { .. })
        {
            return Answer { ok: *command == Command::Trouble, lines: vec![why.clone()] };
        }
        if *command == Command::Trouble {
            let lines = self.standings().into_iter().filter_map(|(slot, standing)| {
                let trouble = standing.check_error?;
                Some(format!("{slot}: {trouble}"))
            });
            return Answer { ok: true, lines: lines.collect() };
        }
        let whom: Vec<_> = match command {
            Command::Rollback { slot: Some(slot), .. } => {
                self.workers.iter().filter(|(name, _)| name == slot).collect()
            }
            _ => self.workers.iter().collect(),
        };
        let wrong = |line: String| Answer { ok: false, lines: vec![line] };
        match (command, whom.len()) {
            (Command::Rollback { slot: Some(slot), .. }, 0) => {
                let names: Vec<&str> = self.workers.iter().map(|(name, _)| name.as_str()).collect();
                return wrong(format!(
                    "no model `{slot}` takes releases; those that do: {}",
                    names.join(", ")
                ));
            }
            (Command::Rollback { slot: None, .. }, count) if count > 1 => {
                return wrong("several models take releases: say which one".to_owned());
            }
            _ => {}
        }
        let (mut well, mut elsewhere, mut failed) = (0, 0, 0);
        let mut lines = Vec::new();
        // All are asked before the first has answered: one may wait for another, that fetches the same file.
        let mut asking = Vec::new();
        for (slot, worker) in whom {
            let (reply, replied) = oneshot::channel();
            let sent = worker.send(Asked { command: command.clone(), reply }).await;
            asking.push((slot, sent.is_ok().then_some(replied)));
        }
        for (slot, replied) in asking {
            let ending = || Said::Failed("the daemon is ending".to_owned());
            let said = match replied {
                Some(replied) => replied.await.unwrap_or_else(|_| ending()),
                None => ending(),
            };
            let (count, line) = match said {
                Said::Well(line) => (&mut well, line),
                Said::Elsewhere(line) => (&mut elsewhere, line),
                Said::Failed(line) => (&mut failed, line),
            };
            *count += 1;
            lines.push(format!("{slot}: {line}"));
        }
        Answer { ok: failed == 0 && (well > 0 || elsewhere == 0), lines }
    }
}

/// Listens below `state_dir`, with what a dead daemon left there removed: the directory is locked by us.
pub(super) fn listen(state_dir: &Path) -> io::Result<UnixListener> {
    let path = state_dir.join(SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Answers one connection; without a desk, that too many others wait already. Who hangs up early hears nothing; what
/// was begun goes on.
pub(super) async fn answer(stream: UnixStream, desk: Option<&Desk>) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(read.take(REQUEST_BYTES_MAX));
    tokio::time::timeout(REQUEST_TIME, reader.read_line(&mut line)).await??;
    let wrong = |line: String| Answer { ok: false, lines: vec![line] };
    let answer = match (desk, serde_json::from_str::<Command>(&line)) {
        (Some(desk), Ok(command)) => desk.ask(&command).await,
        (_, Err(error)) => wrong(format!("no such request: {error}")),
        (None, Ok(_)) => {
            wrong("too many requests wait already: end one of them, or ask again later".to_owned())
        }
    };
    let mut body = serde_json::to_vec(&answer)?;
    body.push(b'\n');
    write.write_all(&body).await
}

/// Asks the daemon that uses `state_dir`. `None` where none listens there.
///
/// Blocks until the answer is there; a release takes the time that its terms say.
///
/// # Errors
/// The daemon ended before it answered.
pub fn ask(state_dir: &Path, command: &Command) -> io::Result<Option<Answer>> {
    use std::io::{BufRead as _, Write as _};
    let mut stream = match std::os::unix::net::UnixStream::connect(state_dir.join(SOCKET)) {
        Ok(stream) => stream,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let mut request = serde_json::to_vec(command)?;
    request.push(b'\n');
    stream.write_all(&request)?;
    let mut line = String::new();
    std::io::BufReader::new(stream).read_line(&mut line)?;
    if line.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the daemon ended before it answered",
        ));
    }
    Ok(Some(serde_json::from_str(&line)?))
}
