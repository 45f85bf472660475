//! Known outputs, and what a reference in Python made of them (`tests/make-golden-postprocess.py`).

use std::path::{Path, PathBuf};

use serde::Deserialize;
use vedette::model::npy::Array;
use vedette::pipeline::postprocess::Findings;
use vedette::pipeline::preprocess::Placement;

use crate::stored::{Model, StoredLane};

const PIXELS: f64 = 1e-2;
const SCORE: f64 = 1e-5;

#[derive(Deserialize)]
struct Case {
    settings: String,
    labels: Vec<String>,
    input: [u32; 2],
    placement: Place,
    inputs: Vec<String>,
    outputs: Vec<String>,
    item: usize,
    expected: Expected,
}

#[derive(Deserialize)]
struct Place {
    picture_width: f32,
    picture_height: f32,
    scale_x: f32,
    scale_y: f32,
    offset_x: f32,
    offset_y: f32,
}

#[derive(Deserialize)]
struct Expected {
    #[serde(default)]
    classes: Vec<Found>,
    #[serde(default)]
    detections: Vec<Found>,
    anomaly: Option<Anomaly>,
}

#[derive(Deserialize)]
struct Found {
    index: u32,
    label: String,
    score: f64,
    #[serde(rename = "box", default)]
    bounds: [f64; 4],
}

#[derive(Deserialize)]
struct Anomaly {
    score: f64,
    threshold: f64,
    anomalous: bool,
}

fn folders() -> Vec<PathBuf> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/postprocess");
    golden.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn findings(folder: &Path, case: &Case) -> Findings {
    let arrays = |names: &[String]| {
        let read = |name: &String| Array::read(&folder.join(format!("{name}.npy"))).unwrap();
        names.iter().map(read).collect()
    };
    let lane = StoredLane { inputs: arrays(&case.inputs), outputs: arrays(&case.outputs) };
    let names: Vec<&str> = case.outputs.iter().map(String::as_str).collect();
    let labels: Vec<&str> = case.labels.iter().map(String::as_str).collect();
    let mut postprocess =
        Model::of(&lane, &names, &labels, case.input).build(&case.settings).unwrap();
    let place = &case.placement;
    let placement = Placement {
        picture_width: place.picture_width,
        picture_height: place.picture_height,
        scale_x: place.scale_x,
        scale_y: place.scale_y,
        offset_x: place.offset_x,
        offset_y: place.offset_y,
    };
    let mut findings = Findings::default();
    postprocess.run(&lane, case.item, &placement, &mut findings).unwrap();
    findings
}

/// That `found` are the `expected` ones, in their order.
fn same(name: &str, found: &[(u32, &str, f32, [f32; 4])], expected: &[Found]) {
    let labels = found.iter().map(|found| (found.0, found.1)).collect::<Vec<_>>();
    let wanted = expected.iter().map(|wanted| (wanted.index, wanted.label.as_str()));
    assert_eq!(labels, wanted.collect::<Vec<_>>(), "{name}");
    for (found, wanted) in found.iter().zip(expected) {
        assert!((f64::from(found.2) - wanted.score).abs() <= SCORE, "{name}: score of {found:?}");
        for (edge, wanted) in found.3.into_iter().zip(wanted.bounds) {
            assert!((f64::from(edge) - wanted).abs() <= PIXELS, "{name}: box of {found:?}");
        }
    }
}

#[test]
fn known_outputs_give_what_the_reference_gives() {
    let folders = folders();
    assert!(folders.len() >= 14, "there are only {} cases", folders.len());
    for folder in folders {
        let name = folder.display().to_string();
        let case = std::fs::read_to_string(folder.join("case.json")).unwrap();
        let case: Case = serde_json::from_str(&case).unwrap();
        let found = findings(&folder, &case);

        let objects = found.detections.iter().map(|object| {
            let b = object.bounds;
            let bounds = [b.x_px, b.y_px, b.width_px, b.height_px];
            (object.index, &*object.label, object.score, bounds)
        });
        same(&name, &objects.collect::<Vec<_>>(), &case.expected.detections);

        let classes =
            found.classes.iter().map(|class| (class.index, &*class.label, class.score, [0.0; 4]));
        same(&name, &classes.collect::<Vec<_>>(), &case.expected.classes);

        match (found.anomaly, case.expected.anomaly) {
            (Some(found), Some(wanted)) => {
                assert!(
                    (f64::from(found.score) - wanted.score).abs() <= SCORE,
                    "{name}: {found:?}"
                );
                assert!((f64::from(found.threshold) - wanted.threshold).abs() <= SCORE, "{name}");
                assert_eq!(found.anomalous, wanted.anomalous, "{name}");
            }
            (found, wanted) => assert!(found.is_none() && wanted.is_none(), "{name}: {found:?}"),
        }
    }
}
