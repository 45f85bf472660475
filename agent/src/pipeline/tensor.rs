//! Numbers in a shape: what goes into an engine and what comes out.

use half::f16;

/// The type of a tensor's elements, as ONNX names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Element {
    /// 32-bit float.
    F32,
    /// 16-bit float.
    F16,
    /// 16-bit brain float.
    Bf16,
    /// 64-bit float.
    F64,
    /// Unsigned byte.
    U8,
    /// Signed byte.
    I8,
    /// 16-bit unsigned.
    U16,
    /// 16-bit signed.
    I16,
    /// 32-bit signed.
    I32,
    /// 64-bit signed.
    I64,
    /// 32-bit unsigned.
    U32,
    /// 64-bit unsigned.
    U64,
    /// One byte a truth value.
    Bool,
    /// Text.
    String,
}

impl Element {
    /// Every type and its name in `model.toml`.
    pub const NAMES: &[(&str, Self)] = &[
        ("f32", Self::F32),
        ("f16", Self::F16),
        ("bf16", Self::Bf16),
        ("f64", Self::F64),
        ("u8", Self::U8),
        ("i8", Self::I8),
        ("u16", Self::U16),
        ("i16", Self::I16),
        ("i32", Self::I32),
        ("i64", Self::I64),
        ("u32", Self::U32),
        ("u64", Self::U64),
        ("bool", Self::Bool),
        ("string", Self::String),
    ];

    /// Its name in `model.toml`.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, element)| *element == self).map_or("?", |(name, _)| name)
    }

    /// Bytes of one element; 0 for text.
    #[must_use]
    pub fn size_bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::F16 | Self::Bf16 | Self::U16 | Self::I16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
            Self::String => 0,
        }
    }
}

/// One extent of a shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dim {
    /// Always this many.
    Fixed(usize),
    /// Any number; the name tells which free dimensions are the same.
    Free(String),
}

impl std::fmt::Display for Dim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed(extent) => write!(f, "{extent}"),
            Self::Free(name) if name.is_empty() => f.write_str("?"),
            Self::Free(name) => f.write_str(name),
        }
    }
}

/// What one input or output of a model looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name in the graph.
    pub name: String,
    /// Its elements' type.
    pub element: Element,
    /// Its shape.
    pub dims: Vec<Dim>,
}

impl std::fmt::Display for TensorSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` {} [", self.name, self.element.name())?;
        for (index, dim) in self.dims.iter().enumerate() {
            write!(f, "{}{dim}", if index == 0 { "" } else { ", " })?;
        }
        f.write_str("]")
    }
}

/// Elements to read.
#[derive(Debug, Clone, Copy)]
pub enum Elements<'a> {
    /// 32-bit floats.
    F32(&'a [f32]),
    /// 16-bit floats.
    F16(&'a [f16]),
    /// 64-bit floats.
    F64(&'a [f64]),
    /// Unsigned bytes.
    U8(&'a [u8]),
    /// Signed bytes.
    I8(&'a [i8]),
    /// 32-bit signed.
    I32(&'a [i32]),
    /// 64-bit signed.
    I64(&'a [i64]),
    /// Truth values.
    Bool(&'a [bool]),
    /// A type that this daemon does not compute with: its bytes.
    Other(Element, &'a [u8]),
}

impl Elements<'_> {
    /// Their type.
    #[must_use]
    pub fn element(&self) -> Element {
        match self {
            Self::F32(_) => Element::F32,
            Self::F16(_) => Element::F16,
            Self::F64(_) => Element::F64,
            Self::U8(_) => Element::U8,
            Self::I8(_) => Element::I8,
            Self::I32(_) => Element::I32,
            Self::I64(_) => Element::I64,
            Self::Bool(_) => Element::Bool,
            Self::Other(element, _) => *element,
        }
    }
}

/// A tensor to read: its shape and its elements, row-major.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Extents, outermost first.
    pub shape: &'a [usize],
    /// As many as the product of `shape`.
    pub elements: Elements<'a>,
}

/// Elements to fill: the types that a picture or a window of samples can become.
#[derive(Debug)]
pub enum ElementsMut<'a> {
    /// 32-bit floats.
    F32(&'a mut [f32]),
    /// 16-bit floats.
    F16(&'a mut [f16]),
    /// Unsigned bytes.
    U8(&'a mut [u8]),
    /// Signed bytes.
    I8(&'a mut [i8]),
}

impl ElementsMut<'_> {
    /// Those of item `item`, where they are those of `items` one after the other. `None` where there is no such item.
    #[must_use]
    pub fn item(self, item: usize, items: usize) -> Option<Self> {
        fn part<T>(all: &mut [T], item: usize, items: usize) -> Option<&mut [T]> {
            let each = all.len().checked_div(items)?;
            let begin = item.checked_mul(each)?;
            all.get_mut(begin..begin.checked_add(each)?)
        }
        Some(match self {
            Self::F32(all) => ElementsMut::F32(part(all, item, items)?),
            Self::F16(all) => ElementsMut::F16(part(all, item, items)?),
            Self::U8(all) => ElementsMut::U8(part(all, item, items)?),
            Self::I8(all) => ElementsMut::I8(part(all, item, items)?),
        })
    }
}
