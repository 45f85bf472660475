//! The update path: check → fetch → verify → stage → rehearse → trial → commit (→ probation) | roll back → refuse.
//!
//! Its steps are files of this folder. What decides is pure (`machine`, `judge`, the rollout's turn in `wire`);
//! what acts decides nothing. The data path does not know that any of this exists, and none of this needs the
//! data path to be alive.

pub mod blobs;
pub mod command;
pub mod judge;
pub mod live;
pub mod machine;
mod rehearse;
mod sealed;
mod settings;
pub mod slot;
pub mod store;
pub mod told;

pub use sealed::SealError;
pub use settings::{LinkSettings, UpdateSettings, Window};
