//! What is refused: settings, models, frames; and in which words.

use vedette::kinds::POSTPROCESSES;
use vedette::model::npy::{Array, ArrayData};
use vedette::pipeline::engine::Signature;
use vedette::pipeline::postprocess::{Findings, PostprocessError};
use vedette::pipeline::tensor::{Dim, Element, TensorSpec};

use crate::stored::{Model, StoredLane, in_place, read};

#[test]
fn every_example_is_read_without_a_mistake() {
    for kind in POSTPROCESSES {
        assert!(kind.example.starts_with(&format!("kind = \"{}\"\n", kind.name)), "{}", kind.name);
        if let Err(mistakes) = read(kind.example) {
            panic!("{}: {mistakes:?}", kind.name);
        }
    }
}

#[test]
fn a_mistake_in_the_settings_is_named() {
    #[rustfmt::skip]
    let cases = [
        ("kind = 'detect'",                                 "`family`: is missing; known are yolov5, yolov8, yolov10, rtdetr, ssd"),
        ("kind = 'detect'\nfamily = 'yolov7'",              "`family`: unknown value `yolov7`; did you mean"),
        ("kind = 'detect'\nfamily = 'yolov8'\nbackground = 'first'", "`background`: unknown key"),
        ("kind = 'detect'\nfamily = 'ssd'\nbox_order = 'cxcywh'", "`box_order`: unknown value `cxcywh`; known are `xyxy`, `yxyx`"),
        ("kind = 'detect'\nfamily = 'ssd'\nscore_threshold = 40", "`score_threshold`: 40 is not from 0 to 1"),
        ("kind = 'detect'\nfamily = 'ssd'\nmax_detections = 0", "`max_detections`: 0 is not from 1 to 1000"),
        ("kind = 'detect'\nfamily = 'ssd'\nnms = true",     "`nms`: is true or false, expected a string"),
        ("kind = 'classify'\ntop_k = 51",                   "`top_k`: 51 is not from 1 to 50"),
        ("kind = 'classify'\nactivation = 'relu'",          "`activation`: unknown value `relu`; known are"),
        ("kind = 'anomaly'",                                "`threshold`: is missing"),
        ("kind = 'raw'\nmax_elements = 1000",               "`max_elements`: 1000 is not from 1 to 384"),
    ];
    for (settings, expected) in cases {
        let Err(mistakes) = read(settings) else { panic!("{settings} was read") };
        assert_eq!(mistakes.len(), 1, "{settings}: {mistakes:?}");
        assert!(mistakes[0].contains(expected), "{settings}: {mistakes:?}");
    }
}

/// `name type extent extent`, several by comma; an extent that is no number is free.
fn specs(text: &str) -> Vec<TensorSpec> {
    let one = |text: &str| {
        let mut words = text.split_whitespace();
        let (name, element) = (words.next().unwrap(), words.next().unwrap());
        let element = Element::NAMES.iter().find(|(name, _)| *name == element).unwrap().1;
        let dim = |word: &str| word.parse().map_or_else(|_| Dim::Free(word.into()), Dim::Fixed);
        TensorSpec { name: name.to_owned(), element, dims: words.map(dim).collect() }
    };
    text.split(',').filter(|text| !text.is_empty()).map(one).collect()
}

fn model(inputs: &str, outputs: &str, labels: usize) -> Model {
    Model {
        signature: Signature { inputs: specs(inputs), outputs: specs(outputs) },
        labels: (0..labels).map(|number| format!("label {number}").into()).collect(),
        input_width: 640,
        input_height: 480,
    }
}

#[test]
fn a_shape_that_does_not_fit_is_refused_and_named() {
    #[rustfmt::skip]
    let cases = [
        // settings            outputs                          labels  what is said
        ("family = 'yolov8'",  "o f32 b 84 8400",               80, ""),
        ("family = 'yolov8'",  "o f16 b n m",                   80, ""),
        ("family = 'yolov8'",  "o f32 b 84 8400",               0,  ""),
        ("family = 'yolov8'",  "o f32 b 84 8400",               4,  "output `o` f32 [b, 84, 8400] has 80 classes, and the model has 4 labels"),
        ("family = 'yolov8'",  "o f32 b 8 8400",                5,  "output `o` f32 [b, 8, 8400] has 4 classes, and the model has 5 labels"),
        ("family = 'yolov8'",  "o f32 b 8400 84",               80, "output `o` f32 [b, 8400, 84] has 8396 classes, and the model has 80 labels"),
        ("family = 'yolov8'",  "o f32 b 4 8400",                0,  "output `o` is f32 [b, 4, 8400], expected f32 or f16 [batch, 4 + classes, anchors]"),
        ("family = 'yolov8'",  "o i64 b 84 8400",               80, "output `o` is i64 [b, 84, 8400], expected f32 or f16 [batch, 4 + classes, anchors]"),
        ("family = 'yolov8'",  "o f32 b 84",                    80, "output `o` is f32 [b, 84], expected f32 or f16 [batch, 4 + classes, anchors]"),
        ("family = 'yolov8'",  "",                              80, "output for `output` is any of , expected one that can be told from the others"),
        ("family = 'yolov8'",  "o f32 b 84 9,p f32 b 32 9 9",   80, "output for `output` is any of `o` f32 [b, 84, 9], `p` f32 [b, 32, 9, 9], expected one that can be told from the others: name it by `output = \"...\"`"),
        ("family = 'yolov8'\noutput = 'o'", "o f32 b 84 9,p f32 b 32 9 9", 80, ""),
        ("family = 'yolov8'\noutput = 'q'", "o f32 b 84 9",     80, "output `q` is none of the model's, expected `o` f32 [b, 84, 9]"),
        ("family = 'yolov5'",  "o f32 b 25200 85",              80, ""),
        ("family = 'yolov5'",  "o f32 b 25200 84",              80, "output `o` f32 [b, 25200, 84] has 79 classes, and the model has 80 labels"),
        ("family = 'yolov5'",  "o f32 b 25200 5",               0,  "output `o` is f32 [b, 25200, 5], expected f32 or f16 [batch, anchors, 5 + classes]"),
        ("family = 'yolov10'", "o f32 b 300 6",                 80, ""),
        ("family = 'yolov10'", "o f32 b 300 7",                 80, "output `o` is f32 [b, 300, 7], expected f32 or f16 [batch, objects, 6]"),
        ("family = 'rtdetr'",  "o f32 b 300 84",                80, ""),
        ("family = 'rtdetr'",  "o f32 b 300 84",                79, "has 80 classes, and the model has 79 labels"),
        ("family = 'rtdetr'",  "logits f32 b 300 80,pred_boxes f32 b 300 4", 80, ""),
        ("family = 'rtdetr'",  "logits f32 b 300 4,pred_boxes f32 b 300 4", 4, ""),
        ("family = 'rtdetr'",  "x f32 b 300 4,y f32 b 300 4",   4,  "output for `boxes` is any of"),
        ("family = 'rtdetr'\nboxes = 'y'", "x f32 b 300 4,y f32 b 300 4", 4, ""),
        ("family = 'rtdetr'",  "logits f32 b 300 80,pred_boxes f32 b 300 4", 9, "output `logits` f32 [b, 300, 80] has 80 classes, and the model has 9 labels"),
        ("family = 'rtdetr'",  "logits f32 b 300 80,pred_boxes i32 b 300 4", 80, "output `pred_boxes` is i32 [b, 300, 4], expected f32 or f16 [batch, queries, 4]"),
        ("family = 'ssd'",     "scores f32 b 3000 21,boxes f32 b 3000 4", 20, ""),
        ("family = 'ssd'",     "scores f32 b 3000 21,boxes f32 b 3000 4", 21, "output `scores` f32 [b, 3000, 21] has 20 classes, and the model has 21 labels"),
        ("family = 'ssd'\nbackground = 'none'", "scores f32 b 3000 21,boxes f32 b 3000 4", 21, ""),
        ("family = 'ssd'",     "bboxes f32 b n 4,labels i64 b n,scores f32 b n", 80, ""),
        ("family = 'ssd'",     "detection_boxes f32 b n 4,detection_classes f32 b n,detection_scores f32 b n,num_detections f32 b", 90, ""),
        ("family = 'ssd'",     "a f32 b n 4,b f32 b n,c f32 b n", 90, "output for `scores` is any of"),
        ("family = 'ssd'\nscores = 'b'\nclasses = 'c'", "a f32 b n 4,b f32 b n,c f32 b n", 90, ""),
        ("family = 'ssd'",     "only f32 b n 9",                8,  "output for `boxes` is any of `only` f32 [b, n, 9]"),
    ];
    for (settings, outputs, labels, expected) in cases {
        let settings = format!("kind = 'detect'\n{settings}");
        check(&settings, &model("i f32 b 3 480 640", outputs, labels), expected);
    }
}

#[test]
fn a_model_that_is_none_of_the_kind_is_refused() {
    #[rustfmt::skip]
    let cases = [
        // settings                                 input           output         labels  what is said
        ("kind = 'classify'",                       "i f32 b 9",    "o f32 b 1000",      1000, ""),
        ("kind = 'classify'",                       "i f32 b 9",    "o f16 b 1000 1 1",  1000, ""),
        ("kind = 'classify'",                       "i f32 b 9",    "o f32 b n",         3,    ""),
        ("kind = 'classify'",                       "i f32 b 9",    "o f32 b 1000",      999,  "output `o` f32 [b, 1000] has 1000 classes, and the model has 999 labels"),
        ("kind = 'classify'",                       "i f32 b 9",    "o u8 b 1000",       1000, "output `o` is u8 [b, 1000], expected f32 or f16 [batch, ...]"),
        ("kind = 'classify'",                       "i f32 b 9",    "o f32 b 5,p f32 b", 5,    "output for `output` is any of"),
        ("kind = 'anomaly'\nthreshold = 1",         "i f32 b 3 256", "o f32 b 256 3",    0,    ""),
        ("kind = 'anomaly'\nthreshold = 1",         "i f32 b 3 256", "o f32 b 255 3",    0,    "output `o` is 765 numbers an item, expected 768, as the input has"),
        ("kind = 'anomaly'\nthreshold = 1\nscore = 'output'", "i f32 b 3", "o f32 b",    0,    ""),
        ("kind = 'anomaly'\nthreshold = 1\nscore = 'output'", "i f32 b 3", "o f32 b 2",  0,    "output `o` is 2 numbers an item, expected one, the score"),
        ("kind = 'anomaly'\nthreshold = 1",         "i f32 b 3",    "o string b 3",      0,    "output `o` is string [b, 3], expected numbers [batch, ...]"),
        ("kind = 'raw'",                            "i f32 b 3",    "o i8 b 3,p f32",    0,    ""),
        ("kind = 'raw'",                            "i f32 b 3",    "o string b 3",      0,    "output `o` is string [b, 3], expected numbers [batch, ...]"),
        ("kind = 'raw'\noutputs = ['p']",           "i f32 b 3",    "o string b 3,p f32 b", 0, ""),
        ("kind = 'raw'\noutputs = ['q']",           "i f32 b 3",    "p f32 b",           0,    "output `q` is none of the model's, expected `p` f32 [b]"),
        ("kind = 'raw'",                            "i f32 b 3",    "",                  0,    "output list is 0 outputs long, expected between one and what fits a message"),
    ];
    for (settings, inputs, outputs, labels, expected) in cases {
        check(settings, &model(inputs, outputs, labels), expected);
    }
    let many: Vec<String> = (0..200).map(|number| format!("output{number} f32 b")).collect();
    check("kind = 'raw'", &model("i f32 b", &many.join(","), 0), "output list is 200 outputs long");
    let blind = Model { input_width: 0, ..model("i f32 b 3", "o f32 b 84 9", 80) };
    check("kind = 'detect'\nfamily = 'yolov8'", &blind, "the model has no picture input");
}

/// That building says `expected`, or, where that is empty, nothing.
fn check(settings: &str, model: &Model, expected: &str) {
    match model.build(settings) {
        Ok(_) => assert_eq!(expected, "", "{settings}, {}", shown(model)),
        Err(error) => {
            let error = error.to_string();
            let fits = !expected.is_empty() && error.contains(expected);
            assert!(fits, "{settings}, {}: {error}", shown(model));
        }
    }
}

fn shown(model: &Model) -> String {
    let outputs = model.signature.outputs.iter().map(ToString::to_string);
    format!("{} and {} labels", outputs.collect::<Vec<_>>().join(", "), model.labels.len())
}

/// Runs what `settings` ask of a model whose shapes are all free on `outputs`.
fn run(
    settings: &str,
    names: &[&str],
    outputs: Vec<Array>,
    labels: usize,
) -> Result<Findings, PostprocessError> {
    let input = Array { shape: vec![1, 3], data: ArrayData::F32(vec![0.5; 3]) };
    let lane = StoredLane { inputs: vec![input], outputs };
    let mut model = Model::of(&lane, names, &[], [100, 100]);
    model.labels = (0..labels).map(|number| number.to_string().into()).collect();
    for dim in model.signature.outputs.iter_mut().flat_map(|output| &mut output.dims) {
        *dim = Dim::Free(String::new());
    }
    let mut findings = Findings::default();
    model.build(settings)?.run(&lane, 0, &in_place(100.0, 100.0), &mut findings).map(|()| findings)
}

fn array(shape: &[usize], numbers: &[f32]) -> Array {
    Array { shape: shape.to_vec(), data: ArrayData::F32(numbers.to_vec()) }
}

#[test]
fn a_frame_with_a_number_that_is_none_fails() {
    const V8: &str = "kind = 'detect'\nfamily = 'yolov8'";
    const V5: &str = "kind = 'detect'\nfamily = 'yolov5'";
    const V10: &str = "kind = 'detect'\nfamily = 'yolov10'";
    const DETR: &str = "kind = 'detect'\nfamily = 'rtdetr'";
    const SSD: &str = "kind = 'detect'\nfamily = 'ssd'";
    const SSD_LOGITS: &str = "kind = 'detect'\nfamily = 'ssd'\nactivation = 'softmax'";
    const NAN: f32 = f32::NAN;
    const INF: f32 = f32::INFINITY;
    let one = |shape: &[usize], numbers: &[f32]| vec![array(shape, numbers)];
    let two = |scores: &[f32], boxes: &[f32]| {
        vec![array(&[1, 1, scores.len()], scores), array(&[1, 1, 4], boxes)]
    };
    let boxes = [0.1, 0.1, 0.2, 0.2];
    #[rustfmt::skip]
    let cases = [
        (V8,  one(&[1, 6, 1], &[50., 50., 9., 9., 0.9, NAN]),     false),
        (V8,  one(&[1, 6, 1], &[50., 50., 9., 9., NAN, 0.9]),     false),
        (V8,  one(&[1, 6, 1], &[50., 50., 9., 9., 0.9, INF]),     false),
        (V8,  one(&[1, 6, 1], &[50., 50., 9., 9., 0.9, -INF]),    true),
        (V8,  one(&[1, 6, 1], &[50., NAN, 9., 9., 0.9, 0.1]),     false),
        (V8,  one(&[1, 6, 1], &[50., NAN, 9., 9., 0.1, 0.1]),     true),
        (V5,  one(&[1, 1, 6], &[50., 50., 9., 9., NAN, 0.9]),     false),
        (V5,  one(&[1, 1, 6], &[50., 50., 9., 9., 0.9, NAN]),     false),
        (V5,  one(&[1, 1, 6], &[50., 50., INF, 9., 0.9, 0.9]),    false),
        (V5,  one(&[1, 1, 6], &[50., 50., 9., 9., 0.9, 0.9]),     true),
        (V10, one(&[1, 1, 6], &[5., 5., 9., 9., NAN, 0.]),        false),
        (V10, one(&[1, 1, 6], &[5., 5., 9., 9., 0.9, NAN]),       false),
        (V10, one(&[1, 1, 6], &[5., -INF, 9., 9., 0.9, 0.]),      false),
        (V10, one(&[1, 1, 6], &[5., 5., 9., 9., 0.9, 0.]),        true),
        (DETR, one(&[1, 1, 6], &[0.5, 0.5, 0.1, 0.1, 0.9, NAN]),  false),
        (DETR, two(&[3., NAN], &boxes),                           false),
        (DETR, two(&[3., INF], &boxes),                           false),
        (DETR, two(&[3., -INF], &boxes),                          true),
        (DETR, two(&[3., 1.], &[0.1, 0.1, 0.2, NAN]),             false),
        (SSD, two(&[NAN, 0.9], &boxes),                           false),
        (SSD, two(&[0.1, NAN], &boxes),                           false),
        (SSD, two(&[0.1, 0.9], &boxes),                           true),
        (SSD_LOGITS, two(&[9.0, NAN], &boxes),                    false),
        (SSD_LOGITS, two(&[NAN, 9.0], &boxes),                    false),
        (SSD_LOGITS, two(&[INF, 9.0], &boxes),                    false),
        (SSD_LOGITS, two(&[-INF, 9.0], &boxes),                   true),
        ("kind = 'classify'", one(&[1, 3], &[1., NAN, 2.]),       false),
        ("kind = 'classify'", one(&[1, 3], &[1., INF, 2.]),       false),
        ("kind = 'classify'", one(&[1, 3], &[1., -INF, 2.]),      true),
        ("kind = 'classify'\nactivation = 'none'", one(&[1, 3], &[1., -INF, 2.]), false),
        ("kind = 'anomaly'\nthreshold = 1", one(&[1, 3], &[1., NAN, 2.]), false),
        ("kind = 'anomaly'\nthreshold = 1", one(&[1, 3], &[1., 3e38, 2.]), false),
        ("kind = 'anomaly'\nthreshold = 1\nscore = 'output'", one(&[1], &[NAN]), false),
        ("kind = 'anomaly'\nthreshold = 1\nscore = 'output'", one(&[1], &[1.0]), true),
        ("kind = 'raw'",      one(&[1, 2], &[NAN, 2.]),           true),
    ];
    for (number, (settings, outputs, well)) in cases.into_iter().enumerate() {
        let names = if outputs.len() == 2 { &["scores", "boxes"][..] } else { &["o"] };
        let found = run(settings, names, outputs, 0);
        match found {
            Ok(_) => assert!(well, "row {number}: {settings}"),
            Err(PostprocessError::NotFinite { .. }) => assert!(!well, "row {number}: {settings}"),
            Err(error) => panic!("row {number}: {settings}: {error}"),
        }
    }
}

#[test]
fn a_frame_that_is_not_what_the_graph_promised_fails_in_words() {
    const V8: &str = "kind = 'detect'\nfamily = 'yolov8'";
    const V10: &str = "kind = 'detect'\nfamily = 'yolov10'";
    #[rustfmt::skip]
    let cases = [
        (V8,  array(&[1, 7, 1], &[0.; 7]),                 "output `o` is f32 [1, 7, 1], expected f32 or f16 [batch, 6, anchors]"),
        (V8,  array(&[0, 6, 1], &[]),                      "output `o` is without item 0"),
        (V8,  array(&[0, 6, 0], &[]),                      "output `o` is without item 0"),
        (V8,  array(&[1, 6, 2], &[0.; 6]),                 "output `o` is without item 0"),
        (V8,  array(&[1, 6, 1], &[5., 5., 9., 9., 0., 7.]), "output `o` is a score of 7, expected 0 to 1: see `family` and `activation`"),
        (V10, array(&[1, 1, 6], &[5., 5., 9., 9., 1., 2.]), "output `o` is of class 2, expected one of 2 classes"),
        (V10, array(&[1, 1, 6], &[5., 5., 9., 9., 1., -3.]), "output `o` is -3 in the place of a class"),
        ("kind = 'classify'", array(&[1, 3], &[0.; 3]),    "has 3 classes, and the model has 2 labels"),
        ("kind = 'anomaly'\nthreshold = 1", array(&[1, 2], &[0.; 2]), "output `o` is 2 numbers an item, expected 3, as the input has"),
    ];
    for (settings, output, expected) in cases {
        let Err(error) = run(settings, &["o"], vec![output], 2) else {
            panic!("{settings} went well")
        };
        assert!(error.to_string().contains(expected), "{settings}: {error}");
    }
}
