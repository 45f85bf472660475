//! The camera sees nothing: it is dark.

use std::time::Duration;

use super::settings::hold;
use super::{Needs, Rule, RuleSpec, Seen, Sight};
use crate::config::Section;
use crate::kinds::Kind;
use crate::latch::below;

/// Mean level, of 255: 16 is black in most cameras' range.
const LIMIT_DEFAULT: f64 = 24.0;
/// How much brighter it must be to be over.
const CLEAR_ABOVE: f64 = 8.0;
const FOR_MS_DEFAULT: u64 = 2_000;

/// `kind = "dark"`.
pub const KIND: Kind<dyn RuleSpec> = Kind {
    name: "dark",
    summary: "the camera's picture is dark as a whole",
    example: "kind = \"dark\"\nlimit = 24                  # mean level, 0 to 255\n\
              clear = 32                  # over again above so much\nfor_ms = 2000\n",
    build: |section: &Section<'_>| {
        let limit = section.number("limit", 0.0..=255.0).unwrap_or(LIMIT_DEFAULT);
        let clear = section.number("clear", 0.0..=255.0).unwrap_or(limit + CLEAR_ABOVE);
        if clear < limit {
            section.mistake("clear", format!("{clear} is below `limit`, {limit}"));
        }
        Some(Box::new(Dark { limit, clear, hold: hold(section, FOR_MS_DEFAULT) }))
    },
};

#[derive(Debug, Clone, Copy)]
struct Dark {
    limit: f64,
    clear: f64,
    hold: Duration,
}

impl RuleSpec for Dark {
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

impl Rule for Dark {
    fn look(&mut self, seen: &Seen<'_>) -> Sight {
        let Some(luma) = seen.luma else { return Sight::NOTHING };
        let mean = f64::from(luma.mean);
        Sight::measured(below(Some(mean), self.limit, self.clear), mean, self.limit)
    }
}
