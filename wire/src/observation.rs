//! What one frame contained.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Envelope;

/// What one frame contained, as one pipeline saw it. Topic `observation/<pipeline>`.
///
/// The lists that the model's task does not fill are empty, and `anomaly` is `null`. All coordinates are
/// pixels of the original picture, never of the model's input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Observation<'a> {
    /// Schema `vedette/observation/1`; `seq` counts the observations of this pipeline.
    #[serde(flatten, borrow)]
    pub envelope: Envelope<'a>,
    /// The pipeline's name in the configuration.
    #[serde(borrow)]
    pub pipeline: Cow<'a, str>,
    /// The picture it was seen in.
    pub frame: FrameInfo,
    /// The model that saw it.
    #[serde(borrow)]
    pub model: ModelRef<'a>,
    /// How long each step took.
    pub timings: Timings,
    /// Classes, most likely first (`classify`).
    #[serde(borrow)]
    pub classes: Cow<'a, [Class]>,
    /// Objects, highest score first (`detect`).
    #[serde(borrow)]
    pub detections: Cow<'a, [Detection]>,
    /// What is in each zone, in the order of the configuration.
    #[serde(borrow, default)]
    pub zones: Cow<'a, [ZoneCount]>,
    /// What crossed each line.
    #[serde(borrow, default)]
    pub lines: Cow<'a, [LineCount]>,
    /// How unusual the input is (`anomaly`).
    pub anomaly: Option<Anomaly>,
    /// The model's outputs as they are (`raw`).
    #[serde(borrow)]
    pub raw: Cow<'a, [RawTensor]>,
    /// What is really in the picture, where the source knows (the `pattern` source), else `null`.
    #[serde(borrow)]
    pub truth: Option<Cow<'a, [Truth]>>,
}

/// The picture an observation was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FrameInfo {
    /// Counts the source's frames from 0; a gap is frames that a newer one replaced, or that were not worth a run.
    pub seq: u64,
    /// Width of the original picture; of a window of samples: how many of each channel.
    pub width_px: u32,
    /// Height of the original picture; of a window of samples: channels.
    pub height_px: u32,
    /// Frames of this pipeline so far that were replaced by a newer one before inference.
    pub dropped: u64,
}

/// Which model, exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ModelRef<'a> {
    /// Its name in `model.toml`.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// Its version in `model.toml`.
    #[serde(borrow)]
    pub version: Cow<'a, str>,
    /// SHA-256 of its graph file, lower-case hexadecimal.
    #[serde(borrow)]
    pub sha256: Cow<'a, str>,
}

/// How long a frame took, in milliseconds of the monotonic clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Timings {
    /// From capture until its preprocessing began.
    pub age_ms: f32,
    /// From the camera's format to the tensor.
    pub preprocess_ms: f32,
    /// The model's run.
    pub inference_ms: f32,
    /// From the outputs to what is in this message.
    pub postprocess_ms: f32,
    /// From capture until this message was handed to the sinks.
    pub latency_ms: f32,
}

/// One class of a classification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Class {
    /// The model's index for it.
    pub index: u32,
    /// The model's label for it.
    pub label: Arc<str>,
    /// Its probability, 0 to 1 (or the raw value where the model's activation is `none`).
    pub score: f32,
}

/// A rectangle in pixels of the original picture; inside it, with a positive area.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PixelBox {
    /// Left edge.
    pub x_px: f32,
    /// Top edge.
    pub y_px: f32,
    /// Width.
    pub width_px: f32,
    /// Height.
    pub height_px: f32,
}

impl PixelBox {
    /// Intersection over union with `other`, 0 to 1; 0 where either has no area.
    #[must_use]
    pub fn iou(&self, other: &Self) -> f32 {
        let width = (self.x_px + self.width_px).min(other.x_px + other.width_px)
            - self.x_px.max(other.x_px);
        let height = (self.y_px + self.height_px).min(other.y_px + other.height_px)
            - self.y_px.max(other.y_px);
        if width <= 0.0 || height <= 0.0 {
            return 0.0;
        }
        let both = width * height;
        both / (self.width_px * self.height_px + other.width_px * other.height_px - both)
    }
}

/// One object of a detection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Detection {
    /// The model's index for its class.
    pub index: u32,
    /// The model's label for its class.
    pub label: Arc<str>,
    /// How sure the model is, 0 to 1.
    pub score: f32,
    /// Where it is.
    #[serde(rename = "box")]
    pub bounds: PixelBox,
    /// Number of the object that it is, the same from frame to frame and never given to another while the daemon
    /// runs; `null` where the pipeline does not follow objects, and for what it does not (or not yet) follow.
    #[serde(default)]
    pub track: Option<u64>,
}

/// What is in one zone of the picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ZoneCount {
    /// The zone's name in the configuration.
    pub zone: Arc<str>,
    /// Objects in it.
    pub objects: u32,
    /// Objects that came into it, since the daemon started.
    pub entered_total: u64,
    /// Objects that left it.
    pub left_total: u64,
    /// How long the one that is there for longest has been; `null` where there is none.
    pub dwell_max_ms: Option<u64>,
}

/// What crossed one line of the picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LineCount {
    /// The line's name in the configuration.
    pub line: Arc<str>,
    /// Objects that crossed it from left to right, as seen from its first point to its second, since the daemon
    /// started.
    pub right_total: u64,
    /// Objects that crossed it from right to left.
    pub left_total: u64,
}

/// How unusual one input is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Anomaly {
    /// The score; its scale is the model's own.
    pub score: f32,
    /// From which score on the input counts as anomalous.
    pub threshold: f32,
    /// Whether `score` reached `threshold`.
    pub anomalous: bool,
}

/// An output as the model gave it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RawTensor {
    /// The output's name.
    pub name: Arc<str>,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values, row-major; `null` where one is NaN or infinite; at most the configured number of them.
    pub data: Vec<Option<f32>>,
    /// How many values there were before the limit.
    pub elements: usize,
}

/// An object that is really in the picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Truth {
    /// What it is.
    pub label: Arc<str>,
    /// Where it is.
    #[serde(rename = "box")]
    pub bounds: PixelBox,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap_is_one_for_equals_and_zero_for_strangers() {
        let a = PixelBox { x_px: 0.0, y_px: 0.0, width_px: 4.0, height_px: 2.0 };
        let half = PixelBox { width_px: 2.0, ..a };
        let far = PixelBox { x_px: 9.0, ..a };
        assert_eq!((a.iou(&a), a.iou(&half), a.iou(&far)), (1.0, 0.5, 0.0));
    }
}
