//! Which devices the service's unit opens, as systemd takes its list (systemd.resource-control(5), `DeviceAllow=`).
//!
//! The list is read when the service starts: of a driver that was loaded later nothing is known there yet.

use std::collections::BTreeMap;
use std::path::Path;

use super::devices::Node;
use super::{Patient, service};
use crate::disk;
use crate::telemetry::capture;

/// Names of devices by their numbers.
const DEVICES: &str = "/proc/devices";
/// Longest such list that is read.
const DEVICES_BYTES_MAX: u64 = 64 << 10;
/// What the list of the unit's devices begins a name in [`DEVICES`] with.
const BY_NAME: &str = "char-";

/// The unit's list, and the names that this board has.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// Paths and patterns of names; `None` where all are open.
    allowed: Option<Vec<String>>,
    /// Names of character devices by their major number, which several may share.
    names: BTreeMap<u32, Vec<String>>,
}

impl Gate {
    /// The gate of the service that `patient` is; `None` where it is none, or systemd does not answer.
    pub(super) fn of(patient: &Patient) -> Option<Self> {
        let unit = patient.is_service.then(|| service::asked("DevicePolicy,DeviceAllow"))??;
        let devices = disk::read_bounded(Path::new(DEVICES), DEVICES_BYTES_MAX).ok()?;
        Some(Self::new(&unit, &String::from_utf8_lossy(&devices)))
    }

    /// That of a `unit`, as its file or systemd says it, on a board with these `devices`.
    pub(super) fn new(unit: &str, devices: &str) -> Self {
        let values = |key: &'static str| {
            unit.lines().filter_map(move |line| line.strip_prefix(key)?.strip_prefix('='))
        };
        let allowed: Vec<String> = values("DeviceAllow")
            .filter_map(|value| Some(value.split_whitespace().next()?.to_owned()))
            .collect();
        let is_closed = values("DevicePolicy").next_back().is_some_and(|policy| policy != "auto");
        let mut names: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        let lines = devices.lines().take_while(|line| !line.starts_with("Block"));
        for (major, name) in lines.filter_map(|line| line.trim().split_once(' ')) {
            if let Ok(major) = major.parse() {
                names.entry(major).or_default().push(name.to_owned());
            }
        }
        Self { allowed: (is_closed || !allowed.is_empty()).then_some(allowed), names }
    }

    /// What the list must have so that it opens `node`; `None` where it does.
    pub(super) fn lacks(&self, node: &Node) -> Option<String> {
        let allowed = self.allowed.as_ref()?;
        let names = self.names.get(&node.major).map(Vec::as_slice).unwrap_or_default();
        let opens = |entry: &String| match entry.strip_prefix(BY_NAME) {
            Some(pattern) => names.iter().any(|name| capture::fits(pattern, name)),
            None => Path::new(entry) == node.path,
        };
        if allowed.iter().any(opens) {
            return None;
        }
        // A name that many devices share would open all of them.
        let own = names.iter().find(|name| *name != "misc");
        Some(own.map_or_else(|| node.path.display().to_string(), |name| format!("{BY_NAME}{name}")))
    }
}

/// What to type so that the unit opens `entry`.
pub(super) fn cure(entry: &str) -> String {
    const FOLDER: &str = "/etc/systemd/system/vedette.service.d";
    format!(
        "sudo mkdir -p {FOLDER} && printf '[Service]\\nDeviceAllow={entry} rw\\n' | sudo tee -a {FOLDER}/devices.conf && \
         sudo systemctl daemon-reload && sudo systemctl restart vedette"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names below `/dev`, each with its major number.
    type Nodes = &'static [(&'static str, u32)];

    const UNIT: &str = include_str!("../../../systemd/vedette.service");
    /// Devices that every board has.
    const ALL: &str = "Character devices:\n 10 misc\n 81 video4linux\n226 drm\n";
    /// What comes on top on each, and the nodes by which CUDA, cameras and codecs are reached there: as the drivers
    /// register them in NVIDIA's published sources (nvgpu by its device's name, nvmap as a `misc` device), not read
    /// off a board by us; the numbers are made up.
    const BOARDS: &[(&str, &str, Nodes)] = &[
        (
            "Orin, JetPack 6",
            "486 17000000.gpu\n506 nvhost\n508 host1x-fence\n509 ttyTHS\n",
            &[("nvgpu/igpu0/ctrl", 486), ("nvmap", 10), ("host1x-fence", 508), ("ttyTHS1", 509)],
        ),
        (
            "Orin, JetPack 5",
            "490 17000000.ga10b\n506 nvhost\n508 host1x-fence\n509 ttyTHS\n",
            &[
                ("nvgpu/igpu0/ctrl", 490),
                ("nvhost-ctrl-gpu", 490),
                ("nvmap", 10),
                ("nvhost-vic", 506),
            ],
        ),
        (
            "Xavier",
            "501 17000000.gv11b\n506 nvhost\n509 ttyTHS\n",
            &[("nvhost-ctrl-gpu", 501), ("nvmap", 10), ("nvhost-ctrl", 506)],
        ),
        ("TX2", "501 17000000.gp10b\n506 nvhost\n", &[("nvhost-gpu", 501), ("nvmap", 10)]),
        ("Nano", "501 57000000.gpu\n506 nvhost\n", &[("nvhost-gpu", 501), ("nvmap", 10)]),
        (
            "Thor",
            "195 nvidia\n195 nvidiactl\n487 nvidia-uvm\n508 host1x-fence\n",
            &[("nvidia0", 195), ("nvidiactl", 195), ("nvidia-uvm", 487), ("nvmap", 10)],
        ),
        (
            "PC, Raspberry Pi",
            "  4 tty\n  4 ttyS\n188 ttyUSB\n166 ttyACM\n204 ttyAMA\n235 iio\n",
            &[
                ("ttyS0", 4),
                ("ttyUSB0", 188),
                ("ttyACM0", 166),
                ("ttyAMA0", 204),
                ("iio:device0", 235),
            ],
        ),
    ];

    fn node(name: &str, major: u32) -> Node {
        Node { path: Path::new("/dev").join(name), major, owner: 0, group: 44, mode: 0o660 }
    }

    #[test]
    fn the_unit_opens_the_gpu_and_the_sensors_of_every_board_and_nothing_beside_them() {
        for (board, devices, nodes) in BOARDS {
            let gate = Gate::new(UNIT, &format!("{ALL}{devices}\nBlock devices:\n254 virtblk\n"));
            for (name, major) in [("video0", 81), ("dri/renderD128", 226)].iter().chain(*nodes) {
                assert_eq!(gate.lacks(&node(name, *major)), None, "{board}: {name}");
            }
            for (name, major) in [("kvm", 10), ("mem", 1), ("input/event0", 13)] {
                assert!(gate.lacks(&node(name, major)).is_some(), "{board}: {name}");
            }
        }
    }

    #[test]
    fn a_list_without_a_node_says_what_it_lacks_and_a_unit_without_a_list_opens_all() {
        let devices = format!("{ALL}486 17000000.gpu\n");
        let lacks = |unit: &str, name: &str, major| {
            Gate::new(unit, &devices).lacks(&node(name, major)).unwrap_or_default()
        };
        // As it was: three names that no board has.
        let old = "DevicePolicy=closed\nDeviceAllow=char-nvmap rw\nDeviceAllow=char-nvgpu rw\n";
        for (unit, name, major, lacked) in [
            (old, "nvmap", 10, "/dev/nvmap"),
            (old, "nvgpu/igpu0/ctrl", 486, "char-17000000.gpu"),
            ("DevicePolicy=closed\n", "video0", 81, "char-video4linux"),
            ("DevicePolicy=auto\nDeviceAllow=char-drm rw\n", "video0", 81, "char-video4linux"),
            ("DevicePolicy=auto\n", "video0", 81, ""),
            ("DevicePolicy=auto\nDeviceAllow=/dev/nvmap rw\n", "nvmap", 10, ""),
        ] {
            assert_eq!(lacks(unit, name, major), lacked, "{unit}: {name}");
        }
    }
}
