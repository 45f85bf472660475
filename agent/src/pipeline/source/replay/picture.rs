//! One picture out of one file: JPEG as it is, PNG as 8-bit grey or RGB.
//!
//! What a file is, its first bytes say, not its name. A PNG picture's palette is expanded, 16 bits become 8 (to
//! the nearest), alpha is dropped. A JPEG picture must be whole and of a kind that is decoded later; it is
//! decoded where it is needed.
//!
//! **Invariant:** memory for pixels is taken only after the header's size was found to be possible. Checked
//! by the table of bad files in `tests.rs`.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

use super::markers;
use crate::hw::jpeg::{Header, JpegError};
use crate::pipeline::frame::{Colour, Frame, FrameError, PixelFormat, check_size};

/// Longest file that is read as one picture: several times what 64 megapixels take as JPEG, and less than
/// what one file may cost a small board.
pub(super) const FILE_BYTES_MAX: usize = 64 << 20;

/// Most bytes of a decoded PNG picture before it is reduced to 8 bits without alpha: what 64 megapixels of
/// RGBA take.
const PNG_BYTES_MAX: usize = 256 << 20;

/// Most bytes that the PNG decoder takes for itself: rows and chunks.
const PNG_WORK_BYTES_MAX: usize = 16 << 20;

/// Why a file is no picture that can be used. Whoever has others goes on with the next.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The system refused.
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    /// A folder, a pipe, a device.
    #[error("it is not a file")]
    NotFile,
    /// No bytes.
    #[error("it is empty")]
    Empty,
    /// More than any picture needs.
    #[error("it is longer than {FILE_BYTES_MAX} bytes")]
    Long,
    /// Neither JPEG nor PNG.
    #[error("it is neither a JPEG nor a PNG picture")]
    Kind,
    /// JPEG that is cut off or of a kind that is not decoded.
    #[error("it cannot be used as a JPEG picture")]
    Jpeg(#[source] JpegError),
    /// A JPEG segment that is shorter than its own length.
    #[error("it is damaged as a JPEG picture: a segment's length is impossible")]
    Segment,
    /// PNG that is cut off or wrong.
    #[error("it is damaged as a PNG picture")]
    Png(#[source] png::DecodingError),
    /// No pixels, or more than are handled.
    #[error("its size is impossible")]
    Size(#[source] FrameError),
    /// More memory than a picture may take.
    #[error("it would take {bytes} bytes to decode, more than {PNG_BYTES_MAX}")]
    Memory {
        /// So many.
        bytes: usize,
    },
}

/// Reads the picture in the file at `path` into `frame`: format, size, colour, planes and bytes. `buffer` is
/// memory to be reused; what it then holds means nothing.
///
/// # Errors
/// [`PictureError`]; what `frame` then holds means nothing.
pub(crate) fn load(
    path: &Path,
    frame: &mut Frame,
    buffer: &mut Vec<u8>,
) -> Result<(), PictureError> {
    // Asked first: to open a pipe would wait for its writer.
    let facts = std::fs::metadata(path).map_err(PictureError::Read)?;
    if !facts.is_file() {
        return Err(PictureError::NotFile);
    }
    let file = File::open(path).map_err(PictureError::Read)?;
    buffer.clear();
    let most = u64::try_from(FILE_BYTES_MAX).unwrap_or(u64::MAX);
    file.take(most.saturating_add(1)).read_to_end(buffer).map_err(PictureError::Read)?;
    decode(buffer, frame)
}

/// Makes `frame` the picture in `buffer`, which may get the frame's former memory.
///
/// # Errors
/// [`PictureError`]; what `frame` then holds means nothing.
pub(crate) fn decode(buffer: &mut Vec<u8>, frame: &mut Frame) -> Result<(), PictureError> {
    match buffer.as_slice() {
        [] => Err(PictureError::Empty),
        bytes if bytes.len() > FILE_BYTES_MAX => Err(PictureError::Long),
        bytes if is_jpeg(bytes) && !markers::is_whole(bytes) => {
            // What is wrong with the header, if anything, says more.
            Header::parse(bytes).map_err(PictureError::Jpeg)?;
            Err(PictureError::Jpeg(JpegError::Truncated))
        }
        bytes if is_jpeg(bytes) => jpeg(buffer, frame),
        bytes if is_png(bytes) => png(bytes, frame),
        _ => Err(PictureError::Kind),
    }
}

/// Whether a file that begins so is to be a JPEG picture.
pub(super) fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xFF, 0xD8])
}

/// Whether a file that begins so is to be a PNG picture.
pub(super) fn is_png(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x89PNG\r\n\x1a\n")
}

/// Makes `frame` the JPEG picture in `bytes`, which get the frame's former memory.
///
/// # Errors
/// [`PictureError::Jpeg`], [`PictureError::Size`].
pub(in crate::pipeline::source) fn jpeg(
    bytes: &mut Vec<u8>,
    frame: &mut Frame,
) -> Result<(), PictureError> {
    let (width, height) = Header::read(bytes).map_err(PictureError::Jpeg)?;
    let pixels = frame.reshape(PixelFormat::Mjpeg, width, height).map_err(PictureError::Size)?;
    std::mem::swap(bytes, pixels);
    frame.colour = Colour::JPEG;
    Ok(())
}

/// Decodes a PNG file.
fn png(bytes: &[u8], frame: &mut Frame) -> Result<(), PictureError> {
    let limits = png::Limits { bytes: PNG_WORK_BYTES_MAX };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(png::Transformations::EXPAND);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let header = decoder.read_header_info().map_err(PictureError::Png)?;
    let (width, height) = (header.width, header.height);
    check_size(width, height).map_err(PictureError::Size)?;
    let mut reader = decoder.read_info().map_err(PictureError::Png)?;
    let (kind, depth) = reader.output_color_type();
    let bytes = reader.output_buffer_size().unwrap_or(usize::MAX);
    if bytes > PNG_BYTES_MAX {
        return Err(PictureError::Memory { bytes });
    }
    let format = match kind {
        png::ColorType::Grayscale | png::ColorType::GrayscaleAlpha => PixelFormat::Grey,
        _ => PixelFormat::Rgb,
    };
    let pixels = frame.reshape(format, width, height).map_err(PictureError::Size)?;
    if pixels.len() == bytes {
        reader.next_frame(pixels).map_err(PictureError::Png)?;
    } else {
        let mut decoded = vec![0; bytes];
        reader.next_frame(&mut decoded).map_err(PictureError::Png)?;
        let kept = if format == PixelFormat::Grey { 1 } else { 3 };
        let sample = if depth == png::BitDepth::Sixteen { 2 } else { 1 };
        let from = decoded.chunks_exact(kind.samples() * sample);
        for (to, from) in pixels.chunks_exact_mut(kept).zip(from) {
            for (to, from) in to.iter_mut().zip(from.chunks_exact(sample)) {
                *to = match *from {
                    [high, low] => reduce(u16::from_be_bytes([high, low])),
                    [value] => value,
                    _ => 0,
                };
            }
        }
    }
    frame.colour = Colour::JPEG;
    Ok(())
}

/// 0 to 65535 as 0 to 255, to the nearest.
fn reduce(value: u16) -> u8 {
    u8::try_from((u32::from(value) * 255 + 32_767) / 65_535).unwrap_or(u8::MAX)
}
