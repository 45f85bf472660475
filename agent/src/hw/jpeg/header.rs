//! The part of a JPEG file before its picture, walked through without the codec.

use super::JpegError;
use crate::pipeline::frame::check_size;

/// What a JPEG file says of itself before its picture begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// 1: grey; 3: colour.
    pub components: u8,
}

impl Header {
    /// Width and height of the picture in `bytes`, found without decoding and without allocating.
    ///
    /// # Errors
    /// [`JpegError`] for what would not be decoded either: not JPEG, cut off, an impossible size, 12-bit, CMYK.
    pub fn read(bytes: &[u8]) -> Result<(u32, u32), JpegError> {
        Self::parse(bytes).map(|header| (header.width, header.height))
    }

    /// The header of the file in `bytes`.
    ///
    /// # Errors
    /// As of [`Header::read`].
    pub fn parse(bytes: &[u8]) -> Result<Self, JpegError> {
        let mut rest = match bytes {
            [0xFF, 0xD8, rest @ ..] => rest,
            [0xFF] => return Err(JpegError::Truncated),
            _ => return Err(JpegError::NotJpeg),
        };
        loop {
            // Between segments may be filling; a marker is FF and neither FF nor 0.
            let marker = match rest {
                [0xFF, marker, ..] if !matches!(marker, 0x00 | 0xFF) => *marker,
                [_, tail @ ..] => {
                    rest = tail;
                    continue;
                }
                [] => return Err(JpegError::Truncated),
            };
            rest = rest.get(2..).unwrap_or_default();
            match marker {
                // Start of frame; C4, C8 and CC are no frames.
                0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) => {
                    let [_, _, bits, h1, h0, w1, w0, components, ..] = *rest else {
                        return Err(JpegError::Truncated);
                    };
                    let width = u32::from(u16::from_be_bytes([w1, w0]));
                    let height = u32::from(u16::from_be_bytes([h1, h0]));
                    let header = Self { width, height, components };
                    return header.check(marker - 0xC0, bits);
                }
                // No length: restart markers, TEM, SOI.
                0x01 | 0xD0..=0xD8 => {}
                // Coefficients or the end, and no frame was declared.
                0xD9 | 0xDA => return Err(JpegError::Truncated),
                _ => {
                    let length = match rest {
                        [high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])),
                        _ => return Err(JpegError::Truncated),
                    };
                    rest = rest.get(length.max(2)..).ok_or(JpegError::Truncated)?;
                }
            }
        }
    }

    fn check(self, process: u8, bits: u8) -> Result<Self, JpegError> {
        check_size(self.width, self.height).map_err(JpegError::Size)?;
        if !matches!(process, 0 | 1 | 2 | 9 | 10) {
            return Err(JpegError::Process(process));
        }
        if bits != 8 {
            return Err(JpegError::Precision { bits });
        }
        if !matches!(self.components, 1 | 3) {
            return Err(JpegError::Components { components: self.components });
        }
        Ok(self)
    }
}
