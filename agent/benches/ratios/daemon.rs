//! The daemon as a process of its own, as a device has it.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Bench;
use crate::quiet::{TICK, ticks};

/// Longest time until it answers, or has done what is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// One that runs; it ends with its owner.
pub(crate) struct Daemon {
    child: Child,
    folder: TempDir,
    /// Where it answers, where that was asked for.
    pub(crate) port: u16,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Daemon {
    /// Starts one; `config` are the parts of its configuration that are its own.
    pub(crate) fn start(bench: &Bench, config: &str) -> Self {
        Self::with_port(bench, config, 0)
    }

    /// The same with an API, whose settings are `api`, once it answers.
    pub(crate) fn with_api(bench: &Bench, api: &str, config: &str) -> Self {
        // Free now; nobody else on this machine takes ports while it measures.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let text = format!("[api]\nlisten = '127.0.0.1:{port}'\n{api}\n{config}");
        let daemon = Self::with_port(bench, &text, port);
        wait("answer", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        daemon
    }

    fn with_port(bench: &Bench, config: &str, port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let library = std::path::absolute(&bench.onnxruntime).unwrap();
        let head = format!("device = 'bench'\nstate_dir = 'state'\nonnxruntime = {library:?}\n");
        let file = folder.path().join("vedette.toml");
        vedette::disk::replace(&file, [&head, config].concat().as_bytes()).unwrap();
        let mut command = Command::new(&bench.vedette);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("VEDETTE_") {
                command.env_remove(name);
            }
        }
        command.arg("run").arg("--config").arg(&file).stdout(Stdio::null());
        if std::env::var_os("BENCH_LOG").is_none() {
            command.stderr(Stdio::null());
        }
        Self { child: command.spawn().unwrap(), folder, port }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The folder of its configuration and of what it writes.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Resident memory, in MiB.
    pub(crate) fn resident_mb(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib / 1024.0
    }

    /// Processor time of all its threads, those that ended too.
    pub(crate) fn busy(&self) -> Duration {
        TICK * ticks(self.pid())
    }
}

/// Waits until it is done.
pub(crate) fn wait(what: &str, done: impl Fn() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < PATIENCE, "the daemon did not {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
