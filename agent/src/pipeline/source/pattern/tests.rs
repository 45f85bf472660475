use wire::Truth;

use super::*;
use crate::config::section::tests::check;
use crate::pipeline::rgb::to_rgb;

fn pattern(width: u32, height: u32, format: PixelFormat) -> Pattern {
    let script = Script { width, height, seed: 3, shapes: None, cut: 4, rate_hz: 30.0 };
    Pattern { format, colour: Colour::CAMERA, pace: Pace::Free, frames: None, script }
}

/// Frame `number` of a pattern, in a frame that was used for something else.
fn frame(spec: &Pattern, number: u64) -> Frame {
    let mut frame = Frame::default();
    frame.reshape(PixelFormat::Rgb, 9, 9).unwrap().fill(0x55);
    frame.truth = Some(vec![]);
    let mut open = spec.open().unwrap();
    for _ in 0..=number {
        assert_eq!(open.next(&mut frame, &Stop::new()).unwrap(), Next::Frame);
    }
    frame.check().unwrap();
    frame
}

fn rgb(frame: &Frame) -> Vec<u8> {
    let mut rgb = Vec::new();
    to_rgb(frame, &mut rgb).unwrap();
    rgb
}

/// The share of pixels that differ by more than `limit` in any channel.
fn share_that_differs(a: &[u8], b: &[u8], limit: u8) -> f64 {
    assert_eq!(a.len(), b.len());
    let pixels = a.as_chunks::<3>().0.iter().zip(b.as_chunks::<3>().0);
    let differs =
        |(a, b): (&[u8; 3], &[u8; 3])| a.iter().zip(b).any(|(a, b)| a.abs_diff(*b) > limit);
    let (count, total) =
        pixels.fold((0, 0), |(count, total), pair| (count + u32::from(differs(pair)), total + 1));
    f64::from(count) / f64::from(total)
}

#[test]
fn every_format_and_colour_shows_the_same_picture() {
    for (width, height) in [(320, 180), (321, 181), (97, 240), (16, 16), (17, 31)] {
        let wanted = frame(&pattern(width, height, PixelFormat::Rgb), 5);
        assert_eq!(wanted.planes[0].stride, 3 * usize::try_from(width).unwrap());
        let truth = wanted.truth.clone();
        let wanted = rgb(&wanted);
        let bgr = frame(&pattern(width, height, PixelFormat::Bgr), 5);
        assert!(rgb(&bgr) == wanted, "bgr {width} x {height}");
        // Pixels at a shape's edge share chroma with a neighbour; small shapes are mostly edge.
        let edges = if width < 100 { 0.4 } else { 0.1 };
        for format in [PixelFormat::Nv12, PixelFormat::I420, PixelFormat::Yuyv] {
            for (name, colour) in COLOURS {
                let frame =
                    frame(&Pattern { colour: *colour, ..pattern(width, height, format) }, 5);
                let share = share_that_differs(&rgb(&frame), &wanted, 4);
                assert!(share < edges, "{format:?} {name} {width} x {height}: {share}");
                assert_eq!(frame.truth, truth);
            }
        }
        let nv12 = rgb(&frame(&pattern(width, height, PixelFormat::Nv12), 5));
        let i420 = rgb(&frame(&pattern(width, height, PixelFormat::I420), 5));
        assert!(nv12 == i420, "{width} x {height}");
        let mjpeg = frame(&pattern(width, height, PixelFormat::Mjpeg), 5);
        assert_eq!((mjpeg.colour, mjpeg.truth.clone()), (Colour::CAMERA, truth));
        let share = share_that_differs(&rgb(&mjpeg), &wanted, 30);
        assert!(share < edges, "mjpeg {width} x {height}: {share}");
        let grey = frame(&pattern(width, height, PixelFormat::Grey), 5);
        let luma = wanted.as_chunks::<3>().0.iter().map(|&[red, green, blue]| {
            (299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue)) / 1000
        });
        for (found, wanted) in grey.pixels.iter().zip(luma) {
            assert!(u32::from(*found).abs_diff(wanted) <= 2, "grey {width} x {height}");
        }
    }
}

fn float(at: usize) -> f32 {
    f32::from(u16::try_from(at).unwrap())
}

/// The box of the pixels that are far from a gradient between two mid tones.
fn painted_box(frame: &Frame, truth: &Truth) -> [f32; 4] {
    let (rgb, width) = (rgb(frame), usize::try_from(frame.width).unwrap());
    let pixel = |x: usize, y: usize| &rgb[3 * (y * width + x)..][..3];
    // The colour in the middle of any of the shapes is the shape's.
    let at = |from: f32, by: f32| (0..width).rfind(|&at| float(at) <= from + by / 2.0).unwrap();
    let bounds = &truth.bounds;
    let colour = pixel(at(bounds.x_px, bounds.width_px), at(bounds.y_px, bounds.height_px));
    let mut found = [f32::MAX, f32::MAX, 0.0, 0.0];
    for (index, pixel) in rgb.chunks(3).enumerate() {
        // Two pixels of one colour differ by noise only, which is at most 12.
        if pixel.iter().zip(colour).all(|(a, b)| a.abs_diff(*b) <= 13) {
            let (x, y) = (float(index % width), float(index / width));
            found =
                [found[0].min(x), found[1].min(y), found[2].max(x + 1.0), found[3].max(y + 1.0)];
        }
    }
    found
}

#[test]
fn the_truth_is_where_the_pixels_are() {
    let mut labels = std::collections::HashSet::new();
    for seed in 0..24 {
        let mut spec = pattern(640, 360, PixelFormat::Rgb);
        spec.script = Script { seed, shapes: Some(1), cut: 0, ..spec.script };
        let frame = frame(&spec, 3);
        let truth = &frame.truth.as_ref().unwrap()[0];
        labels.insert(truth.label.clone());
        let bounds = &truth.bounds;
        let (right, bottom) = (bounds.x_px + bounds.width_px, bounds.y_px + bounds.height_px);
        let painted = painted_box(&frame, truth);
        for (painted, wanted) in painted.into_iter().zip([bounds.x_px, bounds.y_px, right, bottom])
        {
            // A sharp point has no pixel in its first row or two.
            assert!((painted - wanted).abs() < 3.0, "seed {seed}: {painted} {wanted} {truth:?}");
        }
    }
    assert_eq!(labels.len(), 4, "{labels:?}");
}

#[test]
fn shared_chroma_is_the_mean_of_what_its_pixels_are_painted_with() {
    for format in [PixelFormat::Nv12, PixelFormat::Yuyv] {
        let mut spec = pattern(161, 121, format);
        spec.script = Script { shapes: Some(1), cut: 0, ..spec.script };
        let packed = frame(&spec, 2);
        spec.format = PixelFormat::Rgb;
        let rgb = rgb(&frame(&spec, 2));
        let down = if format == PixelFormat::Nv12 { 2 } else { 1 };
        for (y, x) in (0..121).step_by(down).flat_map(|y| (0..161).step_by(2).map(move |x| (y, x)))
        {
            let rows =
                (y..121.min(y + down)).flat_map(|y| (x..161.min(x + 2)).map(move |x| (x, y)));
            let (mut u, mut v, mut count) = (0.0, 0.0, 0.0);
            for (x, y) in rows {
                let pixel = 3 * (y * 161 + x);
                let pixel = [rgb[pixel], rgb[pixel + 1], rgb[pixel + 2]];
                let [_, of_u, of_v] = paint::channels(format, Colour::CAMERA, pixel);
                (u, v, count) = (u + of_u, v + of_v, count + 1.0);
            }
            let at = match format {
                PixelFormat::Nv12 => packed.planes[1].offset + y / 2 * packed.planes[1].stride + x,
                _ => y * packed.planes[0].stride + 2 * x + 1,
            };
            let step = if format == PixelFormat::Nv12 { 1 } else { 2 };
            for (found, wanted) in
                [(packed.pixels[at], u / count), (packed.pixels[at + step], v / count)]
            {
                let found = f32::from(found);
                assert!((found - wanted).abs() < 2.5, "{format:?} {x} {y}: {found} {wanted}");
            }
        }
    }
}

#[test]
fn the_noise_is_small_and_another_in_every_frame() {
    let mut spec = pattern(160, 120, PixelFormat::Grey);
    spec.script = Script { shapes: Some(0), cut: 0, ..spec.script };
    let (first, second) = (frame(&spec, 0), frame(&spec, 1));
    let differences = first.pixels.iter().zip(second.pixels.iter()).map(|(a, b)| a.abs_diff(*b));
    assert_eq!(differences.clone().max(), Some(12));
    let sum: u32 = differences.map(u32::from).sum();
    let mean = f64::from(sum) / (160.0 * 120.0);
    assert!(
        (3.8..4.8).contains(&mean),
        "two uniform values of +-6 differ by 4.3 in the mean: {mean}"
    );
}

#[test]
fn it_ends_after_its_frames_and_stops_when_told() {
    let spec = Pattern { frames: Some(3), ..pattern(32, 32, PixelFormat::Grey) };
    let (mut open, mut frame, stop) = (spec.open().unwrap(), Frame::default(), Stop::new());
    for seq in 0..3 {
        assert_eq!(open.next(&mut frame, &stop).unwrap(), Next::Frame);
        assert_eq!(frame.seq, seq);
    }
    assert_eq!(open.next(&mut frame, &stop).unwrap(), Next::End);
    stop.say();
    assert_eq!(spec.open().unwrap().next(&mut frame, &stop).unwrap(), Next::Stopped);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let spec = pattern(64, 48, PixelFormat::Nv12);
    assert!(*frame(&spec, 9).pixels == *frame(&spec, 9).pixels);
    let mut other = pattern(64, 48, PixelFormat::Nv12);
    other.script.seed += 1;
    assert!(*frame(&spec, 9).pixels != *frame(&other, 9).pixels);
}

#[test]
fn every_mistake_in_its_table_is_named() {
    for (text, wanted) in [
        ("", &[][..]),
        ("widht = 640", &["line 1: `widht`: unknown key; did you mean `width`?"]),
        ("format = 'nv21'", &["line 1: `format`: unknown value `nv21`; did you mean `nv12`?"]),
        ("format = 12", &["line 1: `format`: is an integer, expected a string"]),
        ("width = 0", &["line 1: `width`: 0 is not from 16 to 16384"]),
        ("height = 20000", &["line 1: `height`: 20000 is not from 16 to 16384"]),
        (
            "width = 16384\nheight = 16384",
            &[
                "line 1: `width`: a picture of 16384 x 16384 pixels is not from 1 x 1 to 16384 x 16384 and \
               67108864 pixels",
            ],
        ),
        ("rate_hz = -1", &["line 1: `rate_hz`: -1 is not from 0 to 1000"]),
        ("rate_hz = 0.01", &["line 1: `rate_hz`: 0.01 is neither 0 nor from 0.1 to 1000"]),
        ("rate_hz = 'fast'", &["line 1: `rate_hz`: is a string, expected a number"]),
        ("pace = 'fee'", &["line 1: `pace`: unknown value `fee`; did you mean `free`?"]),
        (
            "pace = 'real-time'\nrate_hz = 0",
            &["line 2: `rate_hz`: 0 is as fast as possible, and `pace` asks for real time"],
        ),
        ("frames = 0", &["line 1: `frames`: 0 is not from 1 to 4294967295"]),
        ("shapes = 17", &["line 1: `shapes`: 17 is not from 0 to 16"]),
        (
            "colour = 'bt601'",
            &["line 1: `colour`: unknown value `bt601`; did you mean `bt601-full`?"],
        ),
        (
            "colour = 'bt709-full'\nformat = 'rgb'",
            &["line 1: `colour`: is for the formats `nv12`, `i420` and `yuyv` only"],
        ),
        (
            "seed = -5\ncut = 1.5",
            &[
                "line 1: `seed`: -5 is not from 0 to 4294967295",
                "line 2: `cut`: is a number with a decimal point, expected an integer",
            ],
        ),
    ] {
        let found = check(text, |section| {
            drop(read(section));
        });
        assert_eq!(found, wanted, "{text}");
    }
}

#[test]
fn what_is_not_said_is_a_camera_of_1280_by_720_at_30_hz() {
    check("", |section| {
        let spec = read(section).unwrap();
        assert_eq!(spec.rate_hz(), Some(30.0));
        let mut frame = Frame::default();
        spec.open().unwrap().next(&mut frame, &Stop::new()).unwrap();
        assert_eq!((frame.format, frame.width, frame.height), (PixelFormat::Nv12, 1280, 720));
    });
    for (text, rate_hz) in
        [("rate_hz = 0", None), ("pace = 'free'\nrate_hz = 50", None), ("rate_hz = 0.1", Some(0.1))]
    {
        check(text, |section| assert_eq!(read(section).unwrap().rate_hz(), rate_hz, "{text}"));
    }
}
