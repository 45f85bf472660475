//! Protobuf's wire format, read piece by piece from a file.
//!
//! Nothing is reserved for a length that a file claims: what is skipped is skipped by seeking, and what is kept
//! has a limit. No bytes make this panic (`tests/model_graph.rs` tries).

use std::fs::File;
use std::io::{self, BufReader, Read};

/// Bytes read at once.
const CHUNK_BYTES: usize = 64 << 10;

/// Most fields of one file. A graph of a million nodes has some fifty million.
const FIELDS_MAX: u64 = 64 << 20;

/// Messages within messages. Protobuf's own readers stop here too; a graph within a graph takes three.
const DEPTH_MAX: u32 = 100;

/// Why the bytes are no message.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// The file could not be read.
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    /// The bytes are not what they should be.
    #[error("at byte {at}: {what}")]
    Malformed {
        /// Where.
        at: u64,
        /// What.
        what: String,
    },
}

/// The bytes of a file and where in them reading is.
#[derive(Debug)]
pub(super) struct Wire {
    file: BufReader<File>,
    at: u64,
    depth: u32,
    fields: u64,
}

/// One field's value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Field {
    /// An integer.
    Integer(u64),
    /// Four or eight bytes, which were skipped.
    Fixed,
    /// Text, bytes, or a message, which end at this byte.
    Length(u64),
}

impl Field {
    /// The integer, as protobuf keeps signed ones.
    pub(super) fn integer(self) -> Option<i64> {
        match self {
            Self::Integer(bits) => Some(bits.cast_signed()),
            _ => None,
        }
    }
}

impl Wire {
    pub(super) fn new(file: File) -> Self {
        Self { file: BufReader::with_capacity(CHUNK_BYTES, file), at: 0, depth: 0, fields: 0 }
    }

    /// A complaint about what was read last.
    pub(super) fn malformed(&self, what: impl Into<String>) -> WireError {
        WireError::Malformed { at: self.at, what: what.into() }
    }

    /// Reads the fields of a message that ends at `end`; whatever of a field `read` leaves is skipped.
    pub(super) fn message(
        &mut self,
        end: u64,
        mut read: impl FnMut(&mut Self, u64, Field) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.malformed(format!("more than {DEPTH_MAX} messages in one another")));
        }
        while self.at < end {
            self.fields += 1;
            if self.fields > FIELDS_MAX {
                return Err(self.malformed(format!("more than {FIELDS_MAX} fields")));
            }
            let tag = self.varint(end)?;
            let (number, field) = (tag >> 3, self.field(tag & 7, end)?);
            if number == 0 || number > 0x1fff_ffff {
                return Err(self.malformed(format!("there is no field number {number}")));
            }
            read(self, number, field)?;
            if let Field::Length(field_end) = field {
                self.skip_to(field_end)?;
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn field(&mut self, kind: u64, end: u64) -> Result<Field, WireError> {
        match kind {
            0 => Ok(Field::Integer(self.varint(end)?)),
            1 => self.pass(8, end).map(|_| Field::Fixed),
            5 => self.pass(4, end).map(|_| Field::Fixed),
            2 => {
                let length = self.varint(end)?;
                let field_end = self.at.checked_add(length).filter(|field_end| *field_end <= end);
                field_end.map(Field::Length).ok_or_else(|| {
                    self.malformed(format!("a field of {length} bytes reaches beyond its end"))
                })
            }
            _ => Err(self.malformed(format!("there is no kind of field {kind}"))),
        }
    }

    fn pass(&mut self, bytes: u64, end: u64) -> Result<(), WireError> {
        if end - self.at < bytes {
            return Err(self.malformed("it ends in the middle of a number"));
        }
        self.skip_to(self.at + bytes)
    }

    /// An integer of up to ten bytes.
    pub(super) fn varint(&mut self, end: u64) -> Result<u64, WireError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            if self.at >= end {
                return Err(self.malformed("it ends in the middle of a number"));
            }
            let mut byte = [0];
            self.file.read_exact(&mut byte).map_err(|error| self.failed(error))?;
            self.at += 1;
            value |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.malformed("a number has more than ten bytes"))
    }

    /// The text that ends at `end`, of at most `max` bytes. What is no UTF-8 is replaced.
    pub(super) fn text(&mut self, end: u64, max: usize) -> Result<String, WireError> {
        let length = usize::try_from(end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        if length > max {
            return Err(self.malformed(format!("a name of {length} bytes, at most {max} are read")));
        }
        let mut bytes = vec![0; length];
        self.file.read_exact(&mut bytes).map_err(|error| self.failed(error))?;
        self.at = end;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Bytes from here to `end`.
    pub(super) fn left(&self, end: u64) -> u64 {
        end.saturating_sub(self.at)
    }

    fn skip_to(&mut self, to: u64) -> Result<(), WireError> {
        let Some(bytes) = to.checked_sub(self.at) else {
            return Err(self.malformed("a field was read beyond its end"));
        };
        let distance = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.file.seek_relative(distance).map_err(|error| self.failed(error))?;
        self.at = to;
        Ok(())
    }

    fn failed(&self, error: io::Error) -> WireError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => self.malformed("the file ends before its content does"),
            _ => WireError::Read(error),
        }
    }
}
