//! Where frames come from.

pub mod pace;
pub mod pattern;
pub mod replay;

use std::fmt::Debug;

use super::frame::{Frame, FrameError};
use crate::stop::Stop;

/// What a source's turn ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The frame is filled.
    Frame,
    /// There will be no more, and that is no mistake: a file was read to its end.
    End,
    /// It was told to stop.
    Stopped,
}

/// Why there is no frame. Each is retried after a pause, for ever: a cable may be plugged in again.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It could not be opened.
    #[error("cannot open {what}")]
    Open {
        /// The device, file or address.
        what: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It was open and gave nothing usable.
    #[error("cannot read {what}")]
    Read {
        /// The device, file or address.
        what: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It gave something that is no picture.
    #[error("{what} gave no usable picture")]
    Picture {
        /// The device, file or address.
        what: String,
        /// Why.
        source: FrameError,
    },
}

/// An open source. Used by one thread only: the pipeline's capture thread.
pub trait Source: Send {
    /// Fills `frame` with the next picture; blocks until there is one, at the source's own rate.
    ///
    /// `frame` is one that was used before: implementations reuse its memory. They set everything in it,
    /// `captured`, `ts` and `seq` included.
    ///
    /// # Errors
    /// [`SourceError`]. The caller closes the source and opens it again after a pause.
    fn next(&mut self, frame: &mut Frame, stop: &Stop) -> Result<Next, SourceError>;
}

/// A configured source, to be opened as often as needed.
pub trait SourceSpec: Debug + Send + Sync {
    /// Opens it.
    ///
    /// # Errors
    /// [`SourceError::Open`] with the name of what could not be opened.
    fn open(&self) -> Result<Box<dyn Source>, SourceError>;

    /// Frames a second that it is expected to give, where that is known.
    fn rate_hz(&self) -> Option<f64>;
}
