//! JPEG: pictures out of files and cameras, and into files. The one place that names `turbojpeg`.
//!
//! Cameras' JPEG is decoded at the smallest of the cheap DCT scales that still covers what is asked for, and
//! left as luma and chroma planes ([`Decoder::decode_planes`]): the step to colours is part of preprocess.
//!
//! **Invariant:** no byte reaches the codec, and no memory is taken, before [`Header`] has found a size that
//! [`check_size`] allows, 8-bit samples and one or three components. Tests below, and `tests/preprocess/`
//! with every cut and thousands of damaged files. libjpeg itself allocates and frees a few buffers a picture;
//! for a progressive file six bytes a pixel (three at 4:2:0).

mod header;

use turbojpeg::{
    Colorspace, Compressor, Decompressor, Image, PixelFormat, ScalingFactor, Subsamp, YuvImage,
    YuvPlanesImage,
};

pub use self::header::Header;
use super::pages;
use crate::pipeline::frame::{FrameError, check_size};

/// Most scans of a progressive file: encoders write about ten, and a file with thousands of empty ones keeps
/// a core busy for minutes.
const SCANS_MAX: u32 = 100;

/// What libjpeg says of a file with bytes between the last coefficient and the end marker. Many cameras pad
/// there; the picture is complete, since the first warning is the one that is kept and the end was reached.
const HARMLESS: &str = "extraneous bytes before marker 0xd9";

/// What libjpeg says where the file ends too early.
const EARLY_END: [&str; 3] =
    ["Premature end of JPEG file", "premature end of data segment", "missing SOS marker"];

/// Why bytes are not a picture that can be used, or a picture not a file.
#[derive(Debug, thiserror::Error)]
pub enum JpegError {
    /// The bytes are something else. Skip them.
    #[error("not a JPEG file: it does not begin with FF D8")]
    NotJpeg,
    /// The file ends before its picture does. Skip it; a camera's next frame may be whole.
    #[error("the JPEG file is cut off: it ends before its picture does")]
    Truncated,
    /// No pixels, or more than are handled.
    #[error("the JPEG file cannot be used")]
    Size(#[source] FrameError),
    /// 12-bit or 16-bit samples, as medical devices write.
    #[error("the JPEG file has {bits}-bit samples: only 8-bit ones are read")]
    Precision {
        /// Bits of a sample.
        bits: u8,
    },
    /// A print's colours, or none that are known.
    #[error(
        "the JPEG file has {components} components (CMYK or YCCK has 4): only grey and colour pictures are read"
    )]
    Components {
        /// How many.
        components: u8,
    },
    /// A process that cameras do not use.
    #[error(
        "the JPEG file is lossless or hierarchical (SOF{0}): only baseline and progressive files are read"
    )]
    Process(u8),
    /// The codec gave up in the middle. Skip the file.
    #[error("the JPEG file is damaged")]
    Damaged(#[source] turbojpeg::Error),
    /// The codec could not be made: out of memory.
    #[error("cannot set up the JPEG codec")]
    Codec(#[source] turbojpeg::Error),
    /// The picture to be encoded has no pixels, or more than are handled.
    #[error("cannot write a JPEG file of this picture")]
    EncodeSize(#[source] FrameError),
    /// The picture to be encoded has fewer bytes than its size needs.
    #[error(
        "cannot write a JPEG file: {width} x {height} pixels need {need} bytes and there are {have}"
    )]
    Short {
        /// Claimed width.
        width: u32,
        /// Claimed height.
        height: u32,
        /// Bytes needed.
        need: usize,
        /// Bytes there.
        have: usize,
    },
    /// The codec could not encode.
    #[error("cannot write a JPEG file with quality {quality}")]
    Encode {
        /// Asked for; 1 to 100 is possible.
        quality: u8,
        /// What the codec said.
        source: turbojpeg::Error,
    },
}

/// What [`Planes`] hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Samples {
    /// Luma only.
    #[default]
    Grey,
    /// Luma, U and V; chroma is halved so often across and down.
    Yuv {
        /// Columns: 0 (as wide as luma), 1 (half) or 2 (a quarter).
        shift_x: u32,
        /// Rows.
        shift_y: u32,
    },
    /// One plane of red, green, blue: files that are not YUV, and rare ways of subsampling.
    Rgb,
}

/// A decoded picture whose memory is reused from one to the next.
#[derive(Debug, Default)]
pub struct Planes {
    /// What the bytes mean.
    pub samples: Samples,
    /// Width of the picture as it was decoded.
    pub width: u32,
    /// Height of the picture as it was decoded.
    pub height: u32,
    /// 1, 2, 4 or 8: how much larger the picture in the file is (the last sample may reach over its edge).
    pub denominator: u32,
    /// Byte offset of each plane's first row, and bytes from row to row.
    pub planes: [(usize, usize); 3],
    /// The samples.
    pub pixels: Vec<u8>,
}

/// Decodes files, one after the other.
pub struct Decoder {
    codec: Decompressor,
    /// Whether the last file was damaged: an error in a file's tables leaves the codec waiting for the rest of
    /// them, and every file after it is refused. So another codec is made then.
    suspect: bool,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Decoder")
    }
}

impl Decoder {
    /// A decoder; it is worth keeping.
    ///
    /// # Errors
    /// [`JpegError::Codec`].
    pub fn new() -> Result<Self, JpegError> {
        Ok(Self { codec: codec()?, suspect: false })
    }

    /// The picture in full size: 3 bytes a pixel, rows tightly packed, in `rgb`, whose memory is reused.
    /// Returns width and height.
    ///
    /// # Errors
    /// [`JpegError`]; what `rgb` then holds means nothing.
    pub fn decode_rgb(&mut self, bytes: &[u8], rgb: &mut Vec<u8>) -> Result<(u32, u32), JpegError> {
        let header = Header::parse(bytes)?;
        self.begin(ScalingFactor::ONE)?;
        self.packed(bytes, size(header.width), size(header.height), rgb)?;
        self.suspect = false;
        Ok((header.width, header.height))
    }

    /// The picture as luma and chroma, scaled by the smallest of 1, 1/2, 1/4, 1/8 that leaves it at least
    /// `least` wide and high; in full size where it is smaller anyway. Chroma is scaled with luma: what was
    /// half of it stays half. Returns what the header says.
    ///
    /// # Errors
    /// [`JpegError`]; what `planes` then holds means nothing.
    pub fn decode_planes(
        &mut self,
        bytes: &[u8],
        least: (u32, u32),
        planes: &mut Planes,
    ) -> Result<Header, JpegError> {
        let header = Header::parse(bytes)?;
        let denominator = denominator(&header, least);
        self.begin(ScalingFactor::new(1, size(denominator)))?;
        let found = self.codec.read_header(bytes).map_err(damaged)?;
        planes.denominator = denominator;
        planes.width = header.width.div_ceil(denominator);
        planes.height = header.height.div_ceil(denominator);
        let (width, height) = (size(planes.width), size(planes.height));
        let shifts = match (found.colorspace, found.subsamp) {
            (Colorspace::Gray, Subsamp::Gray) => None,
            (Colorspace::YCbCr, Subsamp::None) => Some((0, 0)),
            (Colorspace::YCbCr, Subsamp::Sub2x1) => Some((1, 0)),
            (Colorspace::YCbCr, Subsamp::Sub2x2) => Some((1, 1)),
            (Colorspace::YCbCr, Subsamp::Sub1x2) => Some((0, 1)),
            (Colorspace::YCbCr, Subsamp::Sub4x1) => Some((2, 0)),
            (Colorspace::YCbCr, Subsamp::Sub1x4) => Some((0, 2)),
            _ => {
                planes.samples = Samples::Rgb;
                planes.planes = [(0, 3 * width), (0, 0), (0, 0)];
                self.packed(bytes, width, height, &mut planes.pixels)?;
                self.suspect = false;
                return Ok(header);
            }
        };
        // The codec takes the layout from the file, not from the image that it is given: it must be of the
        // file's own subsampling, which is why the header was read above.
        let mut image =
            YuvImage { pixels: &mut [][..], width, align: 1, height, subsamp: found.subsamp };
        let (luma_w, luma_h) = image.y_size();
        let (chroma_w, chroma_h) = if shifts.is_some() { image.uv_size() } else { (0, 0) };
        let (luma, chroma) = (luma_w * luma_h, chroma_w * chroma_h);
        planes.samples = match shifts {
            Some((shift_x, shift_y)) => Samples::Yuv { shift_x, shift_y },
            None => Samples::Grey,
        };
        planes.planes = [(0, luma_w), (luma, chroma_w), (luma + chroma, chroma_w)];
        pages::resize(&mut planes.pixels, luma + 2 * chroma);
        image.pixels = &mut planes.pixels;
        complete(self.codec.decompress_to_yuv(bytes, image))?;
        self.suspect = false;
        Ok(header)
    }

    /// Begins a file, which is suspect until it is decoded.
    fn begin(&mut self, scale: ScalingFactor) -> Result<(), JpegError> {
        if self.suspect {
            self.codec = codec()?;
        }
        self.suspect = true;
        self.codec.set_scaling_factor(scale).map_err(JpegError::Codec)
    }

    fn packed(
        &mut self,
        bytes: &[u8],
        width: usize,
        height: usize,
        rgb: &mut Vec<u8>,
    ) -> Result<(), JpegError> {
        rgb.resize(3 * width * height, 0);
        let format = PixelFormat::RGB;
        let image = Image { pixels: rgb.as_mut_slice(), width, pitch: 3 * width, height, format };
        complete(self.codec.decompress(bytes, image))
    }
}

fn codec() -> Result<Decompressor, JpegError> {
    let mut codec = Decompressor::new().map_err(JpegError::Codec)?;
    codec.set_scan_limit(SCANS_MAX).map_err(JpegError::Codec)?;
    Ok(codec)
}

/// The largest of 1, 2, 4, 8 that leaves the picture at least `least` wide and high. Only these have a fast
/// inverse transform.
fn denominator(header: &Header, least: (u32, u32)) -> u32 {
    let covers =
        |d: u32| header.width.div_ceil(d) >= least.0 && header.height.div_ceil(d) >= least.1;
    [8, 4, 2].into_iter().find(|&d| covers(d)).unwrap_or(1)
}

fn complete(result: turbojpeg::Result<()>) -> Result<(), JpegError> {
    match result {
        Err(turbojpeg::Error::TurboJpegError(said)) if said.contains(HARMLESS) => Ok(()),
        result => result.map_err(damaged),
    }
}

fn damaged(error: turbojpeg::Error) -> JpegError {
    match &error {
        turbojpeg::Error::TurboJpegError(said)
            if EARLY_END.iter().any(|end| said.contains(end)) =>
        {
            JpegError::Truncated
        }
        _ => JpegError::Damaged(error),
    }
}

#[expect(clippy::as_conversions, reason = "u32 to usize, lossless on every target of this crate")]
fn size(extent: u32) -> usize {
    extent as usize
}

/// Encodes pictures, one after the other.
pub struct Encoder {
    codec: Compressor,
    scratch: Vec<u8>,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Encoder")
    }
}

impl Encoder {
    /// An encoder; it is worth keeping.
    ///
    /// # Errors
    /// [`JpegError::Codec`].
    pub fn new() -> Result<Self, JpegError> {
        let mut codec = Compressor::new().map_err(JpegError::Codec)?;
        codec.set_subsamp(Subsamp::Sub2x2).map_err(JpegError::Codec)?;
        Ok(Self { codec, scratch: Vec::new() })
    }

    /// Writes `rgb` (3 bytes a pixel, rows tightly packed) as a baseline 4:2:0 file to `out`, replacing what
    /// was there. `quality` is from 1 to 100. Memory is reused from one picture to the next.
    ///
    /// # Errors
    /// [`JpegError::EncodeSize`], [`JpegError::Short`], [`JpegError::Encode`]; `out` is then empty.
    pub fn encode_rgb(
        &mut self,
        rgb: &[u8],
        width: u32,
        height: u32,
        quality: u8,
        out: &mut Vec<u8>,
    ) -> Result<(), JpegError> {
        out.clear();
        check_size(width, height).map_err(JpegError::EncodeSize)?;
        let (w, h) = (size(width), size(height));
        enough(rgb, 3 * w * h, width, height)?;
        let image =
            Image { pixels: rgb, width: w, pitch: 3 * w, height: h, format: PixelFormat::RGB };
        self.encode(w, h, quality, out, |codec, room| codec.compress_to_slice(image, room))
    }

    /// As [`Self::encode_rgb`], of U and V at half width and half height, and luma with two columns and rows for each of
    /// theirs (an odd last one is there twice), in the colours of JPEG files.
    ///
    /// # Errors
    /// As [`Self::encode_rgb`].
    pub fn encode_planes(
        &mut self,
        [luma, u, v]: [&[u8]; 3],
        width: u32,
        height: u32,
        quality: u8,
        out: &mut Vec<u8>,
    ) -> Result<(), JpegError> {
        out.clear();
        check_size(width, height).map_err(JpegError::EncodeSize)?;
        let (w, h) = (size(width), size(height));
        let (columns, rows) = (w.div_ceil(2), h.div_ceil(2));
        for (plane, need) in [(luma, 4 * columns * rows), (u, columns * rows), (v, columns * rows)]
        {
            enough(plane, need, width, height)?;
        }
        let image = YuvPlanesImage {
            y_plane: luma,
            u_plane: u,
            v_plane: v,
            width: w,
            height: h,
            y_stride: 2 * columns,
            u_stride: columns,
            v_stride: columns,
            subsamp: Subsamp::Sub2x2,
        };
        let write = |codec: &mut Compressor, room: &mut [u8]| {
            codec.compress_yuv_planes_to_slice(&image, room)
        };
        self.encode(w, h, quality, out, write)
    }

    fn encode(
        &mut self,
        width: usize,
        height: usize,
        quality: u8,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Compressor, &mut [u8]) -> turbojpeg::Result<usize>,
    ) -> Result<(), JpegError> {
        let encode = |source| JpegError::Encode { quality, source };
        self.codec.set_quality(i32::from(quality)).map_err(encode)?;
        let room = turbojpeg::compressed_buf_len(width, height, Subsamp::Sub2x2).map_err(encode)?;
        if self.scratch.len() < room {
            self.scratch.resize(room, 0);
        }
        let length = write(&mut self.codec, &mut self.scratch).map_err(encode)?;
        out.extend_from_slice(self.scratch.get(..length).unwrap_or_default());
        Ok(())
    }
}

/// Whether `bytes` are as many as a picture of this size needs.
fn enough(bytes: &[u8], need: usize, width: u32, height: u32) -> Result<(), JpegError> {
    let have = bytes.len();
    if have < need { Err(JpegError::Short { width, height, need, have }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
