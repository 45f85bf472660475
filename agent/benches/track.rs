//! How long it takes to follow objects and to count them: `cargo bench -p agent --bench track`.
//!
//! Streets of `tests/tracks/scene.rs` of 100 objects, with 8 zones of 8 corners and 4 lines, a frame after the other;
//! the median, and the 99th of a hundred. *Crowd* is a street on which each object overlaps with many: what is
//! hardest to tell apart.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

#[path = "../tests/tracks/scene.rs"]
mod scene;

use std::path::Path;
use std::time::{Duration, Instant};

use scene::{Street, walk};
use vedette::config::section::{Mistakes, Section};
use vedette::config::tree::{At, parse};
use vedette::pipeline::analysis::{Analysis, AnalysisSettings, Of};
use vedette::pipeline::postprocess::Findings;

/// Frames that warm up, and frames that are measured.
const WARM_UP: usize = 60;
const FRAMES: usize = 600;
/// The goal: half a millisecond a frame.
const GOAL_MS: f64 = 0.5;

fn analysis() -> Analysis {
    let mut text = "[track]\nhigh = 0.5\n".to_owned();
    for zone in 0..8 {
        let left = f64::from(zone) / 8.0;
        let corners: Vec<String> = [
            (0.0, 0.0),
            (0.06, 0.1),
            (0.12, 0.0),
            (0.11, 0.5),
            (0.12, 1.0),
            (0.06, 0.9),
            (0.0, 1.0),
            (0.01, 0.5),
        ]
        .iter()
        .map(|(x, y)| format!("[{:.3}, {y:.3}]", left + x))
        .collect();
        text += &format!("[[zones]]\nname = 'z{zone}'\npoints = [{}]\n", corners.join(", "));
    }
    for line in 1..5 {
        let y = f64::from(line) / 5.0;
        text += &format!("[[lines]]\nname = 'l{line}'\npoints = [[0.0, {y}], [1.0, {y}]]\n");
    }
    text += "[[events]]\nname = 'e'\nkind = 'in-zone'\nzone = 'z3'\nfor_ms = 600000\n";
    let mistakes = Mistakes::new();
    let table = parse(&text, Path::new("bench")).unwrap();
    let at = At::File(Path::new("bench").into(), 1);
    let section = Section::top(&table, at, Path::new("."), &mistakes);
    let settings = AnalysisSettings::read(&section, &[]);
    section.finish();
    assert!(mistakes.is_empty(), "{:?}", mistakes.into_vec());
    settings.analysis(&"bench".into(), true, None)
}

fn main() {
    for (name, speed, objects) in [("street", 6.0, 100), ("crowd", 1.0, 250)] {
        let street = Street {
            name,
            objects,
            frames: WARM_UP + FRAMES,
            speed,
            missed: 0.03,
            alarms: 0.5,
            trembles: 0.03,
            seed: 9,
        };
        let frames = walk(&street);
        let boxes: usize = frames.iter().map(|frame| frame.found.len()).sum();
        let (mut analysis, mut findings) = (analysis(), Findings::default());
        let began = Instant::now();
        let mut times: Vec<Duration> = Vec::with_capacity(FRAMES);
        for (index, frame) in frames.iter().enumerate() {
            let seq = u64::try_from(index).unwrap();
            findings.detections.clear();
            findings.detections.extend_from_slice(&frame.found);
            let captured = began + Duration::from_millis(33 * seq);
            let of =
                Of { captured, ts: jiff::Timestamp::now(), seq, width_px: 1920, height_px: 1080 };
            let before = Instant::now();
            analysis.look(&mut findings, &of);
            let took = before.elapsed();
            if index >= WARM_UP {
                times.push(took);
            }
        }
        times.sort_unstable();
        let ms = |index: usize| times[index].as_secs_f64() * 1000.0;
        println!(
            "{}: {objects} objects, {} boxes a frame: median {:.3} ms, p99 {:.3} ms, goal {GOAL_MS} ms at 100",
            street.name,
            boxes / frames.len(),
            ms(FRAMES / 2),
            ms(FRAMES * 99 / 100),
        );
    }
}
