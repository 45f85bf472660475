//! The data path: source → lookout → preprocess → engine → postprocess → analysis → sinks.
//!
//! Nothing here knows that models are updated, and nothing here waits for a network.

pub mod analysis;
pub mod batch;
pub mod capture;
pub mod door;
pub mod draw;
pub mod engine;
pub mod frame;
pub mod health;
pub mod latest;
pub mod load;
pub mod lookout;
pub mod meter;
pub mod postprocess;
pub mod preprocess;
pub mod rgb;
pub mod rules;
pub mod shadow;
pub mod shape;
pub mod sink;
pub mod snapshot;
pub mod source;
pub mod tensor;
pub mod track;
pub mod value;
pub mod window;
pub mod worker;
pub mod yuv;
pub mod zones;
