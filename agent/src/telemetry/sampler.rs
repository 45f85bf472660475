//! One sample of a board: its files, the machine and NVML put together, each believed where it is honest.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use wire::telemetry::{Gpu, LoadSource, NvmlDevice, Readings};

use super::board::{Board, Nvml as Trust};
use super::host::HostReader;
use super::sysfs::Sysfs;
use super::tree::Tree;
use crate::hw::nvml::Nvml;

/// What a reason of NVML's begins with that means: slowed down by heat or by want of power.
const SLOWDOWNS: [&str; 4] =
    ["hw_slowdown", "hw_thermal_slowdown", "sw_thermal_slowdown", "hw_power_brake_slowdown"];

/// Samples one board, again and again.
#[derive(Debug)]
pub struct Sampler {
    sysfs: Sysfs,
    /// Only where the tree is this machine's own.
    host: Option<HostReader>,
    nvml: Option<Nvml>,
    /// Whether it was said that NVML's load is not believed.
    doubted: bool,
}

impl Sampler {
    /// Samples `tree`, and where it is this machine's own, the machine and NVML too: the library `nvml`, or the
    /// one of the system.
    #[must_use]
    pub fn new(tree: Tree, nvml: Option<PathBuf>, with_serial: bool) -> Self {
        let live = tree.is_live();
        let sysfs = Sysfs::new(tree, with_serial);
        let asked = live && sysfs.board().nvml != Trust::Never;
        Self {
            host: live.then(HostReader::default),
            nvml: asked.then(|| Nvml::new(nvml)),
            doubted: false,
            sysfs,
        }
    }

    /// Which board it is.
    #[must_use]
    pub fn board(&self) -> &'static Board {
        self.sysfs.board()
    }

    /// The tree.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        self.sysfs.tree()
    }

    /// Reads everything, `now` by the monotonic clock.
    pub fn sample(&mut self, now: Duration) -> Readings {
        let mut readings = self.sysfs.sample(now);
        if let Some(host) = &mut self.host {
            let cpu_min_hz = readings.host.cpu_min_hz;
            readings.host = wire::telemetry::Host { cpu_min_hz, ..host.sample(now) };
        }
        if let Some(nvml) = &mut self.nvml {
            let devices = nvml.read(now);
            let doubted = join(&mut readings, devices, self.sysfs.board().nvml);
            if doubted && !self.doubted {
                tracing::warn!(
                    "NVML says that the GPU is idle while it draws power: its load is not told"
                );
            }
            self.doubted = doubted;
        }
        readings
    }
}

/// Lays what NVML says over `readings`. True where its load cannot be true.
pub fn join(readings: &mut Readings, mut devices: Vec<NvmlDevice>, trust: Trust) -> bool {
    let mut doubted = false;
    if let (Trust::ZeroOnlyBelow { rail, power_mw }, Some(device)) = (trust, devices.first_mut()) {
        let drawn =
            readings.power.rails.get(rail).and_then(|rail| rail.power_mw).or(device.power_mw);
        if device.load_percent == Some(0.0) && drawn.is_some_and(|drawn| drawn > power_mw) {
            device.load_percent = None;
            doubted = true;
        }
    }
    if let Some(device) = devices.first() {
        let gpu = &mut readings.gpu;
        gpu.name = gpu.name.take().or_else(|| device.name.clone());
        if gpu.load_source.is_none() {
            gpu.load_percent = device.load_percent;
            gpu.load_source = device.load_percent.map(|_| LoadSource::Nvml);
        }
        *gpu = Gpu {
            frequency_hz: gpu.frequency_hz.or(device.frequency_hz),
            frequency_max_hz: gpu.frequency_max_hz.or(device.frequency_max_hz),
            // The board's own memory is no memory of the GPU's.
            memory_used_bytes: device.memory_used_bytes.filter(|_| trust == Trust::Believed),
            memory_total_bytes: device.memory_total_bytes.filter(|_| trust == Trust::Believed),
            ..std::mem::take(gpu)
        };
    }
    for reasons in devices.iter().filter_map(|device| device.clock_reasons.as_ref()) {
        let throttle = &mut readings.throttle;
        let slow = reasons.iter().filter(|reason| SLOWDOWNS.contains(&reason.as_str()));
        let before = throttle.reasons.len();
        throttle.reasons.extend(slow.map(|reason| format!("nvml-{reason}")));
        *throttle.active.get_or_insert(false) |= throttle.reasons.len() > before;
    }
    // Two devices, or two alerts of one kind, are one reason.
    let mut told = BTreeSet::new();
    readings.throttle.reasons.retain(|reason| told.insert(reason.clone()));
    readings.nvml = devices;
    doubted
}

#[cfg(test)]
mod tests {
    use wire::telemetry::Rail;

    use super::*;

    fn device(load: f64, power_mw: u64) -> NvmlDevice {
        NvmlDevice {
            load_percent: Some(load),
            power_mw: Some(power_mw),
            memory_total_bytes: Some(1),
            ..NvmlDevice::default()
        }
    }

    #[test]
    fn a_load_is_the_files_before_it_is_nvmls_and_a_zero_that_draws_power_is_none() {
        let thor = Trust::ZeroOnlyBelow { rail: "VDD_GPU", power_mw: 8500 };
        let nvml = Some(LoadSource::Nvml);
        for (what, file, load, rail_mw, trust, percent, source, doubted) in [
            ("discrete", None, 40.0, 0, Trust::Believed, Some(40.0), nvml, false),
            ("discrete and idle", None, 0.0, 90_000, Trust::Believed, Some(0.0), nvml, false),
            ("Thor at work", None, 97.0, 20_500, thor, Some(97.0), nvml, false),
            ("Thor idle", None, 0.0, 4_341, thor, Some(0.0), nvml, false),
            ("Thor that lies", None, 0.0, 20_500, thor, None, None, true),
            (
                "a file",
                Some(12.5),
                97.0,
                0,
                Trust::Believed,
                Some(12.5),
                Some(LoadSource::Sysfs),
                false,
            ),
        ] {
            let mut readings = Readings::default();
            readings.gpu.load_percent = file;
            readings.gpu.load_source = file.map(|_| LoadSource::Sysfs);
            let rail = Rail { power_mw: Some(rail_mw), ..Rail::default() };
            readings.power.rails.insert("VDD_GPU".to_owned(), rail);
            assert_eq!(join(&mut readings, vec![device(load, rail_mw)], trust), doubted, "{what}");
            assert_eq!(
                (readings.gpu.load_percent, readings.gpu.load_source),
                (percent, source),
                "{what}"
            );
            let own = readings.gpu.memory_total_bytes.is_some();
            assert_eq!(own, trust == Trust::Believed, "{what}");
        }
    }

    #[test]
    fn a_gpu_that_is_slowed_down_is_throttled_and_one_that_is_idle_is_not() {
        for (reasons, active) in [
            (&["gpu_idle"][..], false),
            (&["sw_power_cap"], false),
            (&["hw_thermal_slowdown"], true),
        ] {
            let reasons = reasons.iter().map(|reason| (*reason).to_owned()).collect();
            let device = NvmlDevice { clock_reasons: Some(reasons), ..NvmlDevice::default() };
            let mut readings = Readings::default();
            join(&mut readings, vec![device.clone(), device], Trust::Believed);
            let told = usize::from(active);
            assert_eq!(readings.throttle.active, Some(active));
            assert_eq!(readings.throttle.reasons.len(), told, "{:?}", readings.throttle.reasons);
        }
    }
}
