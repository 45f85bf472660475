use std::io::Write;

use super::*;
use crate::config::section::tests::check;
use crate::hw::jpeg::Encoder;
use crate::pipeline::rgb::to_rgb;

/// What `Source::next` gave: a width where it is a picture.
#[derive(Debug, PartialEq, Eq)]
enum Gave {
    Width(u32),
    End,
    Error(String),
}

fn jpeg(width: u32) -> Vec<u8> {
    let rgb: Vec<u8> = (0..width * 8 * 3).map(|value| u8::try_from(value % 251).unwrap()).collect();
    let mut file = Vec::new();
    Encoder::new().unwrap().encode_rgb(&rgb, width, 8, 80, &mut file).unwrap();
    file
}

fn png(
    width: u32,
    height: u32,
    kind: png::ColorType,
    depth: png::BitDepth,
    data: &[u8],
) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(kind);
    encoder.set_depth(depth);
    if kind == png::ColorType::Indexed {
        encoder.set_palette(vec![10, 20, 30, 40, 50, 60]);
        encoder.set_trns(vec![0, 128]);
    }
    let mut writer = encoder.write_header().unwrap();
    if data.is_empty() {
        // As much as a decoder needs to believe that pixels will follow.
        writer.write_chunk(png::chunk::IDAT, &[0x78, 0x9C]).unwrap();
        drop(writer);
    } else {
        writer.write_image_data(data).unwrap();
        writer.finish().unwrap();
    }
    file
}

fn grey_png(width: u32) -> Vec<u8> {
    let data = vec![9; usize::try_from(width).unwrap()];
    png(width, 1, png::ColorType::Grayscale, png::BitDepth::Eight, &data)
}

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        put(&folder.path().join(name), bytes);
    }
    folder
}

fn put(path: &Path, bytes: &[u8]) {
    File::create(path).unwrap().write_all(bytes).unwrap();
}

fn replay(path: &Path, repeat: bool) -> Replay {
    Replay { path: path.to_owned(), pace: Pace::Free, repeat, recorded: false }
}

/// What a replay gives, at most `count` times, up to its end or first error.
fn played(spec: &Replay, count: usize) -> Vec<Gave> {
    let mut source = match spec.open() {
        Ok(source) => source,
        Err(error) => return vec![Gave::Error(chain(&error))],
    };
    let (mut frame, stop, mut gave) = (Frame::default(), Stop::new(), Vec::new());
    while gave.len() < count {
        match source.next(&mut frame, &stop) {
            Ok(Next::Frame) => {
                frame.check().unwrap();
                assert_eq!(frame.seq, u64::try_from(gave.len()).unwrap());
                assert_eq!(frame.truth, None);
                gave.push(Gave::Width(frame.width));
            }
            Ok(Next::End) => {
                gave.push(Gave::End);
                break;
            }
            Ok(Next::Stopped) => panic!("nobody said stop"),
            Err(error) => {
                gave.push(Gave::Error(chain(&error)));
                break;
            }
        }
    }
    gave
}

/// An error and its causes, in one line.
fn chain(error: &SourceError) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn widths(widths: &[u32]) -> Vec<Gave> {
    widths.iter().map(|&width| Gave::Width(width)).collect()
}

#[test]
fn a_folder_is_shown_in_the_order_of_names_and_ends() {
    let folder = folder(&[
        ("c.JPEG", &jpeg(30)),
        ("a.jpg", &jpeg(10)),
        ("notes.txt", b"no picture"),
        ("b.png", &grey_png(20)),
        ("d", &jpeg(40)),
    ]);
    let mut wanted = widths(&[10, 20, 30]);
    wanted.push(Gave::End);
    assert_eq!(played(&replay(folder.path(), false), 9), wanted);
    assert_eq!(played(&replay(folder.path(), true), 5), widths(&[10, 20, 30, 10, 20]));
}

#[test]
fn a_picture_that_is_shown_again_is_the_same() {
    let folder = folder(&[("a.jpg", &jpeg(10)), ("b.png", &grey_png(20))]);
    let mut source = replay(folder.path(), true).open().unwrap();
    let mut shown = Vec::new();
    for _ in 0..6 {
        let mut frame = Frame::default();
        assert_eq!(source.next(&mut frame, &Stop::new()).unwrap(), Next::Frame);
        shown.push((frame.format, frame.width, frame.colour, frame.planes, frame.pixels.to_vec()));
    }
    assert_eq!(shown[0..2], shown[2..4]);
    assert_eq!(shown[0..2], shown[4..6]);
    assert_eq!((shown[0].0, shown[1].0), (PixelFormat::Mjpeg, PixelFormat::Grey));
}

#[test]
fn one_picture_and_a_motion_jpeg_file_are_read_too() {
    let cut = jpeg(30);
    let cut = &cut[..cut.len() - 10];
    let stream = [&jpeg(10), &jpeg(20)[..], &[0, 0], cut, &jpeg(40)].concat();
    let folder = folder(&[
        ("one.jpg", &[jpeg(11), jpeg(12)].concat()),
        ("one.png", &grey_png(13)),
        ("camera.mjpeg", &stream),
        ("unnamed", &stream),
        ("cut.mjpg", cut),
        ("text.mjpg", b"no picture"),
    ]);
    for (name, wanted, error) in [
        ("one.jpg", &[11][..], None),
        ("one.png", &[13], None),
        ("camera.mjpeg", &[10, 20, 40], None),
        ("unnamed", &[10, 20, 40], None),
        ("cut.mjpg", &[], Some("none of its 1 pictures can be used, the last one because")),
        ("text.mjpg", &[], Some("it is neither a JPEG or PNG picture nor a Motion-JPEG file")),
    ] {
        let mut found = played(&replay(&folder.path().join(name), false), 9);
        match (found.pop(), error) {
            (Some(Gave::End), None) => {}
            (Some(Gave::Error(message)), Some(error)) => {
                assert!(message.contains(error) && message.contains(name), "{name}: {message}");
            }
            other => panic!("{name}: {other:?}"),
        }
        assert_eq!(found, widths(wanted), "{name}");
    }
    let again = played(&replay(&folder.path().join("camera.mjpeg"), true), 7);
    assert_eq!(again, widths(&[10, 20, 40, 10, 20, 40, 10]));
}

/// A JPEG picture whose start-of-frame segment is changed from that byte on.
fn jpeg_with(offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = jpeg(16);
    let at = file.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap() + 2 + offset;
    file[at..at + bytes.len()].copy_from_slice(bytes);
    file
}

#[test]
fn a_bad_picture_is_skipped_and_a_folder_of_bad_ones_is_an_error() {
    let (whole, big) = (jpeg(16), 20_000_u16.to_be_bytes());
    let huge_png = png(20_000, 20_000, png::ColorType::Rgb, png::BitDepth::Eight, &[]);
    let wide_png = png(8000, 8000, png::ColorType::Rgba, png::BitDepth::Sixteen, &[]);
    let mut wrong_sum = grey_png(20);
    wrong_sum[20] ^= 1;
    let png_whole = grey_png(20);
    for (what, bytes, wanted) in [
        ("empty", &[][..], "it is empty"),
        ("text", b"no picture", "it is neither a JPEG nor a PNG picture"),
        (
            "cut off",
            &whole[..whole.len() - 1],
            "the JPEG file is cut off: it ends before its picture does",
        ),
        (
            "cut in the header",
            &whole[..30],
            "the JPEG file is cut off: it ends before its picture does",
        ),
        ("0 x 0", &jpeg_with(3, &[0; 4]), "a picture of 0 x 0 pixels is not from 1 x 1"),
        (
            "20,000 x 20,000",
            &jpeg_with(3, &[big, big].concat()),
            "a picture of 20000 x 20000 pixels is not from 1 x 1",
        ),
        ("CMYK", &jpeg_with(7, &[4]), "the JPEG file has 4 components (CMYK or YCCK has 4)"),
        ("12 bits", &jpeg_with(2, &[12]), "the JPEG file has 12-bit samples"),
        ("huge PNG", &huge_png, "a picture of 20000 x 20000 pixels is not from 1 x 1"),
        ("16-bit PNG that needs too much", &wide_png, "it would take 512000000 bytes to decode"),
        ("cut PNG", &png_whole[..png_whole.len() - 20], "it is damaged as a PNG picture"),
        ("only a PNG's signature", &png_whole[..8], "it is damaged as a PNG picture"),
        ("PNG with a wrong checksum", &wrong_sum, "it is damaged as a PNG picture"),
    ] {
        let all_bad = folder(&[("a.jpg", bytes), ("b.png", bytes)]);
        for repeat in [true, false] {
            let found = played(&replay(all_bad.path(), repeat), 9);
            let [Gave::Error(message)] = &found[..] else { panic!("{what}: {found:?}") };
            assert!(message.contains("none of its 2 pictures can be used"), "{what}: {message}");
            assert!(message.contains(wanted), "{what}: {message}");
        }
        let one_bad = folder(&[("a.jpg", &jpeg(10)), ("b.jpg", bytes), ("c.png", &grey_png(20))]);
        assert_eq!(played(&replay(one_bad.path(), true), 4), widths(&[10, 20, 10, 20]), "{what}");
    }
}

#[test]
fn what_is_no_file_neither_blocks_nor_ends_a_replay() {
    let folder = folder(&[("d.jpg", &jpeg(10))]);
    std::fs::create_dir(folder.path().join("a.jpg")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("b.jpg")).unwrap();
    let pipe = folder.path().join("c.jpg");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    assert_eq!(played(&replay(folder.path(), true), 2), widths(&[10, 10]));
    for (path, wanted) in [
        (pipe, "it is neither a file nor a folder"),
        (folder.path().join("b.jpg"), "it cannot be read: No such file or directory"),
        (folder.path().join("a.jpg"), "no file in it ends in .jpg, .jpeg or .png"),
    ] {
        let found = played(&replay(&path, true), 1);
        let [Gave::Error(message)] = &found[..] else { panic!("{found:?}") };
        assert!(message.starts_with("cannot open") && message.contains(wanted), "{message}");
    }
}

#[test]
fn png_pictures_of_every_kind_become_grey_or_rgb_of_8_bits() {
    use png::BitDepth::{Eight, One, Sixteen};
    use png::ColorType::{Grayscale, GrayscaleAlpha, Indexed, Rgb, Rgba};
    for (kind, depth, data, wanted) in [
        (Grayscale, Eight, &[7, 8][..], &[7, 8][..]),
        (Grayscale, One, &[0b0100_0000], &[0, 255]),
        // 0x0080 is just below the middle of 0 and 1, 0x0081 just above; 0xFF7F and 0xFF7E about 254 and 255.
        (Grayscale, Sixteen, &[0x00, 0x80, 0x00, 0x81], &[0, 1]),
        (Grayscale, Sixteen, &[0xFF, 0x7E, 0xFF, 0x7F], &[254, 255]),
        (Grayscale, Sixteen, &[0xFF, 0xFF, 0x80, 0x80], &[255, 128]),
        (GrayscaleAlpha, Eight, &[7, 0, 8, 255], &[7, 8]),
        (GrayscaleAlpha, Sixteen, &[7, 7, 0, 0, 8, 8, 0, 0], &[7, 8]),
        (Rgb, Eight, &[1, 2, 3, 4, 5, 6], &[1, 2, 3, 4, 5, 6]),
        (Rgba, Eight, &[1, 2, 3, 0, 4, 5, 6, 99], &[1, 2, 3, 4, 5, 6]),
        (Rgb, Sixteen, &[1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6], &[1, 2, 3, 4, 5, 6]),
        (Rgba, Sixteen, &[1, 1, 2, 2, 3, 3, 0, 0, 4, 4, 5, 5, 6, 6, 0, 0], &[1, 2, 3, 4, 5, 6]),
        (Indexed, Eight, &[1, 0], &[40, 50, 60, 10, 20, 30]),
    ] {
        let folder = folder(&[("a.png", &png(2, 1, kind, depth, data))]);
        let mut frame = Frame::default();
        replay(folder.path(), false).open().unwrap().next(&mut frame, &Stop::new()).unwrap();
        let format = if wanted.len() == 2 { PixelFormat::Grey } else { PixelFormat::Rgb };
        assert_eq!((frame.format, &*frame.pixels), (format, wanted), "{kind:?} {depth:?}");
        to_rgb(&frame, &mut Vec::new()).unwrap();
    }
}

#[test]
fn complaints_are_few_and_count_what_was_not_said() {
    let (mut complaints, start) = (Complaints::default(), Instant::now());
    let said: Vec<Option<u64>> = [0, 1, 9, 10, 15, 25]
        .iter()
        .map(|s| complaints.say(start + Duration::from_secs(*s)))
        .collect();
    assert_eq!(said, [Some(0), None, None, Some(2), None, Some(1)]);
}

#[test]
fn every_mistake_in_its_table_is_named() {
    for (text, wanted) in [
        ("path = 'x'", &[][..]),
        ("", &["line 1: `path`: is missing"]),
        ("path = 7", &["line 1: `path`: is an integer, expected a string"]),
        ("path = 'x'\nloop = 'yes'", &["line 2: `loop`: is a string, expected true or false"]),
        ("path = 'x'\nlop = true", &["line 2: `lop`: unknown key; did you mean `loop`?"]),
        (
            "path = 'x'\nformat = 'nv12'",
            &["line 2: `format`: unknown key; known are `path`, `pace`, `rate_hz`, `loop`"],
        ),
        ("path = 'x'\nrate_hz = 2000", &["line 2: `rate_hz`: 2000 is not from 0 to 1000"]),
    ] {
        let found = check(text, |section| {
            drop(read(section));
        });
        assert_eq!(found, wanted, "{text}");
    }
    check("path = 'x'", |section| assert_eq!(read(section).unwrap().rate_hz(), Some(10.0)));
}

#[test]
fn a_recording_is_shown_at_its_times_and_with_its_time_stamps_round_after_round() {
    let lines =
        "file,us,ts\na.png,0,2026-01-02T03:04:05Z\nb.png,150000,2026-01-02T03:04:05.15Z\nc.pn";
    let folder =
        folder(&[("a.png", &grey_png(3)), ("b.png", &grey_png(4)), (TIMES, lines.as_bytes())]);
    let spec = Replay { recorded: true, pace: Pace::Hz(10.0), ..replay(folder.path(), true) };
    let (mut source, mut frame, stop) = (spec.open().unwrap(), Frame::default(), Stop::new());
    let mut seen = Vec::new();
    for _ in 0..4 {
        assert_eq!(source.next(&mut frame, &stop).unwrap(), Next::Frame);
        seen.push((frame.captured, frame.ts.to_string(), frame.width));
    }
    let stamps = ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.15Z"];
    for (index, (_, ts, width)) in seen.iter().enumerate() {
        assert_eq!((ts.as_str(), *width), (stamps[index % 2], [3, 4][index % 2]));
    }
    // The middle one is from the end of a round to the next. One that came late makes the next seem early.
    for (later, least_ms) in [(1, 140), (2, 90), (3, 140)] {
        let apart = seen[later].0 - seen[later - 1].0;
        assert!(apart >= Duration::from_millis(least_ms), "{later}: {apart:?}");
    }
}

#[test]
fn a_folder_without_times_is_no_recording_and_a_wrong_line_is_named() {
    let folder = folder(&[("a.png", &grey_png(3))]);
    let spec = Replay { recorded: true, ..replay(folder.path(), false) };
    assert!(chain(&spec.open().err().unwrap()).contains("what `vedette record` wrote"));
    put(&folder.path().join(TIMES), b"file,us,ts\na.png,soon,never\n");
    assert!(chain(&spec.open().err().unwrap()).contains("line 2 of its times.csv"));
}
