//! The `pattern` source: moving shapes of which it is known where they are, for trying everything that comes
//! after without a camera.
//!
//! `Scene` decides what is to be seen, from seed and frame number alone;
//! `Painter` paints it. Frames carry their truth. In the steady state nothing is allocated
//! (a cut to another scene and the JPEG encoder's own work excepted).

mod outline;
mod paint;
mod random;
mod scene;

use std::time::Instant;

use jiff::Timestamp;

use self::paint::Painter;
use self::scene::{Scene, Script};
use super::pace::{Pace, Ticker};
use super::{Next, Source, SourceError, SourceSpec};
use crate::config::Section;
use crate::hw::jpeg::{Encoder, JpegError};
use crate::pipeline::frame::{
    Colour, Frame, Matrix, PixelFormat, Pixels, Plane, Range, SIDE_MAX, check_size,
};
use crate::stop::Stop;

/// Smallest side: a shape of a smaller picture would have no pixel.
const SIDE_MIN: u32 = 16;

/// Most shapes: more would only cover each other.
const SHAPES_MAX: u32 = 16;

/// Frames from cut to cut where nothing is configured: five seconds.
const CUT: u32 = 150;

/// Rate where nothing is configured; also what the motion is for where frames are given as fast as possible.
const RATE_HZ: f64 = 30.0;

/// JPEG quality: what cameras commonly use, and what models see no difference in.
const QUALITY: u8 = 90;

/// Colour spaces and their names in configurations.
const COLOURS: &[(&str, Colour)] = &[
    ("bt601-limited", Colour { matrix: Matrix::Bt601, range: Range::Limited }),
    ("bt601-full", Colour { matrix: Matrix::Bt601, range: Range::Full }),
    ("bt709-limited", Colour { matrix: Matrix::Bt709, range: Range::Limited }),
    ("bt709-full", Colour { matrix: Matrix::Bt709, range: Range::Full }),
];

/// A configured pattern.
#[derive(Debug)]
struct Pattern {
    format: PixelFormat,
    colour: Colour,
    pace: Pace,
    /// It ends after so many.
    frames: Option<u64>,
    script: Script,
}

/// Reads a pattern source's table.
#[must_use]
pub fn read(section: &Section<'_>) -> Option<Box<dyn SourceSpec>> {
    let side = |key, default| match section.integer(key, SIDE_MIN..=SIDE_MAX) {
        None if section.has(key) => None,
        found => Some(found.unwrap_or(default)),
    };
    let size = side("width", 1280).zip(side("height", 720));
    if let Some(Err(error)) = size.map(|(width, height)| check_size(width, height)) {
        section.mistake("width", error.to_string());
    }
    let format = section.choice("format", PixelFormat::NAMES).unwrap_or(PixelFormat::Nv12);
    let colour = section.choice("colour", COLOURS);
    let is_yuv = matches!(format, PixelFormat::Nv12 | PixelFormat::I420 | PixelFormat::Yuyv);
    if section.has("colour") && !is_yuv {
        section.mistake("colour", "is for the formats `nv12`, `i420` and `yuyv` only");
    }
    let pace = Pace::read(section, RATE_HZ);
    let frames = section.integer("frames", 1..=u32::MAX).map(u64::from);
    let seed = u64::from(section.integer("seed", 0..=u32::MAX).unwrap_or(1));
    let shapes = section.integer("shapes", 0..=SHAPES_MAX);
    let cut = u64::from(section.integer("cut", 0..=u32::MAX).unwrap_or(CUT));
    let ((width, height), pace) = size.zip(pace)?;
    let rate_hz = pace.rate_hz().unwrap_or(RATE_HZ);
    let script = Script { width, height, seed, shapes, cut, rate_hz };
    let default = if is_yuv { Colour::CAMERA } else { Colour::JPEG };
    let colour = colour.unwrap_or(default);
    Some(Box::new(Pattern { format, colour, pace, frames, script }))
}

impl SourceSpec for Pattern {
    fn open(&self) -> Result<Box<dyn Source>, SourceError> {
        Ok(Box::new(Open::new(self)?))
    }

    fn rate_hz(&self) -> Option<f64> {
        self.pace.rate_hz()
    }
}

/// An open pattern.
struct Open {
    size: (u32, u32),
    format: PixelFormat,
    colour: Colour,
    frames: Option<u64>,
    seq: u64,
    ticker: Ticker,
    scene: Scene,
    painter: Painter,
    jpeg: Option<Jpeg>,
}

/// What MJPEG needs besides.
struct Jpeg {
    encoder: Encoder,
    rgb: Vec<u8>,
}

impl Open {
    fn new(spec: &Pattern) -> Result<Self, SourceError> {
        let &Pattern { format, colour, pace, frames, ref script } = spec;
        let size = (script.width, script.height);
        let jpeg = match format {
            PixelFormat::Mjpeg => {
                let open = |source| SourceError::Open { what: what(size), source };
                let encoder = Encoder::new().map_err(|error| open(error.into()))?;
                Some(Jpeg { encoder, rgb: Vec::new() })
            }
            _ => None,
        };
        Ok(Self {
            size,
            format,
            colour,
            frames,
            seq: 0,
            ticker: Ticker::new(pace),
            scene: Scene::new(script.clone()),
            painter: Painter::new(size, format, colour, script.seed),
            jpeg,
        })
    }

    /// Everything of a frame but its times.
    fn fill(&mut self, frame: &mut Frame) -> Result<(), SourceError> {
        if self.scene.show(self.seq) {
            self.painter.prepare(&self.scene);
        }
        let (width, height) = self.size;
        let name = || what((width, height));
        let picture = |source| SourceError::Picture { what: name(), source };
        let read = |error: JpegError| SourceError::Read { what: name(), source: error.into() };
        frame.reshape(self.format, width, height).map_err(picture)?;
        let planes = frame.planes;
        if let Pixels::Owned(pixels) = &mut frame.pixels {
            match &mut self.jpeg {
                None => self.painter.paint(&self.scene, self.seq, &planes, pixels),
                Some(Jpeg { encoder, rgb }) => {
                    rgb.resize(3 * pixels_of(self.size), 0);
                    let packed = Plane { offset: 0, stride: 3 * pixels_of((width, 1)) };
                    self.painter.paint(&self.scene, self.seq, &[packed; 3], rgb);
                    encoder.encode_rgb(rgb, width, height, QUALITY, pixels).map_err(read)?;
                }
            }
        }
        frame.colour = self.colour;
        self.scene.truth(frame.truth.get_or_insert_default());
        Ok(())
    }
}

impl Source for Open {
    fn next(&mut self, frame: &mut Frame, stop: &Stop) -> Result<Next, SourceError> {
        if self.frames.is_some_and(|frames| self.seq >= frames) {
            return Ok(Next::End);
        }
        if self.ticker.wait(stop) {
            return Ok(Next::Stopped);
        }
        self.fill(frame)?;
        (frame.captured, frame.ts) = (Instant::now(), Timestamp::now());
        frame.seq = self.seq;
        self.seq += 1;
        Ok(Next::Frame)
    }
}

#[expect(clippy::as_conversions, reason = "u32 to usize, lossless on every target of this crate")]
fn pixels_of((width, height): (u32, u32)) -> usize {
    width as usize * height as usize
}

fn what((width, height): (u32, u32)) -> String {
    format!("the pattern of {width} x {height} pixels")
}

#[cfg(test)]
mod tests;
