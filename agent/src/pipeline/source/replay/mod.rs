//! The `replay` source: pictures from files, as if a camera gave them.
//!
//! `path` is a folder of JPEG and PNG pictures (in the order of their names; other files are ignored), one
//! such picture, or a Motion-JPEG file. A picture that cannot be used is logged, counted and skipped; where
//! none can be used in a whole round, that is an error. Pictures of a folder that is shown again and again
//! are kept in memory as far as `KEPT_BYTES_MAX` goes. What comes into a folder after it was opened is not
//! seen.

mod markers;
pub(super) mod picture;
mod stream;
mod times;

use std::error::Error;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

pub use self::picture::PictureError;
pub(crate) use self::picture::{decode, load};
pub(super) use self::stream::{Found, Stream};
pub use self::times::TIMES;
use self::times::Times;
use super::pace::{Pace, Ticker};
use super::{Next, Source, SourceError, SourceSpec};
use crate::config::Section;
use crate::hw::pages;
use crate::pipeline::frame::{Colour, Frame, PixelFormat, Pixels, Plane};
use crate::stop::Stop;

/// Most pictures of a folder: a day at one a second, and the list of their names stays small.
const FILES_MAX: usize = 100_000;

/// Most bytes of pictures that are kept: a demonstration's worth, and nothing that a small board would miss.
const KEPT_BYTES_MAX: usize = 32 << 20;

/// Rate where nothing is configured.
const RATE_HZ: f64 = 10.0;

/// Slowest and fastest that a recording is expected to be.
const RATES_HZ: std::ops::RangeInclusive<f64> = 0.05..=1000.0;

/// The pace of a recording: its own.
const RECORDED: &str = "recorded";

/// Pictures that cannot be used are named in the log at most so often.
const COMPLAINT_EVERY: Duration = Duration::from_secs(10);

/// Why there is nothing to replay.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The system refused. Look at path and permissions.
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    /// A pipe, a device.
    #[error("it is neither a file nor a folder")]
    Kind,
    /// The folder has no picture.
    #[error("no file in it ends in .jpg, .jpeg or .png")]
    Empty,
    /// The folder has too many.
    #[error("more than {FILES_MAX} files in it end in .jpg, .jpeg or .png: split it")]
    Many,
    /// It is no recording, or its times cannot be read.
    #[error("its {TIMES} cannot be read: `pace = \"recorded\"` is for what `vedette record` wrote")]
    Times(#[source] io::Error),
    /// A line of its times is none.
    #[error("line {0} of its {TIMES} has no file, time and time stamp")]
    TimesLine(usize),
    /// Neither JPEG nor PNG.
    #[error("it is neither a JPEG or PNG picture nor a Motion-JPEG file")]
    NotPicture,
    /// None of the pictures can be used; the last one's reason.
    #[error("none of its {count} pictures can be used, the last one because")]
    Unusable {
        /// How many were tried.
        count: u64,
        /// What is wrong with the last one.
        source: PictureError,
    },
}

/// A configured replay.
#[derive(Debug)]
struct Replay {
    path: PathBuf,
    pace: Pace,
    repeat: bool,
    /// At the times of a recording; `pace` is then what is expected.
    recorded: bool,
}

/// Reads a replay source's table.
#[must_use]
pub fn read(section: &Section<'_>) -> Option<Box<dyn SourceSpec>> {
    let path = section.required_path("path");
    let recorded = section.text("pace").as_deref() == Some(RECORDED);
    let pace = match recorded {
        true => Some(Pace::Hz(section.number("rate_hz", RATES_HZ).unwrap_or(RATE_HZ))),
        false => Pace::read(section, RATE_HZ),
    };
    let repeat = section.flag("loop").unwrap_or(false);
    Some(Box::new(Replay { path, pace: pace?, repeat, recorded }))
}

impl SourceSpec for Replay {
    fn open(&self) -> Result<Box<dyn Source>, SourceError> {
        let what = self.path.display().to_string();
        let input = Input::open(&self.path)
            .map_err(|error| SourceError::Open { what: what.clone(), source: error.into() })?;
        let times = self.recorded.then(|| Times::read(&self.path)).transpose();
        let times = times
            .map_err(|error| SourceError::Open { what: what.clone(), source: error.into() })?;
        let pace = if self.recorded { Pace::Free } else { self.pace };
        Ok(Box::new(Open {
            what,
            input,
            repeat: self.repeat,
            ticker: Ticker::new(pace),
            times,
            between: Duration::from_secs_f64(self.pace.rate_hz().map_or(0.0, f64::recip)),
            began: None,
            seq: 0,
            round: Round::default(),
            bad: Complaints::default(),
            buffer: Vec::new(),
        }))
    }

    fn rate_hz(&self) -> Option<f64> {
        self.pace.rate_hz()
    }
}

/// Where pictures come from.
enum Input {
    Files(Files),
    Stream(Stream<File>),
}

impl Input {
    fn open(path: &Path) -> Result<Self, ReplayError> {
        let facts = std::fs::metadata(path).map_err(ReplayError::Read)?;
        if facts.is_dir() {
            return Ok(Self::Files(Files::new(list(path)?)));
        }
        if !facts.is_file() {
            return Err(ReplayError::Kind);
        }
        let mut file = File::open(path).map_err(ReplayError::Read)?;
        let mut start = Vec::new();
        (&mut file).take(8).read_to_end(&mut start).map_err(ReplayError::Read)?;
        file.rewind().map_err(ReplayError::Read)?;
        let is_one = picture::is_png(&start) || has_extension(path, &["jpg", "jpeg"]);
        match picture::is_jpeg(&start) {
            _ if is_one => Ok(Self::Files(Files::new(vec![path.to_owned()]))),
            true => Ok(Self::Stream(Stream::new(file))),
            false => Err(ReplayError::NotPicture),
        }
    }

    /// The next picture of this round, or none.
    fn next(
        &mut self,
        frame: &mut Frame,
        buffer: &mut Vec<u8>,
        repeat: bool,
    ) -> Result<Option<Tried>, ReplayError> {
        match self {
            Self::Files(files) => Ok(files.next(frame, buffer, repeat)),
            Self::Stream(stream) => match stream.next(buffer).map_err(ReplayError::Read)? {
                Found::End => Ok(None),
                Found::Picture => Ok(Some(picture::jpeg(buffer, frame))),
                Found::Bad(error) => Ok(Some(Err(error))),
            },
        }
    }

    /// Begins another round.
    fn rewind(&mut self) -> Result<(), ReplayError> {
        match self {
            Self::Files(files) => {
                files.next = 0;
                Ok(())
            }
            Self::Stream(stream) => stream.rewind().map_err(ReplayError::Read),
        }
    }

    /// What was tried last.
    fn name(&self) -> Option<&Path> {
        match self {
            Self::Files(files) => {
                files.list.get(files.next.saturating_sub(1)).map(|one| one.path.as_path())
            }
            Self::Stream(_) => None,
        }
    }
}

/// The frame is filled, or the picture cannot be used.
type Tried = Result<(), PictureError>;

/// Pictures in files of their own.
struct Files {
    list: Vec<One>,
    next: usize,
    kept_bytes: usize,
}

struct One {
    path: PathBuf,
    kept: Option<Kept>,
}

/// A picture that stays in memory.
struct Kept {
    format: PixelFormat,
    size: (u32, u32),
    colour: Colour,
    planes: [Plane; 3],
    bytes: Arc<Vec<u8>>,
}

impl Files {
    fn new(paths: Vec<PathBuf>) -> Self {
        let list = paths.into_iter().map(|path| One { path, kept: None }).collect();
        Self { list, next: 0, kept_bytes: 0 }
    }

    fn next(&mut self, frame: &mut Frame, buffer: &mut Vec<u8>, repeat: bool) -> Option<Tried> {
        let one = self.list.get_mut(self.next)?;
        self.next += 1;
        if let Some(kept) = &one.kept {
            kept.show(frame);
            return Some(Ok(()));
        }
        let tried = picture::load(&one.path, frame, buffer);
        let bytes = self.kept_bytes.saturating_add(frame.pixels.len());
        if tried.is_ok() && repeat && bytes <= KEPT_BYTES_MAX {
            self.kept_bytes = bytes;
            one.kept.insert(Kept::new(frame)).show(frame);
        }
        Some(tried)
    }
}

impl Kept {
    fn new(frame: &Frame) -> Self {
        let &Frame { format, width, height, colour, planes, ref pixels, .. } = frame;
        Self { format, size: (width, height), colour, planes, bytes: Arc::new(pages::copy(pixels)) }
    }

    fn show(&self, frame: &mut Frame) {
        (frame.format, frame.colour, frame.planes) = (self.format, self.colour, self.planes);
        (frame.width, frame.height) = self.size;
        frame.pixels = Pixels::Shared(self.bytes.clone());
    }
}

/// What has happened since the first picture was last shown.
#[derive(Debug, Default)]
struct Round {
    good: u64,
    bad: u64,
    last: Option<PictureError>,
}

/// Keeps the log readable.
#[derive(Debug, Default)]
struct Complaints {
    last: Option<Instant>,
    unsaid: u64,
}

impl Complaints {
    /// Whether to say it, and how many were not said before. `None`: not now.
    fn say(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now.duration_since(last) < COMPLAINT_EVERY) {
            self.unsaid += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

/// An open replay.
struct Open {
    what: String,
    input: Input,
    repeat: bool,
    ticker: Ticker,
    /// Of a recording, when its pictures were taken.
    times: Option<Times>,
    /// From the last picture of a recording to the first of its next round.
    between: Duration,
    /// When this round of a recording began, and the time of its last picture.
    began: Option<(Instant, Duration)>,
    seq: u64,
    round: Round,
    bad: Complaints,
    buffer: Vec<u8>,
}

impl Open {
    /// Fills the frame with the next picture that can be used.
    fn fill(&mut self, frame: &mut Frame, stop: &Stop) -> Result<Next, ReplayError> {
        loop {
            if stop.said() {
                return Ok(Next::Stopped);
            }
            match self.input.next(frame, &mut self.buffer, self.repeat)? {
                Some(Ok(())) => {
                    self.round.good += 1;
                    return Ok(Next::Frame);
                }
                Some(Err(error)) => {
                    self.complain(&error);
                    self.round.bad += 1;
                    self.round.last = Some(error);
                }
                None => match std::mem::take(&mut self.round) {
                    Round { good: 0, bad: count, last } => {
                        let source = last.unwrap_or(PictureError::Empty);
                        return Err(ReplayError::Unusable { count, source });
                    }
                    _ if self.repeat => self.input.rewind()?,
                    round => {
                        self.round = round;
                        return Ok(Next::End);
                    }
                },
            }
        }
    }

    fn complain(&mut self, error: &PictureError) {
        let Some(unsaid) = self.bad.say(Instant::now()) else { return };
        let file =
            self.input.name().map_or_else(|| self.what.clone(), |path| path.display().to_string());
        let error: &(dyn Error + 'static) = error;
        tracing::warn!(file, error, unsaid, "a picture cannot be used and is skipped");
    }
}

impl Open {
    /// Waits until the picture of a recording is due; its time stamp. `None` where there is none, or `stop` was said.
    fn wait_recorded(&mut self, stop: &Stop) -> Option<Timestamp> {
        let (at, ts) = self.times.as_ref()?.of(self.input.name()?)?;
        let now = Instant::now();
        let first_at = |due: Instant| due.checked_sub(at).unwrap_or(due);
        let began = match self.began {
            None => first_at(now),
            // Not later than the last one: it began again, a frame after that.
            Some((_, last)) if at <= last => first_at(now + self.between),
            Some((began, _)) => began,
        };
        self.began = Some((began, at));
        let wait = (began + at).saturating_duration_since(now);
        (!stop.wait(wait)).then_some(ts)
    }
}

impl Source for Open {
    fn next(&mut self, frame: &mut Frame, stop: &Stop) -> Result<Next, SourceError> {
        if self.ticker.wait(stop) {
            return Ok(Next::Stopped);
        }
        match self.fill(frame, stop) {
            Ok(Next::Frame) => {}
            Ok(other) => return Ok(other),
            Err(error) => {
                let what = self.what.clone();
                return Err(SourceError::Read { what, source: error.into() });
            }
        }
        let recorded = self.wait_recorded(stop);
        (frame.captured, frame.ts) = (Instant::now(), recorded.unwrap_or_else(Timestamp::now));
        (frame.seq, frame.truth) = (self.seq, None);
        self.seq += 1;
        Ok(Next::Frame)
    }
}

/// The pictures in a folder, in the order of their names.
fn list(folder: &Path) -> Result<Vec<PathBuf>, ReplayError> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(ReplayError::Read)? {
        let path = entry.map_err(ReplayError::Read)?.path();
        if has_extension(&path, &["jpg", "jpeg", "png"]) {
            if paths.len() == FILES_MAX {
                return Err(ReplayError::Many);
            }
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(ReplayError::Empty);
    }
    paths.sort_unstable();
    Ok(paths)
}

fn has_extension(path: &Path, known: &[&str]) -> bool {
    let found = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    known.iter().any(|known| found.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests;
