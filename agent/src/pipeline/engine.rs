//! One loaded model that runs.
//!
//! An [`Engine`] gives out [`Lane`]s: a lane is one set of input and output buffers, bound once and reused.
//! One lane is filled while another runs, where the engine is an accelerator; one is enough on a CPU.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::tensor::{ElementsMut, TensorSpec, View};
use super::value::Value;

/// What a model takes and gives, as its own graph says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Signature {
    /// Inputs, in the graph's order.
    pub inputs: Vec<TensorSpec>,
    /// Outputs, in the graph's order.
    pub outputs: Vec<TensorSpec>,
}

/// What really runs a model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineReport {
    /// Providers asked for, in order of preference.
    pub requested: Vec<String>,
    /// The most preferred of those that ran nodes of the graph.
    pub provider: String,
    /// Nodes that each provider ran in a real run; empty where the engine cannot tell.
    pub nodes: BTreeMap<String, u64>,
    /// Why a preferred provider does not run, by provider.
    pub why_not: BTreeMap<String, String>,
    /// Version of the library that runs it.
    pub library: String,
}

/// Why an engine could not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The runtime library could not be opened or is too old. No model runs until it is there.
    #[error("cannot open the ONNX Runtime library `{path}`: {advice}")]
    Library {
        /// What was opened.
        path: String,
        /// What to do.
        advice: String,
        /// What the loader said.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The model could not be loaded. Another model may.
    #[error("cannot load the model `{path}`")]
    Load {
        /// The graph file.
        path: String,
        /// What the library said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A provider that `require` names does not run.
    #[error("provider `{provider}` is required and does not run: {why}")]
    Required {
        /// The provider.
        provider: String,
        /// Why.
        why: String,
    },
    /// The model has a shape or type that the request does not fit.
    #[error("the model cannot be run as asked: {0}")]
    Shape(String),
    /// One run failed. The next may not.
    #[error("the run failed")]
    Run(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The accelerator is gone: only a new process can use it again.
    #[error("the accelerator is lost")]
    Lost(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl EngineError {
    /// Whether it is only that an accelerator has no memory left, as CUDA, its libraries and TensorRT say it: another
    /// program may give some back.
    #[must_use]
    pub fn finds_accelerator_full(&self) -> bool {
        let said = crate::report::chain(self).to_ascii_lowercase();
        let about = |signs: &[&str]| signs.iter().any(|sign| said.contains(sign));
        about(&["cuda", "cudnn", "cublas", "tensorrt", "nvinfer"])
            && about(&[
                "out of memory",
                "outofmemory",
                "no memory left",
                "alloc_failed",
                "allocation_failed",
                "failed to allocate memory",
            ])
    }
}

/// A model's files, for an engine to open.
#[derive(Debug, Clone, Copy)]
pub struct ModelFiles<'a> {
    /// The graph.
    pub graph: &'a Path,
    /// Its external data, each relative to the graph's folder.
    pub data: &'a [PathBuf],
    /// SHA-256 of the graph and its external data, in hexadecimal: another model has another one.
    pub digest: &'a str,
    /// What the model's own description says that it takes and gives. The graph's free dimensions that it
    /// fixes are fixed; a contradiction is refused.
    pub signature: Option<&'a Signature>,
    /// Where engines that are built on this device may be kept. `None`: nowhere.
    pub cache: Option<&'a Path>,
}

/// A configured engine kind: how models are opened.
pub trait EngineSpec: Debug + Send + Sync {
    /// Opens a model, and runs it once to find out what really runs it. May take minutes where an accelerator
    /// builds its own form of the model first.
    ///
    /// # Errors
    /// [`EngineError`], [`EngineError::Run`] excepted.
    fn open(&self, model: &ModelFiles<'_>) -> Result<Arc<dyn Engine>, EngineError>;

    /// These settings as those of ONNX Runtime, which can open a model in another process; `None` for an engine
    /// that is none.
    fn options(&self) -> Option<&crate::hw::ort::Options> {
        None
    }
}

/// One loaded model that runs.
pub trait Engine: Send + Sync {
    /// What the model takes and gives.
    fn signature(&self) -> &Signature;

    /// New buffers for runs of `batch` items (every free first dimension becomes `batch`).
    ///
    /// # Errors
    /// [`EngineError::Shape`] where the model's batch is fixed to another number or another dimension is free.
    fn lane(&self, batch: usize) -> Result<Box<dyn Lane>, EngineError>;

    /// New buffers for runs of one to `most` items, by [`Lane::run_first`].
    ///
    /// # Errors
    /// As [`Engine::lane`].
    fn lane_up_to(&self, most: usize) -> Result<Box<dyn Lane>, EngineError> {
        self.lane(most)
    }

    /// Runs the model once on `inputs`, which are all of its inputs in the signature's order, of any extents that the
    /// graph takes; returns those `outputs`. For requests: a frame has a lane.
    ///
    /// # Errors
    /// [`EngineError::Shape`] where the engine takes no requests, or not these; else as [`Lane::run`].
    fn infer(&self, inputs: &[Value], outputs: &[usize]) -> Result<Vec<Value>, EngineError> {
        let (given, wanted) = (inputs.len(), outputs.len());
        let what = format!("this engine takes no requests ({given} inputs, {wanted} outputs)");
        Err(EngineError::Shape(what))
    }

    /// What really runs it.
    fn report(&self) -> &EngineReport;

    /// Whether runs leave the CPU free, so that it pays to prepare the next frame meanwhile.
    fn overlaps(&self) -> bool;

    /// On how many processors of this machine a run works. They have nothing to do between two runs.
    fn threads(&self) -> usize {
        1
    }
}

/// One set of input and output buffers of an engine.
pub trait Lane: Send {
    /// Input `index`, to be filled.
    ///
    /// # Errors
    /// [`EngineError::Shape`] where the input's type is none that a source can fill.
    fn input_mut(&mut self, index: usize) -> Result<ElementsMut<'_>, EngineError>;

    /// Input `index`, as it was filled.
    fn input(&self, index: usize) -> Option<View<'_>>;

    /// Runs the model once on the inputs as they are.
    ///
    /// # Errors
    /// [`EngineError::Run`] or [`EngineError::Lost`].
    fn run(&mut self) -> Result<(), EngineError>;

    /// Runs the model once on the first `items` of the inputs' batch. What the outputs have for others means nothing.
    /// This one runs all of them; a lane of [`Engine::lane_up_to`] may do less.
    ///
    /// # Errors
    /// As [`Lane::run`].
    fn run_first(&mut self, items: usize) -> Result<(), EngineError> {
        let _ = items;
        self.run()
    }

    /// Output `index` of the last run; `None` before the first, or where there is no such output.
    fn output(&self, index: usize) -> Option<View<'_>>;
}
