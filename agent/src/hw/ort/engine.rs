//! A loaded model, on the best provider that works.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crate::disk::Scratch;
use crate::pipeline::engine::{Engine, EngineError, EngineReport, Lane, ModelFiles, Signature};
use crate::pipeline::shape::{Extents, agree, extents};
use crate::pipeline::value::Value;

use super::cache::{self, Claim, Facts};
use super::failure::{Failure, of_run, reason};
use super::lane::{OrtLane, Shared};
use super::library::Runtime;
use super::machine;
use super::options::{Options, Provider};
use super::profile;
use super::providers::{Kept, builder, register, threads};
use super::replayed::follows_inputs;
use super::request;
use super::session::Session;
use super::warm::{Opened, slim, warm};

/// A loaded model.
#[derive(Debug)]
pub(super) struct OrtEngine {
    shared: Arc<Shared>,
    signature: Signature,
    /// Outputs whose extents are not what the graph says.
    surprising: Vec<bool>,
    report: EngineReport,
    threads: usize,
}

/// Why one way of opening did not work.
enum Setback {
    /// This provider does not run it; without it, it may.
    Provider(Provider, String),
    /// Nothing runs it.
    Model(EngineError),
}

impl OrtEngine {
    /// Loads `model` as [`OrtEngine::load`] does, with replayed CUDA graphs only where their outputs follow the
    /// inputs.
    pub(super) fn open(
        runtime: &'static Runtime,
        options: &Options,
        model: &ModelFiles<'_>,
    ) -> Result<(Self, Option<String>), EngineError> {
        if !(options.tensorrt.cuda_graph || options.cuda.cuda_graph) {
            return Self::load(runtime, options, model);
        }
        let why = match Self::load(runtime, options, model) {
            // An accelerator that takes the graph only without replays is better than none.
            Ok((engine, _)) if !engine.overlaps() => {
                let why: Vec<_> = engine.report.why_not.values().map(String::as_str).collect();
                why.join("; ")
            }
            Ok((engine, failed)) => match follows_inputs(&engine) {
                Ok(true) => return Ok((engine, failed)),
                Ok(false) => "outputs did not follow the inputs when runs were replayed: it is off"
                    .to_owned(),
                Err(error) => crate::report::chain(&error),
            },
            Err(error @ EngineError::Required { .. }) => crate::report::chain(&error),
            Err(error) => return Err(error),
        };
        let mut plain = options.clone();
        (plain.tensorrt.cuda_graph, plain.cuda.cuda_graph) = (false, false);
        let (mut engine, failed) = Self::load(runtime, &plain, model)?;
        if engine.overlaps() {
            engine.report.why_not.insert("cuda_graph".to_owned(), why);
        }
        Ok((engine, failed))
    }

    /// Loads `model` with the first of the providers that runs it, and runs it once on zeros. Beside it, why that
    /// run failed, where only the processor was left to run it.
    fn load(
        runtime: &'static Runtime,
        options: &Options,
        model: &ModelFiles<'_>,
    ) -> Result<(Self, Option<String>), EngineError> {
        let started = Instant::now();
        let mut why_not = BTreeMap::new();
        let mut left = options.providers.clone();
        let opened = loop {
            match attempt(runtime, options, &left, model) {
                Ok(opened) => break opened,
                Err(Setback::Model(error)) => return Err(error),
                Err(Setback::Provider(provider, why)) => {
                    left.retain(|other| *other != provider);
                    why_not.insert(provider, why);
                    let first = options.providers.first();
                    if left.is_empty() || (options.require && first == Some(&provider)) {
                        return Err(required(&options.providers, &why_not));
                    }
                }
            }
        };
        let report = report(runtime, options, &left, &opened.nodes, why_not)?;
        let (graph, seconds) = (model.graph.display(), started.elapsed().as_secs_f32());
        tracing::debug!(%graph, seconds, "graph loaded and run once");
        let Opened { shared, signature, surprising, failed, .. } = opened;
        let threads = threads(options);
        Ok((Self { shared, signature, surprising, report, threads }, failed))
    }
}

/// Why a provider that was taken did not run.
const NO_NODE: &str = "it took no node of the graph";

/// The error where the most preferred provider must run, or none is left.
fn required(asked: &[Provider], why_not: &BTreeMap<Provider, String>) -> EngineError {
    let first = asked.iter().find(|provider| why_not.contains_key(provider));
    let said = |provider: &Provider| why_not.get(provider).map_or(NO_NODE, String::as_str);
    let mut why = first.map_or(NO_NODE, said).to_owned();
    for other in asked.iter().filter(|other| Some(*other) != first && why_not.contains_key(other)) {
        why = format!("{why}; nor does `{}`: {}", other.name(), said(other));
    }
    let provider = first.map_or("cpu", |provider| provider.name()).to_owned();
    let mut error = EngineError::Required { provider, why };
    if error.finds_accelerator_full()
        && let EngineError::Required { why, .. } = &mut error
    {
        why.push_str("; `nvidia-smi`, and `free` on a Jetson, show what else holds its memory");
    }
    error
}

fn report(
    runtime: &Runtime,
    options: &Options,
    left: &[Provider],
    nodes: &BTreeMap<String, u64>,
    mut why_not: BTreeMap<Provider, String>,
) -> Result<EngineReport, EngineError> {
    let known = |name: &str| left.iter().find(|provider| provider.library_name() == name);
    let ran = |provider: &&Provider| nodes.contains_key(provider.library_name());
    // Without a profile, what the library accepted is the best that is known.
    let runs = left.iter().find(ran).or(if nodes.is_empty() { left.first() } else { None });
    if !nodes.is_empty() {
        for provider in left.iter().filter(|provider| !ran(provider)) {
            if *provider != Provider::Cpu {
                why_not.insert(*provider, NO_NODE.to_owned());
            }
        }
    }
    let first = options.providers.first();
    if options.require && first != runs {
        return Err(required(&options.providers, &why_not));
    }
    let name = |name: &String| known(name).map_or(name.as_str(), |p| p.name()).to_owned();
    Ok(EngineReport {
        requested: options.providers.iter().map(|provider| provider.name().to_owned()).collect(),
        provider: runs.map_or("cpu", |provider| provider.name()).to_owned(),
        nodes: nodes.iter().map(|(provider, count)| (name(provider), *count)).collect(),
        why_not: why_not.into_iter().map(|(p, why)| (p.name().to_owned(), why)).collect(),
        library: runtime.to_string(),
    })
}

/// Loads the graph with `providers` and runs it once.
fn attempt(
    runtime: &'static Runtime,
    options: &Options,
    providers: &[Provider],
    model: &ModelFiles<'_>,
) -> Result<Opened, Setback> {
    let refuse = |failure: Failure| Setback::Model(load_error(model.graph, failure));
    let mut builder = builder(runtime, options).map_err(refuse)?;
    let mut claim = None;
    for &provider in providers {
        let setback = |why: String| Setback::Provider(provider, why);
        let place = match (provider, model.cache) {
            (Provider::Tensorrt, Some(cache)) => {
                // Once without settings: it loads the library, whose version the cache's key needs.
                let mut trial = self::builder(runtime, options).map_err(refuse)?;
                register(&mut trial, provider, &Options::default(), None)
                    .map_err(|failure| setback(reason(&failure)))?;
                Some(keep(runtime, options, model, cache).map_err(setback)?)
            }
            _ => None,
        };
        let kept = place.as_ref();
        let kept = kept.map(|place| Kept { folder: &place.claim.folder, table: place.table });
        register(&mut builder, provider, options, kept)
            .map_err(|failure| setback(reason(&failure)))?;
        claim = place.map(|place| place.claim).or(claim);
    }
    let path = claim.as_ref().map_or(model.graph, |claim| &claim.graph);
    let folder = Scratch::new("profile");
    if let Ok(folder) = &folder {
        builder =
            builder.with_profiling(folder.path().join("run")).map_err(|e| refuse(e.into()))?;
    }
    let session = Session::open(&runtime.environment, &builder, path)
        .map_err(|failure| blame(providers, model.graph, failure))?;
    let found = session.signature().map_err(refuse)?;
    let found = found.map_err(|what| Setback::Model(EngineError::Shape(what)))?;
    let signature = match model.signature {
        Some(wanted) => agree(&found, wanted)
            .map_err(|wrong| Setback::Model(EngineError::Shape(wrong.join("; "))))?,
        None => found,
    };
    let accelerated = providers.iter().any(|provider| *provider != Provider::Cpu);
    // Of a provider that fell away nothing is replayed.
    let replays = providers.iter().any(|provider| match provider {
        Provider::Tensorrt => options.tensorrt.cuda_graph,
        Provider::Cuda => options.cuda.cuda_graph,
        Provider::Cpu => false,
    });
    let mut opened = warm(session, signature, accelerated, replays, options)
        .map_err(|failure| blame(providers, model.graph, failure))?;
    if folder.is_ok() {
        let nodes = opened.shared.session.end_profiling().map_err(|failure| reason(&failure));
        match nodes.and_then(|path| profile::read(&path).map_err(|error| error.to_string())) {
            Ok(nodes) => opened.nodes = nodes,
            Err(error) => tracing::debug!(error, "no profile of the first run"),
        }
    }
    if !accelerated
        && options.arena
        && let Err(failure) = slim(&opened)
    {
        tracing::debug!(error = reason(&failure), "the first run's memory stays");
    }
    if let Some(Err(error)) = claim.map(|claim| claim.complete()) {
        tracing::warn!(%error, "a built engine will be built again: it cannot be marked as whole");
    }
    Ok(opened)
}

fn load_error(graph: &Path, failure: Failure) -> EngineError {
    EngineError::Load { path: graph.display().to_string(), source: Box::new(failure) }
}

/// Which provider a failure is about: the one that it names, else the most preferred. Of a model that is no
/// model, no provider can be blamed.
fn blame(providers: &[Provider], graph: &Path, failure: Failure) -> Setback {
    use ort::ErrorCode as Code;
    let code = failure.code();
    if matches!(code, Code::NoSuchFile | Code::NoModel | Code::InvalidProtobuf | Code::InvalidGraph)
    {
        return Setback::Model(load_error(graph, failure));
    }
    match blamed(providers, failure.message()) {
        Some(provider) => Setback::Provider(provider, reason(&failure)),
        None => Setback::Model(load_error(graph, failure)),
    }
}

/// The accelerator that `message` names, else the most preferred.
fn blamed(providers: &[Provider], message: &str) -> Option<Provider> {
    let message = message.to_ascii_lowercase();
    let named = |provider: &&Provider| {
        let signs: &[&str] = match provider {
            Provider::Tensorrt => &["tensorrt", "nvinfer"],
            Provider::Cuda => &["cuda", "cudnn", "cublas"],
            Provider::Cpu => &[],
        };
        signs.iter().any(|sign| message.contains(sign))
    };
    let mut accelerators = providers.iter().filter(|provider| **provider != Provider::Cpu);
    accelerators.clone().find(named).or_else(|| accelerators.next()).copied()
}

/// Where an engine of TensorRT is kept, and the calibration table's name there.
struct Place {
    claim: Claim,
    table: Option<&'static str>,
}

fn keep(
    runtime: &Runtime,
    options: &Options,
    model: &ModelFiles<'_>,
    cache: &Path,
) -> Result<Place, String> {
    let failed = |error: std::io::Error| format!("cannot keep its engine: {error}");
    let table = match &options.tensorrt.calibration_table {
        Some(path) => std::fs::read(path).map_err(failed)?,
        None => Vec::new(),
    };
    let mut facts = Facts::of(model.digest, runtime.version(), options, &table);
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    machine::look(Path::new("/"), &maps, &mut facts);
    let key = cache::key(&facts);
    let claim =
        cache::prepare(cache, &key, model.graph, model.data, model.digest).map_err(failed)?;
    let table = match table.as_slice() {
        [] => None,
        table => Some(cache::place_table(&claim.folder, table).map_err(failed)?),
    };
    Ok(Place { claim, table })
}

impl OrtEngine {
    /// Extents of a run of so many items, those that are not what the graph says left open.
    fn extents(&self, batch: usize) -> Result<Extents, EngineError> {
        let mut sizes = extents(&self.signature, batch)?;
        for (size, surprising) in sizes.outputs.iter_mut().zip(&self.surprising) {
            if *surprising {
                *size = None;
            }
        }
        Ok(sizes)
    }

    fn lane_of(&self, extents: &[Extents]) -> Result<Box<dyn Lane>, EngineError> {
        let Signature { inputs, outputs } = &self.signature;
        let mut lane = OrtLane::new(&self.shared, inputs, outputs, extents)?;
        lane.record().map_err(|failure| of_run(&failure))?;
        Ok(Box::new(lane))
    }
}

impl Engine for OrtEngine {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn lane(&self, batch: usize) -> Result<Box<dyn Lane>, EngineError> {
        self.lane_of(&[self.extents(batch)?])
    }

    fn lane_up_to(&self, most: usize) -> Result<Box<dyn Lane>, EngineError> {
        // CUDA plans its kernels anew whenever a run has another number of items than the one before it, which takes
        // longer than the run (seen on an H100): each is of as many, filled or not. A replayed run is planned already.
        let plans = self.report.provider == Provider::Cuda.name() && self.shared.graphs.is_none();
        let least = if plans { most } else { 1 };
        let extents: Vec<_> =
            (least..=most).map(|items| self.extents(items)).collect::<Result<_, _>>()?;
        self.lane_of(&extents)
    }

    fn infer(&self, inputs: &[Value], outputs: &[usize]) -> Result<Vec<Value>, EngineError> {
        if self.shared.graphs.is_some() {
            // It would be recorded, on the caller's thread.
            let why = "an engine that replays its runs takes no requests";
            return Err(EngineError::Shape(why.to_owned()));
        }
        request::run(&self.shared, &self.signature, inputs, outputs)
    }

    fn report(&self) -> &EngineReport {
        &self.report
    }

    fn overlaps(&self) -> bool {
        self.report.provider != Provider::Cpu.name()
    }

    fn threads(&self) -> usize {
        self.threads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_blamed_on_the_provider_that_it_names() {
        use Provider::{Cpu, Cuda, Tensorrt};
        for (providers, message, blamed) in [
            (&[Tensorrt, Cuda, Cpu][..], "CUDA failure 100: no device", Some(Cuda)),
            (&[Tensorrt, Cuda, Cpu], "TensorRT EP failed to build", Some(Tensorrt)),
            (&[Tensorrt, Cuda, Cpu], "something", Some(Tensorrt)),
            (&[Cuda, Cpu], "TensorRT EP failed", Some(Cuda)),
            (&[Cpu], "CUDA failure 100", None),
        ] {
            assert_eq!(super::blamed(providers, message), blamed, "{message}");
        }
    }
}
