//! The camera sees one surface: something lies on its lens, or hangs before it.

use std::time::Duration;

use super::settings::hold;
use super::{Needs, Rule, RuleSpec, Seen, Sight};
use crate::config::Section;
use crate::kinds::Kind;
use crate::latch::below;

/// Standard deviation over the places of a picture, in levels of 255: scenes have twenty and more.
const LIMIT_DEFAULT: f64 = 5.0;
/// How much more it must be to be over.
const CLEAR_ABOVE: f64 = 3.0;
const FOR_MS_DEFAULT: u64 = 2_000;

/// `kind = "covered"`.
pub const KIND: Kind<dyn RuleSpec> = Kind {
    name: "covered",
    summary: "the camera's picture is the same everywhere: something covers it",
    example: "kind = \"covered\"\nlimit = 5                   # how much its places differ, levels of 255\n\
              clear = 8                   # over again above so much\nfor_ms = 2000\n",
    build: |section: &Section<'_>| {
        let limit = section.number("limit", 0.0..=127.0).unwrap_or(LIMIT_DEFAULT);
        let clear = section.number("clear", 0.0..=127.0).unwrap_or(limit + CLEAR_ABOVE);
        if clear < limit {
            section.mistake("clear", format!("{clear} is below `limit`, {limit}"));
        }
        Some(Box::new(Covered { limit, clear, hold: hold(section, FOR_MS_DEFAULT) }))
    },
};

#[derive(Debug, Clone, Copy)]
struct Covered {
    limit: f64,
    clear: f64,
    hold: Duration,
}

impl RuleSpec for Covered {
    fn needs(&self) -> Needs<'_> {
        Needs::Source
    }

    fn hold(&self) -> Duration {
        self.hold
    }

    fn build(&self, _: usize) -> Box<dyn Rule> {
        Box::new(*self)
    }
}

impl Rule for Covered {
    fn look(&mut self, seen: &Seen<'_>) -> Sight {
        let Some(luma) = seen.luma else { return Sight::NOTHING };
        let contrast = f64::from(luma.contrast);
        Sight::measured(below(Some(contrast), self.limit, self.clear), contrast, self.limit)
    }
}
