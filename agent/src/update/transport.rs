//! Where a repository's files come from: a server, or a bundle on a stick. What comes is verified elsewhere.

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;

/// What a [`Transport`] promises.
pub type Coming<'a, T> = Pin<Box<dyn Future<Output = Result<T, TransportError>> + Send + 'a>>;

/// Why a file did not come. None of these says anything about the release: all are tried again later.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// Nobody answered, or the connection broke.
    #[error("`{url}` cannot be reached")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server has something else to say.
    #[error("`{url}` answers {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The status code.
        status: u16,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// The metadata promises it, and it is not there.
    #[error("`{url}` is not there, though the signed metadata lists it")]
    Missing {
        /// What was asked for.
        url: String,
    },
    /// There is more of it than there may be.
    #[error("`{url}` does not end within its {max} bytes")]
    Endless {
        /// What was asked for.
        url: String,
        /// What was signed, or the limit of its kind.
        max: u64,
    },
    /// Too little comes for too long.
    #[error("`{url}` stalls: {bytes} bytes within {} s", .within.as_secs())]
    Stalled {
        /// What was asked for.
        url: String,
        /// What came.
        bytes: u64,
        /// In this time.
        within: Duration,
    },
    /// The answer is not the part that was asked for.
    #[error("`{url}` answers with another range: {found}")]
    Range {
        /// What was asked for.
        url: String,
        /// What it said.
        found: String,
    },
    /// The answer is encoded, though no encoding was accepted.
    #[error("`{url}` answers with the encoding `{encoding}`, which was not asked for")]
    Encoded {
        /// What was asked for.
        url: String,
        /// What it said.
        encoding: String,
    },
    /// A file of a bundle could not be read.
    #[error("cannot read the bundle")]
    Bundle(#[source] io::Error),
}

/// The pieces of a target, from some offset on.
pub trait Pieces: Send {
    /// The next piece; `None` at the end.
    fn next(&mut self) -> Coming<'_, Option<Bytes>>;
}

/// A target that begins to come.
pub struct Body {
    /// Where the first piece belongs: what was asked for, or 0 where the server has no ranges.
    pub offset: u64,
    /// What the server calls this state of the file.
    pub etag: Option<String>,
    /// The bytes.
    pub pieces: Box<dyn Pieces>,
}

/// A place where a repository's files come from.
pub trait Transport: Debug + Send + Sync {
    /// The metadata file `name`, of at most `max` bytes; `None` where there is none.
    fn metadata<'a>(&'a self, name: &'a str, max: u64) -> Coming<'a, Option<Vec<u8>>>;

    /// The target file `name` from byte `offset` on, where it is still what was called `etag`.
    fn target<'a>(&'a self, name: &'a str, offset: u64, etag: Option<&'a str>) -> Coming<'a, Body>;

    /// What it is, for messages.
    fn address(&self) -> String;
}
