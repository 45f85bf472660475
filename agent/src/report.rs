//! Errors for people: the whole chain of causes, once.

use std::error::Error;

/// `error` and everything that caused it, on one line: `cannot open X: no such file`.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        // Some libraries repeat their cause in their own words.
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Level(&'static str, #[source] Option<Box<Level>>);

    #[test]
    fn every_cause_is_said_once() {
        let error = Level("a", Some(Box::new(Level("b", Some(Box::new(Level("b", None)))))));
        assert_eq!(chain(&error), "a: b");
    }
}
