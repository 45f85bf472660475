//! The messages of `onnx.proto`, as far as they matter here. Field numbers are those of that file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;

use super::external::{self, External};
use super::values::value;
use super::wire::{Field, Wire, WireError};
use super::{
    CONSTANTS_MAX, DOMAINS, GraphReport, IR_VERSIONS, KINDS_MAX, NAME_BYTES_MAX, NODES_MAX, OPSETS,
    Policy, RANK_MAX, REFUSALS_MAX, VALUES_MAX,
};

/// ONNX's highest number of an element type that is known.
const ELEMENT_MAX: i64 = 26;

/// What was seen so far.
struct Scan<'a> {
    report: GraphReport,
    reasons: Vec<String>,
    policy: Policy,
    folder: &'a Path,
    nodes: u64,
    depth: u32,
    graphs: u32,
    /// Constants of the outermost graph.
    constants: BTreeSet<String>,
    /// Operators of domains that are not known, and functions that the model defines itself.
    unknown: BTreeMap<(String, String), String>,
    functions: BTreeSet<(String, String)>,
    /// Domains whose operators are used.
    used: BTreeSet<String>,
}

/// Reads the model in `file`: what is in it, and why it is refused.
pub(super) fn model(
    file: File,
    length: u64,
    folder: &Path,
    policy: Policy,
) -> Result<(GraphReport, Vec<String>), WireError> {
    let mut wire = Wire::new(file);
    let mut scan = Scan {
        report: GraphReport::default(),
        reasons: Vec::new(),
        policy,
        folder,
        nodes: 0,
        depth: 0,
        graphs: 0,
        constants: BTreeSet::new(),
        unknown: BTreeMap::new(),
        functions: BTreeSet::new(),
        used: BTreeSet::new(),
    };
    let mut ir = None;
    wire.message(length, |wire, number, field| {
        match (number, field) {
            (1, field) => ir = Some(integer(wire, field, "its version")?),
            (2, Field::Length(end)) => scan.report.producer = wire.text(end, NAME_BYTES_MAX)?,
            (7, Field::Length(end)) => {
                scan.graphs += 1;
                scan.graph(wire, end, scan.graphs == 1)?;
            }
            (8, Field::Length(end)) => scan.opset(wire, end)?,
            // Graphs for training: nothing here runs them, and the library reads them.
            (20, Field::Length(end)) => {
                wire.message(end, |wire, number, field| match (number, field) {
                    (1 | 2, Field::Length(end)) => scan.graph(wire, end, false),
                    _ => Ok(()),
                })?
            }
            (25, Field::Length(end)) => scan.function(wire, end)?,
            _ => {}
        }
        Ok(())
    })?;
    scan.finish(&wire, ir)
}

pub(super) fn integer(wire: &Wire, field: Field, what: &str) -> Result<i64, WireError> {
    field.integer().ok_or_else(|| wire.malformed(format!("{what} is no integer")))
}

/// Adds to a list of integers: one, or many in one field.
fn integers(wire: &mut Wire, field: Field, list: &mut Vec<i64>) -> Result<(), WireError> {
    let mut push = |wire: &Wire, value: u64| {
        if list.len() >= RANK_MAX {
            return Err(wire.malformed(format!("a tensor of more than {RANK_MAX} extents")));
        }
        list.push(value.cast_signed());
        Ok(())
    };
    match field {
        Field::Integer(value) => push(wire, value),
        Field::Length(end) => {
            while wire.left(end) > 0 {
                let value = wire.varint(end)?;
                push(wire, value)?;
            }
            Ok(())
        }
        Field::Fixed => Err(wire.malformed("an extent is no integer")),
    }
}

impl Scan<'_> {
    fn refuse(&mut self, reason: String) {
        if self.reasons.len() < REFUSALS_MAX && !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }

    fn opset(&mut self, wire: &mut Wire, end: u64) -> Result<(), WireError> {
        let (mut domain, mut version) = (String::new(), 0);
        wire.message(end, |wire, number, field| {
            match (number, field) {
                (1, Field::Length(end)) => domain = wire.text(end, NAME_BYTES_MAX)?,
                (2, field) => version = integer(wire, field, "a version of operators")?,
                _ => {}
            }
            Ok(())
        })?;
        let domain = if domain == "ai.onnx" { String::new() } else { domain };
        if domain.is_empty() && !OPSETS.contains(&version) {
            let (first, last) = (OPSETS.start(), OPSETS.end());
            self.refuse(format!(
                "its operators are of version {version} (opset), known are {first} to {last}"
            ));
        }
        if self.report.opsets.len() < KINDS_MAX {
            self.report.opsets.insert(domain, version);
        }
        Ok(())
    }

    /// A graph: the `outermost` one, or one in a node.
    fn graph(&mut self, wire: &mut Wire, end: u64, outermost: bool) -> Result<(), WireError> {
        self.depth += 1;
        self.report.depth = self.report.depth.max(self.depth);
        wire.message(end, |wire, number, field| {
            let Field::Length(end) = field else { return Ok(()) };
            match number {
                1 => self.node(wire, end),
                5 => {
                    let name = self.tensor(wire, end)?;
                    self.constant(wire, name, outermost)
                }
                15 => {
                    let name = self.sparse(wire, end)?;
                    self.constant(wire, name, outermost)
                }
                11 | 12 => {
                    let value = value(wire, end)?;
                    if !outermost {
                        return Ok(());
                    }
                    let list = if number == 11 {
                        &mut self.report.inputs
                    } else {
                        &mut self.report.outputs
                    };
                    if list.len() >= VALUES_MAX {
                        return Err(
                            wire.malformed(format!("more than {VALUES_MAX} inputs or outputs"))
                        );
                    }
                    list.push(value);
                    Ok(())
                }
                _ => Ok(()),
            }
        })?;
        self.depth -= 1;
        Ok(())
    }

    fn constant(&mut self, wire: &Wire, name: String, outermost: bool) -> Result<(), WireError> {
        if outermost {
            if self.constants.len() >= CONSTANTS_MAX {
                return Err(wire.malformed(format!("more than {CONSTANTS_MAX} constants")));
            }
            self.constants.insert(name);
        }
        Ok(())
    }

    fn node(&mut self, wire: &mut Wire, end: u64) -> Result<(), WireError> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(wire.malformed(format!("more than {NODES_MAX} nodes")));
        }
        let (mut name, mut op, mut domain) = (String::new(), String::new(), String::new());
        wire.message(end, |wire, number, field| {
            let Field::Length(end) = field else { return Ok(()) };
            match number {
                3 => name = wire.text(end, NAME_BYTES_MAX)?,
                4 => op = wire.text(end, NAME_BYTES_MAX)?,
                5 => self.attribute(wire, end)?,
                7 => domain = wire.text(end, NAME_BYTES_MAX)?,
                _ => {}
            }
            Ok(())
        })?;
        if op.is_empty() {
            return Err(wire.malformed(format!("node `{name}` has no operator")));
        }
        let domain = if domain == "ai.onnx" { String::new() } else { domain };
        if op == "EPContext" && !self.policy.ep_context {
            self.refuse(format!(
                "node `{name}` is an EPContext: compiled code for an accelerator, which nothing can check; \
                 `--allow-epcontext` allows it"
            ));
        }
        let full = if domain.is_empty() { op.clone() } else { format!("{domain}::{op}") };
        if let Some(count) = self.report.operators.get_mut(&full) {
            *count += 1;
            return Ok(());
        }
        if self.report.operators.len() >= KINDS_MAX {
            return Err(wire.malformed(format!("more than {KINDS_MAX} different operators")));
        }
        self.report.operators.insert(full, 1);
        if !DOMAINS.contains(&domain.as_str()) {
            self.unknown.insert((domain.clone(), op), name);
        }
        self.used.insert(domain);
        Ok(())
    }

    fn attribute(&mut self, wire: &mut Wire, end: u64) -> Result<(), WireError> {
        wire.message(end, |wire, number, field| {
            let Field::Length(end) = field else { return Ok(()) };
            match number {
                5 | 10 => self.tensor(wire, end).map(|_| ()),
                6 | 11 => self.graph(wire, end, false),
                22 | 23 => self.sparse(wire, end).map(|_| ()),
                _ => Ok(()),
            }
        })
    }

    fn function(&mut self, wire: &mut Wire, end: u64) -> Result<(), WireError> {
        let (mut name, mut domain) = (String::new(), String::new());
        wire.message(end, |wire, number, field| {
            let Field::Length(end) = field else { return Ok(()) };
            match number {
                1 => name = wire.text(end, NAME_BYTES_MAX)?,
                7 => self.node(wire, end)?,
                10 => domain = wire.text(end, NAME_BYTES_MAX)?,
                11 => self.attribute(wire, end)?,
                _ => {}
            }
            Ok(())
        })?;
        if self.functions.len() >= KINDS_MAX {
            return Err(wire.malformed(format!("more than {KINDS_MAX} functions")));
        }
        self.functions.insert((domain, name));
        Ok(())
    }

    /// A tensor with its values, in the file or outside. Returns its name.
    fn tensor(&mut self, wire: &mut Wire, end: u64) -> Result<String, WireError> {
        let (mut name, mut dims, mut element) = (String::new(), Vec::new(), 0);
        let (mut raw, mut outside, mut external) = (None, 0, External::default());
        wire.message(end, |wire, number, field| {
            match (number, field) {
                (1, field) => integers(wire, field, &mut dims)?,
                (2, field) => element = integer(wire, field, "an element type")?,
                (8, Field::Length(end)) => name = wire.text(end, NAME_BYTES_MAX)?,
                (9, Field::Length(end)) => raw = Some(wire.left(end)),
                (13, Field::Length(end)) => entry(wire, end, &mut external)?,
                (14, field) => outside = integer(wire, field, "a place of data")?,
                _ => {}
            }
            Ok(())
        })?;
        let refused = |what: String| format!("constant `{name}`: {what}");
        if !(1..=ELEMENT_MAX).contains(&element) {
            return Err(wire.malformed(refused(format!("there is no element type {element}"))));
        }
        let mut count = Some(1_u64);
        for dim in &dims {
            let Ok(dim) = u64::try_from(*dim) else {
                return Err(wire.malformed(refused(format!("an extent of {dim}"))));
            };
            count = count.and_then(|count| count.checked_mul(dim));
        }
        let bytes = count.and_then(|count| size(element, count));
        let Some(bytes) = bytes else {
            return Err(wire.malformed(refused("its extents overflow".to_owned())));
        };
        match outside {
            0 => match (raw, bytes) {
                (Some(raw), Some(bytes)) if raw != bytes => {
                    let what = format!("it has {raw} bytes, its shape needs {bytes}");
                    return Err(wire.malformed(refused(what)));
                }
                _ => {}
            },
            1 => match external::check(&external, bytes, self.folder) {
                Ok(path) => self.external(wire, path)?,
                Err(what) => self.refuse(refused(what)),
            },
            other => {
                return Err(wire.malformed(refused(format!("there is no place of data {other}"))));
            }
        }
        let total = self.report.constant_bytes.saturating_add(bytes.unwrap_or(0));
        self.report.constant_bytes = total;
        Ok(name)
    }

    fn external(&mut self, wire: &Wire, path: std::path::PathBuf) -> Result<(), WireError> {
        if !self.report.external.contains(&path) {
            if self.report.external.len() >= KINDS_MAX {
                return Err(wire.malformed(format!("more than {KINDS_MAX} external files")));
            }
            self.report.external.push(path);
        }
        Ok(())
    }

    /// A sparse tensor: a tensor of its values, which has its name, and one of their places.
    fn sparse(&mut self, wire: &mut Wire, end: u64) -> Result<String, WireError> {
        let mut name = String::new();
        wire.message(end, |wire, number, field| {
            match (number, field) {
                (1, Field::Length(end)) => name = self.tensor(wire, end)?,
                (2, Field::Length(end)) => drop(self.tensor(wire, end)?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(name)
    }

    fn finish(
        mut self,
        wire: &Wire,
        ir: Option<i64>,
    ) -> Result<(GraphReport, Vec<String>), WireError> {
        if self.graphs == 0 {
            return Err(wire.malformed("it has no graph"));
        }
        if self.graphs > 1 {
            return Err(wire.malformed("it has more than one graph"));
        }
        let Some(ir) = ir else { return Err(wire.malformed("it has no version")) };
        self.report.ir = ir;
        if !IR_VERSIONS.contains(&ir) {
            let (first, last) = (IR_VERSIONS.start(), IR_VERSIONS.end());
            self.refuse(format!(
                "its file format is of version {ir} (ir), known are {first} to {last}"
            ));
        }
        if self.report.outputs.is_empty() {
            self.refuse("it has no output".to_owned());
        }
        for domain in std::mem::take(&mut self.used) {
            if DOMAINS.contains(&domain.as_str()) && !self.report.opsets.contains_key(&domain) {
                let domain =
                    if domain.is_empty() { "ONNX".to_owned() } else { format!("`{domain}`") };
                self.refuse(format!(
                    "it does not say of which version its operators of {domain} are"
                ));
            }
        }
        for ((domain, op), node) in std::mem::take(&mut self.unknown) {
            if !self.functions.contains(&(domain.clone(), op.clone())) {
                self.refuse(format!(
                    "node `{node}`: operator `{op}` of `{domain}` is not known here"
                ));
            }
        }
        // Before version 4 of the format every constant is an input too.
        self.report.inputs.retain(|input| !self.constants.contains(&input.name));
        for values in [&self.report.inputs, &self.report.outputs] {
            if let Some(value) = values.iter().find(|value| value.name.is_empty()) {
                let reason = format!("an input or output has no name: {value}");
                self.reasons.push(reason);
            }
        }
        self.report.external.sort();
        Ok((self.report, self.reasons))
    }
}

/// Bytes of `count` elements: `None` where that overflows, `Some(None)` where it is not fixed.
fn size(element: i64, count: u64) -> Option<Option<u64>> {
    let bits = match element {
        // Text.
        8 => return Some(None),
        2 | 3 | 9 | 17..=20 | 26 => 8,
        4 | 5 | 10 | 16 => 16,
        1 | 6 | 12 => 32,
        7 | 11 | 13 | 14 => 64,
        15 => 128,
        21..=23 => 4,
        24 | 25 => 2,
        _ => return Some(None),
    };
    count.checked_mul(bits).map(|bits| Some(bits.div_ceil(8)))
}

/// One of the words that say where external data is.
fn entry(wire: &mut Wire, end: u64, external: &mut External) -> Result<(), WireError> {
    let (mut key, mut text) = (String::new(), String::new());
    wire.message(end, |wire, number, field| {
        match (number, field) {
            (1, Field::Length(end)) => key = wire.text(end, NAME_BYTES_MAX)?,
            (2, Field::Length(end)) => text = wire.text(end, NAME_BYTES_MAX)?,
            _ => {}
        }
        Ok(())
    })?;
    match key.as_str() {
        "location" => external.location = Some(text),
        "offset" => external.offset = Some(text),
        "length" => external.length = Some(text),
        _ => {}
    }
    Ok(())
}
