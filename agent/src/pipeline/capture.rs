//! The thread that waits for a source and posts its frames, and opens it again for as long as it takes.

use std::sync::Arc;

use super::door::Door;
use super::frame::Frame;
use super::health::Health;
use super::latest::Desk;
use super::lookout::Lookout;
use super::source::{Next, Source, SourceError, SourceSpec};
use crate::stop::Stop;
use crate::supervisor::Failure;

/// A source that gave so many frames works: what fails then is news, and it is opened again after the first pause.
const FRAMES_WELL: u64 = 10;

/// Everything a capture thread works with.
#[derive(Debug)]
pub struct Capture {
    /// What to open.
    pub source: Arc<dyn SourceSpec>,
    /// Where to post.
    pub desk: Arc<Desk>,
    /// In which of its mailboxes.
    pub index: usize,
    /// Where to post instead while a lighter model is to infer the frames, where there is one.
    pub lighter: Option<(Arc<Desk>, usize)>,
    /// Where to count.
    pub health: Arc<Health>,
    /// Where it is told to pause.
    pub door: Arc<Door>,
    /// What looks at its frames before any model.
    pub lookout: Lookout,
    /// When to end.
    pub stop: Stop,
    /// The frame being filled.
    pub frame: Frame,
    /// Whether it was open before.
    pub opened: bool,
}

/// Why the source is closed.
enum Closed {
    /// It is to be opened again once the pipeline is resumed.
    Paused,
    /// There will be no more frames.
    Ended,
}

impl Capture {
    /// Opens the source and posts its frames until it ends or `stop` is said. While the pipeline is paused the
    /// source is closed: a camera's light is off, and nobody else is kept from it. Called again after a failure.
    ///
    /// # Errors
    /// The source could not be opened or gave nothing usable: retried after a pause.
    pub fn work(&mut self) -> Result<(), Failure> {
        loop {
            if !self.door.wait_resumed(&self.stop) {
                self.end();
                return Ok(());
            }
            if std::mem::replace(&mut self.opened, true) {
                self.health.reopened();
            }
            let before = self.health.counts().captured;
            let failed = |error: SourceError| Failure::retry("no frames", error);
            let posted = self
                .source
                .open()
                .map_err(failed)
                .and_then(|mut source| self.post_all(source.as_mut()));
            let worked = self.health.counts().captured.saturating_sub(before) >= FRAMES_WELL;
            let failed = |failure: Failure| {
                failure.until(self.source.returns(&self.stop)).after_work(worked)
            };
            match posted.map_err(failed)? {
                // Opened again because somebody wanted it so, not because it failed.
                Closed::Paused => self.opened = false,
                Closed::Ended => return Ok(()),
            }
        }
    }

    fn post_all(&mut self, source: &mut dyn Source) -> Result<Closed, Failure> {
        while !self.door.is_paused() {
            let next = source.next(&mut self.frame, &self.stop);
            match next.map_err(|error| Failure::retry("no frames", error))? {
                Next::Frame => {
                    self.health.captured();
                    if !self.lookout.admits(&self.frame, &self.door, &self.health) {
                        continue;
                    }
                    if !self.post() {
                        return Ok(Closed::Ended);
                    }
                }
                Next::End => {
                    tracing::info!("the source has ended");
                    self.health.end();
                    self.end();
                    return Ok(Closed::Ended);
                }
                Next::Stopped => {
                    self.end();
                    return Ok(Closed::Ended);
                }
            }
        }
        Ok(Closed::Paused)
    }

    /// Posts the frame to the model that is to infer it. False once there is no use in more.
    fn post(&mut self) -> bool {
        match &self.lighter {
            Some((desk, index)) if self.door.is_lighter() => desk.post(*index, &mut self.frame),
            _ => self.desk.post(self.index, &mut self.frame),
        }
    }

    /// Nothing more will be posted.
    fn end(&self) {
        self.desk.end(self.index);
        if let Some((desk, index)) = &self.lighter {
            desk.end(*index);
        }
    }
}
