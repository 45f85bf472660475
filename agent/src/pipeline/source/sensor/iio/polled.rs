//! Each channel's file, read at a rate.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::super::samples::{Counts, Failed, Fed, Feed, Rows, Trouble, Wanted};
use super::device::Device;
use super::rate_hz;
use crate::stop::Stop;

/// Longest value.
const VALUE_BYTES_MAX: usize = 64;

/// See the module.
pub(super) struct Polled {
    what: String,
    wanted: Arc<Wanted>,
    counts: Arc<Counts>,
    channels: Vec<Channel>,
    values: Vec<f64>,
    period: Duration,
    opened: Instant,
    due: Instant,
}

struct Channel {
    file: File,
    scale: f64,
    offset: f64,
}

impl Polled {
    pub(super) fn open(
        device: &Device,
        wanted: &Arc<Wanted>,
        counts: &Arc<Counts>,
        what: String,
    ) -> Result<Self, Failed> {
        let mut channels = Vec::new();
        for name in Device::channels(&device.folder, "_raw", wanted)? {
            let file = File::open(device.folder.join(format!("in_{name}_raw")))?;
            let (scale, offset) = device.scale(&name)?;
            channels.push(Channel { file, scale, offset });
        }
        let now = Instant::now();
        Ok(Self {
            what,
            values: vec![0.0; channels.len()],
            channels,
            period: Duration::from_secs_f64(1.0 / rate_hz(wanted)),
            wanted: wanted.clone(),
            counts: counts.clone(),
            opened: now,
            due: now,
        })
    }

    fn sample(&mut self) -> io::Result<()> {
        let channels = self.channels.iter().zip(&self.wanted.channels);
        for (value, (channel, wanted)) in self.values.iter_mut().zip(channels) {
            *value = wanted.scaled((channel.raw()? + channel.offset) * channel.scale);
        }
        Ok(())
    }
}

impl Channel {
    fn raw(&self) -> io::Result<f64> {
        let mut bytes = [0; VALUE_BYTES_MAX];
        let count = self.file.read_at(&mut bytes, 0)?;
        let text = std::str::from_utf8(bytes.get(..count).unwrap_or_default()).unwrap_or_default();
        text.trim().parse::<f64>().map_err(|_| io::ErrorKind::InvalidData.into())
    }
}

impl Feed for Polled {
    fn fill(&mut self, rows: &mut Rows, limit: Duration, stop: &Stop) -> Result<Fed, Failed> {
        let now = Instant::now();
        let wait = self.due.saturating_duration_since(now);
        if stop.wait(wait.min(limit)) || wait > limit {
            return Ok(Fed::Nothing);
        }
        let taken = Instant::now();
        // Turns that are past are left out: their time is between two samples.
        self.due = (self.due + self.period).max(taken);
        match self.sample() {
            Ok(()) => {
                let stamp = taken.saturating_duration_since(self.opened).as_secs_f64();
                rows.push(Some(stamp), self.values.iter().copied());
                Ok(Fed::Some)
            }
            // The device is gone; anything else may be better the next time.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) => {
                Err(error.into())
            }
            Err(error) => {
                self.counts.unusable(&self.what, Trouble::NotNumber, || error.to_string());
                Ok(Fed::Nothing)
            }
        }
    }
}
