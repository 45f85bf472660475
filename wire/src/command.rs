//! What a device can be asked over MQTT, and what came of it.
//!
//! A command is a message on `cmd/<verb>/<request>`; its payload is the verb's body as JSON, or nothing where the
//! verb has none. The answer is on `cmd/<verb>/<request>/result`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{EngineInfo, Envelope};

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// How it is doing. No body.
    Status,
    /// Use another threshold: [`SetBody`].
    Set,
    /// Close a pipeline's source until it is resumed: [`PauseBody`].
    Pause,
    /// Open it again: [`PipelineBody`].
    Resume,
    /// Publish a pipeline's next frame as a picture, with what was found drawn in: [`PipelineBody`].
    Snapshot,
    /// Go back to the release before: [`RollbackBody`].
    Rollback,
    /// What somebody who looks for a fault wants to know. No body.
    Diagnostics,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Status,
        Self::Set,
        Self::Pause,
        Self::Resume,
        Self::Snapshot,
        Self::Rollback,
        Self::Diagnostics,
    ];

    /// The verb as it stands in a topic.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Set => "set",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Snapshot => "snapshot",
            Self::Rollback => "rollback",
            Self::Diagnostics => "diagnostics",
        }
    }

    /// The verb that `word` is.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.word() == word)
    }
}

/// Body of `set`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SetBody {
    /// Of which pipeline.
    pub pipeline: String,
    /// From which score on something counts, until the daemon ends; `null` or left out: as configured.
    pub threshold: Option<f32>,
}

/// Body of `pause`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PauseBody {
    /// Which pipeline.
    pub pipeline: String,
    /// `false` resumes it, for switches that have one topic for both; `true` where it is missing.
    #[serde(default = "yes")]
    pub paused: bool,
}

fn yes() -> bool {
    true
}

/// Body of `resume` and `snapshot`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PipelineBody {
    /// Which pipeline.
    pub pipeline: String,
}

/// Body of `rollback`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RollbackBody {
    /// Which slot; `null`: the only one.
    pub slot: Option<String>,
    /// Which version is expected there; `null`: whatever it is.
    pub to: Option<String>,
}

/// What came of a command. Topic `cmd/<verb>/<request>/result`.
///
/// Of `report`, `diagnostics`, `snapshot` and `lines` the verb fills one; the others are `null` or empty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CommandResult<'a> {
    /// Schema `vedette/command-result/1`.
    #[serde(flatten, borrow)]
    pub envelope: Envelope<'a>,
    /// The verb as it was asked.
    #[serde(borrow)]
    pub verb: Cow<'a, str>,
    /// The request as it was asked.
    #[serde(borrow)]
    pub request: Cow<'a, str>,
    /// Whether it was done.
    pub ok: bool,
    /// Why not, where it was not.
    pub error: Option<CommandError>,
    /// Of `status`.
    pub report: Option<DeviceReport>,
    /// Of `diagnostics`.
    pub diagnostics: Option<Diagnostics>,
    /// Of `snapshot`.
    pub snapshot: Option<SnapshotReport>,
    /// What else there is to say, for people.
    pub lines: Vec<String>,
}

/// Why a command was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CommandError {
    /// For programs.
    pub code: CommandErrorCode,
    /// For people.
    pub message: String,
}

/// Why a command was not done, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CommandErrorCode {
    /// Its verb is none, its request is no name, or its body is not the verb's.
    Malformed,
    /// It was retained: it would be done again at every reconnect.
    Retained,
    /// The device's configuration does not allow it.
    NotAllowed,
    /// There is no such pipeline or slot, or it has nothing of the kind.
    NotFound,
    /// It was tried and did not succeed.
    Failed,
}

/// How a device is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeviceReport {
    /// Version of the daemon.
    pub agent_version: String,
    /// Its pipelines, as many as fit.
    pub pipelines: Vec<PipelineReport>,
    /// How many did not fit.
    pub pipelines_left_out: u32,
}

/// How one pipeline is doing; the counts are since the daemon started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PipelineReport {
    /// Its name.
    pub name: String,
    /// Whether somebody paused it.
    pub paused: bool,
    /// From which score on something counts; `null` where its postprocess has no such number.
    pub threshold: Option<f32>,
    /// Frames that the source gave.
    pub captured: u64,
    /// Frames whose observation went to the sinks.
    pub inferred: u64,
    /// Frames that a newer one replaced.
    pub replaced: u64,
    /// Frames that could not be understood or inferred.
    pub failed: u64,
    /// How often its source or engine was opened again after a failure.
    pub reopened: u64,
}

/// What somebody who looks for a fault wants to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Diagnostics {
    /// Version of the daemon.
    pub agent_version: String,
    /// Release of the kernel.
    pub kernel: String,
    /// What the processor is called.
    pub architecture: String,
    /// Version of the ONNX Runtime library; `null` until a model needed one.
    pub onnxruntime_version: Option<String>,
    /// Resident memory of the daemon.
    pub resident_bytes: Option<u64>,
    /// Threads of the daemon.
    pub threads: Option<u64>,
    /// Open files of the daemon.
    pub open_files: Option<u64>,
    /// Its engines, by model, as many as fit.
    pub engines: Vec<EngineInfo>,
    /// How many did not fit.
    pub engines_left_out: u32,
    /// The last warnings and errors of its log, oldest first, as many as fit.
    pub warnings: Vec<String>,
}

/// A picture that was published on `snapshot/<pipeline>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SnapshotReport {
    /// Where.
    pub topic: String,
    /// How large the file is.
    pub bytes: u64,
    /// Its width.
    pub width_px: u32,
    /// Its height.
    pub height_px: u32,
    /// Which of the source's frames it shows.
    pub frame_seq: u64,
    /// Objects drawn into it.
    pub detections: u32,
}
