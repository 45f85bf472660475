//! Samples that the driver collects, with its time stamps.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::OFlags;

use super::super::super::samples::{Failed, Fed, Feed, Got, Rows, Wanted, read_fd};
use super::device::{Device, DeviceError, names_in, required, tell};
use super::rate_hz;
use super::scan::{Type, layout};
use crate::report;
use crate::stop::Stop;

/// Samples that the driver keeps for us, in seconds: longer than we are ever away.
const KEPT_S: f64 = 2.0;
/// Fewest and most of them.
const KEPT: std::ops::RangeInclusive<f64> = 16.0..=65_536.0;
/// Bytes that are read at once.
const CHUNK_BYTES: usize = 16 << 10;
/// The channel with the driver's time stamps.
const TIMESTAMP: &str = "timestamp";

/// See the module.
pub(super) struct Buffered {
    wanted: Arc<Wanted>,
    folder: PathBuf,
    node: File,
    /// By channel: where it lies in a sample, how, and what is made of it.
    values: Vec<(usize, Type, (f64, f64))>,
    stamp: (usize, Type),
    sample_bytes: usize,
    chunk: Vec<u8>,
    held: usize,
}

/// One channel of the buffer.
struct Element {
    name: String,
    index: u32,
    kind: Type,
}

impl Buffered {
    pub(super) fn open(
        device: &Device,
        wanted: &Arc<Wanted>,
        trigger: Option<&str>,
    ) -> Result<Self, Failed> {
        let folder = &device.folder;
        let scans = folder.join("scan_elements");
        let names = Device::channels(&scans, "_en", wanted)?;
        // Whoever had it last may not have ended it.
        tell(folder.join("buffer/enable"), "0")?;
        let mut elements = enable(&scans, &names)?;
        elements.sort_by_key(|element| element.index);
        let types: Vec<Type> = elements.iter().map(|element| element.kind).collect();
        let (places, sample_bytes) = layout(&types);
        let place = |name: &str| {
            let at = elements.iter().position(|element| element.name == name)?;
            Some((places[at], types[at]))
        };
        let mut values = Vec::with_capacity(names.len());
        for name in &names {
            // It may have gone since its channels were listed.
            let gone = || DeviceError::Channel { column: name.clone(), known: Vec::new() };
            let (at, kind) = place(name).ok_or_else(gone)?;
            values.push((at, kind, device.scale(name)?));
        }
        // Samples come many at a time: when each was taken, only the device knows.
        let column = || TIMESTAMP.to_owned();
        let unstamped = || DeviceError::Channel { column: column(), known: names.clone() };
        let stamp = place(TIMESTAMP).ok_or_else(unstamped)?;
        set_up(device, &names, wanted, trigger)?;
        tell(folder.join("buffer/enable"), "1")?;
        let mut chunk = vec![0; CHUNK_BYTES.max(sample_bytes)];
        chunk.truncate(chunk.len() / sample_bytes * sample_bytes);
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
        let node = OpenOptions::new().read(true).custom_flags(flags).open(&device.node);
        let node = node.map_err(|source| DeviceError::Read { path: device.node.clone(), source });
        let node = node.inspect_err(|_| drop(tell(folder.join("buffer/enable"), "0")))?;
        Ok(Self {
            wanted: wanted.clone(),
            folder: folder.clone(),
            node,
            values,
            stamp,
            sample_bytes,
            chunk,
            held: 0,
        })
    }

    /// Adds the whole samples of the chunk, and keeps the rest.
    fn unpack(&mut self, rows: &mut Rows) {
        let whole = self.held / self.sample_bytes * self.sample_bytes;
        let bytes = self.chunk.get(..whole).unwrap_or_default();
        for sample in bytes.chunks_exact(self.sample_bytes) {
            let value = |at: usize, kind: Type| {
                sample.get(at..at + kind.bytes()).map_or(f64::NAN, |bytes| kind.value(bytes))
            };
            let (at, kind) = self.stamp;
            let stamp = value(at, kind) / 1e9;
            let values = self.values.iter().zip(&self.wanted.channels);
            rows.push(
                Some(stamp),
                values.map(|(&(at, kind, (scale, offset)), wanted)| {
                    wanted.scaled((value(at, kind) + offset) * scale)
                }),
            );
        }
        self.chunk.copy_within(whole..self.held, 0);
        self.held -= whole;
    }
}

/// Has the driver collect these channels, its time stamps, and no others.
fn enable(scans: &Path, names: &[String]) -> Result<Vec<Element>, DeviceError> {
    let mut elements = Vec::new();
    for file in names_in(scans) {
        let name = file.strip_prefix("in_").and_then(|file| file.strip_suffix("_en"));
        let Some(name) = name else { continue };
        let wanted = name == TIMESTAMP || names.iter().any(|one| one == name);
        tell(scans.join(&file), if wanted { "1" } else { "0" })?;
        if !wanted {
            continue;
        }
        let path = scans.join(format!("in_{name}_type"));
        let kind = required(path.clone())?;
        let kind = Type::parse(&kind).ok_or(DeviceError::Odd { path, text: kind })?;
        let path = scans.join(format!("in_{name}_index"));
        let index = required(path.clone())?;
        let index = index.parse().map_err(|_| DeviceError::Odd { path, text: index })?;
        elements.push(Element { name: name.to_owned(), index, kind });
    }
    Ok(elements)
}

/// Sets rate, trigger and length, where the device has them.
fn set_up(
    device: &Device,
    names: &[String],
    wanted: &Wanted,
    trigger: Option<&str>,
) -> Result<(), DeviceError> {
    let folder = &device.folder;
    let rate = rate_hz(wanted);
    // A clock that is never set; older kernels have none to choose.
    drop(tell(folder.join("current_timestamp_clock"), "monotonic"));
    if let Some(trigger) = trigger {
        tell(folder.join("trigger/current_trigger"), trigger)?;
    }
    for path in device.rates(names) {
        match tell(path, &rate.to_string()) {
            // What nobody asked for the device may refuse: how often its samples come is measured.
            Err(error) if wanted.rate_hz.is_none() => {
                tracing::warn!(
                    error = report::chain(&error),
                    "the model's rate is not the device's"
                );
            }
            told => told?,
        }
    }
    let kept = (KEPT_S * rate).clamp(*KEPT.start(), *KEPT.end());
    tell(folder.join("buffer/length"), &format!("{kept:.0}"))
}

impl Drop for Buffered {
    fn drop(&mut self) {
        // A device that is gone has no buffer to end.
        drop(tell(self.folder.join("buffer/enable"), "0"));
    }
}

impl Feed for Buffered {
    fn fill(&mut self, rows: &mut Rows, limit: Duration, stop: &Stop) -> Result<Fed, Failed> {
        let room = self.chunk.get_mut(self.held..).unwrap_or_default();
        match read_fd(&self.node, room, limit)? {
            Got::Bytes(count) => {
                self.held += count;
                self.unpack(rows);
                Ok(Fed::Some)
            }
            Got::Nothing => Ok(Fed::Nothing),
            // Nothing is there yet; a device that is gone is an error instead.
            Got::End => {
                let _stopped = stop.wait(limit);
                Ok(Fed::Nothing)
            }
        }
    }
}
