//! The SIMD kernels against the scalar reference: the same bits. These tests run for aarch64 too, under
//! emulation.

use half::f16;

use super::Kernel;
use crate::hw::jpeg::Encoder;
use crate::hw::second::Second;
use crate::pipeline::frame::{Colour, Frame, Matrix, PixelFormat, Pixels, Range};
use crate::pipeline::preprocess::{Channels, Fit, Layout, Margin, PictureSpec, Preprocess};
use crate::pipeline::tensor::{Element, ElementsMut};

const FITS: [Fit; 3] = [Fit::Letterbox, Fit::Stretch, Fit::Crop];
const LAYOUTS: [Layout; 2] = [Layout::Nchw, Layout::Nhwc];
const CHANNELS: [Channels; 3] = [Channels::Rgb, Channels::Bgr, Channels::Grey];
const ELEMENTS: [Element; 4] = [Element::F32, Element::F16, Element::U8, Element::I8];

/// Noise, with rows and planes further apart than they need to be.
fn frame(format: PixelFormat, width: u32, height: u32) -> Frame {
    let mut seed = width ^ height.rotate_left(16) ^ 0x9E37_79B9;
    let mut noise = |count: usize| {
        let mut bytes = Vec::with_capacity(count + 4);
        while bytes.len() < count {
            seed ^= seed << 13;
            seed ^= seed >> 17;
            seed ^= seed << 5;
            bytes.extend(seed.wrapping_mul(0x85EB_CA6B).to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    };
    let colours = [
        Colour::CAMERA,
        Colour::JPEG,
        Colour { matrix: Matrix::Bt709, range: Range::Limited },
        Colour { matrix: Matrix::Bt709, range: Range::Full },
    ];
    let mut frame = Frame { colour: colours[usize::from(noise(2)[1]) % 4], ..Frame::default() };
    let bytes = frame.reshape(format, width, height).unwrap();
    if format == PixelFormat::Mjpeg {
        let rgb = noise(usize::try_from(3 * width * height).unwrap());
        Encoder::new().unwrap().encode_rgb(&rgb, width, height, 90, bytes).unwrap();
        return frame;
    }
    let packed = bytes.len();
    for (index, plane) in frame.planes.iter_mut().enumerate() {
        if plane.stride > 0 {
            plane.stride += 3;
            plane.offset += 7 + index * 4 * usize::try_from(height).unwrap();
        }
    }
    let room = packed + 64 + 20 * usize::try_from(height).unwrap();
    frame.pixels = Pixels::Owned(noise(room));
    frame.check().unwrap();
    frame
}

fn bits(preprocess: &mut Preprocess, frame: &Frame) -> Vec<u32> {
    let count = preprocess.elements();
    match preprocess.spec().element {
        Element::F32 => {
            let mut out = vec![f32::NAN; count];
            preprocess.run(frame, ElementsMut::F32(&mut out)).unwrap();
            out.into_iter().map(f32::to_bits).collect()
        }
        Element::F16 => {
            let mut out = vec![f16::NAN; count];
            preprocess.run(frame, ElementsMut::F16(&mut out)).unwrap();
            out.into_iter().map(|value| u32::from(value.to_bits())).collect()
        }
        Element::U8 => {
            let mut out = vec![0x55; count];
            preprocess.run(frame, ElementsMut::U8(&mut out)).unwrap();
            out.into_iter().map(u32::from).collect()
        }
        _ => {
            let mut out = vec![0x55; count];
            preprocess.run(frame, ElementsMut::I8(&mut out)).unwrap();
            out.into_iter().map(|value| u32::from(value.cast_unsigned())).collect()
        }
    }
}

fn spec(size: (u32, u32), fit: Fit) -> PictureSpec {
    PictureSpec {
        width: size.0,
        height: size.1,
        layout: Layout::Nchw,
        channels: Channels::Rgb,
        fit,
        pad: 114,
        scale: 1.0 / 255.0,
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
        element: Element::F32,
    }
}

/// Runs both, one after the other, on the same frame.
fn check(spec: &PictureSpec, frame: &Frame) {
    let best = Kernel::best();
    assert!(!matches!(best, Kernel::Scalar), "this machine cannot check the SIMD kernels");
    let wanted = bits(&mut Preprocess::with(spec, Kernel::Scalar).unwrap(), frame);
    let got = bits(&mut Preprocess::with(spec, best).unwrap(), frame);
    let first = wanted.iter().zip(&got).position(|(wanted, got)| wanted != got);
    let (format, size) = (frame.format, (frame.width, frame.height));
    assert_eq!(first, None, "{format:?} {size:?} {:?} -> {spec:?}", frame.colour);
}

#[test]
fn simd_gives_the_scalar_bits_for_every_format_fit_layout_and_element() {
    for &(_, format) in PixelFormat::NAMES {
        for (picture, tensor) in [((61, 43), (37, 29)), ((3, 5), (40, 33)), ((1, 1), (17, 5))] {
            let frame = frame(format, picture.0, picture.1);
            for fit in FITS {
                for layout in LAYOUTS {
                    for channels in CHANNELS {
                        for element in ELEMENTS {
                            // Quantised: samples less 128.
                            let (scale, mean) = match element {
                                Element::I8 => (1.0, [128.0, 127.0, 126.0]),
                                Element::U8 => (1.0, [0.0; 3]),
                                _ => (1.0 / 255.0, [0.485, 0.456, 0.406]),
                            };
                            let std = if scale == 1.0 { [1.0; 3] } else { [0.229, 0.224, 0.225] };
                            let spec = spec(tensor, fit);
                            let spec =
                                PictureSpec { layout, channels, element, scale, mean, std, ..spec };
                            check(&spec, &frame);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn simd_gives_the_scalar_bits_from_1080p() {
    for (index, &(_, format)) in PixelFormat::NAMES.iter().enumerate() {
        let frame = frame(format, 1920, 1080);
        for (turn, size) in [640, 224, 300, 417].into_iter().enumerate() {
            check(&spec((size, size), FITS[(index + turn) % 3]), &frame);
        }
    }
}

#[test]
fn simd_gives_the_scalar_bits_from_odd_sizes() {
    for (index, &(_, format)) in PixelFormat::NAMES.iter().enumerate() {
        for (turn, picture) in
            [(1919, 1081), (641, 2), (2, 479), (15, 16), (33, 1)].into_iter().enumerate()
        {
            let frame = frame(format, picture.0, picture.1);
            for size in [(224, 224), (300, 31)] {
                check(&spec(size, FITS[(index + turn) % 3]), &frame);
            }
        }
    }
}

#[test]
fn simd_gives_the_scalar_bits_for_every_tensor_width() {
    for width in 1..70 {
        for format in [PixelFormat::Nv12, PixelFormat::Yuyv, PixelFormat::Bgr, PixelFormat::Grey] {
            check(&spec((width, 3), Fit::Stretch), &frame(format, 97, 11));
        }
    }
}

#[test]
fn padding_is_written_once_for_each_plan_and_pictures_every_time() {
    for layout in LAYOUTS {
        let spec = PictureSpec { layout, ..spec((37, 29), Fit::Letterbox) };
        let (mut first, mut second) =
            (Preprocess::new(&spec).unwrap(), Preprocess::new(&spec).unwrap());
        let (wide, high) = (frame(PixelFormat::Nv12, 64, 16), frame(PixelFormat::Nv12, 16, 64));
        let mut out = vec![f32::NAN; first.elements()];
        let mut margin = Margin::default();
        let mut turn = |preprocess: &mut Preprocess, frame: &Frame, out: &mut [f32]| {
            preprocess.run_within(frame, ElementsMut::F32(out), &mut margin, None).unwrap();
            let found: Vec<u32> = out.iter().map(|element| element.to_bits()).collect();
            assert!(found == bits(preprocess, frame), "{layout:?}");
        };
        turn(&mut first, &wide, &mut out);
        turn(&mut first, &wide, &mut out);
        turn(&mut first, &high, &mut out);
        turn(&mut second, &wide, &mut out);
        turn(&mut first, &high, &mut out);
        // The first element is padding: what was written over it stays, and all of the picture is new.
        let padding = std::mem::replace(&mut out[0], 7.0);
        let middle = 37 * 14 + 37 / 2;
        out[if layout == Layout::Nchw { middle } else { 3 * middle }] = f32::NAN;
        first.run_within(&high, ElementsMut::F32(&mut out), &mut margin, None).unwrap();
        assert_eq!(std::mem::replace(&mut out[0], padding), 7.0);
        let found: Vec<u32> = out.iter().map(|element| element.to_bits()).collect();
        assert!(found == bits(&mut first, &high), "{layout:?}");
    }
}

#[test]
fn two_threads_give_the_bits_of_one() {
    let mut second = Second::start("second").unwrap();
    for (index, &(_, format)) in PixelFormat::NAMES.iter().enumerate() {
        let frame = frame(format, 1919, 1081);
        for layout in LAYOUTS {
            for (turn, size) in [224, 417].into_iter().enumerate() {
                let spec = PictureSpec { layout, ..spec((size, size), FITS[(index + turn) % 3]) };
                let mut preprocess = Preprocess::new(&spec).unwrap();
                let mut out = vec![f32::NAN; preprocess.elements()];
                let mut margin = Margin::default();
                for _ in 0..3 {
                    let (elements, second) = (ElementsMut::F32(&mut out), Some(&mut second));
                    preprocess.run_within(&frame, elements, &mut margin, second).unwrap();
                    let found: Vec<u32> = out.iter().map(|element| element.to_bits()).collect();
                    assert!(found == bits(&mut preprocess, &frame), "{format:?} -> {spec:?}");
                }
            }
        }
    }
}

#[test]
fn a_successor_takes_the_tables_over_and_gives_the_same_bits() {
    let spec = spec((37, 29), Fit::Letterbox);
    let frame = frame(PixelFormat::Nv12, 61, 43);
    let (mut old, mut new) = (Preprocess::new(&spec).unwrap(), Preprocess::new(&spec).unwrap());
    let wanted = bits(&mut old, &frame);
    new.inherit(&mut old);
    assert!(new.plan.is_some() && old.plan.is_none());
    assert!(bits(&mut new, &frame) == wanted && bits(&mut old, &frame) == wanted);
    let grey = PictureSpec { channels: Channels::Grey, ..spec };
    let mut other = Preprocess::new(&grey).unwrap();
    other.inherit(&mut new);
    assert!(other.plan.is_none() && *other.spec() == grey);
}
