//! What all signed documents share: a bounded, checked way in.

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Why a signed document is of no use.
#[derive(Debug, thiserror::Error)]
pub enum BadDocument {
    /// It is longer than any of its kind may be.
    #[error("it has {0} bytes, at most {1} are read")]
    Long(u64, u64),
    /// It is no JSON of this shape.
    #[error("it cannot be read")]
    Json(#[source] serde_json::Error),
    /// It was written for a newer (or other) reader.
    #[error("its schema is `{found}`, this version reads `{wanted}`")]
    Schema {
        /// What it says.
        found: String,
        /// What was expected.
        wanted: &'static str,
    },
    /// It contradicts itself.
    #[error("{0}")]
    Wrong(String),
}

/// Only the key that says what the rest is.
#[derive(Deserialize)]
struct Head {
    schema: String,
}

/// Reads `bytes` as a document of `schema`.
pub(crate) fn parse<T: DeserializeOwned>(
    bytes: &[u8],
    schema: &'static str,
    max: u64,
) -> Result<T, BadDocument> {
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if length > max {
        return Err(BadDocument::Long(length, max));
    }
    let head: Head = serde_json::from_slice(bytes).map_err(BadDocument::Json)?;
    if head.schema != schema {
        let found = head.schema.chars().take(80).collect();
        return Err(BadDocument::Schema { found, wanted: schema });
    }
    serde_json::from_slice(bytes).map_err(BadDocument::Json)
}
