//! `vedette record`: writes what a source saw, for replay and for golden tests.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;

use super::source::{SourceArgs, png};
use super::{complain, say};
use crate::disk;
use crate::hw::jpeg::Encoder;
use crate::pipeline::frame::{Frame, PixelFormat};
use crate::pipeline::rgb;
use crate::pipeline::source::replay::TIMES;
use crate::pipeline::source::{Next, Source};
use crate::report;
use crate::stop::Stop;
use crate::supervisor::exit;

/// Records frames of a source into a new folder: JPEG as the camera gave it, other formats as PNG without loss.
/// `replay` with `pace = "recorded"` shows them again at their times.
#[derive(Debug, Args)]
pub(super) struct Record {
    #[command(flatten)]
    source: SourceArgs,
    /// The folder; must not be there, or be empty
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Most frames
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    frames: u32,
    /// Longest time
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Most megabytes
    #[arg(long, value_name = "MB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    megabytes: u64,
    /// Write JPEG of this quality instead of PNG: smaller and quicker, and not exact
    #[arg(long, value_name = "1-100", value_parser = clap::value_parser!(u8).range(1..=100))]
    jpeg: Option<u8>,
}

impl Record {
    pub(super) fn run(self) -> u8 {
        match self.record() {
            Ok(said) => {
                say(&said);
                exit::OK
            }
            Err(message) => {
                complain(&message);
                exit::FAILED
            }
        }
    }

    fn record(&self) -> Result<String, String> {
        let spec = self.source.spec()?;
        let mut source = spec.open().map_err(|error| report::chain(&error))?;
        let mut tape = Tape::new(&self.out, self.jpeg)?;
        let why = self.run_tape(source.as_mut(), &mut tape);
        let (count, bytes, out) = (tape.count, tape.bytes >> 20, self.out.display());
        match why {
            Ok(why) => Ok(format!("{count} frames, {bytes} MB, in `{out}`; {why}")),
            Err(error) if count > 0 => {
                Err(format!("{error}; the {count} frames until then are in `{out}`"))
            }
            Err(error) => Err(error),
        }
    }

    /// Records until a bound is reached, and says which.
    fn run_tape(&self, source: &mut dyn Source, tape: &mut Tape) -> Result<&'static str, String> {
        let (stop, mut frame) = (Stop::new(), Frame::default());
        let until = Instant::now() + Duration::from_secs(self.seconds);
        loop {
            match source.next(&mut frame, &stop) {
                Ok(Next::Frame) => tape.add(&frame)?,
                Ok(_) => return Ok("the source ended"),
                Err(error) => return Err(report::chain(&error)),
            }
            if tape.count >= self.frames {
                return Ok("as many as wanted");
            }
            if Instant::now() >= until {
                return Ok("the time was over");
            }
            if tape.bytes >= self.megabytes << 20 {
                return Ok("the room was full");
            }
        }
    }
}

/// A recording that is being made. Whole after each frame: what a power cut leaves can be replayed.
struct Tape {
    folder: PathBuf,
    times: File,
    count: u32,
    bytes: u64,
    first: Option<Instant>,
    pixels: Vec<u8>,
    jpeg: Option<(Encoder, u8)>,
}

impl Tape {
    fn new(folder: &Path, quality: Option<u8>) -> Result<Self, String> {
        let wrong = |error: &dyn std::error::Error| {
            format!("cannot record into `{}`: {}", folder.display(), report::chain(error))
        };
        disk::create_directory(folder).map_err(|error| wrong(&error))?;
        if std::fs::read_dir(folder).map_err(|error| wrong(&error))?.next().is_some() {
            return Err(format!("`{}` is not empty: name a new folder", folder.display()));
        }
        let mut times = File::create(folder.join(TIMES)).map_err(|error| wrong(&error))?;
        times.write_all(b"file,us,ts\n").map_err(|error| wrong(&error))?;
        let encoder = quality.map(|quality| Encoder::new().map(|encoder| (encoder, quality)));
        let jpeg = encoder.transpose().map_err(|error| wrong(&error))?;
        let (folder, pixels) = (folder.to_owned(), Vec::new());
        Ok(Self { folder, times, count: 0, bytes: 0, first: None, pixels, jpeg })
    }

    fn add(&mut self, frame: &Frame) -> Result<(), String> {
        let (bytes, extension) = match (frame.format, &mut self.jpeg) {
            (PixelFormat::Mjpeg, _) => (frame.pixels.to_vec(), "jpg"),
            (_, None) => (png(frame, &mut self.pixels)?, "png"),
            (_, Some((encoder, quality))) => {
                rgb::to_rgb(frame, &mut self.pixels).map_err(|error| report::chain(&error))?;
                let mut bytes = Vec::new();
                encoder
                    .encode_rgb(&self.pixels, frame.width, frame.height, *quality, &mut bytes)
                    .map_err(|error| report::chain(&error))?;
                (bytes, "jpg")
            }
        };
        let name = format!("{:06}.{extension}", self.count);
        let first = *self.first.get_or_insert(frame.captured);
        let us = frame.captured.saturating_duration_since(first).as_micros();
        let written = File::create(self.folder.join(&name))
            .and_then(|mut file| file.write_all(&bytes))
            .and_then(|()| writeln!(self.times, "{name},{us},{}", frame.ts));
        written.map_err(|error| format!("cannot write `{}`: {error}", self.folder.display()))?;
        self.count += 1;
        self.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(())
    }
}
