//! What was handed to the library in this connection and not acknowledged, and what each acknowledgement is of.
//!
//! The library numbers messages when it writes them, in the order in which it was given them.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::outbox::Id;

/// What was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sent {
    /// A record of the outbox.
    Record(Id),
    /// A version of a retained topic.
    Retained(String, u64),
    /// Whether we are there.
    Status,
}

#[derive(Debug)]
struct Handed {
    sent: Sent,
    at: Instant,
}

/// What is between us and the broker.
#[derive(Debug, Default)]
pub(super) struct Window {
    handed: VecDeque<Handed>,
    written: HashMap<u16, Handed>,
}

impl Window {
    /// `sent` is handed to the library at `at`.
    pub(super) fn hand(&mut self, sent: Sent, at: Instant) {
        self.handed.push_back(Handed { sent, at });
    }

    /// The library wrote the next message, as number `id`. What is done with that: a message without a number
    /// is not acknowledged.
    pub(super) fn written(&mut self, id: u16) -> Option<Sent> {
        let handed = self.handed.pop_front()?;
        if id == 0 {
            return Some(handed.sent);
        }
        self.written.insert(id, handed);
        None
    }

    /// The broker acknowledged number `id`.
    pub(super) fn acknowledged(&mut self, id: u16) -> Option<Sent> {
        self.written.remove(&id).map(|handed| handed.sent)
    }

    /// Whether everything was acknowledged.
    pub(super) fn is_empty(&self) -> bool {
        self.handed.is_empty() && self.written.is_empty()
    }

    /// Whether something waits for its acknowledgement for longer than `limit`.
    pub(super) fn is_overdue(&self, limit: Duration, now: Instant) -> bool {
        let oldest = self.handed.iter().chain(self.written.values()).map(|handed| handed.at).min();
        oldest.is_some_and(|at| now.saturating_duration_since(at) > limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_finds_its_message_by_the_number_that_the_library_gave() {
        let (mut window, at) = (Window::default(), Instant::now());
        for name in ["a", "b", "c"] {
            window.hand(Sent::Retained(name.to_owned(), 1), at);
        }
        assert_eq!(window.written(7), None);
        assert_eq!(window.written(0), Some(Sent::Retained("b".to_owned(), 1)));
        assert_eq!(window.written(9), None);
        assert_eq!(window.acknowledged(9), Some(Sent::Retained("c".to_owned(), 1)));
        assert_eq!(window.acknowledged(9), None);
        let limit = Duration::from_secs(1);
        assert!(!window.is_overdue(limit, at + limit));
        assert!(window.is_overdue(limit, at + limit * 2));
        assert_eq!(window.acknowledged(7), Some(Sent::Retained("a".to_owned(), 1)));
        assert!(window.is_empty() && !window.is_overdue(limit, at + limit * 9));
    }
}
