//! The `iio` source: the kernel's industrial I/O, where accelerometers, converters and meters on I²C and SPI are.
//!
//! *Polled* reads each channel's file at a rate, which does for slow values. *Buffered* has the driver collect samples,
//! with its own time stamps, and is what vibration needs. Both are below a root directory, so that a copy of a tree
//! serves as well as the kernel's (`tests/tests/sensors/iio.rs`).

mod buffered;
mod device;
mod polled;
mod scan;

use std::path::PathBuf;
use std::sync::Arc;

use self::device::Device;
use super::super::samples::{Counts, Failed, Feed, Place, Sensor, Settings, Wanted};
use super::super::{Returns, SourceSpec, returned};
use crate::config::Section;
use crate::kinds::Kind;
use crate::stop::Stop;

/// `kind = "iio"`.
pub const KIND: Kind<dyn SourceSpec> = Kind {
    name: "iio",
    summary: "samples of the kernel's industrial I/O: accelerometers, converters, meters",
    example: r#"kind = "iio"
device = "adxl345"          # its name, or iio:device0
mode = "buffered"           # by the driver, with its time stamps; polled: read at `rate_hz`, up to 200
rate_hz = 1000              # samples a second; default: the model's
# trigger = "sysfstrig0"    # what starts a buffered sample, where the driver has no trigger of its own
# root = "/"                # another root directory
# silence_s = 2.5           # without a sample for so long it has failed, and is opened again
# start_s = 15              # how long the first sample may take
# [channels.x]              # a channel of the model: which of the device's, then value * scale + offset
# column = "accel_x"        # without it: the one that ends in _x
# unit = "g"
# scale = 0.10197           # the device's own scale and offset are applied before
"#,
    build: read,
};

/// Fastest polled rate: a reading is a transfer on the bus, and the processor waits for it.
const POLLED_HZ_MAX: f64 = 200.0;

/// Who collects samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Polled,
    Buffered,
}

#[derive(Debug)]
struct Iio {
    root: PathBuf,
    device: String,
    mode: Mode,
    trigger: Option<String>,
}

/// Reads the table of such a source.
fn read(section: &Section<'_>) -> Option<Box<dyn SourceSpec>> {
    let device = section.required_text("device");
    let modes = [("polled", Mode::Polled), ("buffered", Mode::Buffered)];
    let mode = section.choice("mode", &modes).unwrap_or(Mode::Polled);
    let trigger = section.text("trigger");
    if trigger.is_some() && mode == Mode::Polled {
        section.mistake("trigger", "is for `mode = \"buffered\"`");
    }
    let root = section.path("root").unwrap_or_else(|| "/".into());
    let settings = Settings::read(section).timed();
    Some(Sensor::boxed(Iio { root, device, mode, trigger }, settings))
}

/// Samples a second that are asked for.
fn rate_hz(wanted: &Wanted) -> f64 {
    wanted.rate_hz.unwrap_or(wanted.cut.rate_hz)
}

impl Place for Iio {
    fn what(&self) -> String {
        format!("the IIO device `{}`", self.device)
    }

    fn open(&self, wanted: &Arc<Wanted>, counts: &Arc<Counts>) -> Result<Box<dyn Feed>, Failed> {
        let device = Device::find(&self.root, &self.device)?;
        Ok(match self.mode {
            Mode::Polled => Box::new(polled::Polled::open(&device, wanted, counts, self.what())?),
            Mode::Buffered => {
                Box::new(buffered::Buffered::open(&device, wanted, self.trigger.as_deref())?)
            }
        })
    }

    fn source_hz(&self, wanted: &Wanted) -> Option<f64> {
        Some(rate_hz(wanted))
    }

    fn refuses(&self, wanted: &Wanted) -> Option<String> {
        let rate = rate_hz(wanted);
        (self.mode == Mode::Polled && rate > POLLED_HZ_MAX).then(|| {
            format!("{rate} samples a second are not polled: set `mode = \"buffered\"`, or `rate_hz` to at most {POLLED_HZ_MAX}")
        })
    }

    fn returns(&self, _: &Stop) -> Option<Returns> {
        let (root, device) = (self.root.clone(), self.device.clone());
        Some(returned(move || Device::find(&root, &device).is_ok()))
    }
}
