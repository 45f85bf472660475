//! What it costs to watch a board: time and CPU of a sample, memory over an hour's worth of them, and what an idle
//! daemon keeps resident.
//!
//! `cargo bench -p agent --bench telemetry` prints a table, with `-- --json` a line of JSON each. The board is a full
//! Orin tree of files in a temporary directory: a real board's drivers take longer to answer (an INA3221 talks
//! over I²C), which is not seen here.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on must fail")]
#![expect(clippy::print_stdout, reason = "this is its output")]

#[path = "../tests/boards/mod.rs"]
mod boards;

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use vedette::said::Said;
use vedette::telemetry::host::HostReader;
use vedette::telemetry::{Sampler, Tree, worker};
use wire::BoardTelemetry;

/// An hour's worth, at one a second.
const SAMPLES: u64 = 3600;
/// Samples until every list has grown to what it will need.
const WARM_UP: u64 = 120;
/// How long an idle daemon runs before its memory is looked at: a dozen samples.
const IDLE: Duration = Duration::from_secs(12);

static LIVE_BYTES: AtomicI64 = AtomicI64::new(0);

struct Counting;

fn bytes(layout: Layout) -> i64 {
    i64::try_from(layout.size()).unwrap_or(0)
}

#[expect(unsafe_code, reason = "an allocator is unsafe by its trait; this one only counts")]
// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE_BYTES.fetch_add(bytes(layout), Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(bytes(layout), Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}

/// One line of the table.
fn row(name: &str, value: f64, unit: &str, goal: Option<f64>) {
    let met = goal.map(|goal| value <= goal);
    if std::env::args().any(|argument| argument == "--json") {
        let line = serde_json::json!({
            "bench": "telemetry", "name": name, "value": value, "unit": unit, "goal": goal, "met": met,
        });
        println!("{line}");
    } else {
        let goal = goal.map_or(String::new(), |goal| format!("at most {goal}"));
        let met = met.map_or("", |met| if met { "met" } else { "NOT met" });
        println!("{name:52} {value:9.3} {unit:10} {goal:12} {met}");
    }
}

fn main() {
    let dir = boards::orin_nx().directory();
    let mut sampler = Sampler::new(Tree::open(dir.path()).unwrap(), None, false);
    let (mut host, said) = (HostReader::default(), Said::new());
    let mut times = Vec::with_capacity(usize::try_from(SAMPLES).unwrap());
    let (mut live, mut cpu_before) = (0, Duration::ZERO);
    for second in 1..=WARM_UP + SAMPLES {
        if second == WARM_UP + 1 {
            (live, cpu_before) = (LIVE_BYTES.load(Ordering::Relaxed), cpu());
        }
        let began = Instant::now();
        let mut readings = sampler.sample(Duration::from_secs(second));
        readings.host = host.sample(Duration::from_secs(second));
        let envelope = said.envelope("vedette/board/1", second);
        black_box(worker::fit(BoardTelemetry {
            envelope,
            readings,
            store: wire::telemetry::Store::default(),
        }));
        if second > WARM_UP {
            times.push(began.elapsed());
        }
    }
    let growth = LIVE_BYTES.load(Ordering::Relaxed) - live;
    let spent =
        cpu().saturating_sub(cpu_before).as_secs_f64() / f64::from(u32::try_from(SAMPLES).unwrap());
    times.sort_unstable();
    let at = |per_mille: usize| times[(times.len() - 1) * per_mille / 1000].as_secs_f64() * 1e3;
    row("one sample, host included, median", at(500), "ms", Some(2.0));
    row("one sample, host included, 99th percentile", at(990), "ms", None);
    row("CPU of one core at one sample a second", spent * 100.0, "%", Some(0.5));
    let growth = f64::from(i32::try_from(growth).unwrap());
    row("growth of the heap over 3600 samples", growth / 1024.0, "KiB", Some(1.0));
    row("resident, idle daemon, telemetry, no model", idle(dir.path()), "MB", Some(12.0));
}

/// Ends it with its owner.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Resident memory of a daemon with nothing to do but to watch the board below `sysroot`, in MB. Its broker is away.
fn idle(sysroot: &Path) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "device = 'bench'\nstate_dir = 'state'\n[mqtt]\nurl = 'mqtt://127.0.0.1:1'\n\
         [telemetry]\nevery_s = 1\nsysroot = {sysroot:?}\n"
    );
    let file = folder.path().join("vedette.toml");
    vedette::disk::replace(&file, config.as_bytes()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_vedette"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("VEDETTE_") {
            command.env_remove(name);
        }
    }
    command.arg("run").arg("--config").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
    let daemon = Daemon(command.spawn().unwrap());
    std::thread::sleep(IDLE);
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.0.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024.0 / 1e6
}
