//! NVIDIA's management library: the one file that names it. It is opened at run time, and most devices have none.
//!
//! Whatever is wrong with it (no library, a driver of another version, a GPU that fell off the bus) is a reading
//! that is `None` and one line in the log. It is tried again after a pause, for ever: a driver may be loaded late,
//! and a GPU may come back.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock, EccCounter, MemoryError, TemperatureSensor};
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml as Library};
use wire::telemetry::{GpuProcess, NvmlDevice};

use crate::report;

/// The library's name on Linux, with its version: the other one is only there for developers.
const NAME: &str = "libnvidia-ml.so.1";
/// How long until it is tried again.
const RETRY: Duration = Duration::from_secs(30);
/// Most GPUs: a message must hold them.
const DEVICES_MAX: u32 = 4;
/// Most processes of a GPU.
const PROCESSES_MAX: usize = 6;
/// What the GPU of a Jetson up to Orin calls itself: NVML knows its name and nothing else.
const INTEGRATED: &str = "nvgpu";

/// See the module.
#[derive(Debug)]
pub struct Nvml {
    path: Option<PathBuf>,
    library: Option<Library>,
    again: Duration,
    complained: Option<String>,
}

impl Nvml {
    /// Reads by the library at `path`, or by the system's; it is opened at the first reading.
    #[must_use]
    pub fn new(path: Option<PathBuf>) -> Self {
        Self { path, library: None, again: Duration::ZERO, complained: None }
    }

    /// What it says of each GPU, `now` by the monotonic clock. Empty where it says nothing.
    pub fn read(&mut self, now: Duration) -> Vec<NvmlDevice> {
        if self.library.is_none() && now < self.again {
            return Vec::new();
        }
        match self.try_read() {
            Ok(devices) => {
                if self.complained.take().is_some() {
                    tracing::info!(gpus = devices.len(), "NVML answers again");
                }
                devices
            }
            Err(error) => {
                // Its handles are worth nothing any more.
                self.library = None;
                self.again = now + RETRY;
                let error = report::chain(&error);
                if self.complained.as_ref() != Some(&error) {
                    tracing::info!(error, "no readings from NVML; trying on");
                    self.complained = Some(error);
                }
                Vec::new()
            }
        }
    }

    fn try_read(&mut self) -> Result<Vec<NvmlDevice>, NvmlError> {
        let library = match self.library.take() {
            Some(library) => self.library.insert(library),
            None => {
                let name = self.path.as_deref().map_or(OsStr::new(NAME), |path| path.as_os_str());
                self.library.insert(Library::builder().lib_path(name).init()?)
            }
        };
        let mut devices = Vec::new();
        for index in 0..library.device_count()?.min(DEVICES_MAX) {
            let device = library.device_by_index(index)?;
            if device.name().is_ok_and(|name| name.contains(INTEGRATED)) {
                continue;
            }
            devices.push(read(&device)?);
        }
        Ok(devices)
    }
}

/// `answer`, or nothing where only this question has none. What means that the GPU is gone ends all.
fn known<T>(answer: Result<T, NvmlError>) -> Result<Option<T>, NvmlError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(
            error @ (NvmlError::GpuLost
            | NvmlError::Uninitialized
            | NvmlError::DriverNotLoaded
            | NvmlError::ResetRequired),
        ) => Err(error),
        Err(_) => Ok(None),
    }
}

fn read(device: &Device<'_>) -> Result<NvmlDevice, NvmlError> {
    const HZ: u64 = 1_000_000;
    let memory = known(device.memory_info())?;
    let ecc = |kind| known(device.total_ecc_errors(kind, EccCounter::Volatile));
    let clock = |mhz: Option<u32>| mhz.map(|mhz| u64::from(mhz) * HZ);
    Ok(NvmlDevice {
        name: known(device.name())?,
        load_percent: known(device.utilization_rates())?.map(|rates| f64::from(rates.gpu)),
        temperature_c: known(device.temperature(TemperatureSensor::Gpu))?.map(f64::from),
        power_mw: known(device.power_usage())?.map(u64::from),
        power_limit_mw: known(device.enforced_power_limit())?.map(u64::from),
        frequency_hz: clock(known(device.clock_info(Clock::Graphics))?),
        frequency_max_hz: clock(known(device.max_clock_info(Clock::Graphics))?),
        memory_used_bytes: memory.as_ref().map(|memory| memory.used),
        memory_total_bytes: memory.as_ref().map(|memory| memory.total),
        fan_percent: known(device.fan_speed(0))?.map(f64::from),
        ecc_corrected: ecc(MemoryError::Corrected)?,
        ecc_uncorrected: ecc(MemoryError::Uncorrected)?,
        clock_reasons: known(device.current_throttle_reasons())?.map(reasons),
        pcie_generation: known(device.current_pcie_link_gen())?,
        pcie_lanes: known(device.current_pcie_link_width())?,
        pcie_replays: known(device.pcie_replay_counter())?,
        processes: known(device.running_compute_processes())?.map(|found| {
            let mut processes: Vec<GpuProcess> = found
                .into_iter()
                .map(|process| GpuProcess {
                    pid: process.pid,
                    memory_bytes: match process.used_gpu_memory {
                        UsedGpuMemory::Used(bytes) => Some(bytes),
                        UsedGpuMemory::Unavailable => None,
                    },
                })
                .collect();
            processes.sort_by_key(|process| std::cmp::Reverse(process.memory_bytes));
            processes.truncate(PROCESSES_MAX);
            processes
        }),
    })
}

/// The names of what keeps the clocks down, as NVIDIA's tool has them.
fn reasons(reasons: ThrottleReasons) -> Vec<String> {
    let names = reasons.iter_names().filter(|(name, _)| *name != "NONE");
    names.map(|(name, _)| name.to_ascii_lowercase()).collect()
}
