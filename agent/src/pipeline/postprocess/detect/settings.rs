//! `[postprocess]` with `kind = "detect"`.

use super::super::labels::Labels;
use super::super::{ModelFacts, Postprocess, PostprocessError, PostprocessSpec, Threshold};
use super::{Detect, Head, rtdetr, ssd, yolov5, yolov8, yolov10};
use crate::config::Section;
use crate::config::section::narrow;

/// The most objects of one frame that can be asked for: no family's training has more, and comparing a
/// frame of noise with so many stays within a few milliseconds.
pub const MAX_DETECTIONS: usize = 1_000;
/// With labels of ten letters, 50 objects fit a message of 8 KiB.
const DEFAULT_MAX_DETECTIONS: usize = 50;
const DEFAULT_SCORE_THRESHOLD: f32 = 0.25;
const DEFAULT_IOU_THRESHOLD: f32 = 0.5;

/// Whose outputs they are, with what only this family can be told.
#[derive(Debug, Clone)]
enum Family {
    Yolov5(Option<String>),
    Yolov8(Option<String>),
    Yolov10(Option<String>),
    Rtdetr(rtdetr::Settings),
    Ssd(ssd::Settings),
}

/// Which candidates leave out others that show the same object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nms {
    /// Those of the same class.
    ByClass,
    /// Those of any class.
    Agnostic,
    /// None: the model itself names each object once.
    None,
}

/// What makes numbers probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activation {
    /// They are already.
    None,
    /// Each by itself.
    Sigmoid,
    /// All classes of one place together.
    Softmax,
}

/// The settings, and how to make a postprocess of them.
#[derive(Debug, Clone)]
pub(super) struct Spec {
    family: Family,
    pub(super) score_threshold: f32,
    pub(super) iou_threshold: f32,
    pub(super) max_detections: usize,
    nms: Option<Nms>,
}

/// A head, how many classes it has, if that is known, and whether it names an object more than once.
pub(super) struct Built {
    pub(super) head: Box<dyn Head>,
    pub(super) classes: Option<usize>,
    pub(super) nms: Nms,
}

/// Reads the settings.
#[must_use]
pub fn read(section: &Section<'_>) -> Option<Box<dyn PostprocessSpec>> {
    let number = |key, default| section.number(key, 0.0..=1.0).map_or(default, narrow);
    let nms = [("by-class", Nms::ByClass), ("agnostic", Nms::Agnostic), ("none", Nms::None)];
    let max_detections = section.integer("max_detections", 1..=MAX_DETECTIONS);
    let (score_threshold, iou_threshold, nms) = (
        number("score_threshold", DEFAULT_SCORE_THRESHOLD),
        number("iou_threshold", DEFAULT_IOU_THRESHOLD),
        section.choice("nms", &nms),
    );
    Some(Box::new(Spec {
        family: family(section)?,
        score_threshold,
        iou_threshold,
        max_detections: max_detections.unwrap_or(DEFAULT_MAX_DETECTIONS),
        nms,
    }))
}

fn family(section: &Section<'_>) -> Option<Family> {
    type Read = fn(&Section<'_>) -> Family;
    const FAMILIES: &[(&str, Read)] = &[
        ("yolov5", |section| Family::Yolov5(section.text("output"))),
        ("yolov8", |section| Family::Yolov8(section.text("output"))),
        ("yolov10", |section| Family::Yolov10(section.text("output"))),
        ("rtdetr", |section| Family::Rtdetr(rtdetr::Settings::read(section))),
        ("ssd", |section| Family::Ssd(ssd::Settings::read(section))),
    ];
    if !section.has("family") {
        let names: Vec<&str> = FAMILIES.iter().map(|&(name, _)| name).collect();
        section.mistake("family", format!("is missing; known are {}", names.join(", ")));
    }
    let read = section.choice("family", FAMILIES);
    if read.is_none() {
        // Of which family these are the settings is not known, so they are not unknown either.
        for (_, read) in FAMILIES {
            read(section);
        }
    }
    read.map(|read| read(section))
}

impl PostprocessSpec for Spec {
    fn build(&self, model: &ModelFacts<'_>) -> Result<Box<dyn Postprocess>, PostprocessError> {
        if model.input_width == 0 || model.input_height == 0 {
            return Err(PostprocessError::NoPicture);
        }
        let built = match &self.family {
            Family::Yolov5(output) => yolov5::build(model, output.as_deref()),
            Family::Yolov8(output) => yolov8::build(model, output.as_deref()),
            Family::Yolov10(output) => yolov10::build(model, output.as_deref()),
            Family::Rtdetr(settings) => rtdetr::build(model, settings),
            Family::Ssd(settings) => ssd::build(model, settings),
        }?;
        Ok(Box::new(Detect {
            spec: self.clone(),
            threshold: self.score_threshold,
            nms: self.nms.unwrap_or(built.nms),
            labels: Labels::new(model.labels, built.classes, built.head.scores())?,
            head: built.head,
            candidates: Vec::new(),
            kept: Default::default(),
        }))
    }

    fn threshold(&self) -> Option<Threshold> {
        Some(Threshold { configured: self.score_threshold, min: 0.0, max: 1.0 })
    }
}
