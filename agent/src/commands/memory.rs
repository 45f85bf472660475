//! What was answered to which request, so that a message that arrives twice is done once.
//!
//! Bounded: the oldest is forgotten first. Of this run of the daemon only; a request with the number
//! [`UNNUMBERED`] is not remembered.

use std::collections::VecDeque;

use wire::Verb;
use wire::topic::UNNUMBERED;

/// Results that are remembered: with at most 8 KiB each, a megabyte. A broker sends a message again within seconds.
const RESULTS_MAX: usize = 128;

/// What is known of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// It is being done.
    UnderWay,
    /// It was done, or refused by who does it, and this was said.
    Answered(Vec<u8>),
}

/// See the module.
#[derive(Debug, Default)]
pub struct Memory(VecDeque<(Verb, String, Known)>);

impl Memory {
    /// What is known of `request`.
    #[must_use]
    pub fn known(&self, verb: Verb, request: &str) -> Option<&Known> {
        let same = |entry: &&(Verb, String, Known)| entry.0 == verb && entry.1 == request;
        self.0.iter().find(same).map(|(_, _, known)| known)
    }

    /// It is about to be done.
    pub fn begun(&mut self, verb: Verb, request: &str) {
        if request == UNNUMBERED {
            return;
        }
        if self.0.len() >= RESULTS_MAX {
            self.0.pop_front();
        }
        self.0.push_back((verb, request.to_owned(), Known::UnderWay));
    }

    /// It was answered with `body`.
    pub fn answered(&mut self, verb: Verb, request: &str, body: Vec<u8>) {
        let same = |entry: &&mut (Verb, String, Known)| entry.0 == verb && entry.1 == request;
        if let Some((_, _, known)) = self.0.iter_mut().find(same) {
            *known = Known::Answered(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_and_the_unnumbered_are_never_remembered() {
        let mut memory = Memory::default();
        memory.begun(Verb::Set, UNNUMBERED);
        assert_eq!(memory.known(Verb::Set, UNNUMBERED), None);
        for number in 0..=RESULTS_MAX {
            memory.begun(Verb::Set, &number.to_string());
            memory.answered(Verb::Set, &number.to_string(), vec![1]);
        }
        assert_eq!(memory.known(Verb::Set, "0"), None);
        assert_eq!(memory.known(Verb::Set, "1"), Some(&Known::Answered(vec![1])));
        assert_eq!(memory.known(Verb::Pause, "1"), None, "another verb's request");
    }
}
