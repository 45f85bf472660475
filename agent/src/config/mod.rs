//! Configuration: from files and environment to checked values, every mistake at once.

pub mod checked;
pub mod lighter;
pub mod load;
pub mod section;
pub mod tree;

pub use checked::{Config, PipelineConfig};
pub use section::{Mistake, Mistakes, Section};
