//! A device with a sensor at the pump and a pattern at the door.

use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::bench::{self, BRIGHTNESS};
use tests::{Bench, Daemon, Launch, PATIENCE, onnx, places};

use crate::machine::Machine;

/// Observations after which a pipeline is said to run.
const SOME: usize = 5;
/// From one packet of a sensor to the next, and samples of one.
const PACKET: Duration = Duration::from_millis(50);
const PACKET_SAMPLES: usize = 50;
/// Within which windows must flow again, once what was wrong is over.
pub(crate) const AGAIN: Duration = Duration::from_secs(3);

/// See the module.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) bench: Bench,
    pub(crate) daemon: Daemon,
}

impl Rig {
    /// Starts a daemon whose pump has `source`, the keys of its table, and `more` lines.
    pub(crate) fn start(bench: Bench, source: &str, more: &str) -> Result<Self> {
        Self::start_with(bench, source, more, |launch| launch)
    }

    pub(crate) fn start_with(
        bench: Bench,
        source: &str,
        more: &str,
        with: impl FnOnce(Launch) -> Launch,
    ) -> Result<Self> {
        let config = config(&bench, source, more)?;
        let daemon = with(Daemon::prepare(&bench.folder, &config)?).start()?;
        daemon.wait_log(bench::RUNNING, PATIENCE)?;
        Ok(Self { bench, daemon })
    }

    fn count(&self, pipeline: &str) -> usize {
        let topic = self.bench.topics.observation(pipeline);
        self.bench.listener.heard().iter().filter(|message| message.topic == topic).count()
    }

    /// Waits until `pipeline` has given some more frames than until now, and returns the last.
    pub(crate) fn flows(&self, pipeline: &str) -> Result<Value> {
        self.flows_within(pipeline, PATIENCE)
    }

    pub(crate) fn flows_within(&self, pipeline: &str, limit: Duration) -> Result<Value> {
        let wanted = self.count(pipeline) + SOME;
        let messages = self.bench.observed_within(pipeline, wanted, limit);
        let messages = messages.with_context(|| self.daemon.log())?;
        let last = messages.last().context("nothing was observed")?;
        Ok(serde_json::from_slice(&last.body)?)
    }

    /// Waits until the log has `text`; the door's frames must flow on meanwhile.
    pub(crate) fn says(&self, text: &str) -> Result<()> {
        self.daemon.wait_log(text, PATIENCE)?;
        self.flows_within("door", AGAIN).map(drop)
    }

    /// Waits until telemetry says of the pump's samples what `level` looks for.
    pub(crate) fn told(&self, what: &str, level: impl Fn(&Value) -> bool) -> Result<Value> {
        let topic = self.bench.topics.telemetry_pipeline("pump");
        self.bench.listener.wait(what, PATIENCE, |messages| {
            let last = messages.iter().rev().find(|message| message.topic == topic)?;
            let body: Value = serde_json::from_slice(&last.body).ok()?;
            level(&body["samples"]).then_some(body)
        })
    }

    /// Ends the daemon, which has seen nothing that it could not live with.
    pub(crate) fn end(mut self) -> Result<()> {
        let ended = self.daemon.stop()?;
        ensure!(ended.code == Some(0), "{ended:?}");
        ensure!(!ended.log.contains("panicked"), "{}", ended.log);
        Ok(())
    }
}

/// The configuration of such a device.
fn config(bench: &Bench, source: &str, more: &str) -> Result<String> {
    let model = bench::brightness(&bench.folder, BRIGHTNESS, &onnx::brightness(13))?;
    let vibration = bench::model("vibration", &places::model("vibration")?.display().to_string());
    let pump = bench::pipeline("pump", "vibration", source, more);
    let door = bench::pipeline("door", BRIGHTNESS, bench::TEN_A_SECOND, "");
    // Files are read as fast as possible: none of their observations is to be lost before the broker.
    Ok(bench.head()
        + "queue = 10000\n[telemetry]\nevery_s = 1\n"
        + &model
        + &vibration
        + &pump
        + &door)
}

/// What a sensor sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Good samples.
    Well,
    /// Nothing.
    Silent,
    /// One of three values is no number.
    NotNumber,
    /// A channel is missing.
    Missing,
    /// What it says when it starts.
    Text,
    /// A line that does not end.
    Endless,
    /// Ten times as many samples.
    TenTimes,
}

/// A sensor of the machine that sends lines, 1,000 samples a second, until it is dropped.
#[derive(Debug)]
pub(crate) struct Sensor {
    mode: Arc<Mutex<Mode>>,
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sensor {
    /// One that sends into `out`. What does not fit is lost, as on a wire that nobody reads.
    pub(crate) fn into(mut out: impl Write + Send + 'static) -> Self {
        Self::sending(move |bytes| {
            let sent = out.write_all(bytes);
            sent.map_or_else(|error| error.kind() == ErrorKind::WouldBlock, |()| true)
        })
    }

    /// One that sends to everybody who connects.
    pub(crate) fn serving(listener: TcpListener) -> Result<Self> {
        listener.set_nonblocking(true)?;
        let mut streams: Vec<TcpStream> = Vec::new();
        Ok(Self::sending(move |bytes| {
            while let Ok((stream, _)) = listener.accept() {
                if stream.set_nonblocking(true).is_ok() {
                    streams.push(stream);
                }
            }
            streams.retain_mut(|stream| match stream.write_all(bytes) {
                Err(error) => error.kind() == ErrorKind::WouldBlock,
                Ok(()) => true,
            });
            true
        }))
    }

    /// One that hands each packet to `send` until that says no.
    pub(crate) fn sending(mut send: impl FnMut(&[u8]) -> bool + Send + 'static) -> Self {
        let mode = Arc::new(Mutex::new(Mode::Well));
        let (stop, stopped) = sync_channel::<()>(0);
        let now = mode.clone();
        let thread = std::thread::spawn(move || {
            let (mut machine, mut due) = (Machine::new(7), Instant::now());
            loop {
                due += PACKET;
                let wait = due.saturating_duration_since(Instant::now());
                if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                let mode = *now.lock().unwrap_or_else(PoisonError::into_inner);
                if !send(packet(&mut machine, mode).as_bytes()) {
                    return;
                }
            }
        });
        Self { mode, stop: Some(stop), thread: Some(thread) }
    }

    /// From now on it sends this.
    pub(crate) fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap_or_else(PoisonError::into_inner) = mode;
    }
}

impl Drop for Sensor {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn packet(machine: &mut Machine, mode: Mode) -> String {
    let lines = machine.lines(PACKET_SAMPLES);
    match mode {
        Mode::Well => lines,
        Mode::Silent => String::new(),
        Mode::NotNumber => lines.lines().map(nan).collect(),
        Mode::Missing => lines.lines().map(short).collect(),
        Mode::Text => "E (312) i2c: timeout\nrst:0x10\n".to_owned(),
        Mode::Endless => lines.replace('\n', " ").repeat(10),
        Mode::TenTimes => lines + &machine.lines(9 * PACKET_SAMPLES),
    }
}

/// The line with no number in its first place.
fn nan(line: &str) -> String {
    let rest = line.split_once(',').map_or(line, |(_, rest)| rest);
    format!("nan,{rest}\n")
}

/// The line without its last value.
fn short(line: &str) -> String {
    let first = line.rsplit_once(',').map_or(line, |(first, _)| first);
    format!("{first}\n")
}
