//! What crosses between a device and the world: payloads, topics, and the documents that an operator signs.
//! No I/O, no clock.
//!
//! Every payload carries [`Envelope`]'s keys, and every key is always present: what could not be known is
//! `null`, since dashboards treat a missing key as an error. Units end the keys. Nothing here is ever NaN:
//! numbers that could be are checked by [`finite`] where they are made.
#![forbid(unsafe_code)]

mod digest;
mod document;
mod envelope;
mod info;
mod model_state;
mod observation;
pub mod release;
pub mod rollout;
pub mod topic;

pub use digest::{Digest, NoDigest};
pub use document::BadDocument;
pub use envelope::{Envelope, finite};
pub use info::{EngineInfo, Info, PipelineInfo, Status, StatusWord};
pub use model_state::{ModelEvent, ModelState, Phase, Refusal, ReleaseRef};
pub use observation::{
    Anomaly, Class, Detection, FrameInfo, ModelRef, Observation, PixelBox, RawTensor, Timings,
    Truth,
};
pub use release::{ReleaseDocument, ReleaseFile, Terms};
pub use rollout::{RolloutDocument, Turn, Wave};
