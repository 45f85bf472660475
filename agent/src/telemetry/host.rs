//! The processor, disks and network of the machine that this runs on, by `sysinfo`.
//!
//! It cannot look below another root, so that a copied tree has none of this.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::Path;
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
    /// `/proc/self/mountinfo`, as old as the list of disks.
    mountinfo: String,
    networks: Networks,
    clocked: bool,
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
            mountinfo: String::new(),
            networks: Networks::new_with_refreshed_list(),
            clocked: cores_are_clocked(),
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
            self.mountinfo = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
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
            cores_hz: cores
                .filter(|_| self.clocked)
                .map(|core| core.frequency() * 1_000_000)
                .collect(),
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
        let mounts = self.disks.list().iter().map(|disk| Mount {
            device: disk.name(),
            at: disk.mount_point(),
            read_only: disk.is_read_only(),
            space: Disk {
                total_bytes: disk.total_space(),
                available_bytes: disk.available_space(),
            },
        });
        file_systems(mounts, &written(&self.mountinfo))
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

/// A place where a file system is seen.
struct Mount<'a> {
    device: &'a OsStr,
    at: &'a Path,
    read_only: bool,
    space: Disk,
}

/// Devices whose file systems are written to, by `/proc/self/mountinfo`. A service sees nearly every place read-only; the
/// options behind the dash are those of the file system itself.
fn written(mountinfo: &str) -> BTreeSet<&OsStr> {
    let written = mountinfo.lines().filter_map(|line| {
        let mut own = line.split_once(" - ")?.1.split(' ');
        let (device, options) = (own.nth(1)?, own.next()?);
        options.split(',').any(|option| option == "rw").then_some(OsStr::new(device))
    });
    written.filter(|device| device.as_encoded_bytes().starts_with(b"/")).collect()
}

/// The file systems behind `mounts`, each by its shortest place: a service sees the same one at every path that it may
/// write to. One that is read-only is an image, which is always full: no news.
fn file_systems<'a>(
    mounts: impl Iterator<Item = Mount<'a>>,
    written: &BTreeSet<&OsStr>,
) -> BTreeMap<String, Disk> {
    let mut all = BTreeMap::<(&OsStr, u64), Mount<'a>>::new();
    let is_image = |mount: &Mount<'_>| mount.read_only && !written.contains(mount.device);
    for mount in mounts.filter(|mount| mount.space.total_bytes > 0 && !is_image(mount)) {
        // What has no device of its own is known by its place.
        let own = mount.device.as_encoded_bytes().starts_with(b"/");
        let key = if own { mount.device } else { mount.at.as_os_str() };
        let known = all.entry((key, mount.space.total_bytes));
        let order = |mount: &Mount<'a>| (mount.at.as_os_str().len(), mount.at);
        known.and_modify(|known| known.at = order(known).min(order(&mount)).1).or_insert(mount);
    }
    let named: BTreeMap<_, _> = all
        .into_values()
        .map(|mount| (mount.at.to_string_lossy().into_owned(), mount.space))
        .collect();
    named.into_iter().take(DISKS_MAX).collect()
}

/// Whether the kernel says how fast cores run. Without its frequency driver an Arm one has nothing but a number of its
/// timer's, which is no speed.
fn cores_are_clocked() -> bool {
    cfg!(target_arch = "x86_64") || Path::new("/sys/devices/system/cpu/cpu0/cpufreq").exists()
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
        let clocked = if cores_are_clocked() { second.cores_percent.len() } else { 0 };
        assert_eq!(second.cores_hz.len(), clocked);
        assert!(second.networks.keys().all(|name| name != "lo"), "{second:?}");
    }

    #[test]
    fn a_file_system_is_listed_once_by_its_shortest_place_and_an_image_never() {
        let mountinfo = "\
            22 1 179:1 / / ro,relatime shared:1 - ext4 /dev/mmcblk0p1 rw,errors=remount-ro\n\
            90 22 179:1 /var/lib/vedette /var/lib/vedette rw - ext4 /dev/mmcblk0p1 rw\n\
            91 22 259:1 / /data ro,relatime shared:2 master:3 - ext4 /dev/nvme0n1p1 rw\n\
            92 22 7:0 / /snap/core ro - squashfs /dev/loop0 ro\n\
            93 22 0:33 / /run rw - tmpfs tmpfs rw,size=1k\n\
            cut off";
        let written = written(mountinfo);
        let devices: Vec<_> = written.iter().filter_map(|device| device.to_str()).collect();
        assert_eq!(devices, ["/dev/mmcblk0p1", "/dev/nvme0n1p1"]);
        let mount = |device: &'static str, at: &'static str, read_only, total_bytes| Mount {
            device: OsStr::new(device),
            at: Path::new(at),
            read_only,
            space: Disk { total_bytes, available_bytes: total_bytes / 2 },
        };
        let mounts = [
            // What the service sees: all is read-only, but its own folders.
            mount("/dev/mmcblk0p1", "/var/lib/vedette", false, 100),
            mount("/dev/mmcblk0p1", "/", true, 100),
            mount("/dev/mmcblk0p1", "/var/log/vedette", false, 100),
            mount("/dev/nvme0n1p1", "/data", true, 900),
            mount("/dev/loop0", "/snap/core", true, 7),
            mount("overlay", "/merged/one", false, 50),
            mount("overlay", "/merged/other", false, 60),
            mount("/dev/fuse", "/mnt/phone", false, 70),
            mount("/dev/fuse", "/mnt/tv", false, 80),
            mount("/dev/sda1", "/empty", false, 0),
        ];
        let found = file_systems(mounts.into_iter(), &written);
        let sizes: Vec<_> =
            found.iter().map(|(at, disk)| (at.as_str(), disk.total_bytes)).collect();
        let expected = [
            ("/", 100),
            ("/data", 900),
            ("/merged/one", 50),
            ("/merged/other", 60),
            ("/mnt/phone", 70),
            ("/mnt/tv", 80),
        ];
        assert_eq!(sizes, expected);
    }
}
