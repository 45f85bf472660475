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
    let (file, mistakes) = (Path::new("f"), Mistakes::new());
    let table = parse(config, file).unwrap();
    let section = Section::top(&table, At::File(file.into(), 1), base, &mistakes);
    let name = section.text("kind").unwrap();
    let kind = SOURCES.iter().find(|kind| kind.name == name).unwrap();
    let spec = (kind.build)(&section).unwrap();
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

fn put(path: &Path, bytes: &[u8]) {
    use std::io::Write;
    std::fs::File::create(path).unwrap().write_all(bytes).unwrap();
}
