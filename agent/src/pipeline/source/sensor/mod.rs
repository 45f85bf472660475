//! Sensors by the way on which their samples come.

pub mod csv;
pub mod iio;
pub mod jsonl;
pub mod mqtt;
pub mod serial;
pub mod stdin;
pub mod tcp;

mod file;
