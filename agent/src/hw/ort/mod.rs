//! Runs models with ONNX Runtime, whichever build of it this machine has.
//!
//! The library is opened at run time, so that one binary runs with a board's TensorRT build, a desktop's GPU
//! build or the plain CPU wheel. [`Runtime::open`] does so once per process; [`Options`] are a model's
//! settings; [`Options::open`](crate::pipeline::engine::EngineSpec::open) loads a model with the best provider
//! that works, and reports the one that *really* runs, from a real run.
//!
//! **Invariant:** no other file names the `ort` crate (`tests/layers.rs`), and nothing that a model or a
//! library answers makes this module panic: `ort`'s own wrappers do in places, so that sessions and runs go
//! through the C interface here (`raw`, `session`, `lane`).

mod buffer;
mod cache;
mod device;
mod engine;
mod failure;
mod lane;
mod library;
mod machine;
mod options;
mod profile;
mod providers;
mod raw;
mod replayed;
mod replayer;
mod request;
mod session;
mod turns;
mod warm;

pub use cache::{Facts, key};
pub use library::{OLDEST, Runtime, usual_places};
pub use options::{
    Arena, ConvSearch, Cuda, EXAMPLE, Optimization, Options, Profile, Provider, TensorRt,
};
pub use replayed::follows_inputs;
