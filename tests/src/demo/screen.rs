//! The live table: redrawn in place on a terminal, lines now and then elsewhere.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use super::{Tally, shown};

/// How often lines come where there is no terminal.
const LINES_EVERY: Duration = Duration::from_secs(5);

/// Shows the tallies while they grow.
#[derive(Debug)]
pub struct Screen {
    terminal: bool,
    drawn: usize,
    last: Option<Instant>,
}

impl Default for Screen {
    fn default() -> Self {
        Self { terminal: io::stdout().is_terminal(), drawn: 0, last: None }
    }
}

impl Screen {
    /// Prints `text` and a line end, below everything shown so far.
    pub fn say(&mut self, text: &str) {
        self.drawn = 0;
        // Who closed the pipe does not want to read on; the exit code still tells.
        drop(writeln!(io::stdout(), "{text}").and_then(|()| io::stdout().flush()));
    }

    /// Shows how far it is: `title` and the tallies, in place of what was shown last.
    pub fn show(&mut self, title: &str, tallies: &[Tally]) {
        let mut text = String::new();
        if self.terminal {
            let lines = format!("{title}\n\n{}", table(tallies));
            if self.drawn > 0 {
                // Up to where it began, and everything below erased.
                text = format!("\x1b[{}A\r\x1b[J", self.drawn);
            }
            self.drawn = lines.lines().count();
            text.push_str(&lines);
        } else {
            let now = Instant::now();
            if self.last.is_some_and(|last| now.duration_since(last) < LINES_EVERY) {
                return;
            }
            self.last = Some(now);
            text = format!("{title}\n{}", table(tallies));
        }
        drop(io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()));
    }
}

/// One line a pipeline, at most 79 columns.
fn table(tallies: &[Tally]) -> String {
    let mut text =
        "pipeline  source             fps  p50 ms  p95 ms  p99 ms  dropped  prec.  recall  heard\n"
            .to_owned();
    for tally in tallies {
        let rate = tally.rate_hz().map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}"));
        let latencies = tally.latencies_ms().map_or_else(
            || ["-", "-", "-"].map(str::to_owned),
            |all| all.map(|ms| format!("{ms:.1}")),
        );
        let [p50, p95, p99] = latencies;
        let (precision, recall) = (shown(tally.score.precision()), shown(tally.score.recall()));
        let (name, source, dropped, heard) =
            (&tally.name, &tally.source, tally.dropped, tally.heard);
        text.push_str(&format!(
            "{name:<8}  {source:<16} {rate:>5} {p50:>7} {p95:>7} {p99:>7} {dropped:>8} {precision:>6} {recall:>7} {heard:>6}\n"
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_without_numbers_has_dashes_and_stays_aligned() {
        let text = table(&[Tally::new("door", "1920x1080 mjpeg")]);
        let widths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
        assert_eq!(widths[0], widths[1], "{text}");
        assert_eq!(text.matches(" -").count(), 6, "{text}");
    }
}
