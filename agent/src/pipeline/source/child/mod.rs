//! Capture in a process of its own: what GStreamer and its plugins do there, the daemon only sees the frames.
//!
//! The process is this program again, with the hidden command `__capture`. It opens GStreamer, keeps the newest
//! frame, and says so in a pipe, with a header that has the frame's format, size, capture time and address; the daemon
//! copies it out of the process's memory (`hw::peek`) and says that it has. What to do it reads on standard input, so
//! that a camera's password is neither in its arguments nor in its environment, where `ps` would show it.
//!
//! **Health is the frame clock** and nothing that GStreamer says of itself: no frame within a time is a failure.
//! The process is then killed with its whole group, and it dies with the daemon, however that ends.
//!
//! What lost: `gst-launch-1.0 … ! fdsink` (the password in `ps`; plugins print into the frames; back-pressure
//! instead of the newest frame; `gdppay`, which has the size and time, is in the plugins that few install),
//! shared memory (`shmsink` does not say formats; memory of ours needs a copy into it where the plugins allocate theirs
//! alone, and the daemon would read what another process may write), and frames through the pipe, which takes and gives
//! back a page of the kernel for each 4 KiB, be it copied or the frame's own: that is what is left where a system does
//! not let the daemon read the process's memory.

mod advice;
mod layout;
mod message;
mod serve;

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};

use self::message::{HAVE_IT, HEADER_BYTES, Header, Layout, WRITE_IT, What};
pub use self::serve::serve;
use super::live::{LOOK_EVERY, Live};
use super::when::captured;
use super::{Next, Source, SourceError};
use crate::hw::gstreamer::Trouble;
use crate::hw::{pages, peek};
use crate::pipeline::frame::Frame;
use crate::stop::Stop;

/// The hidden command.
pub const COMMAND: &str = "__capture";

/// Room of the pipe, where the kernel gives it: fewer changes between the processes where frames go through it.
const PIPE_BYTES: usize = 1 << 20;
/// How long a killed process may take to be gone before somebody else waits for it: a driver may hold it.
const GONE_WITHIN: Duration = Duration::from_secs(1);
/// Last bytes of the process's error output that are kept to explain its end.
const STDERR_BYTES_MAX: usize = 4096;

/// One way to get frames.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Candidate {
    /// Elements that must be there for it.
    pub(super) needs: Vec<String>,
    /// The pipeline, without its sink.
    pub(super) text: String,
}

/// What the process is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Request {
    /// The first whose elements are there is taken.
    pub(super) candidates: Vec<Candidate>,
    /// Properties to be set: element, property, value. What comes from a user or a secret goes here, where nothing in
    /// it can be taken for a description.
    pub(super) set: Vec<(String, String, String)>,
}

/// What to say of a camera's stream that ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AtEnd {
    /// That was all: a file was read.
    End,
    /// It is to be opened again: a camera has no end.
    Fail,
}

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// The process could not be started, or the pipe to it fails.
    #[error("the capture process cannot be used")]
    Start(#[source] io::Error),
    /// GStreamer says so.
    #[error("{0}")]
    Trouble(String),
    /// GStreamer says that nobody answers; why, it does not say.
    #[error("{0}")]
    Unreachable(String),
    /// The frame clock stands still. Network, camera or driver: what was running is ended.
    #[error("no frame came for {} s", .0.as_secs_f32())]
    Silent(Duration),
    /// It was opened, and not even a first frame came.
    #[error("no first frame came within {} s", .0.as_secs_f32())]
    NoFirst(Duration),
    /// The stream came to its end.
    #[error("the stream ended")]
    End,
    /// The process died.
    #[error("the capture process ended with {how}{}", said(stderr))]
    Died {
        /// Exit code or signal.
        how: String,
        /// The last that it said.
        stderr: String,
    },
    /// Something else than a frame was written where frames are.
    #[error("the capture process wrote something that is no frame")]
    Garbled,
}

fn said(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!(": {stderr}") }
}

/// A running capture process; killed on drop, with all that it started.
#[derive(Debug)]
struct Running {
    child: Option<Child>,
    words: Arc<Mutex<Vec<u8>>>,
}

impl Running {
    /// A process, the pipe with its frames, and the one for answers to them.
    fn start(request: &Request) -> io::Result<(Self, File, File)> {
        let (ours, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        // A system with a lower limit gives what it has.
        if let Err(error) = rustix::pipe::fcntl_setpipe_size(&ours, PIPE_BYTES) {
            tracing::debug!(%error, "a small pipe");
        }
        // The program that runs, also where a newer one was installed over it meanwhile.
        let mut child = Command::new("/proc/self/exe")
            .arg0("vedette")
            .arg(COMMAND)
            .stdin(Stdio::piped())
            .stdout(Stdio::from(theirs))
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
        let running = Self { child: Some(child), words: Arc::default() };
        let words = running.words.clone();
        // Ends with the process.
        std::thread::Builder::new().name("cap words".to_owned()).spawn(move || {
            if let Some(stderr) = stderr {
                keep_tail(stderr, &words);
            }
        })?;
        let mut answers: File = stdin.ok_or(io::ErrorKind::BrokenPipe).map(OwnedFd::from)?.into();
        let mut text = serde_json::to_vec(request)?;
        text.push(b'\n');
        // Far less than a pipe holds: this does not wait.
        answers.write_all(&text)?;
        Ok((running, ours.into(), answers))
    }

    /// Ends it, where it has not ended, and says how it did.
    fn end(&mut self) -> Option<ExitStatus> {
        let mut child = self.child.take()?;
        // Before it is waited for: until then its number is nobody else's.
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            // What it started may live on without it.
            if let Err(error) = kill_process_group(pid, Signal::KILL) {
                tracing::trace!(%error, "nobody is left of a capture process");
            }
        }
        let deadline = Instant::now() + GONE_WITHIN;
        let mut status = child.try_wait().ok().flatten();
        while status.is_none() && Instant::now() < deadline {
            status = child.try_wait().ok().flatten();
            std::thread::sleep(Duration::from_millis(1));
        }
        if status.is_none() {
            tracing::warn!(process = child.id(), "a capture process is held by its driver");
            // Not supervised: it waits for one end, and whether it comes changes nothing.
            drop(std::thread::Builder::new().spawn(move || child.wait()));
        }
        status
    }

    fn died(&mut self) -> ChildError {
        let how = match self.end() {
            Some(status) => match (status.code(), status.signal()) {
                (Some(code), _) => format!("exit code {code}"),
                (_, signal) => format!("signal {}", signal.unwrap_or_default()),
            },
            None => "nothing said".to_owned(),
        };
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&words);
        let lines: Vec<&str> =
            text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let stderr = lines.iter().rev().take(3).rev().copied().collect::<Vec<_>>().join(" / ");
        ChildError::Died { how, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

fn keep_tail(mut from: impl io::Read, kept: &Mutex<Vec<u8>>) {
    let mut chunk = [0; 1024];
    while let Ok(count @ 1..) = from.read(&mut chunk) {
        let chunk = chunk.get(..count).unwrap_or_default();
        tracing::debug!(said = %String::from_utf8_lossy(chunk).trim_end(), "a capture process");
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(chunk);
        let surplus = kept.len().saturating_sub(STDERR_BYTES_MAX);
        kept.drain(..surplus);
    }
}

/// A source whose frames come from such a process.
#[derive(Debug)]
pub(super) struct Open {
    what: String,
    running: Running,
    pipe: File,
    answers: File,
    /// Whether frames come through the pipe, since they cannot be read where they are.
    piped: bool,
    live: Live,
    at_end: AtEnd,
    seq: u64,
}

/// What a read came back with.
enum Filled {
    All,
    Stopped,
    Closed,
}

impl Open {
    /// Starts a process for `what`.
    ///
    /// # Errors
    /// [`SourceError::Open`]: there is no process. What GStreamer says comes with the first frame.
    pub(super) fn start(
        what: &str,
        request: &Request,
        live: Live,
        at_end: AtEnd,
    ) -> Result<Self, SourceError> {
        let started = Running::start(request);
        let (running, pipe, answers) = started.map_err(|error| SourceError::Open {
            what: what.to_owned(),
            source: ChildError::Start(error).into(),
        })?;
        let what = what.to_owned();
        Ok(Self { what, running, pipe, answers, piped: false, live, at_end, seq: 0 })
    }

    fn read(&mut self, frame: &mut Frame, stop: &Stop) -> Result<Next, ChildError> {
        let patience = self.live.patience(self.seq);
        let late = match self.seq {
            0 => ChildError::NoFirst(patience),
            _ => ChildError::Silent(patience),
        };
        let mut wait = Wait { deadline: Instant::now() + patience, late: Some(late), stop };
        let mut head = [0; HEADER_BYTES];
        match wait.fill(&mut self.pipe, &mut head)? {
            Filled::All => {}
            Filled::Stopped => return Ok(Next::Stopped),
            Filled::Closed => return Err(self.running.died()),
        }
        let header = Header::decode(&head).ok_or(ChildError::Garbled)?;
        let length = usize::try_from(header.bytes).map_err(|_| ChildError::Garbled)?;
        let mut text = Vec::new();
        let bytes = match header.what {
            What::Frame(layout) => shape(frame, &layout, length),
            What::Trouble => {
                text.resize(length, 0);
                &mut text
            }
            What::End if self.at_end == AtEnd::End => return Ok(Next::End),
            What::End => return Err(ChildError::End),
        };
        let read = match header.at {
            0 => false,
            at => self.take(at, bytes)?,
        };
        match if read { Filled::All } else { wait.fill(&mut self.pipe, bytes)? } {
            Filled::All => {}
            Filled::Stopped => return Ok(Next::Stopped),
            Filled::Closed => return Err(self.running.died()),
        }
        if header.what == What::Trouble {
            let trouble: Trouble =
                serde_json::from_slice(&text).map_err(|_| ChildError::Garbled)?;
            let said = advice::advice(&trouble);
            return Err(match advice::is_unreachable(&trouble) {
                true => ChildError::Unreachable(said),
                false => ChildError::Trouble(said),
            });
        }
        (frame.captured, frame.ts) = captured(header.captured_ns);
        (frame.seq, frame.truth) = (self.seq, None);
        self.seq += 1;
        Ok(Next::Frame)
    }

    /// Reads a frame out of the process's memory, and answers. `false` where it comes through the pipe.
    fn take(&mut self, at: u64, bytes: &mut [u8]) -> Result<bool, ChildError> {
        if !self.piped {
            let process = self.running.child.as_ref().map(Child::id).unwrap_or_default();
            if let Err(error) = peek::read(process, at, bytes) {
                tracing::debug!(source = %self.what, %error, "frames come through a pipe: their memory cannot be read");
                self.piped = true;
            }
        }
        let answer = if self.piped { WRITE_IT } else { HAVE_IT };
        // It reads each answer before the next frame: this does not wait.
        self.answers.write_all(&[answer]).map_err(|_| self.running.died())?;
        Ok(!self.piped)
    }
}

impl Source for Open {
    fn next(&mut self, frame: &mut Frame, stop: &Stop) -> Result<Next, SourceError> {
        let next = self
            .read(frame, stop)
            .map_err(|error| SourceError::Read { what: self.what.clone(), source: error.into() })?;
        if next == Next::Frame {
            frame
                .check()
                .map_err(|source| SourceError::Picture { what: self.what.clone(), source })?;
        }
        Ok(next)
    }
}

/// Makes `frame` ready for a picture of `length` bytes, and returns them.
fn shape<'a>(frame: &'a mut Frame, layout: &Layout, length: usize) -> &'a mut Vec<u8> {
    let Layout { format, width, height, colour, planes } = *layout;
    (frame.format, frame.width, frame.height) = (format, width, height);
    (frame.colour, frame.planes) = (colour, planes);
    let bytes = frame.own();
    pages::resize(bytes, length);
    bytes
}

/// Waits for bytes, until a deadline.
struct Wait<'a> {
    deadline: Instant,
    late: Option<ChildError>,
    stop: &'a Stop,
}

impl Wait<'_> {
    fn fill(&mut self, pipe: &mut File, mut bytes: &mut [u8]) -> Result<Filled, ChildError> {
        while !bytes.is_empty() {
            if self.stop.said() {
                return Ok(Filled::Stopped);
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.late.take().unwrap_or(ChildError::Garbled));
            }
            let limit = Timespec::try_from(left.min(LOOK_EVERY)).ok();
            let mut polled = [PollFd::new(&*pipe, PollFlags::IN)];
            match poll(&mut polled, limit.as_ref()) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(error) => return Err(ChildError::Start(error.into())),
            }
            match pipe.read(bytes) {
                Ok(0) => return Ok(Filled::Closed),
                Ok(count) => bytes = bytes.get_mut(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ChildError::Start(error)),
            }
        }
        Ok(Filled::All)
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::message::LENT_BYTES_MIN;
    use super::*;
    use crate::pipeline::frame::{Colour, PixelFormat, Plane};

    fn pipe() -> (File, File) {
        let (out, into) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        (out.into(), into.into())
    }

    /// A source whose process is another program, that gives no frames by itself.
    fn open(pipe: File, answers: File) -> Open {
        let child = Command::new("sleep").arg("600").process_group(0).spawn().unwrap();
        let running = Running { child: Some(child), words: Arc::default() };
        let wait = Duration::from_secs(20);
        let live = Live { rate_hz: 30.0, silence: wait, start: wait };
        let what = "door".to_owned();
        Open { what, running, pipe, answers, piped: false, live, at_end: AtEnd::End, seq: 0 }
    }

    fn layout(stride: usize) -> Layout {
        let plane = Plane { offset: 0, stride };
        let planes = [plane, Plane::default(), Plane::default()];
        Layout { format: PixelFormat::Grey, width: 1, height: 1, colour: Colour::JPEG, planes }
    }

    #[test]
    fn a_frame_is_read_where_it_is_and_its_process_hears_of_it() {
        let ((pipe, mut out), (mut answers, answered)) = (pipe(), pipe());
        let (mut open, mut frame) = (open(pipe, answered), Frame::default());
        let process = open.running.child.as_ref().map(Child::id).unwrap();
        // What every program has in its memory: the head of its file.
        let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
        let at = u64::from_str_radix(maps.split('-').next().unwrap(), 16).unwrap();
        let header = Header { what: What::Frame(layout(64)), captured_ns: 1, bytes: 64, at };
        out.write_all(&header.encode()).unwrap();
        assert_eq!(open.next(&mut frame, &Stop::new()).unwrap(), Next::Frame);
        assert_eq!(frame.pixels.get(..4), Some(&b"\x7fELF"[..]));
        let mut answer = [0];
        answers.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [HAVE_IT]);
    }

    #[test]
    fn a_frame_whose_memory_cannot_be_read_comes_through_the_pipe() {
        // Nothing is there in that process: as where a system forbids to look.
        let ((pipe, mut out), (answers, answered)) = (pipe(), pipe());
        let lengths = [LENT_BYTES_MIN, LENT_BYTES_MIN - 1, 2 * LENT_BYTES_MIN, 1, 8 << 20];
        let frames = lengths.map(|length| (0..=250).cycle().take(length).collect::<Vec<u8>>());
        let given = frames.clone();
        let giver = std::thread::spawn(move || {
            let mut answers = BufReader::new(answers);
            for frame in given {
                let what = What::Frame(layout(frame.len()));
                serve::give(what, 1, &frame, &mut out, &mut answers).unwrap();
            }
        });
        let (mut open, mut frame, stop) = (open(pipe, answered), Frame::default(), Stop::new());
        for wanted in frames {
            assert_eq!(open.next(&mut frame, &stop).unwrap(), Next::Frame);
            assert!(*frame.pixels == *wanted);
        }
        giver.join().unwrap();
        assert!(open.next(&mut frame, &stop).unwrap_err().to_string().contains("door"));
    }
}
