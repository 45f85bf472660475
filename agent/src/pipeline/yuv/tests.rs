use super::*;
use crate::hw::jpeg::Encoder;
use crate::pipeline::frame::Pixels;

/// Even and odd sides, one pixel among them.
const SIZES: [(usize, usize); 5] = [(1, 1), (2, 3), (7, 4), (64, 48), (131, 5)];

/// Colours that every range and matrix can hold, in squares of four pixels, so that halved chroma loses none.
fn colour_at(x: usize, y: usize) -> [u8; 3] {
    let seed = 1 + 31 * (x / 2) + 17 * (y / 2);
    [3, 5, 7].map(|step| u8::try_from(seed * step * step % 256).unwrap())
}

fn luma_weights(matrix: Matrix) -> (f64, f64) {
    match matrix {
        Matrix::Bt601 => (0.299, 0.114),
        Matrix::Bt709 => (0.2126, 0.0722),
    }
}

/// Y, U, V of a colour by the standards' formulas.
fn formula(rgb: [u8; 3], colour: Colour) -> [f64; 3] {
    let [red, green, blue] = rgb.map(f64::from);
    let (of_red, of_blue) = luma_weights(colour.matrix);
    let luma = of_red * red + (1.0 - of_red - of_blue) * green + of_blue * blue;
    let (u, v) = ((blue - luma) / (2.0 * (1.0 - of_blue)), (red - luma) / (2.0 * (1.0 - of_red)));
    match colour.range {
        Range::Full => [luma, u + 128.0, v + 128.0],
        Range::Limited => {
            [16.0 + luma * 219.0 / 255.0, 128.0 + u * 224.0 / 255.0, 128.0 + v * 224.0 / 255.0]
        }
    }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "limited to a byte"
)]
fn byte(value: f64) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

/// The colours as a camera would give them.
fn frame(format: PixelFormat, (width, height): (usize, usize), colour: Colour) -> Frame {
    let (sides, mut frame) =
        ([width, height].map(|side| u32::try_from(side).unwrap()), Frame::default());
    frame.reshape(format, sides[0], sides[1]).unwrap();
    frame.colour = colour;
    let planes = frame.planes;
    let Pixels::Owned(bytes) = &mut frame.pixels else { unreachable!("it is its own") };
    for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
        let rgb = colour_at(x, y);
        let [luma, u, v] = formula(rgb, colour).map(byte);
        let at =
            |plane: usize, x: usize, y: usize| planes[plane].offset + y * planes[plane].stride + x;
        match format {
            PixelFormat::Rgb => bytes[at(0, 3 * x, y)..][..3].copy_from_slice(&rgb),
            PixelFormat::Bgr => {
                let [red, green, blue] = rgb;
                bytes[at(0, 3 * x, y)..][..3].copy_from_slice(&[blue, green, red]);
            }
            PixelFormat::Yuyv => {
                bytes[at(0, 2 * x, y)] = luma;
                bytes[at(0, 4 * (x / 2) + 1, y)] = u;
                bytes[at(0, 4 * (x / 2) + 3, y)] = v;
            }
            PixelFormat::Nv12 => {
                bytes[at(0, x, y)] = luma;
                bytes[at(1, 2 * (x / 2), y / 2)] = u;
                bytes[at(1, 2 * (x / 2) + 1, y / 2)] = v;
            }
            PixelFormat::I420 => {
                bytes[at(0, x, y)] = luma;
                bytes[at(1, x / 2, y / 2)] = u;
                bytes[at(2, x / 2, y / 2)] = v;
            }
            _ => bytes[at(0, x, y)] = luma,
        }
    }
    frame
}

fn assert_padded(picture: &Yuv) {
    let (luma, (columns, rows)) = (picture.planes()[0], picture.chroma());
    for (x, y) in (0..2 * rows).flat_map(|y| (0..2 * columns).map(move |x| (x, y))) {
        let (own_x, own_y) = (x.min(picture.width - 1), y.min(picture.height - 1));
        assert_eq!(luma[2 * y * columns + x], luma[2 * own_y * columns + own_x], "{x}, {y}");
    }
}

fn read(frame: &Frame) -> Yuv {
    let mut picture = Yuv::default();
    Reader::default().read(frame, u32::MAX, &mut picture).unwrap();
    picture
}

/// How far a picture is from the colours, at most: luma, U, V.
fn furthest(picture: &Yuv) -> [f64; 3] {
    let (planes, (columns, _)) = (picture.planes(), picture.chroma());
    assert_padded(picture);
    let mut worst = [0.0_f64; 3];
    for (x, y) in (0..picture.height).flat_map(|y| (0..picture.width).map(move |x| (x, y))) {
        let chroma = y / 2 * columns + x / 2;
        let at = [2 * y * columns + x, chroma, chroma];
        let wanted = formula(colour_at(x, y), Colour::JPEG);
        for plane in 0..3 {
            let off = (f64::from(planes[plane][at[plane]]) - wanted[plane]).abs();
            worst[plane] = worst[plane].max(off);
        }
    }
    worst
}

#[test]
fn every_camera_s_colours_become_those_of_a_jpeg_file() {
    let colours = [Matrix::Bt601, Matrix::Bt709]
        .into_iter()
        .flat_map(|matrix| [Range::Limited, Range::Full].map(|range| Colour { matrix, range }));
    for (colour, size) in colours.flat_map(|colour| SIZES.map(|size| (colour, size))) {
        // What a camera rounds is stretched with the range, and rounded again; half a step comes from each matrix.
        let most = if colour == Colour::JPEG { 0.51 } else { 1.7 };
        for format in [PixelFormat::Nv12, PixelFormat::I420, PixelFormat::Yuyv] {
            let worst = furthest(&read(&frame(format, size, colour)));
            assert!(
                worst.iter().all(|off| *off <= most),
                "{format:?} {size:?} {colour:?}: {worst:?}"
            );
        }
    }
    for (format, size) in
        [PixelFormat::Rgb, PixelFormat::Bgr].into_iter().flat_map(|f| SIZES.map(|size| (f, size)))
    {
        let worst = furthest(&read(&frame(format, size, Colour::JPEG)));
        assert!(worst.iter().all(|off| *off <= 0.6), "{format:?} {size:?}: {worst:?}");
    }
}

#[test]
fn grey_stays_as_it_is_and_has_no_colour() {
    for size in SIZES {
        let source = frame(PixelFormat::Grey, size, Colour::CAMERA);
        let picture = read(&source);
        let [luma, u, v] = picture.planes();
        let rows = luma.chunks(size.0.next_multiple_of(2)).map(|row| &row[..size.0]);
        assert!(rows.zip(source.pixels.chunks(size.0)).all(|(row, source)| row == source));
        assert!(u.iter().chain(v).all(|chroma| *chroma == NEUTRAL), "{size:?}");
    }
}

#[test]
fn a_camera_s_jpeg_is_read_as_it_is_and_a_wide_one_at_half_its_size() {
    let original = read(&frame(PixelFormat::I420, (256, 96), Colour::JPEG));
    let mut jpeg = Vec::new();
    Encoder::new().unwrap().encode_planes(original.planes(), 256, 96, 100, &mut jpeg).unwrap();
    let mut frame = Frame::default();
    frame.reshape(PixelFormat::Mjpeg, 256, 96).unwrap();
    frame.pixels = Pixels::Owned(jpeg);
    let (mut reader, mut picture, mut half) = (Reader::default(), Yuv::default(), Yuv::default());
    original.halve(&mut half);
    for (width_max, wanted) in [(256, &original), (255, &half), (256, &original)] {
        reader.read(&frame, width_max, &mut picture).unwrap();
        assert_eq!((picture.width, picture.height), (wanted.width, wanted.height));
        let off = picture.pixels.iter().zip(&wanted.pixels).map(|(a, b)| u32::from(a.abs_diff(*b)));
        let mean =
            f64::from(off.sum::<u32>()) / f64::from(u32::try_from(wanted.pixels.len()).unwrap());
        assert!(mean < 2.0, "{width_max}: {mean}");
    }
    frame.width = 255;
    assert!(matches!(reader.read(&frame, 256, &mut picture), Err(RgbError::Size { .. })));
    frame.pixels = Pixels::Owned(b"no picture".to_vec());
    assert!(matches!(reader.read(&frame, 256, &mut picture), Err(RgbError::Jpeg(_))));
}

#[test]
fn chroma_of_every_subsampling_is_brought_to_that_of_four_pixels() {
    for (shift_x, shift_y) in [(0, 0), (1, 0), (0, 1), (1, 1), (2, 0), (0, 2)] {
        for (width, height) in SIZES {
            // The decoder's rows may be longer than its planes are wide.
            let extent = |side: usize, shift: u32| side.div_ceil(1 << shift);
            let (columns, rows) = (extent(width, shift_x), extent(height, shift_y));
            let (luma, chroma) = ((width + 3) * height, (columns + 3) * rows);
            let tone = |x: usize, y: usize| u8::try_from((7 * x + 40 * y) % 251).unwrap();
            let mut planes = Planes {
                samples: Samples::Yuv { shift_x, shift_y },
                width: u32::try_from(width).unwrap(),
                height: u32::try_from(height).unwrap(),
                denominator: 1,
                planes: [(0, width + 3), (luma, columns + 3), (luma + chroma, columns + 3)],
                pixels: vec![0; luma + 2 * chroma],
            };
            for (plane, (columns, rows)) in
                [(width, height), (columns, rows), (columns, rows)].into_iter().enumerate()
            {
                let (offset, stride) = planes.planes[plane];
                for (x, y) in (0..rows).flat_map(|y| (0..columns).map(move |x| (x, y))) {
                    planes.pixels[offset + y * stride + x] = tone(x + plane, y);
                }
            }
            let mut picture = Yuv::default();
            picture.take_planes(&planes, u32::MAX - 1);
            assert_padded(&picture);
            let [luma, u, v] = picture.planes();
            let (half, _) = picture.chroma();
            for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
                assert_eq!(luma[2 * y * half + x], tone(x, y));
                let (x, y) = (x / 2, y / 2);
                let lines = [2 * y, (2 * y + 1).min(height - 1)];
                for (plane, found) in [(1, u), (2, v)] {
                    let at = |line: usize| tone(((2 * x) >> shift_x) + plane, line >> shift_y);
                    let wanted = match (shift_x, shift_y) {
                        (1, 0) => u8::midpoint(at(lines[0]), at(lines[1])),
                        _ => at(lines[0]),
                    };
                    assert_eq!(found[y * half + x], wanted, "{shift_x} {shift_y} {width}x{height}");
                }
            }
        }
    }
}

#[test]
fn a_decoder_s_other_pictures_are_taken_over_too() {
    let mut picture = Yuv::default();
    let (width, height) = (3, 2);
    let grey = Planes {
        width,
        height,
        planes: [(0, 4), (0, 0), (0, 0)],
        pixels: vec![9; 8],
        ..Planes::default()
    };
    picture.take_planes(&grey, 64);
    assert_eq!(picture.planes(), [[9; 8].as_slice(), &[NEUTRAL; 2], &[NEUTRAL; 2]]);
    // Half of five columns was made three, where two are the most.
    picture.take_planes(&grey, 2);
    assert_eq!(picture.planes(), [[9; 4].as_slice(), &[NEUTRAL], &[NEUTRAL]]);
    let red = Planes {
        samples: Samples::Rgb,
        width,
        height,
        pixels: [255, 0, 0].repeat(6),
        ..Planes::default()
    };
    picture.take_planes(&red, 64);
    assert_eq!(picture.planes(), [[76; 8].as_slice(), &[85; 2], &[255; 2]]);
}

#[test]
fn chroma_is_the_mean_of_the_pixels_that_share_it() {
    let mut rgb = Frame::default();
    rgb.reshape(PixelFormat::Rgb, 2, 2).unwrap();
    rgb.pixels = Pixels::Owned([[0, 0, 255], [0, 0, 0], [0, 0, 0], [0, 0, 0]].concat());
    let [luma, u, v] = read(&rgb).planes().map(<[u8]>::to_vec);
    assert_eq!((luma, u, v), (vec![29, 0, 0, 0], vec![160], vec![123]));
    let mut yuyv = Frame::default();
    yuyv.reshape(PixelFormat::Yuyv, 2, 2).unwrap();
    yuyv.colour = Colour::JPEG;
    yuyv.pixels = Pixels::Owned(vec![1, 100, 2, 200, 3, 110, 4, 240]);
    let [luma, u, v] = read(&yuyv).planes().map(<[u8]>::to_vec);
    assert_eq!((luma, u, v), (vec![1, 2, 3, 4], vec![105], vec![220]));
}

#[test]
fn what_is_no_picture_is_refused() {
    let (mut reader, mut picture) = (Reader::default(), Yuv::default());
    let mut short = frame(PixelFormat::Nv12, (4, 4), Colour::CAMERA);
    short.pixels = Pixels::Owned(vec![0; 23]);
    assert!(matches!(reader.read(&short, 64, &mut picture), Err(RgbError::Frame(_))));
    let mut samples = Frame::default();
    samples.reshape(PixelFormat::Samples, 4, 1).unwrap();
    assert!(matches!(reader.read(&samples, 64, &mut picture), Err(RgbError::Samples)));
}

#[test]
fn half_a_picture_is_the_mean_of_each_four_samples() {
    let mut picture = Yuv::default();
    let mut half = Yuv::default();
    picture.reshape(6, 2);
    let luma = [10, 20, 0, 0, 8, 8, 30, 40, 0, 4, 8, 8].as_slice();
    picture.pixels = [luma, &[1, 3, 9], &[2, 4, 200]].concat();
    picture.halve(&mut half);
    // Three columns of luma, the last of them twice, have two of chroma, the last of them from an edge alone.
    assert_eq!(half.planes(), [[25, 1, 8, 8, 25, 1, 8, 8].as_slice(), &[2, 9], &[3, 200]]);
    for (width, height) in SIZES {
        picture.reshape(width, height);
        picture.pixels.fill(77);
        picture.halve(&mut half);
        assert_eq!((half.width, half.height), (width / 2, height / 2));
        assert!(half.pixels.iter().all(|sample| *sample == 77));
    }
}

#[test]
fn a_colour_is_drawn_where_it_should_be_and_nowhere_else() {
    let mut picture = read(&frame(PixelFormat::Grey, (9, 6), Colour::JPEG));
    let before = picture.planes().map(<[u8]>::to_vec);
    let rect = Rect { left: 3, top: 2, right: 6, bottom: 40 };
    picture.fill(rect, [255, 60, 60]);
    let [luma, u, v] = formula([255, 60, 60], Colour::JPEG).map(byte);
    let planes = picture.planes();
    for (x, y) in (0..6).flat_map(|y| (0..10).map(move |x| (x, y))) {
        let wanted = if (3..6).contains(&x) && y >= 2 { luma } else { before[0][10 * y + x] };
        assert_eq!(planes[0][10 * y + x], wanted, "{x}, {y}");
    }
    for (x, y) in (0..3).flat_map(|y| (0..5).map(move |x| (x, y))) {
        let drawn = (1..3).contains(&x) && y >= 1;
        let wanted = if drawn { [u, v] } else { [NEUTRAL; 2] };
        assert_eq!([planes[1][5 * y + x], planes[2][5 * y + x]], wanted, "{x}, {y}");
    }
    let all = Rect { left: 8, top: 5, right: usize::MAX, bottom: usize::MAX };
    picture.fill(all, [0, 0, 0]);
    assert_eq!(picture.planes()[0][10 * 5 + 8..], [0, 0], "the last column is there twice");
    for nothing in [
        Rect { left: 9, top: 0, right: 12, bottom: 6 },
        Rect { left: 5, top: 0, right: 5, bottom: 6 },
        Rect { left: 0, top: 6, right: 9, bottom: 7 },
        Rect { left: 7, top: 3, right: 2, bottom: 1 },
    ] {
        let before = picture.pixels.clone();
        picture.fill(nothing, [255, 255, 255]);
        assert_eq!(picture.pixels, before, "{nothing:?}");
    }
}
