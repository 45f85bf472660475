//! A network camera: GStreamer's RTSP server with a moving picture, as a process.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;

use crate::broker::free_port;
use crate::process::Process;
use crate::{Login, PATIENCE, places};

/// Debian's own Python, which has Debian's GStreamer; another one in `PATH` has not.
const PYTHON: &str = "/usr/bin/python3";
/// Ports to try before giving up: between finding a free one and using it somebody else may take it.
const TRIES: usize = 5;

/// What a camera gives.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// Frames a second.
    pub rate_hz: u32,
    /// `h264`, `h265` or `jpeg`.
    pub codec: &'static str,
    /// Who may see it; everybody where nobody is named.
    pub login: Option<Login>,
}

impl Default for Stream {
    fn default() -> Self {
        Self { size: (320, 240), rate_hz: 10, codec: "h264", login: None }
    }
}

/// A camera that runs; killed on drop.
#[derive(Debug)]
pub struct Camera {
    port: u16,
    process: Option<Process>,
}

impl Camera {
    /// Starts one on a port of its own.
    ///
    /// # Errors
    /// GStreamer's RTSP server is not installed, or does not start.
    pub fn start(stream: &Stream) -> Result<Self> {
        let mut refused = String::new();
        for _ in 0..TRIES {
            let port = free_port()?;
            match launch(port, stream) {
                Ok(process) => return Ok(Self { port, process: Some(process) }),
                Err(error) => refused = format!("{error:#}"),
            }
        }
        bail!("the RTSP camera does not start (run scripts/setup --test): {refused}");
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("rtsp://127.0.0.1:{}/stream", self.port)
    }

    /// Its power supply fails.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// It is there again, on the same port, and may give something else than before.
    ///
    /// # Errors
    /// It does not start.
    pub fn restart(&mut self, stream: &Stream) -> Result<()> {
        self.kill();
        self.process = Some(launch(self.port, stream)?);
        Ok(())
    }

    /// It stands still: connections stay open, and nothing is sent or answered any more.
    ///
    /// # Errors
    /// It has ended.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// It goes on.
    ///
    /// # Errors
    /// It has ended.
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        self.process.as_ref().context("the camera has ended")?.signal(signal)
    }
}

fn launch(port: u16, stream: &Stream) -> Result<Process> {
    let script = places::repository().join("tests/python/rtsp_camera.py");
    let (width, height) = stream.size;
    let mut command = Command::new(Path::new(PYTHON));
    command.arg(script).arg(port.to_string()).arg(format!("{width}x{height}"));
    command.arg(stream.rate_hz.to_string()).arg(stream.codec);
    if let Some(login) = &stream.login {
        command.args([&login.user, &login.password]);
    }
    let process = Process::start(command.stdin(Stdio::null()).stdout(Stdio::null()), None)?;
    process.wait_log("listening", 1, PATIENCE)?;
    Ok(process)
}

/// How long until a fault is to be reported, and until frames flow again after its end, as the daemon promises it;
/// a loaded machine gets more.
pub const PROMISED: Duration = Duration::from_secs(3);
