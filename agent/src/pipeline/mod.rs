//! The data path: source → preprocess → engine → postprocess → sinks.
//!
//! Nothing here knows that models are updated, and nothing here waits for a network.

pub mod capture;
pub mod door;
pub mod draw;
pub mod engine;
pub mod frame;
pub mod health;
pub mod latest;
pub mod meter;
pub mod postprocess;
pub mod preprocess;
pub mod rgb;
pub mod shadow;
pub mod shape;
pub mod sink;
pub mod snapshot;
pub mod source;
pub mod tensor;
pub mod value;
pub mod worker;
