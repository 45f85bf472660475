//! What windows of samples become, against NumPy: resampled, cut, normalised, by frequency.
//!
//! `make-golden-windows.py` computed what is expected from the definitions. Samples are read from a file, as a sensor's
//! are, so that everything between a line of text and a tensor is held to it.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fmt::Write as _;
use std::path::Path;

use serde::Deserialize;
use vedette::config::section::{Mistakes, Section};
use vedette::config::tree::{At, parse};
use vedette::kinds;
use vedette::pipeline::frame::Frame;
use vedette::pipeline::preprocess::Windows;
use vedette::pipeline::source::{Next, SourceSpec};
use vedette::pipeline::tensor::{Element, ElementsMut};
use vedette::pipeline::window::{Cut, WindowSpec};
use vedette::stop::Stop;

/// How far an element may be off: numbers of some units in f32, by a filter whose table is straight between its points.
const TOLERANCE: f32 = 5e-5;

#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    rate_hz: f64,
    length: usize,
    hop: usize,
    spectrum: bool,
    mean: Vec<f32>,
    std: Vec<f32>,
    times: Vec<f64>,
    values: Vec<Vec<f64>>,
    /// Each channel after the other.
    windows: Vec<Vec<f32>>,
}

/// A source of the file at `path`, whose first column are the times.
fn source(path: &Path, cut: &Cut) -> Box<dyn SourceSpec> {
    let text = format!("kind = 'csv'\npath = '{}'\ntime = 't'\npace = 'free'\n", path.display());
    let (mistakes, file) = (Mistakes::new(), Path::new("case"));
    let table = parse(&text, file).unwrap();
    let section = Section::top(&table, At::File(file.into(), 1), Path::new("."), &mistakes);
    let mut source = kinds::build(kinds::SOURCES, section).unwrap();
    let mistakes = mistakes.into_vec();
    assert!(mistakes.is_empty(), "{mistakes:?}");
    source.fit(Some(cut)).unwrap();
    source
}

fn check(case: &Case) {
    let channels = case.values.len();
    let names = ["x", "y"];
    let mut text = format!("t,{}\n", names.join(","));
    for (at, time) in case.times.iter().enumerate() {
        let values: Vec<String> = case.values.iter().map(|row| row[at].to_string()).collect();
        writeln!(text, "{time},{}", values.join(",")).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("samples.csv");
    vedette::disk::replace(&path, text.as_bytes()).unwrap();
    let cut = Cut {
        channels: names.iter().map(|name| (*name).into()).collect(),
        units: Vec::new(),
        rate_hz: case.rate_hz,
        length: case.length,
        hop: case.hop,
    };
    let mut source = source(&path, &cut).open().unwrap();
    let mut windows = Windows::new(&WindowSpec {
        cut,
        mean: case.mean.clone(),
        std: case.std.clone(),
        spectrum: case.spectrum,
        element: Element::F32,
    })
    .unwrap();
    let (mut frame, stop) = (Frame::default(), Stop::new());
    for (number, wanted) in case.windows.iter().enumerate() {
        let next = source.next(&mut frame, &stop).unwrap();
        assert_eq!(next, Next::Frame, "{}: no window {number}", case.name);
        let mut found = vec![0.0_f32; wanted.len()];
        windows.run(&frame, ElementsMut::F32(&mut found)).unwrap();
        let off = found.iter().zip(wanted).map(|(a, b)| (a - b).abs());
        // By a total order, in which no number is worse than NaN.
        let worst = off.max_by(f32::total_cmp).unwrap();
        assert!(worst <= TOLERANCE, "{}, window {number} of {channels}: {worst}", case.name);
    }
}

#[test]
fn windows_become_what_numpy_makes_of_them() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/windows.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{error}"));
    let cases: Vec<Case> = serde_json::from_str(&text).unwrap();
    assert!(cases.len() >= 6);
    cases.iter().for_each(check);
}
