//! From configured models to running engines: the first time, after a failure, and on a reload.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wire::EngineInfo;

use crate::commands::{Facts, ReadFacts};
use crate::config::Config;
use crate::config::checked::{ModelConfig, Use};
use crate::config::lighter;
use crate::config::section::{Mistake, Mistakes};
use crate::hw::heap;
use crate::model::ModelFolder;
use crate::pipeline::batch::Batch;
use crate::pipeline::engine::{EngineError, EngineReport, Signature};
use crate::pipeline::postprocess::{ModelFacts, PostprocessError, PostprocessSpec};
use crate::pipeline::preprocess::{Prepare, Preprocess, PreprocessError, Windows};
use crate::pipeline::shape::takes_batches;
use crate::pipeline::worker::{Build, Fitting, Generation, ModelId, Swap};
use crate::supervisor::{Failure, exit};

/// Why a model could not be made to run.
#[derive(Debug, thiserror::Error)]
pub(super) enum BuildError {
    /// The engine did not open or run it.
    #[error("model `{model}` cannot run")]
    Engine { model: String, source: EngineError },
    /// Its input is none that a source can fill.
    #[error("model `{model}` has no usable input")]
    Preprocess { model: String, source: PreprocessError },
    /// It says neither which picture nor which window it takes.
    #[error(
        "model `{model}` has neither [picture] nor [window] in its model.toml: what is it to be shown?"
    )]
    NoInput { model: String },
    /// It takes other windows than its pipelines' sources cut, or pictures, or no longer.
    #[error(
        "model `{model}` wants {found}, and its pipelines' sources give {wanted}: that takes another configuration"
    )]
    OtherInput { model: String, found: String, wanted: String },
    /// It means something else than the configured one, and a pipeline is told of by another model too.
    #[error(
        "model `{model}` infers a pipeline in turns with another (`load.lighter`), and has not the configured one's {what}"
    )]
    OtherMeaning { model: String, what: &'static str },
    /// The release's folder cannot be read, or a pipeline's settings do not fit it.
    #[error("the folder of model `{model}` will not do: {}", mistakes.join("; "))]
    Folder { model: String, mistakes: Vec<String> },
    /// Its outputs are none that the pipeline's postprocess understands.
    #[error("pipeline `{pipeline}` cannot use model `{model}`")]
    Postprocess { pipeline: String, model: String, source: PostprocessError },
}

impl BuildError {
    /// Whether it may be well when the service is started again: memory that other programs hold is given back.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Engine { source, .. } if source.finds_accelerator_full())
    }

    /// With what the daemon ends that cannot start for it.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Engine { source: EngineError::Lost(_), .. } => exit::ACCELERATOR,
            _ if self.may_pass() => exit::FAILED,
            _ => exit::CONFIG,
        }
    }
}

/// What a model's engine is made from. Changes when the configuration is read again, and with a release.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    inner: Arc<Mutex<Made>>,
}

/// See [`Plan`].
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) config: Arc<Config>,
    /// Which of the configured models.
    pub(super) model: usize,
    /// The folder of a release, instead of the configured one.
    pub(super) folder: Option<PathBuf>,
}

impl Plan {
    pub(super) fn new(config: Arc<Config>, model: usize, folder: Option<PathBuf>) -> Self {
        Self { inner: Arc::new(Mutex::new(Made { config, model, folder })) }
    }

    pub(super) fn get(&self) -> Made {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set(&self, made: Made) {
        *self.inner.lock().unwrap_or_else(PoisonError::into_inner) = made;
    }
}

impl Made {
    pub(super) fn name(&self) -> &str {
        &self.config.models[self.model].name
    }
}

/// The running engines.
#[derive(Debug, Clone)]
pub(super) struct Engines {
    cache: PathBuf,
    running: Vec<Running>,
    library: Arc<Mutex<Option<String>>>,
}

/// One of them.
#[derive(Debug, Clone)]
pub(super) struct Running {
    pub(super) plan: Plan,
    pub(super) swap: Swap,
    pub(super) info: Arc<Mutex<EngineInfo>>,
    /// Held by whoever is about to change what runs.
    pub(super) changing: Arc<tokio::sync::Mutex<()>>,
}

impl Engines {
    pub(super) fn new(cache: PathBuf) -> Self {
        Self { cache, running: Vec::new(), library: Arc::default() }
    }

    /// Opens the plan's model for all of its pipelines.
    pub(super) fn build(&self, plan: &Plan) -> Result<Generation, BuildError> {
        let generation = open(&plan.get(), &self.cache)?;
        let library =
            generation.engine().report().library.trim_start_matches("ONNX Runtime ").to_owned();
        *self.library.lock().unwrap_or_else(PoisonError::into_inner) = Some(library);
        Ok(generation)
    }

    /// The same again, whenever the engine's thread needs it.
    pub(super) fn rebuild(&self, plan: &Plan) -> Build {
        let (plan, cache) = (plan.clone(), self.cache.clone());
        Box::new(move || {
            open(&plan.get(), &cache)
                .map_err(|error| Failure::retry("cannot open the model again", error))
        })
    }

    /// The plan's engine runs, and `swap` is the way to give it another model.
    pub(super) fn runs(&mut self, plan: Plan, swap: Swap, info: EngineInfo) -> &Running {
        let (info, changing) = (Arc::new(Mutex::new(info)), Arc::default());
        self.running.push(Running { plan, swap, info, changing });
        &self.running[self.running.len() - 1]
    }

    /// Where engines that were built for this device are kept.
    pub(super) fn cache(&self) -> &Path {
        &self.cache
    }

    /// Version of the library that runs the models, once one was opened.
    pub(super) fn library(&self) -> Option<String> {
        self.library.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What runs each model.
    pub(super) fn infos(&self) -> Vec<EngineInfo> {
        let info = |running: &Running| lock(&running.info).clone();
        self.running.iter().map(info).collect()
    }

    /// The way to ask for both of these at any time.
    pub(super) fn facts(&self) -> ReadFacts {
        let infos: Vec<_> = self.running.iter().map(|running| running.info.clone()).collect();
        let library = self.library.clone();
        Arc::new(move || Facts {
            onnxruntime_version: library.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            engines: infos.iter().map(|info| lock(info).clone()).collect(),
        })
    }

    pub(super) fn running(&self) -> &[Running] {
        &self.running
    }
}

/// Opens the model for all of its pipelines, runs it, and says what really runs it.
pub(super) fn open(made: &Made, cache: &Path) -> Result<Generation, BuildError> {
    let (config, index) = (&made.config, made.model);
    let model = &config.models[index];
    let name = || model.name.clone();
    let (of_release, specs);
    let folder = match &made.folder {
        Some(path) => {
            (of_release, specs) = released(made, path)?;
            &of_release
        }
        None => {
            specs = config.uses(index).map(|own| own.postprocess.clone()).collect();
            &model.folder
        }
    };
    let (width, height) = match (&folder.picture, &folder.window) {
        (Some(picture), _) => (picture.width, picture.height),
        (None, Some(window)) => (side(window.width()), side(window.cut.channels.len())),
        (None, None) => return Err(BuildError::NoInput { model: name() }),
    };
    let (found, wanted) = (input(folder), input(&model.folder));
    if found != wanted {
        return Err(BuildError::OtherInput { model: name(), found, wanted });
    }
    let in_turns = config.uses(index).any(|own| own.pipeline.lighter.is_some());
    if let Some(what) = lighter::differs(folder, &model.folder).filter(|_| in_turns) {
        return Err(BuildError::OtherMeaning { model: name(), what });
    }
    let engine = model
        .engine
        .open(&folder.files(Some(cache)))
        .map_err(|source| BuildError::Engine { model: name(), source })?;
    log(&model.name, engine.report());
    let facts = ModelFacts {
        signature: engine.signature(),
        labels: &folder.labels,
        input_width: width,
        input_height: height,
        input_index: folder.input,
    };
    let mut fittings = Vec::new();
    for (Use { pipeline, .. }, spec) in config.uses(index).zip(&specs) {
        let preprocess =
            prepare(folder).map_err(|source| BuildError::Preprocess { model: name(), source })?;
        let postprocess = spec.build(&facts).map_err(|source| BuildError::Postprocess {
            pipeline: pipeline.name.clone(),
            model: name(),
            source,
        })?;
        fittings.push(Fitting::new(preprocess, postprocess));
    }
    let id = ModelId {
        name: folder.name.as_str().into(),
        version: folder.version.as_str().into(),
        sha256: folder.sha256.as_str().into(),
    };
    let batch = together(model, engine.signature(), fittings.len());
    let generation = Generation::batched(id, engine, folder.input, fittings, batch)
        .map_err(|source| BuildError::Engine { model: name(), source })?;
    heap::give_back();
    Ok(generation)
}

/// How the frames of so many pipelines go together: as configured, where this model takes several. The configured one
/// does; a release may not, and is no worse for it.
fn together(model: &ModelConfig, signature: &Signature, pipelines: usize) -> Batch {
    let batch = Batch { max: model.batch.max.min(pipelines.max(1)), ..model.batch };
    if batch.max > 1 && !takes_batches(signature) {
        tracing::warn!(
            model = model.name,
            batch_max = model.batch.max,
            "this release takes one frame at a time: its pipelines have runs of their own"
        );
        return Batch::ALONE;
    }
    batch
}

/// What makes the tensors of the model in `folder`, which has a picture or a window.
fn prepare(folder: &ModelFolder) -> Result<Prepare, PreprocessError> {
    match (&folder.picture, &folder.window) {
        (_, Some(window)) => Ok(Windows::new(window)?.into()),
        (Some(picture), None) => Ok(Preprocess::new(picture)?.into()),
        (None, None) => Err(PreprocessError::NotPicture),
    }
}

/// What sources must give for the model in `folder`, in words.
pub(super) fn input(folder: &ModelFolder) -> String {
    match &folder.window {
        None => "pictures".to_owned(),
        Some(window) => {
            let cut = &window.cut;
            format!(
                "windows of {} samples of {} every {} at {} Hz",
                cut.length,
                cut.channels.join(", "),
                cut.hop,
                cut.rate_hz
            )
        }
    }
}

fn side(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// The folder of a release, and each pipeline's postprocess for it.
fn released(made: &Made, path: &Path) -> Result<(ModelFolder, Postprocesses), BuildError> {
    let refused = |mistakes: Vec<Mistake>| BuildError::Folder {
        model: made.name().to_owned(),
        mistakes: mistakes.iter().map(ToString::to_string).collect(),
    };
    let mistakes = Mistakes::new();
    let Some(folder) = ModelFolder::read(path, &mistakes) else {
        return Err(refused(mistakes.into_vec()));
    };
    let specs = made.config.postprocesses(made.model, &folder).map_err(refused)?;
    Ok((folder, specs))
}

type Postprocesses = Vec<Arc<dyn PostprocessSpec>>;

/// What really runs a model, for the log.
fn log(model: &str, report: &EngineReport) {
    let EngineReport { provider, nodes, why_not, library, .. } = report;
    tracing::info!(model, provider, ?nodes, library, "model opened");
    for (wanted, why) in why_not {
        tracing::warn!(model, wanted, runs = provider, why, "a preferred provider does not run");
    }
}

/// What runs a model, for the `info` payload.
pub(super) fn info(model: &str, generation: &Generation) -> EngineInfo {
    let (id, report) = (generation.model(), generation.engine().report());
    EngineInfo {
        model: model.to_owned(),
        version: id.version.to_string(),
        sha256: id.sha256.to_string(),
        providers_requested: report.requested.clone(),
        nodes: report.nodes.clone(),
        provider: report.provider.clone(),
        why_not: report.why_not.clone(),
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_for_a_full_or_lost_accelerator_is_it_worth_to_start_again() {
        let code = |source| BuildError::Engine { model: "watch".into(), source }.exit_code();
        for (why, wanted) in [
            ("CUDA failure 2: out of memory, in cudaSetDevice(info_.device_id)", exit::FAILED),
            ("CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED", exit::FAILED),
            ("CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED", exit::FAILED),
            ("CUDA failure 100: no CUDA-capable device is detected", exit::CONFIG),
            ("libcublas.so.12: cannot open shared object file", exit::CONFIG),
        ] {
            let source = EngineError::Required { provider: "cuda".into(), why: why.into() };
            assert_eq!(code(source), wanted, "{why}");
        }
        let run = |words: &str| Box::new(std::io::Error::other(words.to_owned()));
        let failed = EngineError::Run(run("CUDA failure 2: out of memory"));
        assert_eq!(code(failed), exit::FAILED);
        // A processor's run that asks for too much always does.
        let failed = EngineError::Run(run("Failed to allocate memory for requested buffer"));
        assert_eq!(code(failed), exit::CONFIG);
        assert_eq!(code(EngineError::Lost(run("CUDA failure 719"))), exit::ACCELERATOR);
    }
}
