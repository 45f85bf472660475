//! The processor, disks and network of the machine that this runs on, by `sysinfo`.
//!
//! It cannot look below another root, so that a copied tree has none of this.

use std::collections::BTreeMap;
use std::time::Duration;

use sysinfo::{CpuRefreshKind, DiskRefreshKind, Disks, Networks, RefreshKind, System};
use wire::telemetry::{Disk, Host, Network};

use super::attribute::rounded;
use crate::hw::clock;

/// Most file systems: a message must hold them.
const DISKS_MAX: usize = 6;
/// Most network interfaces.
const NETWORKS_MAX: usize = 8;
/// Most cores.
const CORES_MAX: usize = 64;
/// How often interfaces and file systems are listed anew, in samples.
const LIST_EVERY: u64 = 12;
/// Interfaces that only lead back, or come and go with every container.
const NETWORKS_LEFT_OUT: [&str; 3] = ["lo", "veth", "br-"];

/// The machine, sample by sample.
#[derive(Debug)]
pub struct HostReader {
    system: System,
    disks: Disks,
    networks: Networks,
    samples: u64,
    before: Option<Duration>,
}

impl Default for HostReader {
    fn default() -> Self {
        Self {
            system: System::new_with_specifics(RefreshKind::nothing().with_cpu(cpu())),
            disks: Disks::new_with_refreshed_list_specifics(
                DiskRefreshKind::nothing().with_storage(),
            ),
            networks: Networks::new_with_refreshed_list(),
            samples: 0,
            before: None,
        }
    }
}

fn cpu() -> CpuRefreshKind {
    CpuRefreshKind::nothing().with_cpu_usage().with_frequency()
}

impl HostReader {
    /// Reads everything, `now` by the monotonic clock. How busy the cores are is since the sample before.
    pub fn sample(&mut self, now: Duration) -> Host {
        let list = self.samples.is_multiple_of(LIST_EVERY);
        self.samples += 1;
        self.system.refresh_cpu_specifics(cpu());
        if list {
            self.disks.refresh_specifics(true, DiskRefreshKind::nothing().with_storage());
        } else {
            self.disks.list_mut().iter_mut().for_each(|disk| {
                disk.refresh_specifics(DiskRefreshKind::nothing().with_storage());
            });
        }
        self.networks.refresh(list);
        let seconds = self.before.map(|before| now.saturating_sub(before).as_secs_f64());
        self.before = Some(now);
        let load = System::load_average();
        let cores = self.system.cpus().iter().take(CORES_MAX);
        let first = seconds.is_none();
        Host {
            uptime_s: Some(System::uptime()),
            cpu_percent: (!first).then(|| tenth(self.system.global_cpu_usage())),
            cores_percent: if first {
                Vec::new()
            } else {
                cores.clone().map(|core| tenth(core.cpu_usage())).collect()
            },
            cores_hz: cores.map(|core| core.frequency() * 1_000_000).collect(),
            cpu_min_hz: None,
            load_1m: Some(rounded(load.one)),
            load_5m: Some(rounded(load.five)),
            load_15m: Some(rounded(load.fifteen)),
            clock_synchronised: clock::is_synchronised(),
            disks: self.disks(),
            networks: self.networks(seconds),
        }
    }

    fn disks(&self) -> BTreeMap<String, Disk> {
        // An image is always full: it is no news.
        let disks =
            self.disks.list().iter().filter(|disk| !disk.is_read_only() && disk.total_space() > 0);
        let entry = |disk: &sysinfo::Disk| {
            let mount = disk.mount_point().to_string_lossy().into_owned();
            (
                mount,
                Disk { total_bytes: disk.total_space(), available_bytes: disk.available_space() },
            )
        };
        let all: BTreeMap<_, _> = disks.map(entry).collect();
        all.into_iter().take(DISKS_MAX).collect()
    }

    fn networks(&self, seconds: Option<f64>) -> BTreeMap<String, Network> {
        let kept = self
            .networks
            .iter()
            .filter(|(name, _)| !NETWORKS_LEFT_OUT.iter().any(|begin| name.starts_with(begin)));
        let rate = |bytes: u64| {
            let seconds = seconds.filter(|seconds| *seconds > 0.0)?;
            Some((f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)) / seconds).round())
        };
        let entry = |(name, data): (&String, &sysinfo::NetworkData)| {
            let network = Network {
                received_bytes: data.total_received(),
                sent_bytes: data.total_transmitted(),
                received_bytes_per_s: rate(data.received()),
                sent_bytes_per_s: rate(data.transmitted()),
            };
            (name.clone(), network)
        };
        let all: BTreeMap<_, _> = kept.map(entry).collect();
        all.into_iter().take(NETWORKS_MAX).collect()
    }
}

fn tenth(percent: f32) -> f64 {
    (f64::from(percent).clamp(0.0, 100.0) * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_read_and_a_first_sample_claims_no_load() {
        let mut reader = HostReader::default();
        let first = reader.sample(Duration::from_secs(1));
        assert_eq!((first.cpu_percent, first.cores_percent.len()), (None, 0));
        assert!(first.uptime_s.is_some_and(|uptime| uptime > 0));
        let second = reader.sample(Duration::from_secs(2));
        assert!(second.cpu_percent.is_some_and(|percent| (0.0..=100.0).contains(&percent)));
        assert_eq!(second.cores_percent.len(), second.cores_hz.len());
        assert!(second.networks.keys().all(|name| name != "lo"), "{second:?}");
    }
}
