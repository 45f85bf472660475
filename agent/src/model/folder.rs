//! A model's folder: what its `model.toml` says, checked, and the digest of its graph.
//!
//! The graph's structure is looked at ([`graph`]); whether it keeps what `model.toml` promises is seen when an
//! engine opens it, and by `vedette model verify`.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::graph::{self, Policy};
use super::window;
use crate::config::section::{Mistakes, Section};
use crate::config::tree::{At, Node, Table, Value, parse};
use crate::pipeline::engine::{ModelFiles, Signature};
use crate::pipeline::preprocess::{Channels, Fit, Layout, PictureSpec};
use crate::pipeline::tensor::{Dim, Element, TensorSpec};
use crate::pipeline::window::WindowSpec;
use crate::report;

/// Largest `model.toml`: a thousand labels take a tenth of it.
const TOML_MAX_BYTES: u64 = 1 << 20;
/// Most labels of a model: the largest public sets have some 22,000.
const LABELS_MAX: usize = 100_000;
/// Largest side of a model's picture input.
const SIDE_MAX: usize = 8192;
/// Read at once while a digest is made.
const CHUNK_BYTES: usize = 1 << 20;
/// The graph's file name.
pub const GRAPH: &str = "model.onnx";

/// How far an output may be from a golden sample's: `|found - expected| <= atol + rtol * |expected|`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance {
    /// Absolute part.
    pub atol: f64,
    /// Relative part.
    pub rtol: f64,
}

/// What a model folder says of its model.
#[derive(Debug, Clone)]
pub struct ModelFolder {
    /// The folder.
    pub path: PathBuf,
    /// The graph in it.
    pub graph: PathBuf,
    /// SHA-256 of the graph and of every external data file in order, lower-case hexadecimal.
    pub sha256: String,
    /// Files of its external data, relative to the folder, by name.
    pub data: Vec<PathBuf>,
    /// The model's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its task's name.
    pub task: String,
    /// What it does, in a line.
    pub summary: String,
    /// Its labels, by index.
    pub labels: Vec<Arc<str>>,
    /// What it says that its graph takes and gives.
    pub signature: Signature,
    /// Which input the source fills.
    pub input: usize,
    /// The picture that this input is; `None` for a model on windows of samples.
    pub picture: Option<PictureSpec>,
    /// The window of samples that this input is; `None` for a model on pictures.
    pub window: Option<WindowSpec>,
    /// `[postprocess]`, as it was written.
    pub postprocess: Table,
    /// How far golden outputs may be off.
    pub golden: Tolerance,
}

impl ModelFolder {
    /// Reads the folder at `path`. What is wrong with it is noted; `None` only then.
    #[must_use]
    pub fn read(path: &Path, mistakes: &Mistakes) -> Option<Self> {
        Self::read_with(path, Policy::default(), mistakes)
    }

    /// As [`ModelFolder::read`], with another policy on what may be in the graph.
    #[must_use]
    pub fn read_with(path: &Path, policy: Policy, mistakes: &Mistakes) -> Option<Self> {
        let file = path.join("model.toml");
        let text = read_text(&file, TOML_MAX_BYTES, mistakes)?;
        let table = parse(&text, &file)
            .map_err(|error| {
                mistakes.note(At::File(Arc::from(&*file), error.line), "", error.message)
            })
            .ok()?;
        let own = Mistakes::new();
        let top = Section::top(&table, At::File(Arc::from(&*file), 1), path, &own);
        let folder = Self::checked(path, policy, top);
        let own = own.into_vec();
        let good = own.is_empty();
        own.into_iter().for_each(|mistake| mistakes.note(mistake.at, mistake.key, mistake.message));
        folder.filter(|_| good)
    }

    fn checked(path: &Path, policy: Policy, top: Section<'_>) -> Option<Self> {
        top.integer("schema", 1..=1_u32)
            .or_else(|| missing(&top, "schema", "this version reads schema 1"));
        let name = top.required_text("name");
        if !name.is_empty() && !wire::topic::is_name(&name) {
            top.mistake("name", wire::topic::BadName(name.clone()).to_string());
        }
        let version = top.required_text("version");
        let tasks = ["classify", "detect", "anomaly", "raw"].map(|task| (task, task));
        let task = top
            .choice("task", &tasks)
            .or_else(|| missing(&top, "task", "one of classify, detect, anomaly, raw"));
        let summary = top.text("summary").unwrap_or_default();
        drop(top.text("license"));
        let labels = labels(&top);
        let inputs = tensors(&top, "input");
        let outputs = tensors(&top, "output");
        let signature = Signature { inputs, outputs };
        let (input, picture) = picture(&top, &signature);
        let (input, window) = match window::read(&top, &signature) {
            Some((input, window)) => (input, window),
            None => (input, None),
        };
        let postprocess = top.table("postprocess").cloned().unwrap_or_else(|| match task {
            Some(task) => vec![(
                "kind".to_owned(),
                Node { value: Value::Text(task.to_owned()), at: top.at().clone() },
            )],
            None => Table::new(),
        });
        let golden = top.section("golden");
        let tolerance =
            |key| golden.as_ref().and_then(|golden| golden.number(key, 0.0..=1.0)).unwrap_or(1e-3);
        let golden_tolerance = Tolerance { atol: tolerance("atol"), rtol: tolerance("rtol") };
        if let Some(golden) = golden {
            golden.finish();
        }
        // What the card promises is for people and for the demonstration.
        let _promised = top.table("accuracy");
        let graph = path.join(GRAPH);
        let looked_at = graph::check(&graph, policy);
        let data = match looked_at {
            Ok(report) => report.external,
            Err(error) => {
                top.mistake("", report::chain(&error));
                Vec::new()
            }
        };
        let digest = digest(&graph, &data);
        if let (Err(error), true) = (&digest, graph.is_file()) {
            top.mistake("", format!("its graph `{}` cannot be read: {error}", graph.display()));
        }
        top.finish();
        Some(Self {
            path: path.to_owned(),
            graph,
            sha256: digest.ok()?,
            data,
            name,
            version,
            task: task?.to_owned(),
            summary,
            labels,
            signature,
            input,
            picture,
            window,
            postprocess,
            golden: golden_tolerance,
        })
    }

    /// Whether its graph is still the one that was read.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        digest(&self.graph, &self.data).is_ok_and(|digest| digest == self.sha256)
    }

    /// Its files, for an engine that may keep what it builds in `cache`.
    #[must_use]
    pub fn files<'a>(&'a self, cache: Option<&'a Path>) -> ModelFiles<'a> {
        ModelFiles {
            graph: &self.graph,
            data: &self.data,
            digest: &self.sha256,
            signature: Some(&self.signature),
            cache,
        }
    }
}

/// Notes that `key` is missing where it is, with what it should be.
fn missing<T>(section: &Section<'_>, key: &'static str, wanted: &str) -> Option<T> {
    if !section.has(key) {
        section.mistake(key, format!("is missing: {wanted}"));
    }
    None
}

fn read_text(path: &Path, max: u64, mistakes: &Mistakes) -> Option<String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(max + 1).read_to_string(&mut text));
    let trouble = match read {
        Ok(bytes) if u64::try_from(bytes).unwrap_or(u64::MAX) > max => {
            format!("has more than {max} bytes")
        }
        Ok(_) => return Some(text),
        Err(error) => format!("cannot be read: {error}"),
    };
    mistakes.note(At::File(Arc::from(path), 1), "", trouble);
    None
}

fn labels(top: &Section<'_>) -> Vec<Arc<str>> {
    let inline = top.texts("labels");
    let Some(file) = top.path("labels_file") else {
        return inline.unwrap_or_default().into_iter().map(Arc::from).collect();
    };
    if inline.is_some() {
        top.mistake("labels_file", "stands beside `labels`: one of the two will do");
    }
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) => {
            top.mistake("labels_file", format!("`{}` cannot be read: {error}", file.display()));
            return Vec::new();
        }
    };
    let labels: Vec<Arc<str>> =
        text.lines().map(|line| Arc::from(line.trim_end())).take(LABELS_MAX + 1).collect();
    if labels.len() > LABELS_MAX {
        top.mistake("labels_file", format!("has more than {LABELS_MAX} labels"));
    }
    labels
}

/// Each `[[input]]` or `[[output]]`.
fn tensors(top: &Section<'_>, key: &'static str) -> Vec<TensorSpec> {
    let sections = top.sections(key);
    if sections.is_empty() {
        top.mistake(key, format!("is missing: at least one [[{key}]] with name, type and shape"));
    }
    let read = |section: Section<'_>| {
        let name = section.required_text("name");
        let element = section
            .choice("type", Element::NAMES)
            .or_else(|| missing(&section, "type", "such as f32"));
        let dims = section.list("shape").map(|list| dims(list, &section));
        if dims.is_none() {
            let _none: Option<()> = missing(&section, "shape", "such as [\"batch\", 3, 320, 320]");
        }
        section.finish();
        Some(TensorSpec { name, element: element?, dims: dims? })
    };
    sections.into_iter().filter_map(read).collect()
}

fn dims(list: &[Node], section: &Section<'_>) -> Vec<Dim> {
    let dim = |node: &Node| match &node.value {
        Value::Text(name) => Some(Dim::Free(name.clone())),
        Value::Integer(extent) => {
            usize::try_from(*extent).ok().filter(|extent| *extent > 0).map(Dim::Fixed)
        }
        _ => None,
    };
    let dims: Vec<Dim> = list.iter().filter_map(dim).collect();
    if dims.len() != list.len() {
        section.mistake("shape", "an extent is a positive integer, or a name for a free one");
    }
    dims
}

/// The input that the source fills, and the picture that it is.
fn picture(top: &Section<'_>, signature: &Signature) -> (usize, Option<PictureSpec>) {
    let Some(section) = top.section("picture") else { return (0, None) };
    let index = filled(&section, signature);
    let picture = signature.inputs.get(index).and_then(|input| picture_of(&section, input));
    section.finish();
    (index, picture)
}

/// Which input `input` names; the first one without it.
pub(super) fn filled(section: &Section<'_>, signature: &Signature) -> usize {
    let Some(name) = section.text("input") else { return 0 };
    let index = signature.inputs.iter().position(|input| input.name == name);
    if index.is_none() {
        let names: Vec<&str> = signature.inputs.iter().map(|input| input.name.as_str()).collect();
        section.mistake("input", crate::config::section::unknown(&name, &names));
    }
    index.unwrap_or(0)
}

fn picture_of(section: &Section<'_>, input: &TensorSpec) -> Option<PictureSpec> {
    let layout = section
        .choice("layout", &[("nchw", Layout::Nchw), ("nhwc", Layout::Nhwc)])
        .unwrap_or(Layout::Nchw);
    let channels = section
        .choice(
            "color",
            &[("rgb", Channels::Rgb), ("bgr", Channels::Bgr), ("grey", Channels::Grey)],
        )
        .unwrap_or(Channels::Rgb);
    let fit = section
        .choice(
            "fit",
            &[("letterbox", Fit::Letterbox), ("stretch", Fit::Stretch), ("crop", Fit::Crop)],
        )
        .unwrap_or(Fit::Letterbox);
    let count = if channels == Channels::Grey { 1 } else { 3 };
    let (channel, row, column) = match layout {
        Layout::Nchw => (1, 2, 3),
        Layout::Nhwc => (3, 1, 2),
    };
    let side = |dim: usize| match input.dims.get(dim) {
        Some(Dim::Fixed(extent)) if input.dims.len() == 4 && *extent <= SIDE_MAX => {
            u32::try_from(*extent).ok()
        }
        _ => None,
    };
    let size =
        side(column).zip(side(row)).filter(|_| input.dims.get(channel) == Some(&Dim::Fixed(count)));
    if size.is_none() {
        let order = if layout == Layout::Nchw {
            "[batch, channels, height, width]"
        } else {
            "[batch, height, width, channels]"
        };
        section.mistake(
            "input",
            format!("{input} is no picture of {count} channels: expected {order}, sizes up to {SIDE_MAX} fixed"),
        );
    }
    let (mean, std) = (triple(section, "mean", count, 0.0), triple(section, "std", count, 1.0));
    if std.contains(&0.0) {
        section.mistake("std", "divides by zero");
    }
    let pad = section.integer("pad", 0..=255_u8).unwrap_or(114);
    let scale = section.number("scale", -1e6..=1e6).unwrap_or(1.0);
    let (width, height) = size?;
    Some(PictureSpec {
        width,
        height,
        layout,
        channels,
        fit,
        pad,
        scale: narrow(scale),
        mean,
        std,
        element: input.element,
    })
}

/// A number for each channel; one number serves all.
fn triple(section: &Section<'_>, key: &'static str, count: usize, default: f32) -> [f32; 3] {
    let Some(numbers) = section.numbers(key) else { return [default; 3] };
    let mut values = [default; 3];
    match numbers.as_slice() {
        [one] => values = [narrow(*one); 3],
        many if many.len() == count => {
            for (value, number) in values.iter_mut().zip(many) {
                *value = narrow(*number);
            }
        }
        many => section.mistake(key, format!("has {} numbers for {count} channels", many.len())),
    }
    values
}

#[expect(clippy::as_conversions, reason = "a tensor's numbers have seven digits")]
#[expect(clippy::cast_possible_truncation, reason = "a tensor's numbers have seven digits")]
pub(super) fn narrow(number: f64) -> f32 {
    number as f32
}

fn digest(graph: &Path, data: &[PathBuf]) -> io::Result<String> {
    let mut sha = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    let folder = graph.parent().unwrap_or(Path::new("."));
    for path in std::iter::once(graph.to_owned()).chain(data.iter().map(|name| folder.join(name))) {
        let mut file = File::open(path)?;
        loop {
            match file.read(&mut chunk)? {
                0 => break,
                read => sha.update(&chunk[..read]),
            }
        }
    }
    Ok(sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
