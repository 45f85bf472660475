//! Whether a model may be trusted to run: its structure, its description, its samples, one after the other.
//!
//! Each check says what it looked at and, where it failed, every mismatch in words. What follows a failed
//! check without a meaning of its own is left out. Used by `vedette model verify`, and by whoever is to
//! rehearse a model before it serves.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::child::{Answer, ChildError, Opened, Request, ask};
use super::folder::{GRAPH, ModelFolder};
use super::golden;
use super::graph::{self, GraphReport, Policy};
use crate::config::tree::At;
use crate::config::{Mistakes, Section};
use crate::hw::ort::Options;
use crate::kinds;
use crate::pipeline::postprocess::ModelFacts;
use crate::pipeline::shape::agree;
use crate::report;

/// How to verify.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This program, to be started for the child process.
    pub program: PathBuf,
    /// The ONNX Runtime library; `None`: where it usually is.
    pub library: Option<PathBuf>,
    /// How to open the model.
    pub options: Options,
    /// What may be in its graph.
    pub policy: Policy,
    /// Where built engines may be kept.
    pub cache: Option<PathBuf>,
    /// Most time to open it and run its samples.
    pub time_limit: Duration,
    /// Most memory for that.
    pub memory_limit_bytes: u64,
    /// Whether everybody else's work comes first.
    pub polite: bool,
    /// Whether it is opened and its samples are run; otherwise only what it says and what it is made of is checked.
    pub run: bool,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub name: String,
    /// Whether it is well.
    pub passed: bool,
    /// What was seen, or each thing that is wrong.
    pub details: Vec<String>,
}

/// What is to be said of a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// The folder or file.
    pub model: PathBuf,
    /// Whether all is well.
    pub passed: bool,
    /// Each check, in order.
    pub checks: Vec<Check>,
    /// What runs it, where it could be opened.
    pub engine: Option<Opened>,
    /// Median of the samples' runs.
    pub run_ms: Option<f64>,
    /// Most memory that was resident while it was open.
    pub peak_bytes: Option<u64>,
    /// Whether it was not even opened, for a reason that is not its own: there was no process for it.
    #[serde(skip)]
    pub unknown: bool,
}

impl Verdict {
    fn check(&mut self, name: &str, found: Result<Vec<String>, Vec<String>>) -> bool {
        let passed = found.is_ok();
        let details = found.unwrap_or_else(|wrong| wrong);
        self.passed &= passed;
        self.checks.push(Check { name: name.to_owned(), passed, details });
        passed
    }
}

/// Verifies the model folder, or the graph's file, at `path`.
#[must_use]
pub fn verify(path: &Path, settings: &Settings) -> Verdict {
    let mut verdict = Verdict {
        model: path.to_owned(),
        passed: true,
        checks: Vec::new(),
        engine: None,
        run_ms: None,
        peak_bytes: None,
        unknown: false,
    };
    let is_folder = path.is_dir();
    let file = if is_folder { path.join(GRAPH) } else { path.to_owned() };
    let graph = graph::check(&file, settings.policy);
    let found = graph.as_ref().map(describe).map_err(|error| vec![report::chain(error)]);
    if !verdict.check("graph", found) {
        return verdict;
    }
    let Ok(graph) = graph else { return verdict };
    if is_folder {
        let Some(folder) = description(path, settings.policy, &mut verdict) else { return verdict };
        if !promises(&folder, &graph, &mut verdict) {
            return verdict;
        }
    }
    if !settings.run {
        return verdict;
    }
    let request = Request {
        model: path.to_owned(),
        library: settings.library.clone(),
        options: settings.options.clone(),
        policy: settings.policy,
        cache: settings.cache.clone(),
        memory_limit_bytes: settings.memory_limit_bytes,
        polite: settings.polite,
    };
    match ask(&settings.program, &request, settings.time_limit) {
        Ok(answer) => answered(answer, path, is_folder, settings, &mut verdict),
        Err(error) => {
            verdict.unknown = matches!(error, ChildError::Start(_));
            verdict.check("open", Err(vec![report::chain(&error)]));
        }
    }
    verdict
}

/// What is in a graph, in words.
fn describe(graph: &GraphReport) -> Vec<String> {
    let list = |values: &[graph::Value]| {
        values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let opsets = graph.opsets.iter().map(|(domain, version)| match domain.as_str() {
        "" => format!("opset {version}"),
        domain => format!("{domain} {version}"),
    });
    let mut lines = vec![
        format!("{}, ir {}", opsets.collect::<Vec<_>>().join(", "), graph.ir),
        format!(
            "{} nodes of {} operators, {} bytes of constants",
            graph.nodes(),
            graph.operators.len(),
            graph.constant_bytes
        ),
        format!("takes {}", list(&graph.inputs)),
        format!("gives {}", list(&graph.outputs)),
    ];
    let free = graph.free();
    if !free.is_empty() {
        lines.push(format!("free dimensions: {}", free.join(", ")));
    }
    for file in &graph.external {
        lines.push(format!("external data in `{}`", file.display()));
    }
    lines
}

/// Its `model.toml`.
fn description(path: &Path, policy: Policy, verdict: &mut Verdict) -> Option<ModelFolder> {
    let mistakes = Mistakes::new();
    let folder = ModelFolder::read_with(path, policy, &mistakes);
    let wrong: Vec<String> = mistakes.into_vec().iter().map(ToString::to_string).collect();
    let found = match &folder {
        Some(folder) if wrong.is_empty() => Ok(vec![
            format!(
                "{} {}, {}, {} labels",
                folder.name,
                folder.version,
                folder.task,
                folder.labels.len()
            ),
            format!("sha256 {}", folder.sha256),
        ]),
        _ => Err(wrong),
    };
    if verdict.check("model.toml", found) { folder } else { None }
}

/// Whether the graph is what `model.toml` says, and its outputs what the postprocess understands.
fn promises(folder: &ModelFolder, graph: &GraphReport, verdict: &mut Verdict) -> bool {
    let signature = match graph.signature() {
        // Where the file leaves something open, the library decides when it opens it.
        None => folder.signature.clone(),
        Some(found) => match agree(&found, &folder.signature) {
            Ok(signature) => signature,
            Err(wrong) => return verdict.check("inputs and outputs", Err(wrong)),
        },
    };
    verdict.check("inputs and outputs", Ok(vec!["the graph is as `model.toml` says".to_owned()]));
    let picture = folder.picture.as_ref();
    let facts = ModelFacts {
        signature: &signature,
        labels: &folder.labels,
        input_width: picture.map_or(0, |picture| picture.width),
        input_height: picture.map_or(0, |picture| picture.height),
        input_index: folder.input,
    };
    let mistakes = Mistakes::new();
    let at = At::File(folder.path.join("model.toml").into(), 1);
    let section = Section::top(&folder.postprocess, at, &folder.path, &mistakes);
    let built = kinds::build(kinds::POSTPROCESSES, section).map(|spec| spec.build(&facts));
    let mut wrong: Vec<String> = mistakes.into_vec().iter().map(ToString::to_string).collect();
    if let Some(Err(error)) = built {
        wrong.push(report::chain(&error));
    }
    let found = if wrong.is_empty() { Ok(Vec::new()) } else { Err(wrong) };
    verdict.check("postprocess", found)
}

fn answered(
    answer: Answer,
    path: &Path,
    is_folder: bool,
    settings: &Settings,
    verdict: &mut Verdict,
) {
    let Answer { opened, cases, peak_bytes } = answer;
    let found = opened.as_ref().map(opened_in_words).map_err(|why| {
        let short = ["bad_alloc", "bad allocation", "Failed to allocate memory"];
        let limit = settings.memory_limit_bytes >> 20;
        let hint = short.iter().any(|sign| why.contains(sign));
        let hint = hint.then(|| format!("it may take {limit} MiB of memory"));
        std::iter::once(why.clone()).chain(hint).collect()
    });
    verdict.peak_bytes = Some(peak_bytes);
    if !verdict.check("open", found) {
        return;
    }
    verdict.engine = opened.ok();
    if !is_folder {
        return;
    }
    if let Err(why) = golden::cases(path) {
        verdict.check("golden", Err(vec![why]));
        return;
    }
    let mut times: Vec<f64> = cases.iter().map(|case| case.run_ms).collect();
    times.sort_by(f64::total_cmp);
    verdict.run_ms = times.get(times.len() / 2).copied();
    for case in cases {
        let found = if case.wrong.is_empty() { Ok(Vec::new()) } else { Err(case.wrong) };
        verdict.check(&format!("golden/{}", case.name), found);
    }
}

fn opened_in_words(opened: &Opened) -> Vec<String> {
    let nodes: Vec<String> = opened
        .nodes
        .iter()
        .map(|(provider, count)| format!("{count} nodes on {provider}"))
        .collect();
    let mut lines = vec![format!("runs on {}, {}", opened.provider, opened.library)];
    if !nodes.is_empty() {
        lines.push(nodes.join(", "));
    }
    if let Some(why) = &opened.zeros_failed {
        lines.push(format!("a run on zeros fails, only golden samples can tell more: {why}"));
    }
    for (provider, why) in &opened.why_not {
        lines.push(format!("not on {provider}: {why}"));
    }
    lines
}
