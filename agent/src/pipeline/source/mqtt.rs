//! The `mqtt` source: pictures that somebody else publishes on a topic of the configured broker.
//!
//! The newest wins: what came while the pipeline was busy is passed over. Retained pictures are not frames, since
//! they were taken before anybody asked.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::runtime::{Builder, Runtime};

use super::ear::{Ear, NoBroker};
use super::live::{LOOK_EVERY, Live};
use super::replay::{PictureError, picture};
use super::{Next, Source, SourceError, SourceSpec};
use crate::config::Section;
use crate::kinds::Kind;
use crate::mqtt::Link;
use crate::pipeline::frame::Frame;
use crate::stop::Stop;

/// `kind = "mqtt"`.
pub const KIND: Kind<dyn SourceSpec> = Kind {
    name: "mqtt",
    summary: "JPEG or PNG pictures of at most 250 KiB on a topic of the broker of [mqtt]",
    example: r#"kind = "mqtt"
topic = "yard/camera/jpeg"
rate_hz = 1                 # what is expected; 0.05 to 1000
# silence_s = 3             # without a picture for so long the topic is said to be silent
# start_s = 15              # how long the first may take
"#,
    build: read,
};

/// A configured topic.
#[derive(Debug)]
struct Mqtt {
    topic: String,
    live: Live,
    heard: Ear,
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
enum TopicError {
    /// The configuration has no broker, or it was not opened.
    #[error(transparent)]
    NoBroker(NoBroker),
    /// The frame clock stands still.
    #[error("no picture came for {} s: who publishes there, and is the broker reached?", .0.as_secs_f32())]
    Silent(Duration),
    /// What came is none.
    #[error("what came is no picture that can be used")]
    Picture(#[source] PictureError),
}

/// Reads the table of such a source.
#[must_use]
pub fn read(section: &Section<'_>) -> Option<Box<dyn SourceSpec>> {
    let topic = Ear::topic(section, "camera");
    let live = Live::read(section);
    Some(Box::new(Mqtt { topic, live, heard: Ear::default() }))
}

impl SourceSpec for Mqtt {
    fn connect(&self, link: &Link) {
        self.heard.listen(link, &self.topic);
    }

    fn needs_mqtt(&self) -> bool {
        true
    }

    fn open(&self) -> Result<Box<dyn Source>, SourceError> {
        let what = format!("the topic `{}`", self.topic);
        let open = |source| SourceError::Open { what: what.clone(), source };
        self.heard.open().map_err(|error| open(error.into()))?;
        let runtime = Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(|error| open(error.into()))?;
        let (heard, live) = (self.heard.clone(), self.live);
        Ok(Box::new(Open { what, heard, runtime, live, buffer: Vec::new(), seq: 0 }))
    }

    fn rate_hz(&self) -> Option<f64> {
        Some(self.live.rate_hz)
    }
}

/// A topic that is listened to.
#[derive(Debug)]
struct Open {
    what: String,
    heard: Ear,
    runtime: Runtime,
    live: Live,
    buffer: Vec<u8>,
    seq: u64,
}

impl Open {
    fn read(&mut self, frame: &mut Frame, stop: &Stop) -> Result<Next, TopicError> {
        let patience = self.live.patience(self.seq);
        let deadline = Instant::now() + patience;
        loop {
            if stop.said() {
                return Ok(Next::Stopped);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(TopicError::Silent(patience));
            }
            let limit = left.min(LOOK_EVERY);
            // One reader at a time: nobody else has it. The newest counts.
            let came = self.heard.hear(|receiver| {
                let coming = async { tokio::time::timeout(limit, receiver.recv()).await };
                let mut newest = self.runtime.block_on(coming);
                while let Ok(newer) = receiver.try_recv() {
                    newest = Ok(Some(newer));
                }
                newest
            });
            let newest = match came.ok_or(TopicError::NoBroker(NoBroker))? {
                Ok(Some(newest)) => newest,
                Err(_) => continue,
                // The connection ended for good: the daemon is about to.
                Ok(None) => {
                    if stop.wait(limit) {
                        return Ok(Next::Stopped);
                    }
                    continue;
                }
            };
            if newest.retained {
                continue;
            }
            self.buffer.clear();
            self.buffer.extend_from_slice(&newest.payload);
            picture::decode(&mut self.buffer, frame).map_err(TopicError::Picture)?;
            return Ok(Next::Frame);
        }
    }
}

impl Source for Open {
    fn next(&mut self, frame: &mut Frame, stop: &Stop) -> Result<Next, SourceError> {
        let next = self
            .read(frame, stop)
            .map_err(|error| SourceError::Read { what: self.what.clone(), source: error.into() })?;
        if next == Next::Frame {
            (frame.captured, frame.ts) = (Instant::now(), Timestamp::now());
            (frame.seq, frame.truth) = (self.seq, None);
            self.seq += 1;
        }
        Ok(next)
    }
}
