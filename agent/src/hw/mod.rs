//! The only vendor code: one file for each library or driver interface, named nowhere else.

pub mod heap;
pub mod jpeg;
pub mod ort;
pub mod process;
