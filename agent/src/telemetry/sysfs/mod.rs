//! What a board says of itself in files: everything that is specific to a board, below any root.
//!
//! A scan finds where things are, by what they call themselves, since numbers change between boots; a sample reads
//! them. What is not where it was is scanned again at once, everything else after a while, so that a GPU whose node
//! comes late is found.

mod codec;
mod fan;
mod gpu;
mod identity;
mod memory;
mod over_current;
mod power;
mod thermal;
mod throttle;

use std::time::Duration;

use wire::telemetry::{BoardIdentity, Memory, OverCurrent, OverCurrentEvents, Readings};

use super::attribute::{Attribute, Reader, rounded};
use super::board::Board;
use super::tree::Tree;

pub use fan::is_header as is_fan_header;
pub use over_current::Counted;

/// How often everything is scanned although nothing is missing.
const SCAN_EVERY: Duration = Duration::from_secs(60);

/// Whether `board` is one of NVIDIA's, by what it calls its system on a chip.
#[must_use]
pub fn is_jetson(board: &BoardIdentity) -> bool {
    board.soc.as_deref().is_some_and(|soc| soc.starts_with("tegra"))
}

/// What the board below `tree` is, without its serial number and power mode.
#[must_use]
pub fn identity(tree: &Tree) -> BoardIdentity {
    identity::find(tree, false).1.into_fixed()
}

/// One board, sample by sample.
#[derive(Debug)]
pub struct Sysfs {
    tree: Tree,
    with_serial: bool,
    found: Found,
    scanned: Duration,
    before: Option<Before>,
}

/// Where everything is.
#[derive(Debug)]
struct Found {
    board: &'static Board,
    identity: identity::Identity,
    gpu: gpu::GpuNode,
    thermal: thermal::Sensors,
    rails: power::Rails,
    fans: fan::Fans,
    over_current: over_current::Counters,
    alerts: throttle::Alerts,
    codecs: codec::Engines,
    memory: memory::Files,
    cpu_min: Option<Attribute>,
}

/// The counters of the sample before.
#[derive(Debug, Clone, Copy)]
struct Before {
    now: Duration,
    events: [Option<u64>; 3],
    oom_kills: Option<u64>,
}

impl Sysfs {
    /// Scans `tree`. The board's serial number is read only `with_serial`.
    #[must_use]
    pub fn new(tree: Tree, with_serial: bool) -> Self {
        let found = Found::scan(&tree, with_serial);
        Self { tree, with_serial, found, scanned: Duration::ZERO, before: None }
    }

    /// Which board it is.
    #[must_use]
    pub fn board(&self) -> &'static Board {
        self.found.board
    }

    /// The tree.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Reads everything, `now` by the monotonic clock.
    pub fn sample(&mut self, now: Duration) -> Readings {
        if now.saturating_sub(self.scanned) >= SCAN_EVERY {
            self.scan(now);
        }
        let (mut readings, mut counted, stale) = self.found.read(&self.tree, now);
        if stale {
            self.scan(now);
            (readings, counted, _) = self.found.read(&self.tree, now);
        }
        readings.over_current = over_current(&counted, self.before.as_ref(), now);
        let oom_kills = readings.memory.oom_kills_total;
        let before = self.before.and_then(|before| before.oom_kills);
        readings.memory.oom_kills_delta = delta(oom_kills, before);
        self.before = Some(Before { now, events: counted.events, oom_kills });
        readings
    }

    fn scan(&mut self, now: Duration) {
        self.found = Found::scan(&self.tree, self.with_serial);
        self.scanned = now;
    }
}

impl Found {
    fn scan(tree: &Tree, with_serial: bool) -> Self {
        let (board, identity) = identity::find(tree, with_serial);
        Self {
            board,
            identity,
            gpu: gpu::find(tree, board),
            thermal: thermal::find(tree),
            rails: power::find(tree, board),
            fans: fan::find(tree),
            over_current: over_current::find(tree),
            alerts: throttle::find(tree),
            codecs: codec::find(tree),
            memory: memory::find(tree),
            cpu_min: Attribute::find(
                tree,
                "sys/devices/system/cpu/cpu0/cpufreq",
                "scaling_min_freq",
            ),
        }
    }

    /// Everything but what needs the sample before; and whether the scan is stale.
    fn read(&mut self, tree: &Tree, now: Duration) -> (Readings, Counted, bool) {
        let mut reader = Reader::new(tree, now);
        let mut readings = Readings {
            board: self.identity.read(&mut reader),
            gpu: self.gpu.read(&mut reader),
            thermal: self.thermal.read(&mut reader),
            power: self.rails.read(&mut reader),
            fans: self.fans.read(&mut reader),
            throttle: self.alerts.read(&mut reader),
            codecs: self.codecs.read(&mut reader),
            memory: Memory::default(),
            ..Readings::default()
        };
        readings.memory = self.memory.read(&mut reader);
        // The kernel counts a processor's clock in kHz.
        let cpu_min = self.cpu_min.as_mut().and_then(|attribute| attribute.count(&mut reader));
        readings.host.cpu_min_hz = cpu_min.and_then(|khz| khz.checked_mul(1000));
        let counted = self.over_current.read(&mut reader);
        (readings, counted, reader.is_stale())
    }
}

/// What came since the sample before. `None` for the first, and where the counter began anew.
fn delta(now: Option<u64>, before: Option<u64>) -> Option<u64> {
    now?.checked_sub(before?)
}

fn over_current(counted: &Counted, before: Option<&Before>, now: Duration) -> OverCurrent {
    let events = |index: usize| {
        let total = counted.events[index];
        let new = delta(total, before.and_then(|before| before.events[index]));
        let seconds = before.map(|before| now.saturating_sub(before.now).as_secs_f64());
        let rate = new.zip(seconds.filter(|seconds| *seconds > 0.0));
        OverCurrentEvents {
            events_total: total,
            events_delta: new,
            events_per_s: rate.map(|(new, seconds)| {
                rounded(f64::from(u32::try_from(new).unwrap_or(u32::MAX)) / seconds)
            }),
            throttles: counted.throttles[index],
        }
    };
    OverCurrent { oc1: events(0), oc2: events(1), oc3: events(2) }
}
