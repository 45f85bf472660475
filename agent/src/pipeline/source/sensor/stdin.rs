//! The `stdin` source: lines that another program pipes into the daemon.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::super::SourceSpec;
use super::super::samples::{
    Bytes, Counts, Failed, Feed, Format, Got, Place, Reader, Sensor, Settings, Text, Wanted,
    format, read_fd,
};
use crate::config::Section;
use crate::kinds::Kind;
use crate::stop::Stop;

/// `kind = "stdin"`.
pub const KIND: Kind<dyn SourceSpec> = Kind {
    name: "stdin",
    summary: "samples as lines on the daemon's standard input; ends with it",
    example: r#"kind = "stdin"
format = "csv"              # csv, jsonl; columns, separator, time, channels as `csv` has them
rate_hz = 1000              # samples a second; default: the model's
# silence_s = 2.5           # without anything for so long it has failed, and is opened again
# start_s = 15              # how long the first sample may take
"#,
    build: read,
};

/// Standard input has one reader.
static READS: AtomicBool = AtomicBool::new(false);

#[derive(Debug)]
struct Stdin {
    format: Format,
}

/// Reads the table of such a source.
fn read(section: &Section<'_>) -> Option<Box<dyn SourceSpec>> {
    let format = format(section);
    Some(Sensor::boxed(Stdin { format }, Settings::text(section, format)))
}

impl Place for Stdin {
    fn what(&self) -> String {
        "standard input".to_owned()
    }

    fn open(&self, wanted: &Arc<Wanted>, counts: &Arc<Counts>) -> Result<Box<dyn Feed>, Failed> {
        let open = Open::new()?;
        let reader = Reader::new(&self.what(), self.format, false, wanted, counts);
        Ok(Box::new(Text::new(Box::new(open), false, reader)))
    }
}

struct Open;

impl Open {
    fn new() -> Result<Self, Failed> {
        if READS.swap(true, Ordering::SeqCst) {
            return Err("another pipeline reads it: one of them will do".into());
        }
        Ok(Self)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        READS.store(false, Ordering::SeqCst);
    }
}

impl Bytes for Open {
    fn read(&mut self, into: &mut [u8], limit: Duration, _: &Stop) -> Result<Got, Failed> {
        Ok(read_fd(io::stdin(), into, limit)?)
    }
}
