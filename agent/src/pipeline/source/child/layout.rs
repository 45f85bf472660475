//! From GStreamer's words for a picture to ours.
//!
//! Rows lie where GStreamer puts them for a sink that asks for nothing else: their lengths rounded up to four
//! bytes, chroma after an even number of luma rows.

use super::message::Layout;
use crate::hw::gstreamer::Caps;
use crate::pipeline::frame::{Colour, Matrix, PixelFormat, Plane, Range, check_size};

/// What the sink accepts, the cheapest for preprocess first.
pub(super) const CAPS: &str =
    "video/x-raw,format=(string){NV12,I420,YUY2,RGB,BGR,GRAY8};image/jpeg";

/// Tallest picture of standard definition.
const HEIGHT_SD: u32 = 576;

/// Formats by their names there; JPEG has none.
const FORMATS: &[(&str, PixelFormat)] = &[
    ("NV12", PixelFormat::Nv12),
    ("I420", PixelFormat::I420),
    ("YUY2", PixelFormat::Yuyv),
    ("RGB", PixelFormat::Rgb),
    ("BGR", PixelFormat::Bgr),
    ("GRAY8", PixelFormat::Grey),
];

/// How a picture with these `caps` is to be read, and how many bytes it has (of JPEG, any number).
pub(super) fn layout(caps: &Caps) -> Result<(Layout, usize), String> {
    let format = match caps.name.as_str() {
        "image/jpeg" => Some(PixelFormat::Mjpeg),
        "video/x-raw" => FORMATS.iter().find(|(name, _)| *name == caps.format).map(|known| known.1),
        _ => None,
    };
    let format = format.ok_or_else(|| format!("it gives {} {}", caps.name, caps.format))?;
    let size = u32::try_from(caps.width).ok().zip(u32::try_from(caps.height).ok());
    let (width, height) = size.unwrap_or_default();
    check_size(width, height).map_err(|error| error.to_string())?;
    let (planes, bytes) = planes(format, width, height);
    let colour = match format {
        PixelFormat::Nv12 | PixelFormat::I420 | PixelFormat::Yuyv => {
            colour(&caps.colorimetry, height)
        }
        _ => Colour::JPEG,
    };
    Ok((Layout { format, width, height, colour, planes }, bytes))
}

#[expect(clippy::as_conversions, reason = "u32 to usize, lossless on every target of this crate")]
fn planes(format: PixelFormat, width: u32, height: u32) -> ([Plane; 3], usize) {
    let (w, h) = (width as usize, height as usize);
    let (even_w, even_h) = (w.next_multiple_of(2), h.next_multiple_of(2));
    let rows: [(usize, usize); 3] = match format {
        PixelFormat::Nv12 => [(even_h, w), (even_h / 2, w), (0, 0)],
        PixelFormat::I420 => [(even_h, w), (even_h / 2, even_w / 2), (even_h / 2, even_w / 2)],
        PixelFormat::Yuyv => [(h, 2 * w), (0, 0), (0, 0)],
        PixelFormat::Rgb | PixelFormat::Bgr => [(h, 3 * w), (0, 0), (0, 0)],
        PixelFormat::Grey => [(h, w), (0, 0), (0, 0)],
        PixelFormat::Mjpeg | PixelFormat::Samples => [(0, 0); 3],
    };
    let mut offset = 0;
    let planes = rows.map(|(rows, row)| {
        let plane = Plane { offset, stride: row.next_multiple_of(4) };
        offset += rows * plane.stride;
        plane
    });
    (planes, offset)
}

/// A name, or `range:matrix:transfer:primaries` as numbers. Where it is left out, GStreamer goes by the height.
fn colour(colorimetry: &str, height: u32) -> Colour {
    let mut parts = colorimetry.split(':');
    let (first, second) = (parts.next().unwrap_or_default(), parts.next());
    let matrix = match (first, second) {
        ("bt709", _) | (_, Some("3")) => Matrix::Bt709,
        ("", None) if height > HEIGHT_SD => Matrix::Bt709,
        _ => Matrix::Bt601,
    };
    let range = if second.is_some() && first == "1" { Range::Full } else { Range::Limited };
    Colour { matrix, range }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps(format: &str, width: i32, height: i32, colorimetry: &str) -> Caps {
        let (format, colorimetry) = (format.to_owned(), colorimetry.to_owned());
        Caps { name: "video/x-raw".to_owned(), format, width, height, colorimetry }
    }

    /// Sizes are those of `gst_video_info_set_format`, read with its Python binding (1.22).
    #[test]
    fn a_picture_lies_where_gstreamer_puts_it() {
        for (format, width, height, bytes, second, third) in [
            ("NV12", 1920, 1080, 3_110_400, (2_073_600, 1920), (3_110_400, 0)),
            ("NV12", 321, 241, 117_612, (78_408, 324), (117_612, 0)),
            ("I420", 321, 241, 118_096, (78_408, 164), (98_252, 164)),
            ("YUY2", 321, 241, 155_204, (155_204, 0), (155_204, 0)),
            ("RGB", 321, 241, 232_324, (232_324, 0), (232_324, 0)),
            ("GRAY8", 321, 241, 78_084, (78_084, 0), (78_084, 0)),
        ] {
            let (layout, found) = layout(&caps(format, width, height, "")).unwrap();
            let plane = |plane: Plane| (plane.offset, plane.stride);
            assert_eq!(found, bytes, "{format} {width}");
            assert_eq!(plane(layout.planes[1]), second, "{format} {width}");
            assert_eq!(plane(layout.planes[2]), third, "{format} {width}");
        }
        assert!(layout(&caps("NV12", 0, 9, "")).is_err());
        assert!(layout(&caps("P010_10LE", 640, 480, "")).unwrap_err().contains("P010_10LE"));
    }

    #[test]
    fn colours_are_read_by_name_and_by_number() {
        let (hd, sd) = (Matrix::Bt709, Matrix::Bt601);
        for (text, matrix, range) in [
            ("bt709", hd, Range::Limited),
            ("bt601", sd, Range::Limited),
            ("1:3:5:1", hd, Range::Full),
            ("1:4:0:0", sd, Range::Full),
            ("2:3:5:1", hd, Range::Limited),
            ("", sd, Range::Limited),
        ] {
            assert_eq!(colour(text, 480), Colour { matrix, range }, "{text}");
        }
        assert_eq!(colour("", 576).matrix, Matrix::Bt601);
        assert_eq!(colour("", 1080).matrix, Matrix::Bt709);
    }
}
