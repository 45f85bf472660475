//! How long a frame takes to become a tensor, measured as it happens in a pipeline: the frame is not in the
//! cache, since enough distinct ones are gone through in turn.
//!
//! `cargo bench -p agent --bench preprocess [-- [--json] [NAME]]`: median over all frames of the fastest and
//! of the median round, and the time with one frame again and again for comparison.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::time::{Duration, Instant};

use vedette::hw::jpeg::Encoder;
use vedette::pipeline::frame::{Frame, PixelFormat};
use vedette::pipeline::preprocess::{Channels, Fit, Layout, PictureSpec, Preprocess};
use vedette::pipeline::tensor::{Element, ElementsMut};

/// Distinct frames: 124 MB of NV12 at 1080p, more than the last-level caches of the machines we measure on.
const FRAMES: u32 = 40;
const ROUNDS: usize = 15;
const WIDTH: u32 = 1920;
const HEIGHT: u32 = 1080;

struct Case {
    name: &'static str,
    format: PixelFormat,
    size: u32,
    fit: Fit,
    layout: Layout,
    element: Element,
}

const fn case(name: &'static str, format: PixelFormat, size: u32, fit: Fit) -> Case {
    Case { name, format, size, fit, layout: Layout::Nchw, element: Element::F32 }
}

const CASES: &[Case] = &[
    case("nv12_640", PixelFormat::Nv12, 640, Fit::Letterbox),
    case("nv12_640_stretch", PixelFormat::Nv12, 640, Fit::Stretch),
    case("nv12_608", PixelFormat::Nv12, 608, Fit::Letterbox),
    case("nv12_224", PixelFormat::Nv12, 224, Fit::Letterbox),
    case("nv12_224_stretch", PixelFormat::Nv12, 224, Fit::Stretch),
    case("i420_640", PixelFormat::I420, 640, Fit::Letterbox),
    case("yuyv_640", PixelFormat::Yuyv, 640, Fit::Letterbox),
    case("rgb_640", PixelFormat::Rgb, 640, Fit::Letterbox),
    case("rgb_224", PixelFormat::Rgb, 224, Fit::Letterbox),
    case("grey_640", PixelFormat::Grey, 640, Fit::Letterbox),
    case("mjpeg_640", PixelFormat::Mjpeg, 640, Fit::Letterbox),
    case("mjpeg_224", PixelFormat::Mjpeg, 224, Fit::Letterbox),
    Case { element: Element::F16, ..case("nv12_640_f16", PixelFormat::Nv12, 640, Fit::Letterbox) },
    Case { element: Element::U8, ..case("nv12_640_u8", PixelFormat::Nv12, 640, Fit::Letterbox) },
    Case { layout: Layout::Nhwc, ..case("nv12_640_nhwc", PixelFormat::Nv12, 640, Fit::Letterbox) },
    Case {
        layout: Layout::Nhwc,
        element: Element::U8,
        ..case("nv12_640_nhwc_u8", PixelFormat::Nv12, 640, Fit::Letterbox)
    },
];

/// A smooth picture with a little noise, so that its JPEG file is of a camera's size.
fn picture(seed: u32) -> Vec<u8> {
    let mut noise = seed.wrapping_mul(2_654_435_761) | 1;
    let mut rgb = Vec::new();
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            noise ^= noise << 13;
            noise ^= noise >> 17;
            noise ^= noise << 5;
            let wave = ((x + 13 * seed) / 3 % 160, (y + 7 * seed) / 2 % 160, (x + y) / 4 % 160);
            for value in [wave.0, wave.1, wave.2] {
                rgb.push(value.to_le_bytes()[0].wrapping_add(noise.to_le_bytes()[1] & 15));
            }
        }
    }
    rgb
}

fn frames(format: PixelFormat) -> Vec<Frame> {
    let mut encoder = Encoder::new().expect("an encoder");
    let make = |seed| {
        let rgb = picture(seed);
        let mut frame = Frame::default();
        let bytes = frame.reshape(format, WIDTH, HEIGHT).expect("1080p is a size");
        if format == PixelFormat::Mjpeg {
            encoder.encode_rgb(&rgb, WIDTH, HEIGHT, 85, bytes).expect("a picture");
        } else {
            // What the bytes mean does not change the time.
            for (byte, value) in bytes.iter_mut().zip(rgb.iter().cycle()) {
                *byte = *value;
            }
        }
        frame
    };
    (0..FRAMES).map(make).collect()
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e3
}

/// A tensor's memory, of whichever type.
enum Tensor {
    F32(Vec<f32>),
    F16(Vec<half::f16>),
    U8(Vec<u8>),
}

impl Tensor {
    fn as_mut(&mut self) -> ElementsMut<'_> {
        match self {
            Self::F32(out) => ElementsMut::F32(out),
            Self::F16(out) => ElementsMut::F16(out),
            Self::U8(out) => ElementsMut::U8(out),
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let json = arguments.iter().any(|argument| argument == "--json");
    let wanted = arguments.iter().find(|argument| !argument.starts_with("--"));
    for case in CASES.iter().filter(|case| wanted.is_none_or(|name| name == case.name)) {
        let frames = frames(case.format);
        let spec = PictureSpec {
            width: case.size,
            height: case.size,
            layout: case.layout,
            channels: Channels::Rgb,
            fit: case.fit,
            pad: 114,
            scale: 1.0 / 255.0,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
            element: case.element,
        };
        let mut preprocess = Preprocess::new(&spec).expect("a good description");
        let count = preprocess.elements();
        let mut tensor = match case.element {
            Element::F16 => Tensor::F16(vec![half::f16::ZERO; count]),
            Element::U8 => Tensor::U8(vec![0; count]),
            _ => Tensor::F32(vec![0.0; count]),
        };
        let mut time = |frame: &Frame| {
            let start = Instant::now();
            preprocess.run(frame, tensor.as_mut()).expect("a good frame");
            start.elapsed()
        };
        let mut round = |warm: bool| {
            let mut times: Vec<_> =
                frames.iter().map(|frame| time(if warm { &frames[0] } else { frame })).collect();
            median(&mut times)
        };
        round(false);
        let mut cold: Vec<f64> = (0..ROUNDS).map(|_| round(false)).collect();
        let mut warm: Vec<f64> = (0..ROUNDS).map(|_| round(true)).collect();
        cold.sort_by(f64::total_cmp);
        warm.sort_by(f64::total_cmp);
        let (p50, best, warm) = (cold[ROUNDS / 2], cold[0], warm[0]);
        let name = case.name;
        if json {
            println!(
                r#"{{"name":"preprocess_{name}","p50_ms":{p50:.4},"best_ms":{best:.4},"warm_ms":{warm:.4}}}"#
            );
        } else {
            println!(
                "{name:18} {p50:8.4} ms   quietest round {best:8.4}   same frame again {warm:8.4}"
            );
        }
    }
}
