//! Samples from a file, as if a sensor gave them: what `csv` and `jsonl` have in common.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::super::SourceSpec;
use super::super::samples::{
    Bytes, Counts, Failed, Feed, Format, Got, Pace, Place, Reader, Sensor, Settings, Text, Wanted,
};
use crate::config::Section;
use crate::stop::Stop;

/// A file to be replayed.
#[derive(Debug)]
struct Recording {
    path: PathBuf,
    format: Format,
    pace: Pace,
    repeat: bool,
}

/// Reads the table of a source that replays a file of `format`.
pub(super) fn read(section: &Section<'_>, format: Format) -> Box<dyn SourceSpec> {
    let path = section.required_path("path");
    let settings = Settings::text(section, format);
    let paces = [
        ("real-time", Pace::Kept { stamps: false }),
        ("recorded", Pace::Kept { stamps: true }),
        ("free", Pace::Free),
    ];
    let pace = section.choice("pace", &paces).unwrap_or(Pace::Kept { stamps: false });
    if pace == (Pace::Kept { stamps: true }) && !settings.is_timed() {
        section.mistake("pace", "`recorded` needs `time`: the column with the time of each sample");
    }
    let repeat = section.flag("loop").unwrap_or(false);
    Sensor::boxed(Recording { path, format, pace, repeat }, settings)
}

impl Place for Recording {
    fn what(&self) -> String {
        self.path.display().to_string()
    }

    fn open(&self, wanted: &Arc<Wanted>, counts: &Arc<Counts>) -> Result<Box<dyn Feed>, Failed> {
        let file = File::open(&self.path)?;
        if !file.metadata()?.is_file() {
            return Err("it is no file".into());
        }
        let reader = Reader::new(&self.what(), self.format, true, wanted, counts);
        let bytes = Box::new(Open { file, repeat: self.repeat });
        Ok(Box::new(Text::new(bytes, false, reader)))
    }

    fn pace(&self) -> Pace {
        self.pace
    }
}

struct Open {
    file: File,
    repeat: bool,
}

impl Bytes for Open {
    fn read(&mut self, into: &mut [u8], _: Duration, _: &Stop) -> Result<Got, Failed> {
        match self.file.read(into) {
            Ok(0) => Ok(Got::End),
            Ok(count) => Ok(Got::Bytes(count)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Got::Nothing),
            Err(error) => Err(error.into()),
        }
    }

    fn again(&mut self) -> io::Result<bool> {
        if self.repeat {
            self.file.rewind()?;
        }
        Ok(self.repeat)
    }
}
