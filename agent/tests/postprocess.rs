//! What postprocesses make of outputs: of known ones, of wrong ones, and of anything at all.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must fail")]

mod stored;

#[path = "postprocess/golden.rs"]
mod golden;
#[path = "postprocess/limits.rs"]
mod limits;
#[path = "postprocess/noise.rs"]
mod noise;
#[path = "postprocess/refusals.rs"]
mod refusals;
