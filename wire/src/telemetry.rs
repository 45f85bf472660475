//! How a board feels, and how a pipeline does.
//!
//! Every key is always there; what could not be read is `null`, never 0. What a board has several of, and none of
//! by a fixed name, is a table by the name that the board itself gives (`thermal.zones`, `power.rails`).

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Envelope;

/// How the board feels. Topic `telemetry/board`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BoardTelemetry<'a> {
    /// Schema `vedette/board/1`.
    #[serde(flatten, borrow)]
    pub envelope: Envelope<'a>,
    /// The readings.
    #[serde(flatten)]
    pub readings: Readings,
    /// What waits for the broker.
    pub store: Store,
}

/// What waits for the broker, and what gave way for want of room since the daemon started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Store {
    /// Messages that the broker has not acknowledged.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Age of the oldest; `null` where there is none.
    pub oldest_age_s: Option<u64>,
    /// Alarms that gave way.
    pub dropped_alarms: u64,
    /// Events that gave way.
    pub dropped_events: u64,
    /// Observations that gave way.
    pub dropped_observations: u64,
    /// Telemetry that gave way.
    pub dropped_telemetry: u64,
    /// Messages larger than any broker takes.
    pub oversized: u64,
    /// Messages that were on disk and could not be read again.
    pub damaged: u64,
    /// Stores that were set aside because they could not be used.
    pub quarantined: u64,
}

/// One sample of a board, all of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Readings {
    /// What it is.
    pub board: BoardIdentity,
    /// Its GPU: the integrated one, or the first discrete one.
    pub gpu: Gpu,
    /// What NVML says of each GPU, where NVML is to be believed.
    pub nvml: Vec<NvmlDevice>,
    /// How hot it is.
    pub thermal: Thermal,
    /// What it draws.
    pub power: Power,
    /// Its fans, by name.
    pub fans: BTreeMap<String, Fan>,
    /// How often it drew too much.
    pub over_current: OverCurrent,
    /// Whether something slows it down.
    pub throttle: Throttle,
    /// Its video and vision engines, by name.
    pub codecs: BTreeMap<String, Codec>,
    /// Its memory.
    pub memory: Memory,
    /// Its processor, disks and network.
    pub host: Host,
}

/// What a board is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BoardIdentity {
    /// What this program calls it, such as `orin-nano`; `generic-arm64` where it knows it only by its architecture.
    pub kind: String,
    /// What it calls itself.
    pub model: Option<String>,
    /// Its system on a chip, such as `tegra234`.
    pub soc: Option<String>,
    /// Its serial number; `null` unless that was asked for.
    pub serial: Option<String>,
    /// Version of Jetson Linux, such as `36.4.3`.
    pub l4t: Option<String>,
    /// Version of JetPack that belongs to it, such as `6.2`; `unknown` where Jetson Linux is one of a later day.
    pub jetpack: Option<String>,
    /// Number of the power mode.
    pub power_mode_id: Option<u32>,
    /// Its name, such as `MAXN_SUPER`.
    pub power_mode: Option<String>,
}

/// Who says how busy the GPU is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LoadSource {
    /// The kernel, by a file.
    Sysfs,
    /// NVIDIA's library.
    Nvml,
}

/// A board's GPU.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Gpu {
    /// Its name.
    pub name: Option<String>,
    /// How busy it is, 0 to 100.
    pub load_percent: Option<f64>,
    /// Who says so; `null` where nobody can be believed.
    pub load_source: Option<LoadSource>,
    /// Its clock.
    pub frequency_hz: Option<u64>,
    /// The least that its clock may fall to.
    pub frequency_min_hz: Option<u64>,
    /// The most that its clock may rise to.
    pub frequency_max_hz: Option<u64>,
    /// What decides about its clock.
    pub governor: Option<String>,
    /// Memory of its own that is in use; `null` where it shares the board's.
    pub memory_used_bytes: Option<u64>,
    /// Memory of its own; `null` where it shares the board's.
    pub memory_total_bytes: Option<u64>,
}

/// What NVML says of one GPU.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NvmlDevice {
    /// Its name.
    pub name: Option<String>,
    /// How busy it is, 0 to 100; `null` where NVML is not to be believed.
    pub load_percent: Option<f64>,
    /// How hot it is.
    pub temperature_c: Option<f64>,
    /// What it draws.
    pub power_mw: Option<u64>,
    /// What it may draw.
    pub power_limit_mw: Option<u64>,
    /// Clock of its graphics cores.
    pub frequency_hz: Option<u64>,
    /// The most of it.
    pub frequency_max_hz: Option<u64>,
    /// Its memory in use.
    pub memory_used_bytes: Option<u64>,
    /// Its memory.
    pub memory_total_bytes: Option<u64>,
    /// How fast its fan is, 0 to 100.
    pub fan_percent: Option<f64>,
    /// Memory errors since the driver was loaded that were corrected.
    pub ecc_corrected: Option<u64>,
    /// Memory errors since the driver was loaded that were not.
    pub ecc_uncorrected: Option<u64>,
    /// Why its clocks are not what they could be, such as `sw_power_cap`; `null` where that is not known.
    pub clock_reasons: Option<Vec<String>>,
    /// Generation of its PCIe link.
    pub pcie_generation: Option<u32>,
    /// Lanes of its PCIe link.
    pub pcie_lanes: Option<u32>,
    /// Replays of its PCIe link.
    pub pcie_replays: Option<u32>,
    /// Processes that use it, the largest first, as many as a message holds; `null` where that is not known.
    pub processes: Option<Vec<GpuProcess>>,
}

/// A process that uses a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GpuProcess {
    /// Its number.
    pub pid: u32,
    /// GPU memory that it uses.
    pub memory_bytes: Option<u64>,
}

/// How hot a board is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Thermal {
    /// The hottest of the zones that are sensors.
    pub hottest_c: Option<f64>,
    /// Which that is.
    pub hottest_zone: Option<String>,
    /// How far the zone that is nearest to its lowest trip point is from it.
    pub margin_c: Option<f64>,
    /// Which that is.
    pub margin_zone: Option<String>,
    /// Every zone, by name.
    pub zones: BTreeMap<String, Zone>,
}

/// One thermal zone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Zone {
    /// How hot it is; `null` where the zone is powered off.
    pub temperature_c: Option<f64>,
    /// From where on the board is slowed down.
    pub passive_c: Option<f64>,
    /// From where on the board warns.
    pub hot_c: Option<f64>,
    /// From where on the board switches itself off.
    pub critical_c: Option<f64>,
}

/// What a board draws.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Power {
    /// The whole board; `null` where no rail or sum of rails is known to be that.
    pub total_mw: Option<u64>,
    /// Every rail, by name.
    pub rails: BTreeMap<String, Rail>,
}

/// One power rail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Rail {
    /// Its voltage.
    pub voltage_mv: Option<u64>,
    /// Its current.
    pub current_ma: Option<u64>,
    /// Both together.
    pub power_mw: Option<u64>,
    /// The current from which on it is limited.
    pub limit_ma: Option<u64>,
}

/// One fan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Fan {
    /// How much of full power it is given, 0 to 100.
    pub duty_percent: Option<f64>,
    /// How fast it turns.
    pub speed_rpm: Option<u64>,
    /// Whether it is switched on.
    pub enabled: Option<bool>,
}

/// How often a board drew too much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OverCurrent {
    /// Under-voltage.
    pub oc1: OverCurrentEvents,
    /// Average current.
    pub oc2: OverCurrentEvents,
    /// Momentary current: tens of thousands an hour are normal in the fastest power modes.
    pub oc3: OverCurrentEvents,
}

/// One counter of over-current events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OverCurrentEvents {
    /// Since the board started.
    pub events_total: Option<u64>,
    /// Since the last sample.
    pub events_delta: Option<u64>,
    /// A second, since the last sample.
    pub events_per_s: Option<f64>,
    /// Whether it slows the board down.
    pub throttles: Option<bool>,
}

/// Whether something slows a board down.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Throttle {
    /// Whether; `null` where the board does not say.
    pub active: Option<bool>,
    /// What: names of cooling devices that are at work, or of NVML's reasons.
    pub reasons: Vec<String>,
}

/// A video or vision engine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Codec {
    /// Its clock.
    pub frequency_hz: Option<u64>,
    /// Whether it is powered.
    pub active: Option<bool>,
}

/// A board's memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Memory {
    /// All of it.
    pub total_bytes: Option<u64>,
    /// What programs can still get.
    pub available_bytes: Option<u64>,
    /// Swap space, compressed memory included.
    pub swap_total_bytes: Option<u64>,
    /// Swap space in use.
    pub swap_used_bytes: Option<u64>,
    /// Compressed memory (zram); 0 where there is none.
    pub zram_total_bytes: Option<u64>,
    /// Compressed memory in use.
    pub zram_used_bytes: Option<u64>,
    /// Processes that the kernel ended for want of memory, since the board started.
    pub oom_kills_total: Option<u64>,
    /// Since the last sample.
    pub oom_kills_delta: Option<u64>,
}

/// A board's processor, disks and network.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Host {
    /// Since it started.
    pub uptime_s: Option<u64>,
    /// All cores together, 0 to 100.
    pub cpu_percent: Option<f64>,
    /// Each core, 0 to 100.
    pub cores_percent: Vec<f64>,
    /// Each core's clock; empty where the kernel does not say it.
    pub cores_hz: Vec<u64>,
    /// The least that the first core's clock may fall to.
    pub cpu_min_hz: Option<u64>,
    /// Processes that want to run, on average of one minute.
    pub load_1m: Option<f64>,
    /// Of five minutes.
    pub load_5m: Option<f64>,
    /// Of fifteen minutes.
    pub load_15m: Option<f64>,
    /// Whether the clock follows another one.
    pub clock_synchronised: Option<bool>,
    /// File systems, by mount point.
    pub disks: BTreeMap<String, Disk>,
    /// Network interfaces, by name.
    pub networks: BTreeMap<String, Network>,
}

/// One file system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Disk {
    /// Its size.
    pub total_bytes: u64,
    /// What programs can still write.
    pub available_bytes: u64,
}

/// One network interface.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Network {
    /// Received since it came up.
    pub received_bytes: u64,
    /// Sent since it came up.
    pub sent_bytes: u64,
    /// Received a second, since the last sample.
    pub received_bytes_per_s: Option<f64>,
    /// Sent a second, since the last sample.
    pub sent_bytes_per_s: Option<f64>,
}

/// How a pipeline does. Topic `telemetry/pipeline/<pipeline>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PipelineTelemetry<'a> {
    /// Schema `vedette/pipeline/1`.
    #[serde(flatten, borrow)]
    pub envelope: Envelope<'a>,
    /// The pipeline's name in the configuration.
    #[serde(borrow)]
    pub pipeline: Cow<'a, str>,
    /// Frames a second that the source is expected to give; `null` where it has no rate of its own.
    pub source_rate_hz: Option<f64>,
    /// Frames a second that the source gave, since the last of these messages.
    pub captured_rate_hz: Option<f64>,
    /// Frames a second that it keeps to because of its load; `null`: to as many as are worth it.
    pub limit_hz: Option<f64>,
    /// Whether its lighter model infers them, because of its load.
    pub lighter: bool,
    /// Frames a second that were inferred.
    pub inferred_rate_hz: Option<f64>,
    /// Frames that the source gave, since the daemon started.
    pub captured_total: u64,
    /// Frames that were inferred.
    pub inferred_total: u64,
    /// Frames that a newer one replaced.
    pub replaced_total: u64,
    /// Frames that were not worth a run: the same as the one before, byte by byte.
    pub skipped_duplicate_total: u64,
    /// Frames that were not worth a run: nothing moved.
    pub skipped_still_total: u64,
    /// Frames that were left out to keep to a rate, or to every so-manieth.
    pub skipped_thinned_total: u64,
    /// Frames that could not be understood or inferred.
    pub failed_total: u64,
    /// How often the source or the engine was opened again.
    pub reopened_total: u64,
    /// Median from capture to the message, since the last of these messages.
    pub latency_p50_ms: Option<f64>,
    /// 95th percentile of it.
    pub latency_p95_ms: Option<f64>,
    /// 99th percentile of it.
    pub latency_p99_ms: Option<f64>,
    /// How a sensor's samples come; `null` where the source is a camera. Its frames are windows of them.
    pub samples: Option<SampleTelemetry>,
}

/// How a sensor's samples come.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SampleTelemetry {
    /// Samples a second, measured; `null` until there were enough.
    pub rate_hz: Option<f64>,
    /// Samples that were used, since the daemon started.
    pub received_total: u64,
    /// Lines, messages and readings that were no samples.
    pub unusable_total: u64,
    /// Gaps after which a window was begun anew.
    pub gaps_total: u64,
    /// Jumps of the sensor's clock after which a window was begun anew.
    pub clock_jumps_total: u64,
}
