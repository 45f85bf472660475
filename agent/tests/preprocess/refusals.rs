//! Bad descriptions, bad frames, bad files: one clear error each.

use vedette::hw::jpeg::{Encoder, JpegError};
use vedette::pipeline::frame::{Frame, FrameError, PixelFormat, Pixels};
use vedette::pipeline::preprocess::{Channels, Fit, PictureSpec, Preprocess, PreprocessError};
use vedette::pipeline::tensor::{Element, ElementsMut};

use super::{CASES, Case, mark, plain};

const CMYK: &[u8] = include_bytes!("../golden/preprocess/cmyk.jpg");

#[test]
fn a_description_that_makes_no_tensor_is_refused() {
    let good = plain((8, 8), Fit::Stretch);
    type Is = fn(&PreprocessError) -> bool;
    let cases: [(PictureSpec, Is); 8] = [
        (PictureSpec { width: 0, ..good.clone() }, |e| matches!(e, PreprocessError::Size(_))),
        (PictureSpec { height: 70_000, ..good.clone() }, |e| matches!(e, PreprocessError::Size(_))),
        (PictureSpec { element: Element::I64, ..good.clone() }, |e| {
            matches!(e, PreprocessError::Element(Element::I64))
        }),
        (PictureSpec { scale: f32::NAN, ..good.clone() }, |e| {
            matches!(e, PreprocessError::Factor { field: "scale", .. })
        }),
        (PictureSpec { mean: [0.0, f32::INFINITY, 0.0], ..good.clone() }, |e| {
            matches!(e, PreprocessError::Factor { field: "mean", .. })
        }),
        (PictureSpec { std: [1.0, 1.0, 0.0], ..good.clone() }, |e| {
            matches!(e, PreprocessError::Factor { field: "std", .. })
        }),
        (PictureSpec { std: [f32::NAN, 1.0, 1.0], ..good.clone() }, |e| {
            matches!(e, PreprocessError::Factor { field: "std", .. })
        }),
        (PictureSpec { std: [1e-45; 3], ..good.clone() }, |e| {
            matches!(e, PreprocessError::Factor { field: "std", .. })
        }),
    ];
    for (spec, is) in cases {
        let error = Preprocess::new(&spec).unwrap_err();
        assert!(is(&error), "{error:?}");
    }
    let grey = PictureSpec { channels: Channels::Grey, std: [1.0, 0.0, 0.0], ..good };
    Preprocess::new(&grey).expect("a grey picture has one channel");
}

#[test]
fn a_frame_that_is_no_picture_is_refused_by_name() {
    let mut jpeg = Frame::default();
    let bytes = jpeg.reshape(PixelFormat::Mjpeg, 61, 43).unwrap();
    Encoder::new().unwrap().encode_rgb(&[90; 3 * 61 * 43], 61, 43, 90, bytes).unwrap();
    let file = bytes.clone();
    let with = |bytes: &[u8]| Frame { pixels: Pixels::Owned(bytes.to_vec()), ..jpeg.clone() };
    // Offsets from the marker that begins the picture's description.
    let patched = |offset: usize, patch: &[u8]| {
        let at = file.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap() + offset;
        let mut file = file.clone();
        file[at..at + patch.len()].copy_from_slice(patch);
        with(&file)
    };
    let huge = [0x4E, 0x20, 0x4E, 0x20];
    let mut short = mark(8, 8, 4, 4);
    short.pixels = Pixels::Owned(vec![0; 63]);
    type Is = fn(&PreprocessError) -> bool;
    let cases: [(&str, Frame, Is); 11] = [
        ("no size", Frame::default(), |e| {
            matches!(e, PreprocessError::Frame(FrameError::Size { .. }))
        }),
        ("too short", short, |e| matches!(e, PreprocessError::Frame(FrameError::Short { .. }))),
        ("no file", with(&[]), |e| matches!(e, PreprocessError::Jpeg(JpegError::NotJpeg))),
        ("no JPEG", with(b"\x89PNG\r\n"), |e| {
            matches!(e, PreprocessError::Jpeg(JpegError::NotJpeg))
        }),
        ("cut off", with(&file[..file.len() / 2]), |e| {
            matches!(e, PreprocessError::Jpeg(JpegError::Truncated))
        }),
        ("CMYK", with(CMYK), |e| {
            matches!(e, PreprocessError::Jpeg(JpegError::Components { components: 4 }))
        }),
        ("0 x 0", patched(5, &[0; 4]), |e| matches!(e, PreprocessError::Jpeg(JpegError::Size(_)))),
        ("20,000 x 20,000", patched(5, &huge), |e| {
            matches!(e, PreprocessError::Jpeg(JpegError::Size(_)))
        }),
        ("12 bits", patched(4, &[12]), |e| {
            matches!(e, PreprocessError::Jpeg(JpegError::Precision { bits: 12 }))
        }),
        ("lossless", patched(1, &[0xC3]), |e| {
            matches!(e, PreprocessError::Jpeg(JpegError::Process(3)))
        }),
        ("of another size", Frame { width: 60, ..jpeg.clone() }, |e| {
            matches!(e, PreprocessError::Disagree { frame: (60, 43), file: (61, 43) })
        }),
    ];
    let mut preprocess = Preprocess::new(&plain((32, 32), Fit::Letterbox)).unwrap();
    let mut out = vec![0.0; preprocess.elements()];
    for (name, frame, is) in cases {
        let error = preprocess.run(&frame, ElementsMut::F32(&mut out)).unwrap_err();
        assert!(is(&error), "{name}: {error:?}");
    }
    preprocess.run(&jpeg, ElementsMut::F32(&mut out)).expect("it still works");
}

#[test]
fn a_tensor_of_another_type_or_size_is_refused() {
    let frame = mark(8, 8, 4, 4);
    let mut preprocess = Preprocess::new(&plain((4, 4), Fit::Stretch)).unwrap();
    let error = preprocess.run(&frame, ElementsMut::F32(&mut [0.0; 47])).unwrap_err();
    assert!(matches!(error, PreprocessError::Tensor { have: 47, need: 48, .. }), "{error:?}");
    let error = preprocess.run(&frame, ElementsMut::U8(&mut [0; 48])).unwrap_err();
    assert!(matches!(error, PreprocessError::Tensor { found: Element::U8, .. }), "{error:?}");
}

#[test]
fn no_damage_to_a_jpeg_file_does_more_than_fail() {
    let cases: Vec<Case> = serde_json::from_str(CASES).unwrap();
    let mut preprocess = Preprocess::new(&plain((20, 20), Fit::Crop)).unwrap();
    let mut out = vec![0.0; preprocess.elements()];
    let mut seed = 1_u32;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        usize::try_from(seed).unwrap() % below
    };
    for case in cases.iter().filter(|case| case.format == "mjpeg" && case.input.1 < 5000) {
        let whole = case.frame();
        for cut in 0..whole.pixels.len() {
            let frame =
                Frame { pixels: Pixels::Owned(whole.pixels[..cut].to_vec()), ..whole.clone() };
            let result = preprocess.run(&frame, ElementsMut::F32(&mut out));
            // Without the end marker alone, the picture is whole; so may it be with a little less.
            assert!(result.is_err() || cut + 4 > whole.pixels.len(), "{} cut at {cut}", case.name);
        }
        for _ in 0..500 {
            let mut bytes = whole.pixels.to_vec();
            for _ in 0..=random(4) {
                let at = random(bytes.len());
                bytes[at] = random(256).to_le_bytes()[0];
            }
            let frame = Frame { pixels: Pixels::Owned(bytes), ..whole.clone() };
            if preprocess.run(&frame, ElementsMut::F32(&mut out)).is_ok() {
                assert!(out.iter().all(|value| (0.0..=255.0).contains(value)), "{}", case.name);
            }
            let next = preprocess.run(&whole, ElementsMut::F32(&mut out));
            next.unwrap_or_else(|error| panic!("{}, after a damaged file: {error:?}", case.name));
        }
    }
}
