//! What crosses between a device and the world: payloads and topics. No I/O, no clock.
//!
//! Every payload carries [`Envelope`]'s keys, and every key is always present: what could not be known is
//! `null`, since dashboards treat a missing key as an error. Units end the keys. Nothing here is ever NaN:
//! numbers that could be are checked by [`finite`] where they are made.
#![forbid(unsafe_code)]

mod envelope;
mod info;
mod observation;
pub mod topic;

pub use envelope::{Envelope, finite};
pub use info::{EngineInfo, Info, PipelineInfo, Status, StatusWord};
pub use observation::{
    Anomaly, Class, Detection, FrameInfo, ModelRef, Observation, PixelBox, RawTensor, Timings,
    Truth,
};
