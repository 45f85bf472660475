//! Where frames come from.

pub mod child;
pub mod csi;
mod ear;
pub mod gstreamer;
pub mod http;
mod live;
mod login;
pub mod mqtt;
pub mod pace;
pub mod pattern;
mod reach;
pub mod replay;
pub mod rtsp;
pub mod samples;
pub mod sensor;
pub mod v4l2;
mod when;

use std::fmt::Debug;
use std::sync::Arc;

use self::samples::Counts;
use super::frame::{Frame, FrameError};
use super::window::Cut;
use crate::mqtt::Link;
use crate::stop::Stop;
use crate::supervisor::Sooner;

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

/// See [`SourceSpec::returns`].
pub type Returns = Sooner;

/// Says once that something is there that was not when it was last asked about.
fn returned(mut is_there: impl FnMut() -> bool + Send + Sync + 'static) -> Returns {
    let mut was_away = false;
    Box::new(move || {
        let is_there = is_there();
        let is_back = is_there && was_away;
        was_away = !is_there;
        is_back
    })
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

    /// Makes it one for a model that wants windows cut so, or pictures where there is none.
    ///
    /// # Errors
    /// It cannot give that, in words that follow its name.
    fn fit(&mut self, cut: Option<&Cut>) -> Result<(), String> {
        match cut {
            None => Ok(()),
            Some(_) => Err("gives pictures, and the model wants windows of samples".to_owned()),
        }
    }

    /// What is counted of its samples, where it gives those; `None`: it gives pictures.
    fn samples(&self) -> Option<Arc<Counts>> {
        None
    }

    /// Whether its frames come over the connection to the broker.
    fn needs_mqtt(&self) -> bool {
        false
    }

    /// That connection, once, before it is opened for the first time.
    fn connect(&self, _link: &Link) {}

    /// Something that says, asked about once a second while the source is closed after a failure, whether it is
    /// worth opening before its pause is over: a camera that was away is there again. `None` where nobody can tell.
    fn returns(&self, _stop: &Stop) -> Option<Returns> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_all_the_time_does_not_return() {
        let mut seen = [true, true, false, false, true, true, false, true].into_iter();
        let mut returns = returned(move || seen.next().unwrap());
        // The first is asked when it has just failed.
        let said: Vec<bool> = (0..8).map(|_| returns()).collect();
        assert_eq!(said, [false, false, false, false, true, false, false, true]);
    }
}
