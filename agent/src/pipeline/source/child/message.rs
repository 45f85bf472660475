//! What a capture process says to the daemon: a header of fixed length, then so many bytes. A frame that is large stays
//! where it is instead: the header says where, the daemon reads it there, and answers with one byte that it has it, or
//! that it wants it behind the header like the others.
//!
//! Both ends are the same program, so that nothing here has versions; whatever does not look like a header all the
//! same is refused, since a plugin may have written into the wrong file.

use crate::pipeline::frame::{Colour, Matrix, PIXELS_MAX, PixelFormat, Plane, Range};

/// Bytes of a header.
pub(super) const HEADER_BYTES: usize = 104;
/// Most bytes of a frame: the largest picture at three bytes a pixel, its rows padded.
const FRAME_BYTES_MAX: u64 = PIXELS_MAX * 4;
/// Most bytes of an error's description.
pub(super) const TROUBLE_BYTES_MAX: u64 = 64 << 10;
/// Shorter frames are written at once: that costs less than an answer.
pub(super) const LENT_BYTES_MIN: usize = 128 << 10;
/// The answer to a frame that was read where it is: its memory may be used again.
pub(super) const HAVE_IT: u8 = b'h';
/// The answer to one that cannot be read there: it is to be written.
pub(super) const WRITE_IT: u8 = b'w';
/// Begins each header.
const MAGIC: u64 = u64::from_le_bytes(*b"vedette\x01");

/// What follows a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A frame.
    Frame(Layout),
    /// Why there are no more frames, as JSON.
    Trouble,
    /// Nothing: the stream came to its end.
    End,
}

/// How a frame's bytes are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) format: PixelFormat,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) colour: Colour,
    pub(super) planes: [Plane; 3],
}

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) what: What,
    /// When the frame was captured, in nanoseconds of the kernel's monotonic clock.
    pub(super) captured_ns: u64,
    /// Bytes of the frame or the text.
    pub(super) bytes: u64,
    /// Where they are in the process's memory; 0 where they follow.
    pub(super) at: u64,
}

/// Numbers of the header: magic, kind, time, length, format, colour, width, height, three planes of two, address.
const NUMBERS: usize = HEADER_BYTES / 8;

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut numbers = [0_u64; NUMBERS];
        numbers[0] = MAGIC;
        numbers[2] = self.captured_ns;
        numbers[3] = self.bytes;
        numbers[NUMBERS - 1] = self.at;
        match self.what {
            What::Trouble => numbers[1] = 1,
            What::End => numbers[1] = 2,
            What::Frame(Layout { format, width, height, colour, planes }) => {
                let known = PixelFormat::NAMES.iter().position(|(_, known)| *known == format);
                let full = u64::from(colour.range == Range::Full);
                let hd = u64::from(colour.matrix == Matrix::Bt709);
                // Format and colour share a number, width and height another.
                numbers[4] = number(known.unwrap_or_default()) << 8 | full << 1 | hd;
                numbers[5] = u64::from(width) << 32 | u64::from(height);
                for (at, plane) in numbers[6..].chunks_exact_mut(2).zip(planes) {
                    at[0] = number(plane.offset);
                    at[1] = number(plane.stride);
                }
            }
        }
        let mut bytes = [0; HEADER_BYTES];
        for (at, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            at.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// `None` where this is no header.
    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let mut numbers = [0_u64; NUMBERS];
        for (number, bytes) in numbers.iter_mut().zip(bytes.chunks_exact(8)) {
            *number = u64::from_le_bytes(bytes.try_into().ok()?);
        }
        let [magic, kind, captured_ns, bytes, format, size, layout @ .., at] = numbers;
        let (what, most) = match (magic, kind) {
            (MAGIC, 0) => {
                let named = PixelFormat::NAMES.get(usize::try_from(format >> 8).ok()?)?;
                let mut planes = [Plane::default(); 3];
                for (plane, numbers) in planes.iter_mut().zip(layout.chunks_exact(2)) {
                    plane.offset = usize::try_from(numbers[0]).ok()?;
                    plane.stride = usize::try_from(numbers[1]).ok()?;
                }
                let colour = Colour {
                    matrix: if format & 1 == 1 { Matrix::Bt709 } else { Matrix::Bt601 },
                    range: if format & 2 == 2 { Range::Full } else { Range::Limited },
                };
                let (width, height) =
                    (u32::try_from(size >> 32).ok()?, u32::try_from(size & 0xFFFF_FFFF).ok()?);
                let layout = Layout { format: named.1, width, height, colour, planes };
                (What::Frame(layout), FRAME_BYTES_MAX)
            }
            (MAGIC, 1) => (What::Trouble, TROUBLE_BYTES_MAX),
            (MAGIC, 2) => (What::End, 0),
            _ => return None,
        };
        (bytes <= most).then_some(Self { what, captured_ns, bytes, at })
    }
}

fn number(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_no_header_is_refused() {
        let planes = [1, 2, 3].map(|n| Plane { offset: n * 1000, stride: n * 10 });
        for (format, colour) in PixelFormat::NAMES.iter().map(|(_, format)| *format).zip(
            [Colour::CAMERA, Colour::JPEG, Colour { matrix: Matrix::Bt709, range: Range::Full }]
                .into_iter()
                .cycle(),
        ) {
            let layout = Layout { format, width: 1921, height: 1081, colour, planes };
            let header =
                Header { what: What::Frame(layout), captured_ns: 17, bytes: 99, at: 1 << 47 };
            assert_eq!(Header::decode(&header.encode()), Some(header));
        }
        for what in [What::Trouble, What::End] {
            let header = Header { what, captured_ns: 0, bytes: 0, at: 0 };
            assert_eq!(Header::decode(&header.encode()), Some(header));
        }
        let good = Header { what: What::Trouble, captured_ns: 0, bytes: TROUBLE_BYTES_MAX, at: 0 };
        let long = Header { bytes: TROUBLE_BYTES_MAX + 1, ..good };
        assert_eq!(Header::decode(&long.encode()), None);
        let mut other = good.encode();
        other[0] ^= 1;
        assert_eq!(Header::decode(&other), None);
    }
}
