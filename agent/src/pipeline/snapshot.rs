//! A frame as a JPEG file for people: with what was found drawn in, and never larger than it may be.

use super::door::Shot;
use super::draw;
use super::rgb::RgbError;
use super::yuv::{Reader, Yuv};
use crate::hw::jpeg::{Encoder, JpegError};

/// Widest picture: more is not seen on a dashboard, and costs a metered link.
const WIDTH_MAX: u32 = 1280;
/// From good to just recognisable.
const QUALITIES: [u8; 3] = [80, 60, 40];
/// Below this side a picture that is still too large is none.
const SIDE_MIN: usize = 16;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The frame cannot be shown.
    #[error("the frame cannot be shown")]
    Frame(#[source] RgbError),
    /// It could not be encoded.
    #[error("the picture cannot be encoded")]
    Encode(#[source] JpegError),
    /// Not even the smallest is small enough.
    #[error("the picture is larger than {0} bytes, however small")]
    Large(usize),
}

/// A JPEG file and what it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The file.
    pub jpeg: Vec<u8>,
    /// Its width.
    pub width_px: u32,
    /// Its height.
    pub height_px: u32,
}

/// Draws what was found into `shot` and encodes it, smaller and coarser until it has at most `limit` bytes.
///
/// # Errors
/// [`SnapshotError`].
pub fn snapshot(shot: &Shot, limit: usize) -> Result<Snapshot, SnapshotError> {
    Studio::default().snapshot(shot, limit)
}

/// What pictures are made with, for who wants one after the other: its memory is reused.
#[derive(Debug, Default)]
pub struct Studio {
    encoder: Option<Encoder>,
    reader: Reader,
    picture: Yuv,
    half: Yuv,
}

impl Studio {
    /// As [`snapshot`].
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn snapshot(&mut self, shot: &Shot, limit: usize) -> Result<Snapshot, SnapshotError> {
        let Self { encoder, reader, picture, half } = self;
        let encoder = match encoder {
            Some(encoder) => encoder,
            none => none.insert(Encoder::new().map_err(SnapshotError::Encode)?),
        };
        if half.room() > picture.room() {
            // The last picture was made smaller.
            std::mem::swap(picture, half);
        }
        reader.read(&shot.frame, WIDTH_MAX, picture).map_err(SnapshotError::Frame)?;
        while extent(picture.width()) > WIDTH_MAX {
            halve(picture, half, limit)?;
        }
        let scale =
            (share(picture.width(), shot.frame.width), share(picture.height(), shot.frame.height));
        draw::draw(picture, scale, &shot.detections);
        let mut jpeg = Vec::new();
        loop {
            let (width_px, height_px) = (extent(picture.width()), extent(picture.height()));
            for quality in QUALITIES {
                encoder
                    .encode_planes(picture.planes(), width_px, height_px, quality, &mut jpeg)
                    .map_err(SnapshotError::Encode)?;
                if jpeg.len() <= limit {
                    return Ok(Snapshot { jpeg, width_px, height_px });
                }
            }
            halve(picture, half, limit)?;
        }
    }
}

/// Makes `picture` half as wide and high, unless it is small already.
fn halve(picture: &mut Yuv, half: &mut Yuv, limit: usize) -> Result<(), SnapshotError> {
    if picture.width().min(picture.height()) < 2 * SIDE_MIN {
        return Err(SnapshotError::Large(limit));
    }
    picture.halve(half);
    std::mem::swap(picture, half);
    Ok(())
}

/// What part of a frame's width or height is shown.
#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "sides have 14 bits")]
fn share(shown: usize, of: u32) -> f32 {
    shown as f32 / of as f32
}

fn extent(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::frame::{Frame, PixelFormat};

    fn noise(width: u32, height: u32) -> Shot {
        let mut frame = Frame::default();
        let mut state = 1_u32;
        for byte in frame.reshape(PixelFormat::Rgb, width, height).unwrap() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = state.to_be_bytes()[0];
        }
        Shot { frame, detections: Vec::new() }
    }

    #[test]
    fn a_picture_gets_smaller_until_it_fits_and_is_refused_where_it_never_does() {
        for (width, height, limit, wanted) in [
            (64, 48, 1 << 20, Some(64..=64)),
            (1920, 1080, 1 << 20, Some(960..=960)),
            (256, 256, 8_000, Some(32..=128)),
            (256, 256, 100, None),
        ] {
            let made = snapshot(&noise(width, height), limit);
            match wanted {
                Some(widths) => {
                    let made = made.unwrap();
                    assert!(widths.contains(&made.width_px), "{width}x{height}: {}", made.width_px);
                    assert_eq!(made.height_px, made.width_px * height / width);
                    assert!(made.jpeg.len() <= limit && made.jpeg.starts_with(&[0xff, 0xd8]));
                }
                None => assert!(matches!(made, Err(SnapshotError::Large(100)))),
            }
        }
    }

    #[test]
    fn a_picture_is_the_same_whatever_was_made_before_it() {
        let mut studio = Studio::default();
        for (width, height) in [(64, 48), (1920, 1080), (300, 200), (1920, 1080), (64, 48)] {
            let shot = noise(width, height);
            let made = studio.snapshot(&shot, 1 << 20).unwrap();
            assert_eq!(made, snapshot(&shot, 1 << 20).unwrap(), "{width}x{height}");
        }
    }
}
