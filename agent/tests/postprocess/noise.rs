//! Shapes and numbers without sense, in every kind and family.

use half::f16;
use vedette::model::npy::{Array, ArrayData};
use vedette::pipeline::postprocess::Findings;
use vedette::pipeline::preprocess::Placement;

use crate::stored::{Model, StoredLane};

/// Numbers that look random and are the same at every run.
struct Noise(u64);

impl Noise {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn number(&mut self) -> f32 {
        const ODD: [f32; 12] = [
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            f32::MIN,
            -0.0,
            1e-45,
            1e30,
            -1.0,
            16_777_217.0,
            0.25,
            1.0,
        ];
        match self.below(60) {
            0 => self.one(&ODD),
            1..20 => f32::from(u16::try_from(self.below(700)).unwrap()) - 30.0,
            _ => f32::from(u16::try_from(self.below(1000)).unwrap()) / 1000.0,
        }
    }

    fn array(&mut self, shape: Vec<usize>) -> Array {
        let count = shape.iter().product();
        let count = if self.below(50) == 0 { self.below(count + 2) } else { count };
        let mut numbers: Vec<f32> = (0..count).map(|_| self.number()).collect();
        // In half of the frames nothing is odd, so that what comes after the checks is reached too.
        if self.below(2) == 0 {
            numbers.iter_mut().for_each(|number| *number = number.abs().min(1.0));
        }
        let data = match self.below(8) {
            0 => ArrayData::I64(numbers.iter().map(|&number| number.to_bits().into()).collect()),
            1 => ArrayData::I8(vec![7; count]),
            2 | 3 => ArrayData::F16(numbers.iter().map(|&number| f16::from_f32(number)).collect()),
            _ => ArrayData::F32(numbers),
        };
        Array { shape, data }
    }

    fn shape(&mut self) -> Vec<usize> {
        let (batch, many) = (self.one(&[0, 1, 1, 1, 2]), self.one(&[0, 1, 2, 7, 8, 9, 65, 300]));
        let few = self.one(&[0, 1, 3, 4, 5, 6, 7, 9]);
        match self.below(7) {
            0 => vec![],
            1 => vec![batch],
            2 => vec![batch, many],
            3 => vec![batch, few, many],
            4 => vec![batch, many, few, 1],
            _ => vec![batch, many, few],
        }
    }
}

const SETTINGS: &[&str] = &[
    "kind = 'classify'",
    "kind = 'classify'\nactivation = 'none'\ntop_k = 50",
    "kind = 'anomaly'\nthreshold = 0.5",
    "kind = 'anomaly'\nthreshold = 0.5\nscore = 'output'",
    "kind = 'raw'",
    "kind = 'raw'\nmax_elements = 3",
    "kind = 'detect'\nfamily = 'yolov5'",
    "kind = 'detect'\nfamily = 'yolov5'\nscore_threshold = 0\nnms = 'agnostic'",
    "kind = 'detect'\nfamily = 'yolov8'",
    "kind = 'detect'\nfamily = 'yolov8'\nscore_threshold = 0\niou_threshold = 0",
    "kind = 'detect'\nfamily = 'yolov10'\nscore_threshold = 1",
    "kind = 'detect'\nfamily = 'yolov10'\nnms = 'by-class'\niou_threshold = 1",
    "kind = 'detect'\nfamily = 'rtdetr'",
    "kind = 'detect'\nfamily = 'rtdetr'\nactivation = 'none'\nscore_threshold = 0",
    "kind = 'detect'\nfamily = 'rtdetr'\nboxes = 'boxes'\nscores = 'scores'\nscore_threshold = 1",
    "kind = 'detect'\nfamily = 'ssd'",
    "kind = 'detect'\nfamily = 'ssd'\nactivation = 'softmax'\nscore_threshold = 0\nbackground = 'last'",
    "kind = 'detect'\nfamily = 'ssd'\nactivation = 'sigmoid'\nbackground = 'none'",
    "kind = 'detect'\nfamily = 'ssd'\nclasses = 'classes'\nbackground = 'none'\nscore_threshold = 0",
];

/// What a message may say of a frame.
fn is_sound(findings: &Findings, placement: &Placement) {
    let mut before = f32::INFINITY;
    for object in &findings.detections {
        let bounds = object.bounds;
        assert!((0.0..=1.0).contains(&object.score) && object.score <= before, "{object:?}");
        assert!(bounds.width_px > 0.0 && bounds.height_px > 0.0, "{object:?}");
        assert!(bounds.x_px >= 0.0 && bounds.x_px <= placement.picture_width, "{object:?}");
        assert!(bounds.y_px >= 0.0 && bounds.y_px <= placement.picture_height, "{object:?}");
        assert!(bounds.width_px <= placement.picture_width, "{object:?}");
        assert!(bounds.height_px <= placement.picture_height, "{object:?}");
        before = object.score;
    }
    let classes = findings.classes.iter().map(|class| class.score);
    let raw = findings.raw.iter().flat_map(|tensor| tensor.data.iter().flatten().copied());
    let anomaly = findings.anomaly.iter().map(|anomaly| anomaly.score);
    assert!(classes.chain(raw).chain(anomaly).all(f32::is_finite));
}

#[test]
fn anything_at_all_is_understood_or_refused() {
    let mut noise = Noise(42);
    let (mut understood, mut refused) = (vec![0; SETTINGS.len()], vec![0; SETTINGS.len()]);
    for round in 0..40_000 {
        let kind = round % SETTINGS.len();
        let names = ["boxes", "scores", "classes", "num"];
        let outputs = if kind >= 12 { noise.one(&[1, 2, 2, 3, 4]) } else { 1 };
        let shapes = if noise.below(4) > 0 {
            // Shapes that make sense, mostly.
            let (many, classes) = (noise.one(&[1, 9, 300]), noise.one(&[1, 2, 7]));
            match (kind, outputs) {
                (0..6, _) => vec![vec![1, noise.one(&[1, 7, 300])]],
                (6..8, _) => vec![vec![1, many, 5 + classes]],
                (8..10, _) => vec![vec![1, 4 + classes, many]],
                (10..12, _) => vec![vec![1, many, 6]],
                (_, 1) => vec![vec![1, many, 4 + classes]],
                (_, 2) => vec![vec![1, many, 4], vec![1, many, classes]],
                _ => vec![vec![1, many, 4], vec![1, many], vec![1, many], vec![1]],
            }
        } else {
            (0..outputs).map(|_| noise.shape()).collect()
        };
        let arrays = shapes.into_iter().take(outputs).map(|shape| noise.array(shape)).collect();
        let input = noise.one(&[&[1, 7][..], &[1, 300], &[2, 9]]).to_vec();
        let lane = StoredLane { inputs: vec![noise.array(input)], outputs: arrays };
        let labels = noise.one(&[&[][..], &["a", "b"], &["a"; 7]]);
        let mut model = Model::of(&lane, &names, labels, [640, 480]);
        if noise.below(2) == 0 {
            for dim in model.signature.outputs.iter_mut().flat_map(|output| &mut output.dims) {
                *dim = vedette::pipeline::tensor::Dim::Free("n".to_owned());
            }
        }
        let scale = noise.one(&[1.0, 0.33, 0.0, -1.0, f32::NAN, f32::INFINITY]);
        let placement = Placement {
            picture_width: noise.one(&[1920.0, 1.0, 0.0]),
            picture_height: 1080.0,
            scale_x: scale,
            scale_y: 0.5,
            offset_x: noise.one(&[0.0, -60.0, 1e38]),
            offset_y: 9.0,
        };
        let Ok(mut postprocess) = model.build(SETTINGS[kind]) else {
            refused[kind] += 1;
            continue;
        };
        let mut findings = Findings::default();
        match postprocess.run(&lane, usize::from(noise.below(9) == 0), &placement, &mut findings) {
            Ok(()) => understood[kind] += 1,
            Err(_) => refused[kind] += 1,
        }
        is_sound(&findings, &placement);
    }
    for (kind, settings) in SETTINGS.iter().enumerate() {
        let (well, badly) = (understood[kind], refused[kind]);
        assert!(well > 20 && badly > 20, "{settings}: {well} understood, {badly} refused");
    }
}
