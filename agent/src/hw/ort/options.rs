//! A model's settings: `[models.NAME]` of a configuration, checked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::Section;
use crate::config::section::unknown;
use crate::config::tree::Value;
use crate::pipeline::engine::{Engine, EngineError, EngineSpec, ModelFiles};

use super::engine::OrtEngine;
use super::library::Runtime;

/// What can run a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// NVIDIA's compiler of graphs; builds an engine for this very device first, which takes minutes.
    Tensorrt,
    /// NVIDIA GPUs, kernel by kernel.
    Cuda,
    /// The processor.
    Cpu,
}

impl Provider {
    /// Every provider, in the order that is preferred where a configuration names none.
    pub const ALL: &[(&str, Self)] =
        &[("tensorrt", Self::Tensorrt), ("cuda", Self::Cuda), ("cpu", Self::Cpu)];

    /// Its name in configurations and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, provider)| *provider == self).map_or("?", |(name, _)| name)
    }

    /// Its name in the library.
    pub(super) fn library_name(self) -> &'static str {
        match self {
            Self::Tensorrt => "TensorrtExecutionProvider",
            Self::Cuda => "CUDAExecutionProvider",
            Self::Cpu => "CPUExecutionProvider",
        }
    }
}

/// How much the library may change a graph before it runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Optimization {
    /// Not at all.
    None,
    /// Without changing what nodes do: constants, dead nodes.
    Basic,
    /// Nodes joined to faster ones.
    Extended,
    /// Memory layouts too.
    All,
}

/// What a provider allocates when it needs more memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arena {
    /// As much as it has already: few allocations.
    Doubling,
    /// What it needs: little memory.
    AsRequested,
}

/// How cuDNN chooses a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConvSearch {
    /// Tries all: a slow first run, the fastest runs after.
    Exhaustive,
    /// By rule of thumb.
    Heuristic,
    /// Always the same.
    Default,
}

/// The extents for which TensorRT builds an engine where an input's dimensions are free.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The input.
    pub input: String,
    /// Smallest extents.
    pub min: Vec<u32>,
    /// Extents for which it should be fastest.
    pub opt: Vec<u32>,
    /// Largest extents.
    pub max: Vec<u32>,
}

/// TensorRT's own settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorRt {
    /// May compute in half precision.
    pub fp16: bool,
    /// May compute in 8-bit integers; needs Q/DQ nodes in the graph or a calibration table.
    pub int8: bool,
    /// Ranges of values for `int8`, where the graph has no Q/DQ nodes.
    pub calibration_table: Option<PathBuf>,
    /// Whether the table is TensorRT's own and not ONNX Runtime's.
    pub native_calibration: bool,
    /// Keeps built engines.
    pub engine_cache: bool,
    /// Keeps the timings of layers, so that the next build is faster.
    pub timing_cache: bool,
    /// Most memory that a layer may use beside its tensors; 0: the library's choice.
    pub workspace_bytes: u64,
    /// Replays runs as one CUDA graph.
    pub cuda_graph: bool,
    /// Deep-learning accelerator to use.
    pub dla_core: Option<u8>,
    /// How long to look for fast kernels, 0 to 5.
    pub optimization_level: u8,
    /// Extents of inputs with free dimensions, by input.
    pub profiles: Vec<Profile>,
}

/// CUDA's own settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cuda {
    /// Most memory of the arena; 0: no limit.
    pub memory_limit_bytes: u64,
    /// How the arena grows.
    pub arena: Arena,
    /// How convolutions are chosen.
    pub conv_search: ConvSearch,
    /// Replays runs as one CUDA graph.
    pub cuda_graph: bool,
    /// May compute with 19-bit floats.
    pub tf32: bool,
}

/// A model's settings. Serialized only for the child process that opens a model on trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// In order of preference. Without `cpu`, no node may fall to the processor.
    pub providers: Vec<Provider>,
    /// Whether it is an error that the most preferred one does not run.
    pub require: bool,
    /// How much the graph may be changed.
    pub optimization: Optimization,
    /// Threads within a node; 0: one per processor.
    pub threads: u16,
    /// Nodes at once; 1: one after the other.
    pub inter_threads: u16,
    /// Whether idle threads burn the processor for some microseconds before they sleep.
    pub spinning: bool,
    /// Which accelerator of several.
    pub device: u16,
    /// Whether the processor's provider keeps memory that it once used.
    pub arena: bool,
    /// TensorRT's own settings.
    pub tensorrt: TensorRt,
    /// CUDA's own settings.
    pub cuda: Cuda,
}

impl Default for TensorRt {
    fn default() -> Self {
        Self {
            fp16: false,
            int8: false,
            calibration_table: None,
            native_calibration: false,
            engine_cache: true,
            timing_cache: true,
            workspace_bytes: 0,
            cuda_graph: false,
            dla_core: None,
            optimization_level: 3,
            profiles: Vec::new(),
        }
    }
}

impl Default for Cuda {
    fn default() -> Self {
        Self {
            memory_limit_bytes: 0,
            arena: Arena::AsRequested,
            conv_search: ConvSearch::Heuristic,
            cuda_graph: false,
            tf32: true,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            providers: Provider::ALL.iter().map(|&(_, provider)| provider).collect(),
            require: false,
            optimization: Optimization::All,
            threads: 0,
            inter_threads: 1,
            spinning: false,
            device: 0,
            arena: true,
            tensorrt: TensorRt::default(),
            cuda: Cuda::default(),
        }
    }
}

/// More threads than any board of this class has processors.
const THREADS_MAX: u16 = 256;

/// More accelerators than any board of this class has.
const DEVICE_MAX: u16 = 63;

/// The largest workspace or arena that makes sense on any device.
const MEMORY_MAX: i64 = 1 << 40;

/// Some settings, as a model's table has them.
pub const EXAMPLE: &str = r#"kind = "onnxruntime"
providers = ["tensorrt", "cuda", "cpu"]
require = false
threads = 2
tensorrt = { fp16 = true, profile.images = { min = [1, 3, 640, 640], opt = [4, 3, 640, 640], max = [8, 3, 640, 640] } }
"#;

impl Options {
    /// Reads `[models.NAME]`; every mistake is noted and the default taken instead.
    #[must_use]
    pub fn read(section: &Section<'_>) -> Self {
        let or = Self::default();
        let providers = read_providers(section);
        Self {
            providers: providers.unwrap_or(or.providers),
            require: section.flag("require").unwrap_or(or.require),
            optimization: section
                .choice(
                    "optimization",
                    &[
                        ("none", Optimization::None),
                        ("basic", Optimization::Basic),
                        ("extended", Optimization::Extended),
                        ("all", Optimization::All),
                    ],
                )
                .unwrap_or(or.optimization),
            threads: section.integer("threads", 0..=THREADS_MAX).unwrap_or(or.threads),
            inter_threads: section
                .integer("inter_threads", 1..=THREADS_MAX)
                .unwrap_or(or.inter_threads),
            spinning: section.flag("spinning").unwrap_or(or.spinning),
            device: section.integer("device", 0..=DEVICE_MAX).unwrap_or(or.device),
            arena: section.flag("arena").unwrap_or(or.arena),
            tensorrt: section.section("tensorrt").map_or(or.tensorrt, TensorRt::read),
            cuda: section.section("cuda").map_or(or.cuda, Cuda::read),
        }
    }

    /// As [`ENGINES`](crate::kinds::ENGINES) wants it.
    pub fn build(section: &Section<'_>) -> Option<Box<dyn EngineSpec>> {
        Some(Box::new(Self::read(section)))
    }

    /// Loads a model as [`EngineSpec::open`] does, with a library that is open already. Beside the engine, where
    /// the first run failed on the processor, why: zeros may be no input that the graph takes.
    ///
    /// # Errors
    /// As there.
    pub fn open_with(
        &self,
        runtime: &'static Runtime,
        model: &ModelFiles<'_>,
    ) -> Result<(Arc<dyn Engine>, Option<String>), EngineError> {
        let (engine, failed) = OrtEngine::open(runtime, self, model)?;
        Ok((Arc::new(engine), failed))
    }
}

impl EngineSpec for Options {
    /// Opens the library where it usually is, if none is open yet.
    fn open(&self, model: &ModelFiles<'_>) -> Result<Arc<dyn Engine>, EngineError> {
        self.open_with(Runtime::open(None)?, model).map(|(engine, _)| engine)
    }

    fn options(&self) -> Option<&Options> {
        Some(self)
    }
}

fn read_providers(section: &Section<'_>) -> Option<Vec<Provider>> {
    let names = section.texts("providers")?;
    let mut found = Vec::new();
    for name in &names {
        match Provider::ALL.iter().find(|(known, _)| known == name) {
            Some((_, provider)) if found.contains(provider) => {
                section.mistake("providers", format!("`{name}` is there twice"));
            }
            Some((_, provider)) => found.push(*provider),
            None => {
                let known: Vec<&str> = Provider::ALL.iter().map(|(name, _)| *name).collect();
                section.mistake("providers", unknown(name, &known));
            }
        }
    }
    if names.is_empty() {
        section.mistake("providers", "is empty: name at least `cpu`");
    }
    Some(found)
}

impl TensorRt {
    fn read(section: Section<'_>) -> Self {
        let or = Self::default();
        let read = Self {
            fp16: section.flag("fp16").unwrap_or(or.fp16),
            int8: section.flag("int8").unwrap_or(or.int8),
            calibration_table: section.path("calibration_table"),
            native_calibration: section.flag("native_calibration").unwrap_or(or.native_calibration),
            engine_cache: section.flag("engine_cache").unwrap_or(or.engine_cache),
            timing_cache: section.flag("timing_cache").unwrap_or(or.timing_cache),
            workspace_bytes: bytes(&section, "workspace_bytes"),
            cuda_graph: section.flag("cuda_graph").unwrap_or(or.cuda_graph),
            dla_core: section.integer("dla_core", 0..=1),
            optimization_level: section
                .integer("optimization_level", 0..=5)
                .unwrap_or(or.optimization_level),
            profiles: section.named("profile").into_iter().filter_map(Profile::read).collect(),
        };
        if let Some(table) = &read.calibration_table {
            check_table(&section, table, read.int8);
        }
        section.finish();
        read
    }
}

fn check_table(section: &Section<'_>, table: &Path, int8: bool) {
    if !int8 {
        section.mistake("calibration_table", "is of no use without `int8 = true`");
    }
    if !table.is_file() {
        section.mistake("calibration_table", format!("there is no file `{}`", table.display()));
    }
}

impl Cuda {
    fn read(section: Section<'_>) -> Self {
        let or = Self::default();
        let arenas = [("doubling", Arena::Doubling), ("as-requested", Arena::AsRequested)];
        let searches = [
            ("exhaustive", ConvSearch::Exhaustive),
            ("heuristic", ConvSearch::Heuristic),
            ("default", ConvSearch::Default),
        ];
        let read = Self {
            memory_limit_bytes: bytes(&section, "memory_limit_bytes"),
            arena: section.choice("arena", &arenas).unwrap_or(or.arena),
            conv_search: section.choice("conv_search", &searches).unwrap_or(or.conv_search),
            cuda_graph: section.flag("cuda_graph").unwrap_or(or.cuda_graph),
            tf32: section.flag("tf32").unwrap_or(or.tf32),
        };
        section.finish();
        read
    }
}

fn bytes(section: &Section<'_>, key: &'static str) -> u64 {
    let read = section.integer(key, 0..=MEMORY_MAX).unwrap_or(0);
    u64::try_from(read).unwrap_or(0)
}

impl Profile {
    fn read((input, section): (&str, Section<'_>)) -> Option<Self> {
        if input.contains([',', ':']) || input.is_empty() {
            section.mistake("", "an input whose name has `,` or `:` cannot have a profile");
        }
        let (min, opt, max) = (
            shape(&section, "min").unwrap_or_default(),
            shape(&section, "opt").unwrap_or_default(),
            shape(&section, "max").unwrap_or_default(),
        );
        let rising = min.len() == opt.len()
            && opt.len() == max.len()
            && min.iter().zip(&opt).zip(&max).all(|((min, opt), max)| min <= opt && opt <= max);
        if !rising {
            section.mistake(
                "",
                "needs `min`, `opt` and `max` of the same rank, each at least the one before",
            );
        }
        section.finish();
        Some(Self { input: input.to_owned(), min, opt, max })
    }
}

fn shape(section: &Section<'_>, key: &'static str) -> Option<Vec<u32>> {
    let Some(list) = section.list(key) else {
        section.mistake(key, "is missing");
        return None;
    };
    let extents = list.iter().map(|node| match &node.value {
        Value::Integer(extent) => u32::try_from(*extent).ok().filter(|extent| *extent > 0),
        _ => None,
    });
    let read: Option<Vec<u32>> = extents.collect();
    if read.is_none() {
        section.mistake(key, "is not a list of integers from 1");
    }
    read
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
