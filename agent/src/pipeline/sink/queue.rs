//! The bounded queue between the data path and a sink.
//!
//! The data path never waits here: when the queue is full the oldest record makes room and is counted. Records
//! are recycled, so that the steady state allocates nothing on the data path's side.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// One serialised observation on its way to a sink.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Where it is to be published; sinks that have no topics ignore it.
    pub topic: Arc<str>,
    /// The payload: JSON without a line end.
    pub body: Vec<u8>,
}

/// A bounded queue of [`Record`]s that forgets its oldest when it is full.
#[derive(Debug)]
pub struct Queue {
    ring: Mutex<Ring>,
    bell: Notify,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct Ring {
    waiting: VecDeque<Record>,
    spare: Vec<Record>,
    capacity: usize,
    closed: bool,
}

impl Queue {
    /// A queue for `capacity` records, at least one.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        let ring = Ring {
            waiting: VecDeque::with_capacity(capacity),
            spare: Vec::with_capacity(capacity),
            capacity,
            closed: false,
        };
        Self { ring: Mutex::new(ring), bell: Notify::new(), dropped: AtomicU64::new(0) }
    }

    /// Queues a copy of `body`; the oldest record gives way where there is no room.
    pub fn push(&self, topic: &Arc<str>, body: &[u8]) {
        let mut ring = self.lock();
        let mut record = if ring.waiting.len() < ring.capacity {
            ring.spare.pop().unwrap_or_default()
        } else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            ring.waiting.pop_front().unwrap_or_default()
        };
        record.topic.clone_from(topic);
        record.body.clear();
        record.body.extend_from_slice(body);
        ring.waiting.push_back(record);
        drop(ring);
        self.bell.notify_one();
    }

    /// The oldest record; waits for one. `None` once the queue is closed and empty. One reader only.
    pub async fn pop(&self) -> Option<Record> {
        loop {
            {
                let mut ring = self.lock();
                if let Some(record) = ring.waiting.pop_front() {
                    return Some(record);
                }
                if ring.closed {
                    return None;
                }
            }
            self.bell.notified().await;
        }
    }

    /// Gives a record's memory back.
    pub fn recycle(&self, record: Record) {
        let mut ring = self.lock();
        if ring.spare.len() < ring.capacity {
            ring.spare.push(record);
        }
    }

    /// Nothing more will come: the reader ends once it has everything.
    pub fn close(&self) {
        self.lock().closed = true;
        self.bell.notify_one();
    }

    /// Whether nothing more will come.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Records that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Records that gave way to newer ones.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_queue_forgets_its_oldest_and_counts_it() {
        let (queue, topic) = (Queue::new(2), Arc::from("t"));
        for body in [b"a", b"b", b"c"] {
            queue.push(&topic, body);
        }
        queue.close();
        let mut bodies = Vec::new();
        while let Some(record) = queue.pop().await {
            bodies.push(record.body.clone());
            queue.recycle(record);
        }
        assert_eq!((bodies, queue.dropped()), (vec![b"b".to_vec(), b"c".to_vec()], 1));
    }

    #[tokio::test]
    async fn a_reader_that_waits_is_woken() {
        let (queue, topic) = (Arc::new(Queue::new(2)), Arc::from("t"));
        let (popped, ()) = tokio::join!(queue.pop(), async { queue.push(&topic, b"x") });
        assert_eq!(popped.unwrap().body, b"x");
        let (popped, ()) = tokio::join!(queue.pop(), async { queue.close() });
        assert!(popped.is_none());
    }
}
