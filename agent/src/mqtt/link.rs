//! What the rest of the daemon holds of the connection: what it says, what it hears, whether there is a broker.
//!
//! Nothing here waits. What is said goes into the outbox or the table of retained messages; what is heard comes
//! through bounded channels, and what did not fit is counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, watch};
use wire::topic::Topics;

use super::filter;
use crate::outbox::{Class, Outbox, StoreFigures};
use crate::pipeline::sink::Queue;

/// Most topics and filters that are listened to: a few for each model and each command.
const FILTERS_MAX: usize = 1024;
/// Most retained topics of one device: its state, and what dashboards discover of it.
const RETAINED_MAX: usize = 4096;
/// Largest retained message: with its topic it fits into a packet. A larger one would end every connection.
const RETAINED_MAX_BYTES: usize = 240 << 10;
/// Messages that one listener may have waiting. A listener that is slower than this is not one to wait for.
const HEARD_MAX: usize = 64;

/// One message that was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Where it was published.
    pub topic: String,
    /// What it says.
    pub payload: Bytes,
    /// Whether the broker had kept it for us: it was said before we came.
    pub retained: bool,
}

/// Whether there is a broker, and the how-manieth time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reached {
    /// Whether there is one now.
    pub up: bool,
    /// Connections made so far. Another number is another connection, whose broker may have forgotten us.
    pub count: u64,
}

/// What is to stand on a topic.
#[derive(Debug, Clone)]
pub(super) struct Retained {
    pub(super) topic: String,
    /// Empty where the topic is to be cleared.
    pub(super) body: Bytes,
    /// Counts what was put on this topic.
    pub(super) version: u64,
    /// The version that this connection's broker was sent.
    sent: u64,
}

#[derive(Debug)]
enum Listener {
    Bell(Arc<Notify>),
    Channel(mpsc::Sender<Heard>),
}

/// The daemon's end of the connection.
#[derive(Debug, Clone)]
pub struct Link(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    queue: Arc<Queue>,
    outbox: Outbox,
    topics: Topics,
    retained: Mutex<Vec<Retained>>,
    listeners: Mutex<Vec<(String, Listener)>>,
    unheard: AtomicU64,
    news: Notify,
    reached: watch::Sender<Reached>,
    /// Whether the data path's queue is closed and empty.
    drained: watch::Sender<bool>,
}

impl Link {
    pub(super) fn new(queue: usize, topics: &Topics, outbox: Outbox) -> Self {
        Self(Arc::new(Inner {
            queue: Arc::new(Queue::new(queue)),
            outbox,
            topics: topics.clone(),
            retained: Mutex::default(),
            listeners: Mutex::default(),
            unheard: AtomicU64::new(0),
            news: Notify::new(),
            reached: watch::Sender::default(),
            drained: watch::Sender::default(),
        }))
    }

    /// Observations that the data path leaves here, oldest first.
    #[must_use]
    pub fn queue(&self) -> &Arc<Queue> {
        &self.0.queue
    }

    /// The device's topics.
    #[must_use]
    pub fn topics(&self) -> &Topics {
        &self.0.topics
    }

    pub(super) fn outbox(&self) -> &Outbox {
        &self.0.outbox
    }

    /// Publishes `body` on `topic` now or once there is a broker. Never waits. Where there is no room, the
    /// oldest record of the least important class gives way.
    pub fn publish(&self, class: Class, topic: &str, body: Vec<u8>) {
        self.0.outbox.push(class, Bytes::copy_from_slice(topic.as_bytes()), body);
    }

    /// Publishes `body` on `topic`, retained, now and after every reconnect.
    pub fn retain(&self, topic: &str, body: Vec<u8>) {
        self.put(topic, body.into());
    }

    /// Clears the retained message on `topic` at the broker, now or once there is one.
    pub fn forget(&self, topic: &str) {
        self.put(topic, Bytes::new());
    }

    fn put(&self, topic: &str, body: Bytes) {
        if body.len() > RETAINED_MAX_BYTES {
            tracing::error!(
                topic,
                "a retained message of more than {RETAINED_MAX_BYTES} bytes is dropped"
            );
            return;
        }
        let mut retained = lock(&self.0.retained);
        if let Some(known) = retained.iter_mut().find(|known| known.topic == topic) {
            known.body = body;
            known.version += 1;
        } else if retained.len() < RETAINED_MAX {
            retained.push(Retained { topic: topic.to_owned(), body, version: 1, sent: 0 });
        } else {
            tracing::warn!(topic, "more retained topics than {RETAINED_MAX}: not published");
        }
        drop(retained);
        self.0.news.notify_one();
    }

    /// What comes on every topic that `filter` (with `+` and `#`) matches, from the next subscription on. What
    /// a slow reader leaves waiting beyond a bound is dropped and counted in [`Link::unheard`].
    #[must_use]
    pub fn listen(&self, filter: &str) -> mpsc::Receiver<Heard> {
        let (sender, receiver) = mpsc::channel(HEARD_MAX);
        self.add(filter, Listener::Channel(sender));
        receiver
    }

    /// What wakes on every message on `topic`, whatever it says. Retained messages do not count: they were said
    /// before, and would wake every device at every reconnect.
    #[must_use]
    pub fn on(&self, topic: &str) -> Arc<Notify> {
        let known = lock(&self.0.listeners).iter().find_map(|(known, listener)| match listener {
            Listener::Bell(bell) if known == topic => Some(bell.clone()),
            _ => None,
        });
        if let Some(bell) = known {
            return bell;
        }
        let bell = Arc::<Notify>::default();
        self.add(topic, Listener::Bell(bell.clone()));
        bell
    }

    fn add(&self, filter: &str, listener: Listener) {
        let mut listeners = lock(&self.0.listeners);
        if listeners.len() < FILTERS_MAX {
            listeners.push((filter.to_owned(), listener));
        } else {
            tracing::warn!(filter, "more filters than {FILTERS_MAX}: not listened to");
        }
        drop(listeners);
        self.0.news.notify_one();
    }

    /// Whether there is a broker; changes at every connection and every loss of one.
    #[must_use]
    pub fn connected(&self) -> watch::Receiver<Reached> {
        self.0.reached.subscribe()
    }

    /// Messages that their listener had no room for.
    #[must_use]
    pub fn unheard(&self) -> u64 {
        self.0.unheard.load(Ordering::Relaxed)
    }

    /// What waits for the broker, and what had to give way.
    #[must_use]
    pub fn store_figures(&self) -> StoreFigures {
        let mut figures = self.0.outbox.figures();
        figures.dropped[Class::Observation.index()] += self.0.queue.dropped();
        figures
    }

    /// Nothing more comes from the data path.
    pub(super) fn set_drained(&self) {
        self.0.drained.send_replace(true);
    }

    /// Resolves once nothing more comes from the data path.
    pub(super) async fn drained(&self) {
        // The sender lives as long as we do.
        drop(self.0.drained.subscribe().wait_for(|drained| *drained).await);
    }

    pub(super) fn set_up(&self, up: bool) {
        if up {
            lock(&self.0.retained).iter_mut().for_each(|retained| retained.sent = 0);
        }
        self.0.reached.send_if_modified(|reached| {
            let change = reached.up != up;
            reached.up = up;
            reached.count += u64::from(change && up);
            change
        });
    }

    /// Resolves when something is to be retained or listened to that was not before.
    pub(super) async fn news(&self) {
        self.0.news.notified().await;
    }

    /// The next retained message that this connection's broker does not have yet; it counts as sent.
    pub(super) fn next_retained(&self) -> Option<Retained> {
        let mut retained = lock(&self.0.retained);
        let next = retained.iter_mut().find(|retained| retained.sent != retained.version)?;
        next.sent = next.version;
        Some(next.clone())
    }

    /// `body` was just sent on `topic`: where that is not what is to stand there, what is follows once more, so that
    /// who listens does not take an older word for the last.
    pub(super) fn overtook(&self, topic: &str, body: &[u8]) {
        let mut retained = lock(&self.0.retained);
        let known = retained.iter_mut().find(|known| known.topic == topic && known.body != body);
        let Some(known) = known else { return };
        known.sent = 0;
        drop(retained);
        self.0.news.notify_one();
    }

    /// The broker has `version` of `topic`: where that was its end, there is nothing more to remember of it.
    pub(super) fn has_retained(&self, topic: &str, version: u64) {
        let done = |known: &Retained| {
            known.topic == topic && known.version == version && known.body.is_empty()
        };
        lock(&self.0.retained).retain(|known| !done(known));
    }

    /// Every filter that somebody still listens to, once each.
    pub(super) fn filters(&self) -> Vec<String> {
        let mut listeners = lock(&self.0.listeners);
        listeners.retain(|(_, listener)| match listener {
            Listener::Bell(_) => true,
            Listener::Channel(sender) => !sender.is_closed(),
        });
        let mut filters: Vec<String> = Vec::new();
        for (filter, _) in &*listeners {
            if !filters.contains(filter) {
                filters.push(filter.clone());
            }
        }
        filters
    }

    /// Hands a message to whoever listens to its topic.
    pub(super) fn heard(&self, heard: &Heard) {
        for (filter, listener) in &*lock(&self.0.listeners) {
            if !filter::matches(filter, &heard.topic) {
                continue;
            }
            match listener {
                Listener::Bell(bell) if !heard.retained => bell.notify_one(),
                Listener::Bell(_) => {}
                Listener::Channel(sender) => {
                    if let Err(mpsc::error::TrySendError::Full(_)) = sender.try_send(heard.clone())
                    {
                        self.0.unheard.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> Link {
        let limits = crate::outbox::Limits {
            max_bytes: 1 << 20,
            max_age: std::time::Duration::from_secs(60),
            replay_pause: std::time::Duration::ZERO,
        };
        // Nothing is opened there as long as there is no store.
        let outbox = Outbox::open(std::path::Path::new("no-such-directory"), limits);
        Link::new(4, &Topics::new("d").unwrap(), outbox)
    }

    #[test]
    fn a_retained_topic_is_sent_once_a_connection_and_forgotten_once_the_broker_has_cleared_it() {
        let link = link();
        link.retain("a", b"1".to_vec());
        link.retain("a", b"2".to_vec());
        link.set_up(true);
        assert_eq!(link.next_retained().unwrap().body, "2");
        assert!(link.next_retained().is_none());
        link.set_up(false);
        link.set_up(true);
        assert_eq!(link.next_retained().unwrap().body, "2");
        link.forget("a");
        let cleared = link.next_retained().unwrap();
        assert!(cleared.body.is_empty());
        link.has_retained("a", cleared.version);
        link.set_up(false);
        link.set_up(true);
        assert!(link.next_retained().is_none());
    }

    #[test]
    fn what_stands_is_said_once_more_after_an_older_word_and_only_then() {
        let link = link();
        link.retain("alarm", b"ended".to_vec());
        link.set_up(true);
        assert!(link.next_retained().is_some());
        link.overtook("alarm", b"ended");
        link.overtook("other", b"raised");
        assert!(link.next_retained().is_none());
        link.overtook("alarm", b"raised");
        assert_eq!(link.next_retained().unwrap().body, "ended");
        assert!(link.next_retained().is_none());
    }

    #[test]
    fn a_listener_that_does_not_read_loses_messages_that_are_counted() {
        let link = link();
        let mut channel = link.listen("cmd/+/#");
        let heard =
            |topic: &str| Heard { topic: topic.to_owned(), payload: Bytes::new(), retained: false };
        link.heard(&heard("other"));
        for _ in 0..HEARD_MAX + 3 {
            link.heard(&heard("cmd/status/1"));
        }
        assert_eq!((channel.len(), link.unheard()), (HEARD_MAX, 3));
        assert_eq!(channel.try_recv().unwrap().topic, "cmd/status/1");
        drop(channel);
        assert!(link.filters().is_empty());
    }

    #[test]
    fn a_connection_that_is_told_twice_that_it_is_up_counts_once() {
        let link = link();
        let reached = link.connected();
        for (up, count) in [(false, 0), (true, 1), (true, 1), (false, 1), (true, 2)] {
            link.set_up(up);
            assert_eq!(*reached.borrow(), Reached { up, count });
        }
    }
}
