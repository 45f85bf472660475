//! The only vendor code: one file for each library or driver interface, named nowhere else.

pub mod clock;
pub mod gstreamer;
pub mod heap;
pub mod jpeg;
pub mod nvml;
pub mod ort;
pub mod pages;
pub mod peek;
pub mod process;
pub mod second;
pub mod serial;
pub mod v4l2;
