//! What happened before a camera, by the rules of a pipeline, and the pictures that were kept of it.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Envelope;
use crate::envelope::{maybe_millis, millis};

/// What an event says of its rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum EventState {
    /// What the rule waits for began, and lasts.
    Began,
    /// It is over.
    Ended,
    /// It happened, and has no duration.
    Happened,
}

/// Something that a rule of a pipeline waits for. Topic `event/<pipeline>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Event<'a> {
    /// Schema `vedette/event/1`; `seq` counts the events of this pipeline.
    #[serde(flatten, borrow)]
    pub envelope: Envelope<'a>,
    /// The pipeline's name in the configuration.
    #[serde(borrow)]
    pub pipeline: Cow<'a, str>,
    /// The rule's name in the configuration; `load` where the pipeline infers less or more for its load.
    #[serde(borrow)]
    pub event: Cow<'a, str>,
    /// The rule's kind, such as `in-zone`.
    #[serde(borrow)]
    pub kind: Cow<'a, str>,
    /// Whether it began, ended or happened.
    pub state: EventState,
    /// When the frame that decided was taken, or, where none did, when it was decided; the wall clock may be wrong.
    #[serde(serialize_with = "millis")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::time"))]
    pub captured: Timestamp,
    /// Number of that frame, as in `frame.seq` of its observation.
    pub frame_seq: Option<u64>,
    /// When it began, where it lasts.
    #[serde(serialize_with = "maybe_millis")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::maybe_time"))]
    pub began: Option<Timestamp>,
    /// How long it lasted, once it ended.
    pub duration_ms: Option<u64>,
    /// The zone or line that it is about.
    #[serde(borrow)]
    pub place: Option<Cow<'a, str>>,
    /// Number of the object that it is about.
    pub track: Option<u64>,
    /// Its label.
    #[serde(borrow)]
    pub label: Option<Cow<'a, str>>,
    /// What was measured: milliseconds in a zone, objects, a score, a level.
    pub value: Option<f64>,
    /// What it is compared with.
    pub limit: Option<f64>,
    /// Why, in words, where the daemon itself decided: a pipeline that infers less or more (`kind` is `load`).
    #[serde(borrow)]
    pub reason: Option<Cow<'a, str>>,
    /// How often it began or happened since the last of these messages without being told, for it was too soon.
    pub suppressed: u64,
    /// Name of the clip that is being taken of it.
    #[serde(borrow)]
    pub clip: Option<Cow<'a, str>>,
}

/// A clip that was kept on the device. Topic `clip/<pipeline>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Clip<'a> {
    /// Schema `vedette/clip/1`; `seq` counts the clips of this pipeline.
    #[serde(flatten, borrow)]
    pub envelope: Envelope<'a>,
    /// The pipeline's name in the configuration.
    #[serde(borrow)]
    pub pipeline: Cow<'a, str>,
    /// The rule that it is of.
    #[serde(borrow)]
    pub event: Cow<'a, str>,
    /// Its name: that of its directory below `clips` in the state directory.
    #[serde(borrow)]
    pub clip: Cow<'a, str>,
    /// Its pictures, in order: JPEG files with what was found drawn in. None where there was no frame.
    pub pictures: Vec<ClipPicture>,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Clips that gave way to it.
    pub removed: u32,
    /// Why it is not whole, in words; `null` where it is.
    pub error: Option<String>,
}

/// One picture of a clip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClipPicture {
    /// Its file's name.
    pub file: String,
    /// Its bytes.
    pub bytes: u64,
    /// Its width.
    pub width_px: u32,
    /// Its height.
    pub height_px: u32,
    /// Number of its frame.
    pub frame_seq: u64,
}
