//! A model opened on trial, in a process of its own.
//!
//! Whatever a model makes a library do (crash, hang, take all memory), the process that asked lives on and
//! knows what happened. The child is this program with the hidden command `__open-model`. The request and the
//! answer, each one JSON document, go over a socket that is the child's standard input: its standard output
//! is left to libraries, which print there what they like.
//!
//! **Limits.** Time: the parent kills the child. Memory: the parent looks at what is resident every few
//! milliseconds and kills; that works for every provider. Where only the processor's provider is asked for,
//! the child also limits its own writable memory first (`RLIMIT_DATA`), which the kernel holds to at once and
//! which becomes an ordinary error; an accelerator's libraries reserve more than they use, so that for them it
//! would refuse what is well. `RLIMIT_AS` would count the library's code and every thread's unused stack.
//! Checked in `tests/model_verify.rs` with models that hang, that take all memory, and that crash.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use serde::{Deserialize, Serialize};

use super::folder::ModelFolder;
use super::golden::{self, Case};
use super::graph::Policy;
use crate::config::Mistakes;
use crate::disk::Scratch;
use crate::hw::ort::{Options, Provider, Runtime};
use crate::hw::process;
use crate::pipeline::engine::{Engine, EngineError, ModelFiles};
use crate::report;

/// The hidden command.
pub const COMMAND: &str = "__open-model";

/// Longest request or answer: a few lines for each of at most some hundred samples.
const DOCUMENT_BYTES_MAX: u64 = 4 << 20;

/// Last bytes of the child's error output that are kept to explain its end.
const STDERR_BYTES_MAX: usize = 4096;

/// How far the child stands back: half as far as it can.
const NICE: i32 = 10;

/// How often the parent looks after the child.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What the child is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// A model folder, or a graph's file.
    pub model: PathBuf,
    /// The ONNX Runtime library; `None`: where it usually is.
    pub library: Option<PathBuf>,
    /// How to open the model.
    pub options: Options,
    /// What may be in its graph.
    pub policy: Policy,
    /// Where built engines may be kept.
    pub cache: Option<PathBuf>,
    /// Most memory.
    pub memory_limit_bytes: u64,
    /// Whether everybody else's work comes first.
    pub polite: bool,
}

/// What the child found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// What runs it, or why nothing does.
    pub opened: Result<Opened, String>,
    /// Each golden sample.
    pub cases: Vec<Case>,
    /// Most memory that was resident.
    pub peak_bytes: u64,
}

/// What runs a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    /// The provider.
    pub provider: String,
    /// Nodes by provider.
    pub nodes: std::collections::BTreeMap<String, u64>,
    /// Why a preferred provider does not run.
    pub why_not: std::collections::BTreeMap<String, String>,
    /// The library.
    pub library: String,
    /// How long it took to open.
    pub open_ms: f64,
    /// Why a run on zeros failed, where it did. They may be no input that the graph takes.
    pub zeros_failed: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// The process could not be started or talked to. Nothing is known of the model.
    #[error("cannot open the model in a process of its own")]
    Start(#[source] io::Error),
    /// It was not done in time, and was ended. The model may hang.
    #[error("it was not done after {} s and was ended", .0.as_secs())]
    Time(Duration),
    /// It took more memory than it may, and was ended.
    #[error("it took more than {} MiB of memory and was ended", .0 >> 20)]
    Memory(u64),
    /// It crashed. The model makes the library crash.
    #[error("it crashed with {signal}{}", said(stderr))]
    Crash {
        /// The signal's name.
        signal: String,
        /// The last that it said.
        stderr: String,
    },
    /// It ended without an answer.
    #[error("it ended with exit code {code} and no answer{}", said(stderr))]
    Silent {
        /// Its exit code.
        code: i32,
        /// The last that it said.
        stderr: String,
    },
}

fn said(stderr: &str) -> String {
    match stderr.trim() {
        "" => String::new(),
        last => format!(": {last}"),
    }
}

/// Has `program` (this one) open a model, and waits for what comes of it.
///
/// # Errors
/// [`ChildError`]: what happened instead of an answer.
pub fn ask(program: &Path, request: &Request, time: Duration) -> Result<Answer, ChildError> {
    let deadline = Instant::now() + time;
    // For what it leaves behind when it is ended.
    let scratch =
        Scratch::new("child").map_err(|error| ChildError::Start(io::Error::other(error)))?;
    let (mut ours, theirs) = UnixStream::pair().map_err(ChildError::Start)?;
    let mut child = Command::new(program)
        .arg(COMMAND)
        .env("TMPDIR", scratch.path())
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(ChildError::Start)?;
    let stderr = child.stderr.take();
    let last_words = std::thread::spawn(move || stderr.map(tail).unwrap_or_default());
    let outcome = talk(&mut child, &mut ours, request, deadline);
    // Done, or to be ended: either way nothing of it is needed any more.
    let status = end(&mut child).map_err(ChildError::Start)?;
    let stderr = last_words.join().unwrap_or_default();
    match outcome {
        Ok(Talk::Said(document)) => {
            serde_json::from_slice(&document).map_err(|_| broken(status, stderr))
        }
        Ok(Talk::Late) => Err(ChildError::Time(time)),
        Ok(Talk::Large) => Err(ChildError::Memory(request.memory_limit_bytes)),
        // It closed its end before it read all: it died.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(broken(status, stderr)),
        Err(error) => Err(ChildError::Start(error)),
    }
}

enum Talk {
    Said(Vec<u8>),
    Late,
    Large,
}

fn talk(
    child: &mut Child,
    socket: &mut UnixStream,
    request: &Request,
    deadline: Instant,
) -> io::Result<Talk> {
    socket.write_all(&serde_json::to_vec(request)?)?;
    socket.shutdown(Shutdown::Write)?;
    socket.set_read_timeout(Some(LOOK_EVERY))?;
    let (mut document, mut chunk) = (Vec::new(), [0; 8192]);
    loop {
        match socket.read(&mut chunk) {
            Ok(0) => return Ok(Talk::Said(document)),
            Ok(count) => document.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock
                        | io::ErrorKind::TimedOut
                        | io::ErrorKind::Interrupted
                ) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                return Ok(Talk::Said(document));
            }
            Err(error) => return Err(error),
        }
        if Instant::now() >= deadline {
            return Ok(Talk::Late);
        }
        let large = u64::try_from(document.len()).unwrap_or(u64::MAX) > DOCUMENT_BYTES_MAX;
        if large
            || process::memory_bytes(child.id(), "VmRSS:").unwrap_or(0) > request.memory_limit_bytes
        {
            return Ok(Talk::Large);
        }
    }
}

/// Ends the child, where it has not ended, and returns how it did.
fn end(child: &mut Child) -> io::Result<ExitStatus> {
    if let Some(status) = child.try_wait()? {
        return Ok(status);
    }
    child.kill()?;
    child.wait()
}

/// The end of what is read from `from`.
fn tail(mut from: impl Read) -> String {
    let (mut kept, mut chunk) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = from.read(&mut chunk) {
        kept.extend_from_slice(chunk.get(..count).unwrap_or_default());
        let surplus = kept.len().saturating_sub(STDERR_BYTES_MAX);
        kept.drain(..surplus);
    }
    let text = String::from_utf8_lossy(&kept);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    // The last lines say why; a back trace is of no use to whoever has the model.
    lines.iter().rev().take(3).rev().copied().collect::<Vec<_>>().join(" / ")
}

fn broken(status: ExitStatus, stderr: String) -> ChildError {
    match status.signal() {
        Some(number) => ChildError::Crash { signal: signal_name(number), stderr },
        None => ChildError::Silent { code: status.code().unwrap_or(-1), stderr },
    }
}

/// The signals by which a process ends without wanting to.
const SIGNALS: &[(Signal, &str)] = &[
    (Signal::ILL, "SIGILL"),
    (Signal::TRAP, "SIGTRAP"),
    (Signal::ABORT, "SIGABRT"),
    (Signal::BUS, "SIGBUS"),
    (Signal::FPE, "SIGFPE"),
    (Signal::KILL, "SIGKILL"),
    (Signal::SEGV, "SIGSEGV"),
    (Signal::PIPE, "SIGPIPE"),
    (Signal::TERM, "SIGTERM"),
    (Signal::SYS, "SIGSYS"),
];

fn signal_name(number: i32) -> String {
    let known = SIGNALS.iter().find(|(signal, _)| signal.as_raw() == number);
    known.map_or_else(|| format!("signal {number}"), |(_, name)| (*name).to_owned())
}

/// The child: reads the request on standard input, does it, and answers. Returns the exit code, with which the
/// process must end at once ([`exit_now`](crate::hw::process::exit_now)).
#[must_use]
pub fn serve() -> u8 {
    match answer() {
        Ok(()) => 0,
        Err(error) => {
            drop(writeln!(io::stderr(), "{COMMAND}: {error}"));
            1
        }
    }
}

fn answer() -> io::Result<()> {
    // Whoever asked is gone: nobody would end this one.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    let mut socket = UnixStream::from(stdin);
    let mut text = Vec::new();
    Read::by_ref(&mut socket).take(DOCUMENT_BYTES_MAX).read_to_end(&mut text)?;
    let request: Request = serde_json::from_slice(&text)?;
    limit(&request)?;
    let (opened, cases) = match open(&request) {
        Ok(Loaded { engine, folder, open_ms, zeros_failed }) => {
            let report = engine.report();
            let opened = Opened {
                provider: report.provider.clone(),
                nodes: report.nodes.clone(),
                why_not: report.why_not.clone(),
                library: report.library.clone(),
                open_ms,
                zeros_failed,
            };
            (Ok(opened), samples(engine.as_ref(), folder.as_ref()))
        }
        Err(why) => (Err(why), Vec::new()),
    };
    let answer = Answer {
        opened,
        cases,
        peak_bytes: process::memory_bytes(std::process::id(), "VmHWM:").unwrap_or(0),
    };
    socket.write_all(&serde_json::to_vec(&answer)?)
}

/// No core files, no more memory than allowed, and everybody else first.
fn limit(request: &Request) -> io::Result<()> {
    let most = |limit| Rlimit { current: Some(limit), maximum: Some(limit) };
    setrlimit(Resource::Core, most(0))?;
    if request.options.providers == [Provider::Cpu] {
        setrlimit(Resource::Data, most(request.memory_limit_bytes))?;
    }
    if request.polite {
        rustix::process::nice(NICE)?;
    }
    Ok(())
}

struct Loaded {
    engine: Arc<dyn Engine>,
    folder: Option<ModelFolder>,
    open_ms: f64,
    zeros_failed: Option<String>,
}

fn open(request: &Request) -> Result<Loaded, String> {
    let failed = |error: EngineError| report::chain(&error);
    let cache = request.cache.as_deref();
    let folder = match request.model.is_dir() {
        true => {
            let mistakes = Mistakes::new();
            let folder = ModelFolder::read_with(&request.model, request.policy, &mistakes);
            let said = || mistakes.into_vec().iter().map(ToString::to_string).collect::<Vec<_>>();
            Some(folder.ok_or_else(|| said().join("; "))?)
        }
        false => None,
    };
    let alone =
        ModelFiles { graph: &request.model, data: &[], digest: "", signature: None, cache: None };
    let files = folder.as_ref().map_or(alone, |folder| folder.files(cache));
    let runtime = Runtime::open(request.library.as_deref()).map_err(failed)?;
    let started = Instant::now();
    let (engine, zeros_failed) = request.options.open_with(runtime, &files).map_err(failed)?;
    let open_ms = started.elapsed().as_secs_f64() * 1e3;
    Ok(Loaded { engine, folder, open_ms, zeros_failed })
}

fn samples(engine: &dyn Engine, folder: Option<&ModelFolder>) -> Vec<Case> {
    let Some(folder) = folder else { return Vec::new() };
    let cases = golden::cases(&folder.path).unwrap_or_default();
    cases.iter().map(|path| golden::run(folder, engine, path)).collect()
}
