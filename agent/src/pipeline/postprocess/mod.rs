//! From a model's outputs to what the frame contained.
//!
//! **Invariants:** whatever a model puts out, nothing here panics (`anything_at_all_is_understood_or_refused`
//! in `tests/postprocess.rs`) and no number that is none is handed on; a frame allocates nothing once
//! everything has grown to its size (`tests/postprocess_alloc.rs`). What each kind makes of known outputs is
//! held against a reference in Python (`tests/golden/postprocess/`).

use std::fmt::Debug;
use std::sync::Arc;

use wire::{Anomaly, Class, Detection, RawTensor};

use super::engine::{Lane, Signature};
use super::preprocess::Placement;

pub mod anomaly;
pub mod classify;
pub mod detect;
mod labels;
mod numbers;
mod outputs;
pub mod raw;
mod scan;
mod softmax;

/// What one frame contained. Reused from frame to frame: the lists keep their memory.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// Classes, most likely first.
    pub classes: Vec<Class>,
    /// Objects, highest score first, in pixels of the original picture, clipped to it.
    pub detections: Vec<Detection>,
    /// How unusual it is.
    pub anomaly: Option<Anomaly>,
    /// Outputs as they are.
    pub raw: Vec<RawTensor>,
}

impl Findings {
    /// Forgets everything and keeps the lists' memory.
    pub fn clear(&mut self) {
        self.classes.clear();
        self.detections.clear();
        self.anomaly = None;
        self.raw.clear();
    }
}

/// Why outputs could not be understood.
#[derive(Debug, thiserror::Error)]
pub enum PostprocessError {
    /// An output that the family needs is missing, or has another shape or type.
    #[error("output {output} is {found}, expected {expected}")]
    Output {
        /// Its name or number.
        output: String,
        /// What it is.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// There are not as many labels as the model has classes: a name would be missing, or all would be wrong.
    #[error("output {output} has {classes} classes, and the model has {labels} labels")]
    Labels {
        /// Its name, type and shape.
        output: String,
        /// Classes that it has.
        classes: usize,
        /// Labels of the model.
        labels: usize,
    },
    /// Objects were to be found by a model that sees no picture.
    #[error("the model has no picture input, and what it detects could not be placed")]
    NoPicture,
    /// The model put out a number that is none.
    #[error("output {output} contains NaN or an infinity")]
    NotFinite {
        /// Its name or number.
        output: String,
    },
}

/// Understands one model's outputs. Used by one thread only.
pub trait Postprocess: Send {
    /// Reads item `item` of the batch from `lane`'s outputs of its last run into `findings`, which it
    /// clears first. Allocates nothing once its buffers have grown to their size (`raw` excepted).
    ///
    /// # Errors
    /// [`PostprocessError`]: the frame is counted as failed, the pipeline goes on.
    fn run(
        &mut self,
        lane: &dyn Lane,
        item: usize,
        placement: &Placement,
        findings: &mut Findings,
    ) -> Result<(), PostprocessError>;

    /// Uses another threshold from now on; `None`: the configured one. Does nothing where there is none.
    fn set_threshold(&mut self, _: Option<f32>) {}
}

/// From which score on something counts, and what else it could be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// As configured.
    pub configured: f32,
    /// The least that it may be.
    pub min: f32,
    /// The most that it may be.
    pub max: f32,
}

/// What a postprocess needs to know of the model it is for.
#[derive(Debug, Clone)]
pub struct ModelFacts<'a> {
    /// What the graph takes and gives.
    pub signature: &'a Signature,
    /// The model's labels; may be empty, then a label is its number.
    pub labels: &'a [Arc<str>],
    /// Width of the model's picture input, 0 where it has none.
    pub input_width: u32,
    /// Height of the model's picture input, 0 where it has none.
    pub input_height: u32,
    /// Which of the inputs the source fills.
    pub input_index: usize,
}

/// A configured postprocess: `[postprocess]` of a `model.toml` with the pipeline's own settings over it.
pub trait PostprocessSpec: Debug + Send + Sync {
    /// Makes the one for a model; checks everything that can be checked before the first frame.
    ///
    /// # Errors
    /// [`PostprocessError::Output`] where the model's outputs cannot be what this reads, labels too few
    /// included.
    fn build(&self, model: &ModelFacts<'_>) -> Result<Box<dyn Postprocess>, PostprocessError>;

    /// Its threshold, where it has one that can be changed while it runs.
    fn threshold(&self) -> Option<Threshold> {
        None
    }
}
