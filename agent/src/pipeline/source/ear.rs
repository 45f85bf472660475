//! What is heard on one topic of the broker, from one opening of a source to the next.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::Receiver;

use crate::config::Section;
use crate::mqtt::{Heard, Link};

/// Longest topic, as MQTT has it.
const TOPIC_BYTES_MAX: usize = 65_535;

/// See the module. A clone hears the same.
#[derive(Clone, Default)]
pub(super) struct Ear(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    heard: Option<Receiver<Heard>>,
    opened: bool,
}

/// There is no broker.
#[derive(Debug, thiserror::Error)]
#[error("there is no broker: add [mqtt] with its `url`")]
pub(super) struct NoBroker;

impl Ear {
    /// The key `topic` of `section`: where one `whose` publishes.
    pub(super) fn topic(section: &Section<'_>, whose: &str) -> String {
        let topic = section.required_text("topic");
        if topic.contains(['#', '+', '\0']) || topic.len() > TOPIC_BYTES_MAX {
            let wrong = format!("`{topic}` is no topic: one {whose}, without `#` and `+`");
            section.mistake("topic", wrong);
        }
        topic
    }

    /// Begins to hear.
    pub(super) fn listen(&self, link: &Link, topic: &str) {
        self.lock().heard = Some(link.listen(topic));
    }

    /// What came since the opening before is of no interest: it was published while nobody looked. What came before
    /// the first one is: this was heard from the start.
    ///
    /// # Errors
    /// [`NoBroker`].
    pub(super) fn open(&self) -> Result<(), NoBroker> {
        let mut inner = self.lock();
        let again = std::mem::replace(&mut inner.opened, true);
        let heard = inner.heard.as_mut().ok_or(NoBroker)?;
        while again && heard.try_recv().is_ok() {}
        Ok(())
    }

    /// Whether something waits.
    pub(super) fn waits(&self) -> bool {
        self.lock().heard.as_ref().is_some_and(|heard| !heard.is_empty())
    }

    /// Asks what came; `None` where there is no broker.
    pub(super) fn hear<T>(&self, ask: impl FnOnce(&mut Receiver<Heard>) -> T) -> Option<T> {
        self.lock().heard.as_mut().map(ask)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Ear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ear").finish_non_exhaustive()
    }
}
