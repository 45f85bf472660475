//! One output of a model: found and checked when the model is opened, and one item of it at every frame.
//!
//! The graph may leave extents free, so what cannot be checked at first is checked at every frame against the
//! same [`Shape`]. After [`Output::item`] a reader knows its item's extents and that there are as many
//! elements; `a_shape_that_does_not_fit_is_refused_and_named` in `tests/postprocess.rs` holds it to that.

use std::fmt::Write;

use super::numbers;
use super::{ModelFacts, PostprocessError};
use crate::pipeline::engine::Lane;
use crate::pipeline::tensor::{Dim, Element, Elements, TensorSpec, View};

/// What one extent after the batch must be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Extent {
    /// Exactly this.
    Exactly(usize),
    /// At least this; the word says what it counts.
    AtLeast(usize, &'static str),
}

/// What an output must look like, the batch not counted.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    /// Any extents.
    Any,
    /// These.
    Of(Vec<Extent>),
}

/// The types that can be read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Types {
    /// 32- or 16-bit floats.
    Floats,
    /// Every number.
    Numbers,
}

impl Types {
    fn hold(self, element: Element) -> bool {
        match self {
            Self::Floats => matches!(element, Element::F32 | Element::F16),
            Self::Numbers => element != Element::String,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Floats => "f32 or f16",
            Self::Numbers => "numbers",
        }
    }
}

/// One output, and what it must look like.
#[derive(Debug, Clone)]
pub(super) struct Output {
    index: usize,
    name: String,
    /// As the graph says it is.
    spec: String,
    types: Types,
    shape: Shape,
}

/// One item of an output's batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item<'a> {
    /// Extents, the batch not counted.
    pub(super) shape: &'a [usize],
    /// As many as the product of `shape`.
    pub(super) elements: Elements<'a>,
}

impl Output {
    /// Output `index` of the model, if it can look like `shape`.
    pub(super) fn new(
        model: &ModelFacts<'_>,
        index: usize,
        types: Types,
        shape: Shape,
    ) -> Result<Self, PostprocessError> {
        let Some(spec) = model.signature.outputs.get(index) else {
            return Err(missing(index));
        };
        let (name, text) = (spec.name.clone(), spec.to_string());
        let output = Self { index, name, spec: text, types, shape };
        if types.hold(spec.element) && output.fits(&spec.dims, extent) {
            return Ok(output);
        }
        Err(output.error(spec.element, &spec.dims))
    }

    /// Item `item` of the last run.
    pub(super) fn item<'a>(
        &self,
        lane: &'a dyn Lane,
        item: usize,
    ) -> Result<Item<'a>, PostprocessError> {
        let view = lane.output(self.index).ok_or_else(|| self.wrong("missing"))?;
        let element = view.elements.element();
        if !self.types.hold(element) || !self.fits(view.shape, |&extent| Some(extent)) {
            return Err(self.error(element, view.shape));
        }
        self::item(view, item).ok_or_else(|| self.wrong(&format!("without item {item}")))
    }

    /// How many classes there are besides the first `besides` of axis `axis`: as the graph fixes them, else as
    /// many as there are labels, to which every frame is then held. `None` where neither says.
    pub(super) fn classes(
        &mut self,
        model: &ModelFacts<'_>,
        axis: usize,
        besides: usize,
    ) -> Option<usize> {
        let dims = &model.signature.outputs.get(self.index)?.dims;
        let fixed = dims.get(axis + 1).and_then(extent).and_then(|all| all.checked_sub(besides));
        let given = Some(model.labels.len()).filter(|&labels| labels > 0);
        let classes = fixed.or(given);
        if let (Some(classes), Shape::Of(extents)) = (classes, &mut self.shape)
            && let Some(extent) = extents.get_mut(axis)
        {
            *extent = Extent::Exactly(classes + besides);
        }
        classes
    }

    /// How many elements an item has, where the graph fixes all its extents.
    pub(super) fn fixed_count(&self, model: &ModelFacts<'_>) -> Option<usize> {
        count(&model.signature.outputs.get(self.index)?.dims)
    }

    /// The output is not what it should be.
    pub(super) fn wrong(&self, found: &str) -> PostprocessError {
        PostprocessError::Output {
            output: self.quoted(),
            found: found.to_owned(),
            expected: self.expected(),
        }
    }

    /// The output contains a number that is none.
    pub(super) fn not_finite(&self) -> PostprocessError {
        PostprocessError::NotFinite { output: self.quoted() }
    }

    /// The output has `number` where a class's number should be.
    pub(super) fn no_class(&self, number: f32) -> PostprocessError {
        PostprocessError::Output {
            output: self.quoted(),
            found: format!("{number} in the place of a class"),
            expected: "the number of a class".to_owned(),
        }
    }

    /// Its name, type and shape, as the graph says.
    pub(super) fn spec(&self) -> &str {
        &self.spec
    }

    /// Its name in messages.
    pub(super) fn quoted(&self) -> String {
        format!("`{}`", self.name)
    }

    fn fits<D>(&self, dims: &[D], extent: impl Fn(&D) -> Option<usize>) -> bool {
        let Shape::Of(want) = &self.shape else { return true };
        dims.len() == want.len() + 1
            && dims.iter().skip(1).zip(want).all(|(dim, want)| match (extent(dim), want) {
                (None, _) => true,
                (Some(found), Extent::Exactly(wanted)) => found == *wanted,
                (Some(found), Extent::AtLeast(least, _)) => found >= *least,
            })
    }

    fn error(&self, element: Element, dims: &[impl std::fmt::Display]) -> PostprocessError {
        let mut found = element.name().to_owned();
        for (index, dim) in dims.iter().enumerate() {
            write!(found, "{}{dim}", if index == 0 { " [" } else { ", " }).unwrap_or_default();
        }
        self.wrong(&(found + if dims.is_empty() { " []" } else { "]" }))
    }

    fn expected(&self) -> String {
        let mut text = format!("{} [batch", self.types.name());
        match &self.shape {
            Shape::Any => text.push_str(", ..."),
            Shape::Of(want) => {
                for want in want {
                    match want {
                        Extent::Exactly(extent) => write!(text, ", {extent}").unwrap_or_default(),
                        Extent::AtLeast(_, name) => write!(text, ", {name}").unwrap_or_default(),
                    }
                }
            }
        }
        text.push(']');
        text
    }
}

/// Which output is meant by `setting`, the value of the key `key`; without one, the only output that `fits`,
/// or the only one of these whose name contains one of `hints`.
pub(super) fn find(
    model: &ModelFacts<'_>,
    key: &str,
    setting: Option<&str>,
    hints: &[&str],
    fits: impl Fn(usize, &TensorSpec) -> bool,
) -> Result<usize, PostprocessError> {
    let outputs = &model.signature.outputs;
    let all = || outputs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if let Some(name) = setting {
        let index = outputs.iter().position(|output| output.name == name);
        return index.ok_or_else(|| PostprocessError::Output {
            output: format!("`{name}`"),
            found: "none of the model's".to_owned(),
            expected: all(),
        });
    }
    let fitting = || outputs.iter().enumerate().filter(|(index, spec)| fits(*index, spec));
    let hinted = |(_, spec): &(usize, &TensorSpec)| {
        let name = spec.name.to_ascii_lowercase();
        hints.iter().any(|hint| name.contains(hint))
    };
    let found = only(fitting()).or_else(|| only(fitting().filter(hinted)));
    found.map(|(index, _)| index).ok_or_else(|| PostprocessError::Output {
        output: format!("for `{key}`"),
        found: format!("any of {}", all()),
        expected: format!("one that can be told from the others: name it by `{key} = \"...\"`"),
    })
}

/// Item `item` of the batch `view`; `None` where there is none, or not as many elements as the shape says.
pub(super) fn item(view: View<'_>, item: usize) -> Option<Item<'_>> {
    let (batch, shape) = view.shape.split_first().unwrap_or((&1, &[]));
    let each = shape.iter().try_fold(1_usize, |all, &extent| all.checked_mul(extent))?;
    if item >= *batch || each.checked_mul(*batch)? != numbers::len(view.elements) {
        return None;
    }
    let elements = numbers::slice(view.elements, item.checked_mul(each)?, each)?;
    Some(Item { shape, elements })
}

/// How many elements an item of a batch of this shape has, where the graph fixes all its extents.
pub(super) fn count(dims: &[Dim]) -> Option<usize> {
    dims.iter().skip(1).try_fold(1_usize, |all, dim| all.checked_mul(extent(dim)?))
}

/// How many extents there are, the batch counted.
pub(super) fn rank(spec: &TensorSpec) -> usize {
    spec.dims.len()
}

/// The extent, where the graph fixes it.
pub(super) fn extent(dim: &Dim) -> Option<usize> {
    match dim {
        Dim::Fixed(extent) => Some(*extent),
        Dim::Free(_) => None,
    }
}

fn only<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    items.next().filter(|_| items.next().is_none())
}

fn missing(index: usize) -> PostprocessError {
    PostprocessError::Output {
        output: index.to_string(),
        found: "missing".to_owned(),
        expected: "an output".to_owned(),
    }
}
