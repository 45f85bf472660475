use super::*;
use crate::pipeline::frame::FrameError;

/// A picture with slow colour gradients, which JPEG keeps well.
fn gradient(width: u32, height: u32) -> Vec<u8> {
    let mut rgb = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let across = u8::try_from(255 * x / width).unwrap();
            let down = u8::try_from(255 * y / height).unwrap();
            rgb.extend([across, down, 255 - across]);
        }
    }
    rgb
}

fn file(width: u32, height: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let rgb = gradient(width, height);
    Encoder::new().unwrap().encode_rgb(&rgb, width, height, 95, &mut out).unwrap();
    out
}

/// Where the start-of-frame segment's payload begins: length, bits, height, width, components.
fn sof(file: &[u8]) -> usize {
    file.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap() + 2
}

#[test]
fn what_is_encoded_is_decoded_again() {
    let mut decoder = Decoder::new().unwrap();
    let mut rgb = Vec::new();
    for (width, height) in [(1, 1), (3, 5), (17, 9), (160, 120), (33, 2)] {
        let bytes = file(width, height);
        assert_eq!(Header::read(&bytes).unwrap(), (width, height));
        assert_eq!(decoder.decode_rgb(&bytes, &mut rgb).unwrap(), (width, height));
        let wanted = gradient(width, height);
        assert_eq!(rgb.len(), wanted.len());
        if width >= 160 {
            let off = rgb.iter().zip(&wanted).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(off <= 12, "{off}");
        }
    }
}

#[test]
fn planes_are_decoded_at_the_smallest_scale_that_covers() {
    let bytes = file(641, 481);
    let mut decoder = Decoder::new().unwrap();
    let mut planes = Planes::default();
    for (least, wanted) in [
        ((1, 1), (81, 61)),
        ((81, 61), (81, 61)),
        ((82, 10), (161, 121)),
        ((10, 122), (321, 241)),
        ((322, 1), (641, 481)),
        ((5000, 5000), (641, 481)),
    ] {
        let header = decoder.decode_planes(&bytes, least, &mut planes).unwrap();
        assert_eq!((header.width, header.height), (641, 481));
        assert_eq!((planes.width, planes.height), wanted, "{least:?}");
        assert_eq!(planes.samples, Samples::Yuv { shift_x: 1, shift_y: 1 });
    }
}

#[test]
fn bytes_that_are_no_usable_picture_are_refused_by_name() {
    let whole = file(40, 30);
    let at = sof(&whole);
    let with = |offset: usize, bytes: &[u8]| {
        let mut file = whole.clone();
        file[at + offset..at + offset + bytes.len()].copy_from_slice(bytes);
        file
    };
    let process = |n: u8| {
        let mut file = whole.clone();
        file[at - 1] = 0xC0 + n;
        file
    };
    let big = 20_000_u16.to_be_bytes();
    type Is = fn(&JpegError) -> bool;
    let cases: [(&str, Vec<u8>, Is); 13] = [
        ("nothing", vec![], |e| matches!(e, JpegError::NotJpeg)),
        ("half a marker", vec![0xFF], |e| matches!(e, JpegError::Truncated)),
        ("a PNG file", b"\x89PNG\r\n\x1a\n".to_vec(), |e| matches!(e, JpegError::NotJpeg)),
        ("text", b"hello".to_vec(), |e| matches!(e, JpegError::NotJpeg)),
        ("only a start", vec![0xFF, 0xD8], |e| matches!(e, JpegError::Truncated)),
        ("start and end", vec![0xFF, 0xD8, 0xFF, 0xD9], |e| matches!(e, JpegError::Truncated)),
        ("cut in the header", whole[..at + 4].to_vec(), |e| matches!(e, JpegError::Truncated)),
        ("cut in the picture", whole[..whole.len() * 3 / 4].to_vec(), |e| {
            matches!(e, JpegError::Truncated)
        }),
        ("no height", with(3, &[0, 0]), |e| {
            matches!(e, JpegError::Size(FrameError::Size { height: 0, .. }))
        }),
        ("huge", with(3, &[big[0], big[1], big[0], big[1]]), |e| {
            matches!(e, JpegError::Size(FrameError::Size { width: 20_000, height: 20_000 }))
        }),
        ("12-bit", with(2, &[12]), |e| matches!(e, JpegError::Precision { bits: 12 })),
        ("CMYK", with(7, &[4]), |e| matches!(e, JpegError::Components { components: 4 })),
        ("lossless", process(3), |e| matches!(e, JpegError::Process(3))),
    ];
    let mut decoder = Decoder::new().unwrap();
    for (name, bytes, is) in cases {
        let error = decoder.decode_rgb(&bytes, &mut Vec::new()).unwrap_err();
        assert!(is(&error), "{name}: {error:?}");
        let error = decoder.decode_planes(&bytes, (1, 1), &mut Planes::default()).unwrap_err();
        assert!(is(&error), "{name}: {error:?}");
    }
    decoder.decode_rgb(&whole, &mut Vec::new()).expect("the decoder is still good");
}

#[test]
fn a_cameras_padding_before_the_end_marker_is_no_damage() {
    let mut bytes = file(40, 30);
    let end = bytes.len() - 2;
    bytes.splice(end..end, [0; 37]);
    let mut decoder = Decoder::new().unwrap();
    decoder.decode_rgb(&bytes, &mut Vec::new()).unwrap();
    decoder.decode_planes(&bytes, (1, 1), &mut Planes::default()).unwrap();
}

#[test]
fn a_picture_that_cannot_be_encoded_is_refused() {
    let mut encoder = Encoder::new().unwrap();
    let mut out = vec![1, 2, 3];
    let rgb = gradient(8, 8);
    let error = encoder.encode_rgb(&rgb, 9, 8, 90, &mut out).unwrap_err();
    assert!(matches!(error, JpegError::Short { need: 216, have: 192, .. }), "{error:?}");
    assert!(out.is_empty());
    let error = encoder.encode_rgb(&[], 0, 8, 90, &mut out).unwrap_err();
    assert!(matches!(error, JpegError::EncodeSize(_)), "{error:?}");
    for quality in [0, 101, 255] {
        let error = encoder.encode_rgb(&rgb, 8, 8, quality, &mut out).unwrap_err();
        assert!(matches!(error, JpegError::Encode { .. }), "{error:?}");
    }
    encoder.encode_rgb(&rgb, 8, 8, 1, &mut out).unwrap();
    encoder.encode_rgb(&rgb, 8, 8, 100, &mut out).unwrap();
}

#[test]
fn planes_are_encoded_as_they_are() {
    let (mut planes, mut again, mut out) = (Planes::default(), Planes::default(), Vec::new());
    let (mut decoder, mut encoder) = (Decoder::new().unwrap(), Encoder::new().unwrap());
    for (width, height) in [(64, 48), (33, 17)] {
        decoder.decode_planes(&file(width, height), (width, height), &mut planes).unwrap();
        let [luma, u, v] = planes.planes.map(|(offset, _)| &planes.pixels[offset..]);
        encoder.encode_planes([luma, u, v], width, height, 100, &mut out).unwrap();
        decoder.decode_planes(&out, (width, height), &mut again).unwrap();
        let off = planes.pixels.iter().zip(&again.pixels).map(|(one, other)| one.abs_diff(*other));
        assert_eq!(planes.pixels.len(), again.pixels.len());
        assert!(off.max() <= Some(3), "{width} x {height}");
    }
    encoder.encode_planes([&[9; 4], &[9], &[9]], 1, 1, 90, &mut out).unwrap();
    assert_eq!(Header::parse(&out).unwrap().width, 1);
    for short in [[0, 256, 256], [1024, 255, 256], [1024, 256, 0]] {
        let short = short.map(|length| vec![0; length]);
        let planes = [0, 1, 2].map(|plane: usize| short[plane].as_slice());
        let error = encoder.encode_planes(planes, 32, 32, 90, &mut out).unwrap_err();
        assert!(matches!(error, JpegError::Short { .. }), "{error:?}");
        assert!(out.is_empty());
    }
    let error = encoder.encode_planes([&[][..]; 3], 8, 0, 90, &mut out).unwrap_err();
    assert!(matches!(error, JpegError::EncodeSize(_)), "{error:?}");
}
