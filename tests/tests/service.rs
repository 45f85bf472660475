//! What the daemon tells a service manager, heard on a real notification socket.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tests::{Bench, Daemon, PATIENCE, bench};

/// An engine that takes five seconds for a frame.
const STUCK: &str = "engine = \"shadow\"\nlatency_us = 5000000";

/// The end of the notification socket that systemd would hold.
struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    fn listen(bench: &Bench) -> Result<Self> {
        let socket = UnixDatagram::bind(bench.folder.path().join("notify"))?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        Ok(Self { socket })
    }

    /// Starts a daemon with `config` that is to give a sign of life every `watchdog_s` seconds.
    fn start(&self, bench: &Bench, config: &str, watchdog_s: u64) -> Result<Daemon> {
        let path = bench.folder.path().join("notify");
        Daemon::prepare(&bench.folder, config)?
            .env("NOTIFY_SOCKET", path)
            .env("WATCHDOG_USEC", (watchdog_s * 1_000_000).to_string())
            .start()
    }

    /// The next message, `None` where none came for a tenth of a second.
    fn next(&self) -> Option<String> {
        let mut bytes = [0; 4096];
        let count = self.socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..count]).into_owned())
    }

    /// Waits for a message with `text` in it.
    fn wait(&self, text: &str) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut heard = Vec::new();
        while Instant::now() < deadline {
            match self.next() {
                Some(said) if said.contains(text) => return Ok(said),
                said => heard.extend(said),
            }
        }
        bail!("{text} was not said, but {heard:?}")
    }
}

#[test]
fn a_service_manager_hears_of_the_start_of_life_and_of_the_end() -> Result<()> {
    let bench = Bench::new()?;
    let manager = Manager::listen(&bench)?;
    let source = r#"kind = "pattern", width = 320, height = 240, rate_hz = 20"#;
    let config = bench::shapes()? + &bench::pipeline("door", "shapes", source, "");
    let mut daemon = manager.start(&bench, &(bench.head() + &config), 3)?;
    manager.wait("STATUS=opening model shapes")?;
    manager.wait("EXTEND_TIMEOUT_USEC=")?;
    manager.wait("READY=1")?;
    let alive = manager.wait("WATCHDOG=1")?;
    assert!(alive.contains("STATUS=1 pipeline"), "{alive}");
    daemon.signal(rustix::process::Signal::TERM)?;
    manager.wait("STOPPING=1")?;
    assert_eq!(daemon.wait_exit(PATIENCE)?.code, Some(0));
    Ok(())
}

#[test]
fn an_engine_that_is_stuck_ends_the_signs_of_life() -> Result<()> {
    let bench = Bench::new()?;
    let manager = Manager::listen(&bench)?;
    let source = r#"kind = "pattern", width = 320, height = 240, rate_hz = 20"#;
    // Stuck for five seconds at every frame, which is long for a watchdog of one.
    let model = bench::shapes()?.replace("providers = [\"cpu\"]\nthreads = 1", STUCK);
    let config = model + &bench::pipeline("door", "shapes", source, "");
    let daemon = manager.start(&bench, &(bench.head() + &config), 1)?;
    manager.wait("READY=1")?;
    daemon.wait_log("no sign of life is given until this ends", PATIENCE)?;
    manager.wait("STATUS=an engine is stuck")?;
    // Two periods of the watchdog, six ticks: none of them is a sign of life.
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        let said = manager.next().unwrap_or_default();
        assert!(!said.contains("WATCHDOG=1"), "{said}");
    }
    drop(daemon);
    Ok(())
}
