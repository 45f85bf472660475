//! The anomaly score is over its threshold for some frames or windows.

use super::{Needs, Rule, RuleSpec, Seen, Sight};
use crate::config::Section;
use crate::kinds::Kind;
use crate::latch::Verdict;

/// Windows in a row.
const WINDOWS: std::ops::RangeInclusive<u32> = 1..=100_000;
const WINDOWS_DEFAULT: u32 = 3;

/// `kind = "anomaly"`.
pub const KIND: Kind<dyn RuleSpec> = Kind {
    name: "anomaly",
    summary: "the anomaly score reaches its threshold for some frames or windows in a row",
    example: "kind = \"anomaly\"\nwindows = 3                 # so many in a row\n\
              clear_windows = 5           # so many without, until it is over; default: windows\n",
    build: |section: &Section<'_>| {
        let windows = section.integer("windows", WINDOWS).unwrap_or(WINDOWS_DEFAULT);
        let clear = section.integer("clear_windows", WINDOWS).unwrap_or(windows);
        Some(Box::new(Over { windows, clear }))
    },
};

#[derive(Debug, Clone, Copy)]
struct Over {
    windows: u32,
    clear: u32,
}

impl RuleSpec for Over {
    fn needs(&self) -> Needs<'_> {
        Needs::Anomaly
    }

    fn build(&self, _: usize) -> Box<dyn Rule> {
        Box::new(Watching { over: *self, bad: 0, good: 0 })
    }
}

#[derive(Debug)]
struct Watching {
    over: Over,
    bad: u32,
    good: u32,
}

impl Rule for Watching {
    fn look(&mut self, seen: &Seen<'_>) -> Sight {
        let Some(anomaly) = seen.anomaly else { return Sight::NOTHING };
        let (now, other) = if anomaly.anomalous {
            (&mut self.bad, &mut self.good)
        } else {
            (&mut self.good, &mut self.bad)
        };
        (*now, *other) = (now.saturating_add(1), 0);
        let verdict = if self.bad >= self.over.windows {
            Verdict::Bad
        } else if self.good >= self.over.clear {
            Verdict::Good
        } else {
            Verdict::Open
        };
        Sight::measured(verdict, anomaly.score.into(), anomaly.threshold.into())
    }
}
