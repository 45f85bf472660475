//! A board in one file: the files that this program reads, as they answered, errors included.
//!
//! A POSIX archive of the tree, and in it [`MANIFEST`] with what each file that did not answer said instead. Links are
//! followed while it is made, so that there are none in it. What is packed is listed in `PATTERNS`: nothing in it
//! names the device or its owner, since serial numbers and addresses are in files of their own.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::board::BOARDS;
use super::tree::{ATTRIBUTE_BYTES, FILE_BYTES_MAX, Tree, Unread};

/// The entry that says which files did not answer.
pub const MANIFEST: &str = "vedette-capture.json";
/// Most entries of a capture: some hundreds are usual.
const ENTRIES_MAX: usize = 20_000;
/// Most bytes of all entries together.
const BYTES_MAX: u64 = 16 << 20;
/// The one file that names the device.
const SERIAL: &str = "proc/device-tree/serial-number";

/// What belongs to a board; a star stands for any part of a name. The GPU nodes of all boards come on top.
const PATTERNS: &[&str] = &[
    "proc/device-tree/model",
    "proc/device-tree/compatible",
    "etc/nv_tegra_release",
    "etc/nvpmodel.conf",
    "var/lib/nvpmodel/status",
    "proc/meminfo",
    "proc/swaps",
    "proc/vmstat",
    "sys/class/dmi/id/product_name",
    "sys/class/thermal/thermal_zone*/type",
    "sys/class/thermal/thermal_zone*/temp",
    "sys/class/thermal/thermal_zone*/trip_point_*",
    "sys/class/thermal/thermal_zone*/cdev*_trip_point",
    "sys/class/thermal/thermal_zone*/cdev*/type",
    "sys/class/thermal/cooling_device*/type",
    "sys/class/thermal/cooling_device*/*_state",
    "sys/class/hwmon/hwmon*/name",
    "sys/class/hwmon/hwmon*/*_label",
    "sys/class/hwmon/hwmon*/*_input",
    "sys/class/hwmon/hwmon*/*_crit",
    "sys/class/hwmon/hwmon*/*_max",
    "sys/class/hwmon/hwmon*/*_alarm",
    "sys/class/hwmon/hwmon*/pwm*",
    "sys/class/hwmon/hwmon*/rpm",
    "sys/class/hwmon/hwmon*/oc*",
    "sys/class/hwmon/hwmon*/samples",
    "sys/bus/i2c/drivers/ina3221x/*/iio:device*/*_input",
    "sys/bus/i2c/drivers/ina3221x/*/iio:device*/rail_name_*",
    "sys/bus/i2c/drivers/ina3221x/*/iio:device*/*_limit_*",
    "sys/class/devfreq/*/*_freq",
    "sys/class/devfreq/*/governor",
    "sys/class/devfreq/*/device/load",
    "sys/class/devfreq/*/device/of_node/name",
    "sys/class/devfreq/*/device/power/runtime_status",
    "sys/devices/pwm-fan/*_pwm",
    "sys/devices/system/cpu/cpu*/cpufreq/scaling_*_freq",
    "sys/kernel/nvpmodel_clk_cap/*",
];

/// Which files did not answer, and with which error of the kernel's.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Manifest {
    schema: String,
    agent_version: String,
    errors: BTreeMap<String, i32>,
}

/// Writes a capture of `tree` to `out`; how many files are in it. The serial number only `with_serials`.
///
/// # Errors
/// `out` cannot be written.
pub fn pack(tree: &Tree, with_serials: bool, out: impl Write) -> io::Result<usize> {
    let nodes = BOARDS.iter().flat_map(|board| board.gpu).map(|node| format!("{node}/load"));
    let mut patterns: Vec<String> = PATTERNS.iter().map(|text| (*text).to_owned()).collect();
    patterns.extend(nodes);
    patterns.extend(with_serials.then(|| SERIAL.to_owned()));
    let mut manifest = Manifest {
        schema: "vedette/capture/1".to_owned(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        errors: BTreeMap::new(),
    };
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut buffer = Vec::new();
    for path in patterns.iter().flat_map(|pattern| expand(tree, pattern)) {
        if files.len() + manifest.errors.len() >= ENTRIES_MAX {
            break;
        }
        let Some(place) = tree.resolve(&path) else { continue };
        let max = if path.starts_with("sys/") { ATTRIBUTE_BYTES } else { FILE_BYTES_MAX };
        match tree.read(&place, max, &mut buffer) {
            Ok(()) => drop(files.insert(path, buffer.clone())),
            // A directory is no attribute: `pwm1` and such may be the beginning of one's name.
            Err(Unread::Absent | Unread::Refused(Errno::ISDIR)) => {}
            Err(Unread::Refused(errno)) => {
                manifest.errors.insert(path, errno.raw_os_error());
            }
        }
    }
    let count = files.len() + manifest.errors.len();
    files.insert(MANIFEST.to_owned(), serde_json::to_vec_pretty(&manifest)?);
    let mut archive = tar::Builder::new(out);
    for (path, bytes) in &files {
        let mut header = tar::Header::new_ustar();
        header.set_size(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        header.set_mode(0o644);
        archive.append_data(&mut header, path, bytes.as_slice())?;
    }
    archive.into_inner()?.flush()?;
    Ok(count)
}

/// What is there that `pattern` names.
fn expand(tree: &Tree, pattern: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    for part in pattern.split('/') {
        let below = |path: &String, name: &str| {
            if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
        };
        let next = found.iter().flat_map(|path| {
            if !part.contains('*') {
                return vec![below(path, part)];
            }
            let names = tree.resolve(path).map(|place| tree.names(&place)).unwrap_or_default();
            names.iter().filter(|name| fits(part, name)).map(|name| below(path, name)).collect()
        });
        found = next.collect();
    }
    found
}

/// Whether `name` is `pattern` with something for each star.
pub(crate) fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((begin, rest)) => name.strip_prefix(begin).is_some_and(|tail| {
            (0..=tail.len()).any(|at| tail.get(at..).is_some_and(|tail| fits(rest, tail)))
        }),
    }
}

/// A capture, in memory.
#[derive(Debug)]
pub struct Archive {
    /// Each file, and what it says or how it refuses.
    files: BTreeMap<String, Result<Vec<u8>, i32>>,
}

impl Archive {
    /// Reads the capture in `file`.
    ///
    /// # Errors
    /// It is none, or too large.
    pub fn read(file: impl Read) -> io::Result<Self> {
        let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let mut archive = tar::Archive::new(file.take(BYTES_MAX));
        let (mut files, mut manifest) = (BTreeMap::new(), None);
        for entry in archive.entries()? {
            let mut entry = entry?;
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let path = entry.path()?.to_string_lossy().trim_start_matches("./").to_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            if path == MANIFEST {
                let read: Manifest = serde_json::from_slice(&bytes)?;
                manifest = Some(read);
            } else {
                files.insert(path, Ok(bytes));
            }
            if files.len() > ENTRIES_MAX {
                return Err(invalid("it has too many entries"));
            }
        }
        let manifest = manifest.ok_or_else(|| invalid("it has no `vedette-capture.json`"))?;
        files.extend(manifest.errors.into_iter().map(|(path, errno)| (path, Err(errno))));
        Ok(Self { files })
    }

    /// What the file at `place` says.
    pub(super) fn file(&self, place: &str) -> Result<&[u8], Unread> {
        match self.files.get(place) {
            Some(Ok(bytes)) => Ok(bytes),
            Some(Err(errno)) => Err(Unread::Refused(Errno::from_raw_os_error(*errno))),
            None => Err(Unread::Absent),
        }
    }

    /// Whether there is a file or directory at `place`.
    pub(super) fn has(&self, place: &str) -> bool {
        self.files.contains_key(place) || self.below(place).next().is_some()
    }

    /// The names in the directory `place`.
    pub(super) fn names(&self, place: &str) -> Vec<String> {
        let mut names: Vec<String> = self
            .below(place)
            .filter_map(|rest| rest.split('/').next().map(str::to_owned))
            .collect();
        names.dedup();
        names
    }

    /// The files below the directory `place`, from there.
    fn below<'a>(&'a self, place: &str) -> impl Iterator<Item = &'a str> {
        let begin = if place.is_empty() { String::new() } else { format!("{place}/") };
        let from = self.files.range(begin.clone()..);
        from.map_while(move |(path, _)| path.strip_prefix(begin.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_part_of_a_name() {
        for (pattern, name, good) in [
            ("hwmon*", "hwmon10", true),
            ("*_input", "in1_input", true),
            ("*_input", "in1_label", false),
            ("scaling_*_freq", "scaling_min_freq", true),
            ("name", "names", false),
            ("*", "", true),
        ] {
            assert_eq!(fits(pattern, name), good, "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_no_capture_is_refused() {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(1);
        archive.append_data(&mut header, "a", &b"x"[..]).unwrap();
        let bytes = archive.into_inner().unwrap();
        assert!(Archive::read(bytes.as_slice()).is_err());
        assert!(Archive::read(&b"no archive at all, and longer than it should be"[..]).is_err());
        assert!(Archive::read(&b""[..]).is_err());
    }
}
