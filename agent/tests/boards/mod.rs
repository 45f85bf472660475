//! Boards as tables: what their files say, as public captures have it, made into a tree or a capture when a test
//! needs one. No number here was read off a board by us.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    clippy::allow_attributes,
    clippy::unwrap_used,
    reason = "each test and benchmark uses a part of it, and stops at the first surprise"
)]

mod tables;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use tables::{
    agx_orin, nano, orin_nano, orin_nx, pc, thor, tx2, unheard_of, xavier_agx, xavier_nx,
};
use tempfile::TempDir;
use vedette::telemetry::Tree;

/// What stands for a file that does not answer: this, and the kernel's number of the error.
const ERRORS: [(&str, i32); 3] = [("!EAGAIN", 11), ("!EACCES", 13), ("!EINVAL", 22)];

/// Files by path, and what each says. A content that begins with `->` is a link.
#[derive(Debug, Clone, Default)]
pub struct Files(pub(crate) BTreeMap<String, String>);

impl Files {
    pub fn file(mut self, path: &str, content: &str) -> Self {
        self.0.insert(path.trim_start_matches('/').to_owned(), content.to_owned());
        self
    }

    pub fn files(self, directory: &str, files: &[(&str, &str)]) -> Self {
        let add = |all: Self, (name, content): &(&str, &str)| {
            all.file(&format!("{directory}/{name}"), content)
        };
        files.iter().fold(self, add)
    }

    pub fn without(mut self, begin: &str) -> Self {
        self.0.retain(|path, _| !path.starts_with(begin.trim_start_matches('/')));
        self
    }

    /// Thermal zones from `first` on: type, m°C, and trip points as `(kind, m°C)`.
    pub fn zones(self, zones: &[(&str, &str)], trips: &[(&str, &str)]) -> Self {
        let zone = |all: Self, (index, (kind, temp)): (usize, &(&str, &str))| {
            let place = format!("sys/class/thermal/thermal_zone{index}");
            let mut all = all.files(&place, &[("type", kind), ("temp", temp)]);
            for (point, (kind, temp)) in trips.iter().enumerate() {
                let point = format!("{place}/trip_point_{point}");
                all = all.file(&format!("{point}_type"), kind).file(&format!("{point}_temp"), temp);
            }
            all
        };
        zones.iter().enumerate().fold(self, zone)
    }

    /// Cooling devices of zone `zone`, each with the trip point at which it is at work.
    pub fn cooled(self, zone: usize, devices: &[(&str, &str)]) -> Self {
        devices.iter().enumerate().fold(self, |all, (index, (kind, point))| {
            let device = format!("sys/class/thermal/thermal_zone{zone}/cdev{index}");
            all.file(&format!("{device}/type"), kind).file(&format!("{device}_trip_point"), point)
        })
    }

    pub fn cooling(self, devices: &[(&str, &str)]) -> Self {
        devices.iter().enumerate().fold(self, |all, (index, (kind, state))| {
            let place = format!("sys/class/thermal/cooling_device{index}");
            all.files(&place, &[("type", kind), ("cur_state", state), ("max_state", "2")])
        })
    }

    pub fn hwmon(self, number: u32, name: &str, files: &[(&str, &str)]) -> Self {
        let place = format!("sys/class/hwmon/hwmon{number}");
        self.file(&format!("{place}/name"), name).files(&place, files)
    }

    /// A rail of the old driver: chip, device number, channel.
    pub fn iio(self, chip: &str, channel: u32, name: &str, mv_ma_mw: [&str; 3]) -> Self {
        let place = format!("sys/bus/i2c/drivers/ina3221x/{chip}/iio:device0");
        let [mv, ma, mw] = mv_ma_mw;
        self.file(&format!("{place}/rail_name_{channel}"), name)
            .file(&format!("{place}/in_voltage{channel}_input"), mv)
            .file(&format!("{place}/in_current{channel}_input"), ma)
            .file(&format!("{place}/in_power{channel}_input"), mw)
            .file(&format!("{place}/crit_current_limit_{channel}"), "32760 ma")
    }

    /// A device with a changing clock: its name, its node's, and its clocks in Hz.
    pub fn devfreq(self, name: &str, node: &str, hz: [&str; 3]) -> Self {
        let place = format!("sys/class/devfreq/{name}");
        let [now, least, most] = hz;
        let all = self.files(&place, &[("cur_freq", now), ("min_freq", least), ("max_freq", most)]);
        match node {
            "" => all,
            node => all.file(&format!("{place}/device/of_node/name"), &format!("{node}\0")),
        }
    }

    pub fn identity(self, model: &str, compatible: &str, release: &str) -> Self {
        let compatible = compatible.replace(' ', "\0");
        let all = self
            .file("proc/device-tree/model", &format!("{model}\0"))
            .file("proc/device-tree/compatible", &format!("{compatible}\0"))
            .file("proc/device-tree/serial-number", "1422919012345\0");
        match release.split_once(' ') {
            None => all,
            Some((release, revision)) => all.file(
                "etc/nv_tegra_release",
                &format!("# R{release} (release), REVISION: {revision}, GCID: 33514132, BOARD: generic, EABI: aarch64, DATE: Fri Aug 22 00:55:42 UTC 2025\n"),
            ),
        }
    }

    pub fn memory(self, total_kib: u64, available_kib: u64, oom_kills: u64) -> Self {
        let meminfo = format!(
            "MemTotal:       {total_kib} kB\nMemFree:         100 kB\nMemAvailable:   {available_kib} kB\n\
             SwapTotal:       2000 kB\nSwapFree:        1500 kB\n"
        );
        let swaps = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n\
                     /dev/zram0                              partition\t1000\t\t300\t\t5\n\
                     /dev/zram1                              partition\t1000\t\t200\t\t5\n";
        self.file("proc/meminfo", &meminfo)
            .file("proc/swaps", swaps)
            .file("proc/vmstat", &format!("nr_free_pages 25\noom_kill {oom_kills}\npgfault 7\n"))
    }

    /// The files below a directory. What does not answer is an ordinary file there: see `refusing`.
    pub fn directory(&self) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        self.write(dir.path());
        dir
    }

    pub fn write(&self, root: &Path) {
        for (path, content) in &self.0 {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            match content.strip_prefix("-> ") {
                Some(target) => std::os::unix::fs::symlink(target, path).unwrap(),
                // Not `disk::replace`: nothing here must survive a power cut.
                None => {
                    let mut file = std::fs::File::create(path).unwrap();
                    std::io::Write::write_all(&mut file, content.as_bytes()).unwrap();
                }
            }
        }
    }

    /// Paths of what does not answer, and the error.
    pub fn refusing(&self) -> Vec<(String, i32)> {
        let error = |content: &str| ERRORS.iter().find(|(mark, _)| *mark == content);
        let found =
            self.0.iter().filter_map(|(path, content)| Some((path.clone(), error(content)?.1)));
        found.collect()
    }

    /// The files as a capture, in which what does not answer does not.
    pub fn capture(&self, dir: &Path) -> PathBuf {
        let refusing: BTreeMap<String, i32> = self.refusing().into_iter().collect();
        let manifest = serde_json::json!({
            "schema": "vedette/capture/1", "agent_version": "0", "errors": refusing,
        });
        let mut archive = tar::Builder::new(Vec::new());
        let mut add = |path: &str, bytes: &[u8]| {
            let mut header = tar::Header::new_ustar();
            header.set_size(u64::try_from(bytes.len()).unwrap());
            archive.append_data(&mut header, path, bytes).unwrap();
        };
        add("vedette-capture.json", manifest.to_string().as_bytes());
        for (path, content) in self.0.iter().filter(|(path, _)| !refusing.contains_key(*path)) {
            add(path, content.as_bytes());
        }
        let path = dir.join("board.tar");
        vedette::disk::replace(&path, &archive.into_inner().unwrap()).unwrap();
        path
    }

    /// The files as a tree to be read.
    pub fn tree(&self) -> Tree {
        let dir = tempfile::tempdir().unwrap();
        Tree::open(&self.capture(dir.path())).unwrap()
    }
}
