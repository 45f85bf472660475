//! A model as files: its folder, its graph's structure, its golden samples, and the verdict on all three.

pub mod child;
pub mod folder;
pub mod golden;
pub mod graph;
pub mod npy;
pub mod verify;
mod window;

pub use folder::ModelFolder;
