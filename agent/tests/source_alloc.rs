//! That a source allocates nothing for a frame once everything has grown to its size.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]
#![expect(unsafe_code, reason = "an allocator that counts is an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;

use vedette::config::Section;
use vedette::config::section::Mistakes;
use vedette::config::tree::{At, parse};
use vedette::kinds::SOURCES;
use vedette::pipeline::frame::{Frame, Pixels};
use vedette::pipeline::source::{Next, Source};
use vedette::pipeline::window::Cut;
use vedette::stop::Stop;

thread_local! {
    /// Allocations of this thread: the test harness has threads of its own.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: all is done by the system's allocator; counting touches no memory of its callers, and a
// thread-local without a destructor needs no allocation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: as the caller promised.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn open(config: &str, base: &Path) -> Box<dyn Source> {
    open_for(config, base, None)
}

fn open_for(config: &str, base: &Path, cut: Option<&Cut>) -> Box<dyn Source> {
    let (file, mistakes) = (Path::new("f"), Mistakes::new());
    let table = parse(config, file).unwrap();
    let section = Section::top(&table, At::File(file.into(), 1), base, &mistakes);
    let name = section.text("kind").unwrap();
    let kind = SOURCES.iter().find(|kind| kind.name == name).unwrap();
    let mut spec = (kind.build)(&section).unwrap();
    spec.fit(cut).unwrap();
    section.finish();
    assert!(mistakes.is_empty(), "{:?}", mistakes.into_vec());
    spec.open().unwrap()
}

/// Three frames circulate, as in a pipeline. Returns the allocations of `count` frames after as many others.
fn allocations(source: &mut dyn Source, count: u64) -> u64 {
    let (mut frames, stop) = ([(); 3].map(|()| Frame::default()), Stop::new());
    let mut show = || {
        for number in 0..count {
            let frame = &mut frames[usize::try_from(number % 3).unwrap()];
            assert_eq!(source.next(frame, &stop).unwrap(), Next::Frame);
        }
    };
    show();
    let before = COUNT.get();
    show();
    COUNT.get() - before
}

#[test]
fn a_pattern_allocates_nothing_for_a_frame_nor_for_a_cut() {
    for format in ["nv12", "i420", "yuyv", "mjpeg", "rgb", "bgr", "grey"] {
        let config = format!(
            "kind = 'pattern'\nwidth = 65\nheight = 49\nformat = '{format}'\npace = 'free'\ncut = 7"
        );
        // A JPEG file's length differs from frame to frame: its memory may grow once more.
        let some = if format == "mjpeg" { 3 } else { 0 };
        let found = allocations(&mut *open(&config, Path::new(".")), 60);
        assert!(found <= some, "{format}: {found}");
    }
}

#[test]
fn a_replay_allocates_nothing_for_a_picture_that_it_has_shown() {
    let folder = tempfile::tempdir().unwrap();
    let mut camera = open(
        "kind = 'pattern'\nwidth = 64\nheight = 48\nformat = 'mjpeg'\npace = 'free'",
        folder.path(),
    );
    let (mut frame, mut stream) = (Frame::default(), Vec::new());
    std::fs::create_dir(folder.path().join("pictures")).unwrap();
    for number in 0..6 {
        assert_eq!(camera.next(&mut frame, &Stop::new()).unwrap(), Next::Frame);
        let Pixels::Owned(bytes) = &frame.pixels else { continue };
        stream.extend_from_slice(bytes);
        put(&folder.path().join(format!("pictures/{number}.jpg")), bytes);
    }
    put(&folder.path().join("stream.mjpeg"), &stream);
    for path in ["pictures", "stream.mjpeg"] {
        let config = format!("kind = 'replay'\npath = '{path}'\npace = 'free'\nloop = true");
        assert_eq!(allocations(&mut *open(&config, folder.path()), 60), 0, "{path}");
    }
}

#[test]
fn a_sensor_allocates_nothing_for_a_sample_nor_for_a_window() {
    let folder = tempfile::tempdir().unwrap();
    let (mut csv, mut json) = ("t,x,y\n".to_owned(), String::new());
    for n in 0..4000 {
        csv += &format!("{},{}.5,-{n}\n", 10 * n, n % 7);
        json += &format!("{{\"t\": {}, \"x\": [{n}, 1], \"y\": [2, {}.25]}}\n", 20 * n, n % 9);
    }
    put(&folder.path().join("a.csv"), csv.as_bytes());
    put(&folder.path().join("a.jsonl"), json.as_bytes());
    // At the model's rate, slower, and faster.
    for rate_hz in [100.0, 250.0, 10.0] {
        let channels = vec!["y".into(), "x".into()];
        let cut = Cut { channels, units: Vec::new(), rate_hz, length: 16, hop: 8 };
        for config in [
            "kind = 'csv'\npath = 'a.csv'\npace = 'free'\nloop = true\ntime = 't'\ntime_unit = 'ms'",
            "kind = 'csv'\npath = 'a.csv'\npace = 'free'\nloop = true\nrate_hz = 100",
            "kind = 'jsonl'\npath = 'a.jsonl'\npace = 'free'\nloop = true\nrate_hz = 100",
        ] {
            let mut source = open_for(config, folder.path(), Some(&cut));
            // Once through all of it, in whatever pieces it is read.
            assert_eq!(allocations(&mut *source, 1400), 0, "{rate_hz} {config}");
        }
    }
}

fn put(path: &Path, bytes: &[u8]) {
    use std::io::Write;
    std::fs::File::create(path).unwrap().write_all(bytes).unwrap();
}
