//! The camera gives the same picture again and again: a real one never does, for its noise.

use std::time::Duration;

use super::settings::hold;
use super::{Needs, Rule, RuleSpec, Seen, Sight};
use crate::config::Section;
use crate::kinds::Kind;
use crate::latch::Verdict;

const FOR_MS_DEFAULT: u64 = 5_000;

/// `kind = "frozen"`.
pub const KIND: Kind<dyn RuleSpec> = Kind {
    name: "frozen",
    summary: "the camera gives the same picture again and again",
    example: "kind = \"frozen\"\nfor_ms = 5000\n",
    build: |section: &Section<'_>| Some(Box::new(Frozen { hold: hold(section, FOR_MS_DEFAULT) })),
};

#[derive(Debug)]
struct Frozen {
    hold: Duration,
}

impl RuleSpec for Frozen {
    fn needs(&self) -> Needs<'_> {
        Needs::Source
    }

    fn hold(&self) -> Duration {
        self.hold
    }

    fn tells_apart(&self) -> bool {
        true
    }

    fn build(&self, _: usize) -> Box<dyn Rule> {
        Box::new(Watching { before: None, since: Duration::ZERO })
    }
}

#[derive(Debug)]
struct Watching {
    before: Option<u64>,
    since: Duration,
}

impl Rule for Watching {
    fn look(&mut self, seen: &Seen<'_>) -> Sight {
        let Some(luma) = seen.luma else { return Sight::NOTHING };
        let Some(digest) = luma.digest else { return Sight::NOTHING };
        let same = self.before.replace(digest) == Some(digest);
        if !same {
            self.since = seen.now;
            return Sight { verdict: Verdict::Good, ..Sight::NOTHING };
        }
        let millis = seen.now.saturating_sub(self.since).as_secs_f64() * 1000.0;
        Sight { verdict: Verdict::Bad, value: Some(millis.round()), ..Sight::NOTHING }
    }
}
