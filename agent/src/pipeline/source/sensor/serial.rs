//! The `serial` source: lines from a sensor on a serial port, or on a USB plug that looks like one.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::super::samples::{
    Bytes, Counts, Failed, Feed, Format, Got, Place, Reader, Sensor, Settings, Text, Wanted,
    format, read_fd,
};
use super::super::{Returns, SourceSpec, returned};
use crate::config::Section;
use crate::hw::serial;
use crate::kinds::Kind;
use crate::stop::Stop;

/// Rate of a line where nothing is configured.
const BAUD: u32 = 115_200;
/// Slowest and fastest line.
const BAUDS: std::ops::RangeInclusive<u32> = 300..=4_000_000;

/// `kind = "serial"`.
pub const KIND: Kind<dyn SourceSpec> = Kind {
    name: "serial",
    summary: "samples as lines from a serial port: CSV or JSON, 8 bits, no parity",
    example: r#"kind = "serial"
device = "/dev/ttyUSB0"     # better one of /dev/serial/by-id/: the same after a reboot
baud = 115200               # 300 to 4000000
format = "csv"              # csv, jsonl; columns, separator, time, channels as `csv` has them
rate_hz = 100               # samples a second; default: the model's
# silence_s = 2.5           # without anything for so long it has failed, and is opened again
# start_s = 15              # how long the first sample may take
"#,
    build: read,
};

#[derive(Debug)]
struct Serial {
    device: PathBuf,
    baud: u32,
    format: Format,
}

/// Reads the table of such a source.
fn read(section: &Section<'_>) -> Option<Box<dyn SourceSpec>> {
    let device = section.required_path("device");
    let baud = section.integer("baud", BAUDS).unwrap_or(BAUD);
    let format = format(section);
    Some(Sensor::boxed(Serial { device, baud, format }, Settings::text(section, format)))
}

impl Place for Serial {
    fn what(&self) -> String {
        self.device.display().to_string()
    }

    fn open(&self, wanted: &Arc<Wanted>, counts: &Arc<Counts>) -> Result<Box<dyn Feed>, Failed> {
        let port = serial::open(&self.device, self.baud)?;
        let reader = Reader::new(&self.what(), self.format, false, wanted, counts);
        // Nobody waited for us with a line's beginning.
        Ok(Box::new(Text::new(Box::new(Open(port)), true, reader)))
    }

    fn refuses(&self, wanted: &Wanted) -> Option<String> {
        // Two digits and a separator are the shortest value, ten bits of the line a byte.
        let channels = u32::try_from(wanted.channels.len()).unwrap_or(u32::MAX);
        let least = 30.0 * f64::from(channels) * wanted.rate_hz.unwrap_or(0.0);
        (least > f64::from(self.baud)).then(|| {
            let rate = wanted.rate_hz.unwrap_or(0.0);
            format!(
                "{} baud do not carry {rate} samples of {channels} channels a second: raise `baud`",
                self.baud
            )
        })
    }

    fn returns(&self, _: &Stop) -> Option<Returns> {
        let device = self.device.clone();
        Some(returned(move || device.exists()))
    }
}

struct Open(File);

/// What ends a port.
#[derive(Debug, thiserror::Error)]
#[error("it is gone: was its cable pulled?")]
struct Gone(#[source] std::io::Error);

impl Bytes for Open {
    fn read(&mut self, into: &mut [u8], limit: Duration, _: &Stop) -> Result<Got, Failed> {
        match read_fd(&self.0, into, limit) {
            // A port that is there has no end.
            Ok(Got::End) => Err(Gone(std::io::ErrorKind::UnexpectedEof.into()).into()),
            Ok(got) => Ok(got),
            Err(error) => Err(Gone(error).into()),
        }
    }
}
