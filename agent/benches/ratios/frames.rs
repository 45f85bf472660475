//! The same 1080p frames for everybody: drawn once, shared here without a copy, and as files for the peer.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use jiff::Timestamp;
use tempfile::TempDir;
use vedette::hw::pages;
use vedette::kinds;
use vedette::pipeline::frame::{Frame, Pixels};
use vedette::pipeline::source::Next;
use vedette::stop::Stop;

use crate::model::build;

/// So many that each has left the cache when its turn comes again: 100 MB of NV12.
pub(crate) const FRAMES: usize = 32;

/// Bytes of a row of three bytes a pixel.
const BGR_ROW: usize = 3 * 1920;

/// Frames without their time.
pub(crate) struct Frames {
    nv12: Vec<Frame>,
    mjpeg: Vec<Frame>,
    /// Of 200 MB: drawn where they are asked for.
    bgr: OnceLock<Vec<Frame>>,
    folder: TempDir,
}

/// A format of the frames.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Format {
    /// As cameras on a bus give them.
    Nv12,
    /// As cameras on USB give them.
    Mjpeg,
    /// As pictures are once they are decoded.
    Bgr,
}

impl Frames {
    /// Draws them.
    pub(crate) fn draw() -> Self {
        let folder = TempDir::new().unwrap();
        let nv12 = drawn("nv12");
        for (number, frame) in nv12.iter().enumerate() {
            let file = folder.path().join(format!("{number:02}.nv12"));
            vedette::disk::replace(&file, &frame.pixels).unwrap();
        }
        Self { nv12, mjpeg: drawn("mjpeg"), bgr: OnceLock::new(), folder }
    }

    /// Where the peer finds them: `*.nv12`.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes them as pictures whose decoding costs little: `*.bmp`.
    pub(crate) fn write_pictures(&self, folder: &Path) {
        for (number, frame) in self.all(Format::Bgr).iter().enumerate() {
            let rows = frame.pixels.chunks_exact(BGR_ROW);
            let (width, height) = (u32::try_from(BGR_ROW / 3).unwrap(), rows.len());
            // Two headers: 24 bits a pixel, rows from the last to the first, each of a multiple of four bytes.
            let mut file = b"BM".to_vec();
            let numbers = |numbers: &[u32]| -> Vec<u8> {
                numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
            };
            let bytes = u32::try_from(frame.pixels.len()).unwrap();
            file.extend(numbers(&[54 + bytes, 0, 54, 40, width, u32::try_from(height).unwrap()]));
            file.extend(numbers(&[1 | 24 << 16, 0, bytes, 0, 0, 0, 0]));
            rows.rev().for_each(|row| file.extend_from_slice(row));
            let to = folder.join(format!("{number:02}.bmp"));
            vedette::disk::replace(&to, &file).unwrap();
        }
    }

    /// Median size of a frame.
    pub(crate) fn bytes(&self, format: Format) -> usize {
        let mut sizes: Vec<usize> =
            self.all(format).iter().map(|frame| frame.pixels.len()).collect();
        sizes.sort_unstable();
        sizes[FRAMES / 2]
    }

    /// Frame `seq` of an endless camera, captured now.
    pub(crate) fn next(&self, format: Format, seq: u64) -> Frame {
        let index = usize::try_from(seq).unwrap() % FRAMES;
        let frame = self.all(format)[index].clone();
        Frame { seq, captured: Instant::now(), ts: Timestamp::now(), ..frame }
    }

    fn all(&self, format: Format) -> &[Frame] {
        match format {
            Format::Nv12 => &self.nv12,
            Format::Mjpeg => &self.mjpeg,
            Format::Bgr => self.bgr.get_or_init(|| drawn("bgr")),
        }
    }
}

fn drawn(format: &str) -> Vec<Frame> {
    let text = format!(
        "kind = 'pattern'\nwidth = 1920\nheight = 1080\nformat = '{format}'\npace = 'free'\nseed = 11\ncut = 1\n"
    );
    let mut source = build(kinds::SOURCES, &text).open().unwrap();
    let (mut frame, stop) = (Frame::default(), Stop::new());
    let mut next = || {
        assert_eq!(source.next(&mut frame, &stop).unwrap(), Next::Frame);
        let pixels = Pixels::Shared(Arc::new(pages::copy(&frame.pixels)));
        // A camera does not know what it shows.
        Frame { pixels, truth: None, ..frame.clone() }
    };
    (0..FRAMES).map(|_| next()).collect()
}
