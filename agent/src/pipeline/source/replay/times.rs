//! When the pictures of a recording were taken: the file that `vedette record` writes beside them.
//!
//! One line a picture: its file, microseconds since the first, and the wall clock's time, with a line of names above.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use super::ReplayError;
use crate::disk;

/// The file's name.
pub const TIMES: &str = "times.csv";

/// Largest such file: that of a hundred thousand pictures.
const BYTES_MAX: u64 = 16 << 20;

/// When each picture was taken.
#[derive(Debug, Default)]
pub(super) struct Times(HashMap<String, (Duration, Timestamp)>);

impl Times {
    /// Reads those of the recording in `folder`.
    ///
    /// # Errors
    /// There are none, or a line is none.
    pub(super) fn read(folder: &Path) -> Result<Self, ReplayError> {
        let bytes =
            disk::read_bounded(&folder.join(TIMES), BYTES_MAX).map_err(ReplayError::Times)?;
        let text = String::from_utf8_lossy(&bytes);
        let mut times = HashMap::new();
        // What a power cut left of the last line is no picture of this recording.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        for (number, line) in whole.lines().enumerate().skip(1) {
            let (file, time) = parse(line).ok_or(ReplayError::TimesLine(number + 1))?;
            times.insert(file.to_owned(), time);
        }
        Ok(Self(times))
    }

    /// When the picture in `file` was taken: since the first, and by the wall clock.
    pub(super) fn of(&self, file: &Path) -> Option<(Duration, Timestamp)> {
        self.0.get(file.file_name()?.to_str()?).copied()
    }
}

fn parse(line: &str) -> Option<(&str, (Duration, Timestamp))> {
    let mut fields = line.split(',');
    let (file, us, ts) = (fields.next()?, fields.next()?, fields.next()?);
    Some((file, (Duration::from_micros(us.parse().ok()?), ts.parse().ok()?)))
}
