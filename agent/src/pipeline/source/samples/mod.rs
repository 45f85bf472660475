//! Sensors: from samples, however they come, to windows as the model wants them, on the capture thread.
//!
//! ```text
//! bytes ─▶ lines ─▶ csv, json ─▶ rows ─▶ timeline (when; gap? jump?) ─▶ resample (the model's rate) ─▶ cutter ─▶ frame
//!             a board's readings ─┘        rate (measured)
//! ```
//! A kind of sensor is a `Place` that opens a `Feed`; everything else is here, and the same for all. Windows are
//! made before the mailbox, so that no sample is lost to it. What cannot be used is counted and said once with what
//! to do ([`Counts`]); nothing of it ends a source. Nothing is allocated for a sample or a window.

mod counts;
mod csv;
mod cutter;
mod json;
mod lines;
mod open;
mod rate;
mod resample;
mod rows;
mod settings;
mod text;
mod timeline;

use std::error::Error;
use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

pub(super) use self::counts::Trouble;
pub use self::counts::{Counts, SampleFigures};
pub(super) use self::rows::Rows;
pub(super) use self::settings::{Format, Settings, Wanted, format};
pub(super) use self::text::{Bytes, Got, Reader, Text, read_fd};
use super::{Returns, Source, SourceError, SourceSpec};
use crate::mqtt::Link;
use crate::pipeline::window::Cut;
use crate::stop::Stop;

/// Why there are no samples.
pub(super) type Failed = Box<dyn Error + Send + Sync>;

/// What a feed's turn ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fed {
    /// Something came, if only lines that are no samples.
    Some,
    /// Nothing came in time.
    Nothing,
    /// Something may have come, and what follows is from the beginning again.
    Again,
    /// There will be no more.
    End,
}

/// An open stream of samples.
pub(super) trait Feed: Send {
    /// Adds what comes to `rows`; waits for it as long as `limit`, or until `stop` is said.
    fn fill(&mut self, rows: &mut Rows, limit: Duration, stop: &Stop) -> Result<Fed, Failed>;
}

/// When windows are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// When they are whole: samples come as they are taken.
    Live,
    /// When they would have been whole, of what was kept; with the time stamps of then, or those of now.
    Kept {
        /// Whether with those of then.
        stamps: bool,
    },
    /// As fast as they are taken.
    Free,
}

/// Where samples come from.
pub(super) trait Place: Debug + Send + Sync {
    /// What is opened, for messages.
    fn what(&self) -> String;

    /// Opens it.
    fn open(&self, wanted: &Arc<Wanted>, counts: &Arc<Counts>) -> Result<Box<dyn Feed>, Failed>;

    /// Samples a second that come from it, where that is known before they do.
    fn source_hz(&self, wanted: &Wanted) -> Option<f64> {
        wanted.rate_hz
    }

    /// When windows are given.
    fn pace(&self) -> Pace {
        Pace::Live
    }

    /// What else is wrong with what is wanted of it.
    fn refuses(&self, _: &Wanted) -> Option<String> {
        None
    }

    /// As [`SourceSpec::needs_mqtt`].
    fn needs_mqtt(&self) -> bool {
        false
    }

    /// As [`SourceSpec::connect`].
    fn connect(&self, _: &Link) {}

    /// As [`SourceSpec::returns`].
    fn returns(&self, _: &Stop) -> Option<Returns> {
        None
    }
}

/// A configured sensor.
pub(super) struct Sensor<P> {
    place: P,
    settings: Settings,
    /// Once it is known for which model.
    wanted: Option<Arc<Wanted>>,
    counts: Arc<Counts>,
}

impl<P: Debug> Debug for Sensor<P> {
    /// What is configured: what was counted is none of it, and a reload compares.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, settings, wanted, counts: _ } = self;
        f.debug_struct("Sensor")
            .field("place", place)
            .field("settings", settings)
            .field("wanted", wanted)
            .finish()
    }
}

impl<P: Place + 'static> Sensor<P> {
    /// A source of what comes from `place`.
    pub(super) fn boxed(place: P, settings: Settings) -> Box<dyn SourceSpec> {
        Box::new(Self { place, settings, wanted: None, counts: Arc::default() })
    }
}

/// A sensor whose model is not known.
#[derive(Debug, thiserror::Error)]
#[error("it gives samples, and only a pipeline has a model that says what is made of them")]
struct NoModel;

impl<P: Place> SourceSpec for Sensor<P> {
    fn open(&self) -> Result<Box<dyn Source>, SourceError> {
        let failed = |source| SourceError::Open { what: self.place.what(), source };
        let wanted = self.wanted.as_ref().ok_or_else(|| failed(NoModel.into()))?;
        let feed = self.place.open(wanted, &self.counts).map_err(failed)?;
        let (what, source_hz) = (self.place.what(), self.place.source_hz(wanted));
        let pace = self.place.pace();
        Ok(Box::new(open::Open::new(what, wanted, &self.counts, feed, pace, source_hz)))
    }

    fn rate_hz(&self) -> Option<f64> {
        let wanted = self.wanted.as_ref().filter(|_| self.place.pace() != Pace::Free)?;
        Some(wanted.cut.windows_hz())
    }

    fn fit(&mut self, cut: Option<&Cut>) -> Result<(), String> {
        let cut = cut.ok_or("gives samples, and the model has no [window] in its model.toml")?;
        let wanted = self.settings.fit(cut)?;
        if let Some(why) = self.place.refuses(&wanted) {
            return Err(why);
        }
        self.wanted = Some(Arc::new(wanted));
        Ok(())
    }

    fn samples(&self) -> Option<Arc<Counts>> {
        Some(self.counts.clone())
    }

    fn needs_mqtt(&self) -> bool {
        self.place.needs_mqtt()
    }

    fn connect(&self, link: &Link) {
        self.place.connect(link);
    }

    fn returns(&self, stop: &Stop) -> Option<Returns> {
        self.place.returns(stop)
    }
}
