//! Arrays in NumPy's `.npy` files: the inputs and outputs of golden samples.
//!
//! Format 1.0, row-major, little endian; what else NumPy can write is refused by name. A file comes with a
//! model from somewhere else, so nothing it says is believed: the header has a limit, and nothing is reserved
//! for a shape before the file was seen to be exactly as long as the shape needs. The tests below cut and
//! change a file at every byte.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use half::f16;

use crate::pipeline::tensor::{Element, Elements, View};

/// Bytes of the largest file read. A 4096 × 4096 RGB picture in `f32` takes 201 MB; nothing that an edge
/// device infers is larger.
pub const MAX_FILE_BYTES: u64 = 256 << 20;
/// Bytes of the longest header read. NumPy writes 118 for up to about six dimensions.
pub const MAX_HEADER_BYTES: usize = 1024;
/// The most dimensions. No ONNX operator that we know of makes more than 8.
pub const MAX_RANK: usize = 16;

mod header;

const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";
/// Bytes before the header's text: the magic and the text's length.
const PREFIX: usize = MAGIC.len() + 2;
/// The header is padded so that the elements begin at a multiple of this, as NumPy does.
const ALIGNMENT: usize = 64;

/// NumPy's names of the types we read and write.
const TYPES: &[(&str, Element)] = &[
    ("<f4", Element::F32),
    ("<f2", Element::F16),
    ("<f8", Element::F64),
    ("|u1", Element::U8),
    ("|i1", Element::I8),
    ("<i2", Element::I16),
    ("<i4", Element::I32),
    ("<i8", Element::I64),
    ("|b1", Element::Bool),
];

/// Why a file could not be read as an array.
#[derive(Debug, thiserror::Error)]
pub enum NpyError {
    /// The file could not be read: missing, not readable, or not a file.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file was read and is not an array that we know.
    #[error("`{}` is not an array", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Malformed,
    },
}

/// What is wrong with the bytes of an array.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Malformed {
    /// The file is larger than any array that we read.
    #[error("it has {0} bytes, at most {MAX_FILE_BYTES} are read")]
    TooLarge(u64),
    /// It does not begin as format 1.0 does.
    #[error("it does not begin with the mark of NumPy's format 1.0")]
    Magic,
    /// The header is cut, too long or not as NumPy writes it.
    #[error("its header {0}")]
    Header(&'static str),
    /// A type that we do not read.
    #[error("its elements are `{0}`, expected one of <f4 <f2 <f8 |u1 |i1 <i2 <i4 <i8 |b1")]
    Type(String),
    /// More or fewer bytes than the shape needs.
    #[error("it has {found} bytes of elements, its shape needs {expected}")]
    Length {
        /// Bytes that the shape needs.
        expected: usize,
        /// Bytes that are there.
        found: usize,
    },
    /// A truth value that is neither 0 nor 1.
    #[error("truth value {0} is neither 0 nor 1")]
    Bool(u8),
    /// The view to be written has a type that a file cannot hold, or not as many elements as its shape.
    #[error("{0} elements cannot be written in this shape")]
    Unwritable(&'static str),
}

/// The elements of an array, row-major.
#[derive(Debug, Clone, PartialEq)]
pub enum ArrayData {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 16-bit floats.
    F16(Vec<f16>),
    /// 64-bit floats.
    F64(Vec<f64>),
    /// Unsigned bytes.
    U8(Vec<u8>),
    /// Signed bytes.
    I8(Vec<i8>),
    /// 16-bit signed, as their bytes, little endian: nothing here computes with them.
    I16(Vec<u8>),
    /// 32-bit signed.
    I32(Vec<i32>),
    /// 64-bit signed.
    I64(Vec<i64>),
    /// Truth values.
    Bool(Vec<bool>),
}

/// An array that owns its elements.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Extents, outermost first; the empty shape is one element.
    pub shape: Vec<usize>,
    /// As many as the product of `shape`.
    pub data: ArrayData,
}

impl Array {
    /// Reads the file `path`.
    ///
    /// # Errors
    /// [`NpyError::Read`] where it cannot be read, [`NpyError::Malformed`] where it is not an array.
    pub fn read(path: &Path) -> Result<Self, NpyError> {
        let failed = |source| NpyError::Read { path: path.to_owned(), source };
        let malformed = |source| NpyError::Malformed { path: path.to_owned(), source };
        let metadata = fs::metadata(path).map_err(failed)?;
        // A pipe by this name would make the open wait for ever.
        if !metadata.is_file() {
            return Err(failed(io::Error::other("it is not a file")));
        }
        if metadata.len() > MAX_FILE_BYTES {
            return Err(malformed(Malformed::TooLarge(metadata.len())));
        }
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(failed)?;
        file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(failed)?;
        Self::parse(&bytes).map_err(malformed)
    }

    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(Malformed::Magic)?;
        let (length, rest) = rest.split_first_chunk().ok_or(Malformed::Header("is cut"))?;
        let length = usize::from(u16::from_le_bytes(*length));
        if length > MAX_HEADER_BYTES {
            return Err(Malformed::Header("is too long"));
        }
        let (header, body) = rest.split_at_checked(length).ok_or(Malformed::Header("is cut"))?;
        let (element, shape) = header::parse(header)?;
        let expected = byte_length(element, &shape).ok_or(Malformed::Header(OVERFLOW))?;
        if body.len() != expected {
            return Err(Malformed::Length { expected, found: body.len() });
        }
        Ok(Self { shape, data: ArrayData::from_bytes(element, body)? })
    }

    /// Copies `view`.
    ///
    /// # Errors
    /// [`Malformed::Unwritable`] where a file cannot hold its type, or it has not as many elements as its shape.
    pub fn of(view: View<'_>) -> Result<Self, Malformed> {
        let data = match view.elements {
            Elements::F32(all) => ArrayData::F32(all.to_vec()),
            Elements::F16(all) => ArrayData::F16(all.to_vec()),
            Elements::F64(all) => ArrayData::F64(all.to_vec()),
            Elements::U8(all) => ArrayData::U8(all.to_vec()),
            Elements::I8(all) => ArrayData::I8(all.to_vec()),
            Elements::I32(all) => ArrayData::I32(all.to_vec()),
            Elements::I64(all) => ArrayData::I64(all.to_vec()),
            Elements::Bool(all) => ArrayData::Bool(all.to_vec()),
            Elements::Other(Element::I16, bytes) => ArrayData::I16(bytes.to_vec()),
            Elements::Other(element, _) => return Err(Malformed::Unwritable(element.name())),
        };
        let element = data.element();
        match byte_length(element, view.shape) {
            Some(length) if length == data.len() * element.size_bytes() => {
                Ok(Self { shape: view.shape.to_vec(), data })
            }
            _ => Err(Malformed::Unwritable(element.name())),
        }
    }

    /// The array, to be read as an engine's outputs are.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        let elements = match &self.data {
            ArrayData::F32(all) => Elements::F32(all),
            ArrayData::F16(all) => Elements::F16(all),
            ArrayData::F64(all) => Elements::F64(all),
            ArrayData::U8(all) => Elements::U8(all),
            ArrayData::I8(all) => Elements::I8(all),
            ArrayData::I16(bytes) => Elements::Other(Element::I16, bytes),
            ArrayData::I32(all) => Elements::I32(all),
            ArrayData::I64(all) => Elements::I64(all),
            ArrayData::Bool(all) => Elements::Bool(all),
        };
        View { shape: &self.shape, elements }
    }

    /// The bytes of a file that holds it, as NumPy would write them.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = header::write(self.data.element(), &self.shape);
        let padding = (PREFIX + text.len() + 1).next_multiple_of(ALIGNMENT) - PREFIX - 1;
        text = format!("{text:padding$}\n");
        let mut bytes = MAGIC.to_vec();
        bytes.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
        bytes.extend(text.as_bytes());
        self.data.append_to(&mut bytes);
        bytes
    }
}

impl ArrayData {
    /// The type of the elements.
    #[must_use]
    pub fn element(&self) -> Element {
        match self {
            Self::F32(_) => Element::F32,
            Self::F16(_) => Element::F16,
            Self::F64(_) => Element::F64,
            Self::U8(_) => Element::U8,
            Self::I8(_) => Element::I8,
            Self::I16(_) => Element::I16,
            Self::I32(_) => Element::I32,
            Self::I64(_) => Element::I64,
            Self::Bool(_) => Element::Bool,
        }
    }

    /// How many elements there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::F32(all) => all.len(),
            Self::F16(all) => all.len(),
            Self::F64(all) => all.len(),
            Self::U8(all) => all.len(),
            Self::I8(all) => all.len(),
            Self::I16(bytes) => bytes.len() / Element::I16.size_bytes(),
            Self::I32(all) => all.len(),
            Self::I64(all) => all.len(),
            Self::Bool(all) => all.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements that lie in `bytes`, little endian.
    ///
    /// # Errors
    /// No file holds this type, or a truth value is neither 0 nor 1.
    pub(crate) fn from_bytes(element: Element, bytes: &[u8]) -> Result<Self, Malformed> {
        Ok(match element {
            Element::F32 => Self::F32(items(bytes, f32::from_le_bytes)),
            Element::F16 => Self::F16(items(bytes, f16::from_le_bytes)),
            Element::F64 => Self::F64(items(bytes, f64::from_le_bytes)),
            Element::U8 => Self::U8(bytes.to_vec()),
            Element::I8 => Self::I8(items(bytes, i8::from_le_bytes)),
            Element::I16 => Self::I16(bytes.to_vec()),
            Element::I32 => Self::I32(items(bytes, i32::from_le_bytes)),
            Element::I64 => Self::I64(items(bytes, i64::from_le_bytes)),
            Element::Bool => match bytes.iter().find(|&&byte| byte > 1) {
                Some(&byte) => return Err(Malformed::Bool(byte)),
                None => Self::Bool(bytes.iter().map(|&byte| byte == 1).collect()),
            },
            _ => return Err(Malformed::Type(element.name().to_owned())),
        })
    }

    /// Writes the elements behind `bytes`, little endian.
    pub(crate) fn append_to(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::F32(all) => bytes.extend(all.iter().flat_map(|item| item.to_le_bytes())),
            Self::F16(all) => bytes.extend(all.iter().flat_map(|item| item.to_le_bytes())),
            Self::F64(all) => bytes.extend(all.iter().flat_map(|item| item.to_le_bytes())),
            Self::U8(all) | Self::I16(all) => bytes.extend(all),
            Self::I8(all) => bytes.extend(all.iter().flat_map(|item| item.to_le_bytes())),
            Self::I32(all) => bytes.extend(all.iter().flat_map(|item| item.to_le_bytes())),
            Self::I64(all) => bytes.extend(all.iter().flat_map(|item| item.to_le_bytes())),
            Self::Bool(all) => bytes.extend(all.iter().map(|&item| u8::from(item))),
        }
    }
}

const OVERFLOW: &str = "names more elements than there are addresses";

/// Bytes that an array needs; `None` where no number can say.
fn byte_length(element: Element, shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(element.size_bytes(), |bytes, &extent| bytes.checked_mul(extent))
}

fn items<T, const N: usize>(bytes: &[u8], read: fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks().0.iter().map(|&chunk| read(chunk)).collect()
}

#[cfg(test)]
mod tests;
