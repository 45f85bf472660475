//! What crosses between a device and the world: payloads, topics, and the documents that an operator signs.
//! No I/O, no clock.
//!
//! Every payload carries [`Envelope`]'s keys, and every key is always present: what could not be known is
//! `null`, since dashboards treat a missing key as an error. Units end the keys. Nothing here is ever NaN:
//! numbers that could be are checked by [`finite`] where they are made.
#![forbid(unsafe_code)]

/// Longest payload, pictures excepted, in bytes: what the smallest brokers and clients take without settings.
pub const PAYLOAD_MAX_BYTES: usize = 8 << 10;

mod alarm;
mod command;
mod digest;
mod document;
mod envelope;
mod event;
mod info;
mod model_state;
mod observation;
mod pipeline_state;
pub mod release;
pub mod rollout;
#[cfg(feature = "schema")]
pub mod schema;
pub mod telemetry;
pub mod topic;

pub use alarm::Alarm;
pub use command::{
    CommandError, CommandErrorCode, CommandResult, DeviceReport, Diagnostics, PauseBody,
    PipelineBody, PipelineReport, RollbackBody, SetBody, SnapshotReport, Verb,
};
pub use digest::{Digest, NoDigest};
pub use document::BadDocument;
pub use envelope::{Envelope, finite};
pub use event::{Clip, ClipPicture, Event, EventState};
pub use info::{EngineInfo, Info, PipelineInfo, Status, StatusWord};
pub use model_state::{ModelEvent, ModelState, Phase, Refusal, ReleaseRef};
pub use observation::{
    Anomaly, Class, Detection, FrameInfo, LineCount, ModelRef, Observation, PixelBox, RawTensor,
    Timings, Truth, ZoneCount,
};
pub use pipeline_state::PipelineState;
pub use release::{ReleaseDocument, ReleaseFile, Terms};
pub use rollout::{RolloutDocument, Turn, Wave};
pub use telemetry::{BoardTelemetry, PipelineTelemetry, Readings, SampleTelemetry};
