//! A look at a graph's file before any library does: is it ONNX, what does it take and give, and does it ask
//! for anything that a model may not?
//!
//! A model comes from somewhere else. What ONNX Runtime would do with a file that is no model, that names files
//! outside its folder as its weights, or that carries code for an accelerator, is not left to it. Everything
//! has a limit, nothing is believed, and a refusal says what was found and where.
//!
//! **Invariant:** no file makes this panic, and none that it accepts names a file outside its folder
//! (`tests/model_graph.rs`: every truncation, flipped bits, noise, deep nesting, and a hand-made case for each
//! refusal; `tests/model_nodes.rs`: the graphs of ONNX's own test suite).

mod external;
mod read;
mod values;
mod wire;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::pipeline::engine::Signature;
use crate::pipeline::tensor::{Dim, Element, TensorSpec};

/// The largest file: protobuf's own readers take no more. Larger models keep their weights in external data.
pub const FILE_BYTES_MAX: u64 = (2 << 30) - 1;

/// Versions of the file format that are known. The newest is that of ONNX Runtime 1.31.
pub const IR_VERSIONS: std::ops::RangeInclusive<i64> = 1..=13;

/// Versions of ONNX's own operators that are known. The newest is that of ONNX Runtime 1.31.
pub const OPSETS: std::ops::RangeInclusive<i64> = 1..=26;

/// Most nodes, those of subgraphs included: ten times the largest model that we know of.
pub const NODES_MAX: u64 = 1 << 20;

/// Most constants of a graph: as many as nodes, and each has a name to keep.
pub const CONSTANTS_MAX: usize = 1 << 18;

/// Most inputs or outputs.
pub const VALUES_MAX: usize = 1024;

/// Longest name. Exporters write paths of scopes, some hundred bytes long.
pub const NAME_BYTES_MAX: usize = 4096;

/// Most extents of a tensor: no operator that we know of makes more than 8.
pub const RANK_MAX: usize = 64;

/// Most different operators, domains or external files: far above any model, and each has a name to keep.
pub const KINDS_MAX: usize = 4096;

/// Refusals told of one file; the first say enough.
const REFUSALS_MAX: usize = 20;

/// Operators that ONNX Runtime brings: its own and those of the ONNX standard.
const DOMAINS: &[&str] = &[
    "",
    "ai.onnx",
    "ai.onnx.ml",
    "ai.onnx.training",
    "ai.onnx.preview",
    "ai.onnx.preview.training",
    "com.microsoft",
    "com.microsoft.nchwc",
    "com.microsoft.experimental",
];

/// What may be in a graph beyond the ordinary.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Nodes that carry an accelerator's compiled form of a graph, which nothing can check.
    pub ep_context: bool,
}

/// Why a file is no graph that may be opened.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// It could not be read: missing, not readable, or not a file.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not ONNX, or is damaged.
    #[error("`{}` is no ONNX model: {what}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and at which byte.
        what: String,
    },
    /// It is ONNX, and asks for what a model may not have.
    #[error("`{}` is refused: {}", path.display(), reasons.join("; "))]
    Refused {
        /// The file.
        path: PathBuf,
        /// Each reason.
        reasons: Vec<String>,
    },
}

/// What a graph takes or gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: ValueKind,
}

/// A kind of value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueKind {
    /// A tensor: ONNX's number of its element type, and its extents where the file says them.
    Tensor(i64, Option<Vec<Dim>>),
    /// Something else, by ONNX's word for it.
    Other(&'static str),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.kind {
            ValueKind::Other(what) => write!(f, "`{}` ({what})", self.name),
            ValueKind::Tensor(number, dims) => {
                let element = element(*number)
                    .map_or_else(|| format!("type {number}"), |e| e.name().to_owned());
                let dims = dims.as_ref().map_or_else(
                    || "any shape".to_owned(),
                    |dims| dims.iter().map(Dim::to_string).collect::<Vec<_>>().join(", "),
                );
                write!(f, "`{}` {element} [{dims}]", self.name)
            }
        }
    }
}

/// What is in a graph.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GraphReport {
    /// Version of the file format.
    pub ir: i64,
    /// Version of the operators of each domain.
    pub opsets: BTreeMap<String, i64>,
    /// Which program wrote it.
    pub producer: String,
    /// What it takes, constants excepted.
    pub inputs: Vec<Value>,
    /// What it gives.
    pub outputs: Vec<Value>,
    /// Nodes by operator, those of subgraphs and functions included; `domain::name` where it is not ONNX's own.
    pub operators: BTreeMap<String, u64>,
    /// Bytes of constants in the file and outside.
    pub constant_bytes: u64,
    /// External data files, relative to the graph's folder.
    pub external: Vec<PathBuf>,
    /// The longest chain of graphs within graphs; 1 where there is only one.
    pub depth: u32,
}

impl GraphReport {
    /// How many nodes there are.
    #[must_use]
    pub fn nodes(&self) -> u64 {
        self.operators.values().sum()
    }

    /// Names of the free dimensions of its inputs.
    #[must_use]
    pub fn free(&self) -> Vec<String> {
        let mut found = Vec::new();
        for input in &self.inputs {
            if let ValueKind::Tensor(_, Some(dims)) = &input.kind {
                found.extend(
                    dims.iter().filter(|dim| matches!(dim, Dim::Free(_))).map(Dim::to_string),
                );
            }
        }
        found.sort();
        found.dedup();
        found
    }

    /// What it takes and gives, where all of that is tensors of a known type and rank.
    #[must_use]
    pub fn signature(&self) -> Option<Signature> {
        let specs = |values: &[Value]| values.iter().map(spec).collect::<Option<Vec<_>>>();
        Some(Signature { inputs: specs(&self.inputs)?, outputs: specs(&self.outputs)? })
    }
}

fn spec(value: &Value) -> Option<TensorSpec> {
    match &value.kind {
        ValueKind::Tensor(number, Some(dims)) => Some(TensorSpec {
            name: value.name.clone(),
            element: element(*number)?,
            dims: dims.clone(),
        }),
        _ => None,
    }
}

/// The type that ONNX has under this number.
fn element(number: i64) -> Option<Element> {
    Some(match number {
        1 => Element::F32,
        2 => Element::U8,
        3 => Element::I8,
        4 => Element::U16,
        5 => Element::I16,
        6 => Element::I32,
        7 => Element::I64,
        8 => Element::String,
        9 => Element::Bool,
        10 => Element::F16,
        11 => Element::F64,
        12 => Element::U32,
        13 => Element::U64,
        16 => Element::Bf16,
        _ => return None,
    })
}

/// Looks at the graph in the file `path`.
///
/// # Errors
/// [`GraphError`]: nothing may open the file.
pub fn check(path: &Path, policy: Policy) -> Result<GraphReport, GraphError> {
    let unreadable = |source| GraphError::Read { path: path.to_owned(), source };
    let malformed = |what: String| GraphError::Malformed { path: path.to_owned(), what };
    let about = std::fs::metadata(path).map_err(unreadable)?;
    // A pipe by this name would make the open wait for ever.
    if !about.is_file() {
        return Err(unreadable(io::Error::other("it is not a file")));
    }
    if about.len() == 0 {
        return Err(malformed("it is empty".to_owned()));
    }
    if about.len() > FILE_BYTES_MAX {
        let what =
            format!("it has {} bytes, an ONNX file has at most {FILE_BYTES_MAX}", about.len());
        return Err(malformed(what));
    }
    let file = File::open(path).map_err(unreadable)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let found = read::model(file, about.len(), folder.unwrap_or(Path::new(".")), policy);
    match found {
        Ok((report, reasons)) if reasons.is_empty() => Ok(report),
        Ok((_, reasons)) => Err(GraphError::Refused { path: path.to_owned(), reasons }),
        Err(wire::WireError::Read(source)) => Err(unreadable(source)),
        Err(error @ wire::WireError::Malformed { .. }) => Err(malformed(error.to_string())),
    }
}
