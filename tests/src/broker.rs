//! A real mosquitto on a port of its own.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;

use crate::process::Process;
use crate::{Folder, PATIENCE, places};

/// Ports to try before giving up: between finding a free one and using it somebody else may take it.
const TRIES: usize = 5;

/// How often it is asked to end: mosquitto says that it runs just before it does, and forgets who asked in between.
const ASKED_MOST: u32 = 20;

/// Who may use a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

/// A real mosquitto on a port of its own; killed on drop.
#[derive(Debug)]
pub struct Broker {
    port: u16,
    folder: Folder,
    process: Option<Process>,
}

impl Broker {
    /// One that anybody may use and that forgets everything when it ends.
    ///
    /// # Errors
    /// mosquitto is not installed or does not start.
    pub fn start() -> Result<Self> {
        Self::with(None, false)
    }

    /// One that lets in `login` only, or everybody; `persistent` keeps its retained messages over a restart.
    ///
    /// # Errors
    /// mosquitto is not installed or does not start.
    pub fn with(login: Option<&Login>, persistent: bool) -> Result<Self> {
        Self::configured(login, persistent, "")
    }

    /// The same with further lines of its configuration, after its listener.
    ///
    /// # Errors
    /// mosquitto is not installed or does not start.
    pub fn configured(login: Option<&Login>, persistent: bool, lines: &str) -> Result<Self> {
        let folder = Folder::new()?;
        if let Some(login) = login {
            write_passwords(&folder, login)?;
        }
        let mut refused = String::new();
        for _ in 0..TRIES {
            let port = free_port()?;
            let path = folder.path().display();
            // As root it would become another user, who can read nothing here.
            let mut text =
                format!("user root\nlistener {port} 127.0.0.1\n{lines}log_dest stderr\n");
            text.push_str(
                "log_type error\nlog_type warning\nlog_type notice\nlog_type information\n",
            );
            match login {
                Some(_) => text.push_str(&format!("password_file {path}/passwords\n")),
                None => text.push_str("allow_anonymous true\n"),
            }
            if persistent {
                text.push_str(&format!("persistence true\npersistence_location {path}/\n"));
                // A listener that is away for a while is to miss nothing.
                text.push_str("max_queued_messages 0\n");
            }
            folder.write("mosquitto.conf", text)?;
            match launch(&folder) {
                Ok(process) => return Ok(Self { port, folder, process: Some(process) }),
                Err(error) => refused = format!("{error:#}"),
            }
        }
        bail!("mosquitto does not start: {refused}");
    }

    /// Where it listens on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address, as a configuration has it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// What it said so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }

    /// Stops it as it is: connections stay open, and nothing is read or answered any more.
    ///
    /// # Errors
    /// It has ended.
    pub fn freeze(&self) -> Result<()> {
        self.process.as_ref().context("the broker has ended")?.signal(Signal::STOP)
    }

    /// Ends it; its port stays its own.
    ///
    /// # Errors
    /// It does not end.
    pub fn stop(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        let mut ended = Ok(());
        for _ in 0..ASKED_MOST {
            process.signal(Signal::TERM)?;
            ended = process.wait_exit(PATIENCE / ASKED_MOST).map(drop);
            if ended.is_ok() {
                break;
            }
        }
        ended
    }

    /// Starts it again, on the same port.
    ///
    /// # Errors
    /// It does not start.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.process = Some(launch(&self.folder)?);
        Ok(())
    }
}

/// Starts mosquitto and waits until it listens.
fn launch(folder: &Folder) -> Result<Process> {
    let mut command = Command::new(places::program("mosquitto")?);
    command.arg("-c").arg(folder.join("mosquitto.conf"));
    let process = Process::start(command.stdin(Stdio::null()).stdout(Stdio::null()), None)?;
    process.wait_log("running", 1, PATIENCE)?;
    Ok(process)
}

fn write_passwords(folder: &Folder, login: &Login) -> Result<()> {
    let file: PathBuf = folder.join("passwords");
    let mut command = Command::new(places::program("mosquitto_passwd")?);
    command.arg("-b").arg("-c").arg(&file).arg(&login.user).arg(&login.password);
    let output = command.output().context("cannot run mosquitto_passwd")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// A port of 127.0.0.1 that nobody listened on a moment ago.
///
/// # Errors
/// The system has none.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port")?;
    Ok(listener.local_addr().context("no free port")?.port())
}
