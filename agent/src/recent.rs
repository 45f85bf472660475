//! The last warnings and errors of the log, for whoever asks the device what is wrong with it.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::sync::{Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// Lines that are kept: what fits one answer.
const LINES_MAX: usize = 20;
/// Longest line that is kept, in bytes.
const LINE_MAX_BYTES: usize = 400;

static LINES: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());

/// The last warnings and errors, oldest first.
#[must_use]
pub fn lines() -> Vec<String> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
}

/// Keeps what is logged as a warning or worse.
#[derive(Debug)]
pub struct Recent;

impl<S: Subscriber> Layer<S> for Recent {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = *event.metadata().level();
        if level > Level::WARN {
            return;
        }
        let mut line = Line(format!("{level}:"));
        event.record(&mut line);
        let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() >= LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line.0);
    }
}

/// A line being written: the message, and every field by its name.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if self.0.len() >= LINE_MAX_BYTES {
            return;
        }
        let written = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
        if written.is_err() {
            return;
        }
        if let Some((end, _)) = self.0.char_indices().find(|(at, _)| *at >= LINE_MAX_BYTES) {
            self.0.truncate(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt as _;

    #[test]
    fn warnings_are_kept_up_to_a_bound_and_lesser_news_are_not() {
        tracing::subscriber::with_default(tracing_subscriber::registry().with(Recent), || {
            for n in 0..LINES_MAX + 5 {
                tracing::warn!(n, "a warning");
                tracing::info!("all is well");
            }
            tracing::error!(text = "x".repeat(1000), "a long one");
        });
        let lines = lines();
        assert_eq!(lines.len(), LINES_MAX);
        assert_eq!(lines[0], "WARN: a warning n=6");
        assert!(lines.iter().all(|line| line.len() <= LINE_MAX_BYTES));
        assert!(lines[LINES_MAX - 1].starts_with("ERROR: a long one"), "{lines:?}");
    }
}
