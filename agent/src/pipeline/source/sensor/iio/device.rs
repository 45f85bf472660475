//! One device of the kernel's industrial I/O: its files, and its channels by their names.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::super::super::samples::Wanted;

/// Where the devices are.
const DEVICES: &str = "sys/bus/iio/devices";
/// Longest attribute.
const ATTRIBUTE_BYTES_MAX: u64 = 4096;
/// Most files of a device that are looked at.
const FILES_MAX: usize = 4096;

/// Why a device cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum DeviceError {
    /// There is none of this name.
    #[error("there is no such device: {}", list(.0))]
    Missing(Vec<String>),
    /// It has no such channel.
    #[error("it has no channel `{column}`: {}", list(.known))]
    Channel { column: String, known: Vec<String> },
    /// A file of it cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// A file of it cannot be written.
    #[error("cannot write {value} to `{}`: {}", path.display(), advice(source))]
    Write { path: PathBuf, value: String, source: io::Error },
    /// A file of it says something else than is usual.
    #[error("`{}` says `{text}`, which is not understood", path.display())]
    Odd { path: PathBuf, text: String },
}

fn list(names: &[String]) -> String {
    match names {
        [] => "there is none".to_owned(),
        names => format!("there are `{}`", names.join("`, `")),
    }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::PermissionDenied => "a udev rule must give the service's group this file",
        ErrorKind::ResourceBusy => "another program has its buffer",
        ErrorKind::InvalidInput => "the device does not take it; does it need a `trigger`?",
        _ => "the device refuses it",
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Device {
    /// Its directory in sysfs.
    pub(super) folder: PathBuf,
    /// Where its buffer is read.
    pub(super) node: PathBuf,
}

impl Device {
    /// The device below `root` that is called `name`, or whose directory is.
    pub(super) fn find(root: &Path, name: &str) -> Result<Self, DeviceError> {
        let mut names = Vec::new();
        for entry in names_in(&root.join(DEVICES)) {
            let folder = root.join(DEVICES).join(&entry);
            let own = text(&folder.join("name")).unwrap_or_default();
            if entry == name || own == name {
                return Ok(Self { node: root.join("dev").join(&entry), folder });
            }
            names.push(if own.is_empty() { entry } else { own });
        }
        Err(DeviceError::Missing(names))
    }

    /// The device's names of the wanted channels, in their order, among files `in_NAME` + `end` of `folder`.
    pub(super) fn channels(
        folder: &Path,
        end: &str,
        wanted: &Wanted,
    ) -> Result<Vec<String>, DeviceError> {
        let has: Vec<String> = names_in(folder)
            .iter()
            .filter_map(|file| Some(file.strip_prefix("in_")?.strip_suffix(end)?.to_owned()))
            .collect();
        let find = |column: &str| {
            let exact = has.iter().find(|name| *name == column);
            let mut ends = has.iter().filter(|name| name.ends_with(&format!("_{column}")));
            let only = ends.next().filter(|_| ends.next().is_none());
            exact.or(only).cloned().ok_or_else(|| DeviceError::Channel {
                column: column.to_owned(),
                known: has.clone(),
            })
        };
        wanted.channels.iter().map(|channel| find(&channel.column)).collect()
    }

    /// What a raw value of a channel is multiplied with after the other was added to it: those of the channel, or
    /// those that all channels of its kind share.
    pub(super) fn scale(&self, channel: &str) -> Result<(f64, f64), DeviceError> {
        let kind = kind(channel);
        let read = |what: &str, default: f64| {
            for name in [channel, kind] {
                let path = self.folder.join(format!("in_{name}_{what}"));
                match text(&path) {
                    Ok(text) => return number(path, &text),
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(source) => return Err(DeviceError::Read { path, source }),
                }
            }
            Ok(default)
        };
        Ok((read("scale", 1.0)?, read("offset", 0.0)?))
    }

    /// The files that set how often these channels are sampled: the device's own where it has one, else those of
    /// their kinds, else those of each.
    pub(super) fn rates(&self, channels: &[String]) -> Vec<PathBuf> {
        let mut rates = Vec::new();
        for channel in channels {
            let names = [String::new(), format!("in_{}_", kind(channel)), format!("in_{channel}_")];
            let paths = names.map(|name| self.folder.join(format!("{name}sampling_frequency")));
            let found = paths.into_iter().find(|path| path.exists());
            rates.extend(found.filter(|path| !rates.contains(path)));
        }
        rates
    }
}

/// What a channel measures: `accel` of `accel_x`, `voltage` of `voltage0`.
fn kind(channel: &str) -> &str {
    channel.split('_').next().unwrap_or(channel).trim_end_matches(char::is_numeric)
}

pub(super) fn number(path: PathBuf, text: &str) -> Result<f64, DeviceError> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(DeviceError::Odd { path, text: text.to_owned() }),
    }
}

/// Names of the files in a directory, sorted; none where it cannot be read.
pub(super) fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(FILES_MAX);
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

/// What an attribute says, without the line's end.
pub(super) fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(ATTRIBUTE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

/// What an attribute says that must be there.
pub(super) fn required(path: PathBuf) -> Result<String, DeviceError> {
    text(&path).map_err(|source| DeviceError::Read { path, source })
}

/// Tells the kernel `value`.
pub(super) fn tell(path: PathBuf, value: &str) -> Result<(), DeviceError> {
    let written = OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(&path)
        .and_then(|mut file| file.write_all(value.as_bytes()));
    written.map_err(|source| DeviceError::Write { path, value: value.to_owned(), source })
}
