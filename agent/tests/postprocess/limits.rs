//! What holds whatever the outputs: how much is said, and in which order.

use std::borrow::Cow;
use std::sync::Arc;

use vedette::model::npy::{Array, ArrayData};
use vedette::pipeline::postprocess::Findings;
use wire::{Envelope, FrameInfo, ModelRef, Observation, Timings};

use crate::stored::{Model, StoredLane, in_place};

fn findings(settings: &str, names: &[&str], outputs: Vec<Array>) -> Findings {
    let lane = StoredLane { inputs: vec![], outputs };
    let mut findings = Findings::default();
    let mut postprocess = Model::of(&lane, names, &[], [640, 640]).build(settings).unwrap();
    postprocess.run(&lane, 0, &in_place(640.0, 640.0), &mut findings).unwrap();
    findings
}

/// The message with the longest of everything that is not a finding.
fn message(findings: &Findings) -> String {
    let name = "n".repeat(63);
    let observation = Observation {
        envelope: Envelope {
            schema: "vedette/observation/1".into(),
            ts: jiff::Timestamp::from_millisecond(1_795_000_000_123).unwrap(),
            boot_id: "0123456789abcdef0123456789abcdef".into(),
            uptime_ms: u64::MAX,
            seq: u64::MAX,
        },
        pipeline: name.as_str().into(),
        frame: FrameInfo { seq: u64::MAX, width_px: 20_000, height_px: 20_000, dropped: u64::MAX },
        model: ModelRef {
            name: name.as_str().into(),
            version: "100.200.300-candidate.7".into(),
            sha256: "f".repeat(64).into(),
        },
        timings: Timings {
            age_ms: 1_234.567_9,
            preprocess_ms: 1_234.567_9,
            inference_ms: 1_234.567_9,
            postprocess_ms: 1_234.567_9,
            latency_ms: 1_234.567_9,
        },
        classes: Cow::Borrowed(&findings.classes),
        detections: Cow::Borrowed(&findings.detections),
        zones: Cow::default(),
        lines: Cow::default(),
        anomaly: findings.anomaly,
        raw: Cow::Borrowed(&findings.raw),
        truth: None,
    };
    serde_json::to_string(&observation).unwrap()
}

#[test]
fn the_longest_numbers_of_all_outputs_fit_one_message() {
    // As long as an `f32` gets in JSON, with an exponent and without.
    for longest in [-1.234_567_9e-38, -0.000_012_345_678_f32, -1.234_567_8e-5] {
        for outputs in [1, 2, 9, 30] {
            let names: Vec<String> =
                (0..outputs).map(|number| format!("{number}\"\u{1}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let output =
                Array { shape: vec![1, 3, 1000], data: ArrayData::F32(vec![longest; 3000]) };
            let found = findings("kind = 'raw'", &names, vec![output; outputs]);
            assert_eq!(found.raw.len(), outputs);
            assert!(
                found.raw.iter().all(|tensor| tensor.elements == 3000 && !tensor.data.is_empty())
            );
            let bytes = message(&found).len();
            assert!(bytes < 8_192, "{outputs} outputs of {longest} take {bytes} bytes");
        }
    }
}

#[test]
fn raw_outputs_of_every_type_are_told_with_null_for_what_is_no_number() {
    let outputs = vec![
        Array { shape: vec![1, 2], data: ArrayData::F32(vec![1.5, f32::NAN]) },
        Array { shape: vec![1, 1, 2], data: ArrayData::I64(vec![-3, 1 << 40]) },
        Array { shape: vec![1], data: ArrayData::Bool(vec![true]) },
        Array { shape: vec![1, 1], data: ArrayData::I16(vec![0xfe, 0xff]) },
    ];
    let found = findings("kind = 'raw'\nmax_elements = 2", &["a", "b", "c", "d"], outputs);
    let told = found.raw.iter().map(|tensor| (&*tensor.name, &*tensor.shape, &*tensor.data));
    let expected = [
        ("a", &[2][..], &[Some(1.5), None][..]),
        ("b", &[1, 2], &[Some(-3.0), Some(1_099_511_627_776.0)]),
        ("c", &[], &[Some(1.0)]),
        ("d", &[1], &[Some(-2.0)]),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
}

/// A YOLOv10 output of boxes side by side, with these scores and classes.
fn row_of_boxes(scores: &[(f32, f32)]) -> Array {
    let row = |(place, &(score, class)): (usize, &(f32, f32))| {
        let left = 10.0 * f32::from(u16::try_from(place).unwrap());
        [left, 0.0, left + 9.0, 9.0, score, class]
    };
    let numbers: Vec<f32> = scores.iter().enumerate().flat_map(row).collect();
    Array { shape: vec![1, scores.len(), 6], data: ArrayData::F32(numbers) }
}

#[test]
fn of_equal_scores_the_lower_class_is_first_and_then_the_earlier_place() {
    let output = row_of_boxes(&[(0.5, 7.0), (0.5, 2.0), (0.9, 9.0), (0.5, 2.0), (0.5, 0.0)]);
    let settings = "kind = 'detect'\nfamily = 'yolov10'";
    let found = findings(settings, &["o"], vec![output]).detections;
    let order = found.iter().map(|object| (object.index, object.bounds.x_px)).collect::<Vec<_>>();
    assert_eq!(order, [(9, 20.0), (0, 40.0), (2, 10.0), (2, 30.0), (7, 0.0)]);
    assert_eq!(found[0].label, Arc::from("9"));
}

#[test]
fn only_so_many_objects_are_told_and_a_score_at_the_threshold_counts() {
    let scores: Vec<(f32, f32)> = [0.3, 0.25, 0.24, 0.9, 0.8].map(|score| (score, 0.0)).to_vec();
    for (most, expected) in [(2, &[0.9, 0.8][..]), (9, &[0.9, 0.8, 0.3, 0.25])] {
        let settings = format!("kind = 'detect'\nfamily = 'yolov10'\nmax_detections = {most}");
        let found = findings(&settings, &["o"], vec![row_of_boxes(&scores)]).detections;
        assert_eq!(found.iter().map(|object| object.score).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn fifty_objects_with_common_labels_fit_one_message() {
    let scores: Vec<(f32, f32)> =
        (0..60).map(|place: u8| (0.3 + f32::from(place) / 97.0, 0.0)).collect();
    let lane = StoredLane { inputs: vec![], outputs: vec![row_of_boxes(&scores)] };
    let model = Model::of(&lane, &["o"], &["microscope"], [640, 640]);
    let mut findings = Findings::default();
    let mut postprocess = model.build("kind = 'detect'\nfamily = 'yolov10'").unwrap();
    let placement = vedette::pipeline::preprocess::Placement {
        scale_x: 0.333_333_34,
        scale_y: 0.333_333_34,
        ..in_place(1920.0, 1080.0)
    };
    postprocess.run(&lane, 0, &placement, &mut findings).unwrap();
    assert_eq!(findings.detections.len(), 50);
    let bytes = message(&findings).len();
    assert!(bytes < 8_192, "{bytes} bytes");
}

#[test]
fn of_equal_classes_the_first_counts() {
    let array = |shape: &[usize], numbers: &[f32]| {
        vec![Array { shape: shape.to_vec(), data: ArrayData::F32(numbers.to_vec()) }]
    };
    let tied = [0.5, 0.5, 0.1, 0.1, 0.1, 0.7, 0.7];
    let with_sure = [0.5, 0.5, 0.1, 0.1, 1.0, 0.1, 0.7, 0.7];
    #[rustfmt::skip]
    let cases = [
        ("kind = 'detect'\nfamily = 'yolov8'",  array(&[1, 7, 1], &tied)),
        ("kind = 'detect'\nfamily = 'yolov5'",  array(&[1, 1, 8], &with_sure)),
        ("kind = 'detect'\nfamily = 'rtdetr'",  array(&[1, 1, 7], &tied)),
        ("kind = 'classify'\ntop_k = 1",        array(&[1, 3], &[0.1, 0.7, 0.7])),
    ];
    for (settings, outputs) in cases {
        let found = findings(settings, &["o"], outputs);
        let detections = found.detections.iter().map(|object| object.index);
        let classes = found.classes.iter().map(|class| class.index);
        assert_eq!(detections.chain(classes).collect::<Vec<_>>(), [1], "{settings}");
    }
    let found = findings("kind = 'classify'", &["o"], array(&[1, 4], &[0.1, 0.7, 0.9, 0.7]));
    let order: Vec<u32> = found.classes.iter().map(|class| class.index).collect();
    assert_eq!(order, [2, 1, 3, 0]);
}

#[test]
fn a_class_less_likely_than_the_background_is_found_where_it_reaches_the_threshold() {
    // The second is softmax's 0.269, the third 0.
    let scores = Array { shape: vec![1, 1, 3], data: ArrayData::F32(vec![1.0, 0.0, -30.0]) };
    let boxes = Array { shape: vec![1, 1, 4], data: ArrayData::F32(vec![0.1, 0.1, 0.2, 0.2]) };
    for (threshold, expected) in [(0.26, &[0][..]), (0.28, &[])] {
        let settings = format!(
            "kind = 'detect'\nfamily = 'ssd'\nactivation = 'softmax'\nscore_threshold = {threshold}"
        );
        let outputs = vec![scores.clone(), boxes.clone()];
        let found = findings(&settings, &["scores", "boxes"], outputs).detections;
        assert_eq!(found.iter().map(|object| object.index).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn an_input_at_the_threshold_is_anomalous() {
    for (score, expected) in [(0.5, true), (0.499, false), (0.7, true)] {
        let output = Array { shape: vec![1, 1], data: ArrayData::F32(vec![score]) };
        let settings = "kind = 'anomaly'\nscore = 'output'\nthreshold = 0.5";
        let found = findings(settings, &["o"], vec![output]).anomaly.unwrap();
        assert_eq!((found.score, found.anomalous), (score, expected));
    }
}
