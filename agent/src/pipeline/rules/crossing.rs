//! An object crosses a line.

use super::{Needs, Rule, RuleSpec, Seen, Sight};
use crate::config::Section;
use crate::kinds::Kind;
use crate::latch::Verdict;
use crate::pipeline::zones::Way;

/// `kind = "crossing"`.
pub const KIND: Kind<dyn RuleSpec> = Kind {
    name: "crossing",
    summary: "an object crosses a line; it happens and does not last",
    example: "kind = \"crossing\"\nline = \"sill\"\n\
              to = \"right\"                # left, right, either: as seen from the line's first point\n",
    build: |section: &Section<'_>| {
        let line = section.required_text("line");
        let ways = [("right", Some(Way::Right)), ("left", Some(Way::Left)), ("either", None)];
        Some(Box::new(Crossing { line, way: section.choice("to", &ways).flatten() }))
    },
};

#[derive(Debug)]
struct Crossing {
    line: String,
    way: Option<Way>,
}

impl RuleSpec for Crossing {
    fn needs(&self) -> Needs<'_> {
        Needs::Line(&self.line)
    }

    fn build(&self, place: usize) -> Box<dyn Rule> {
        Box::new(Watching { place, way: self.way })
    }
}

#[derive(Debug)]
struct Watching {
    place: usize,
    way: Option<Way>,
}

impl Rule for Watching {
    fn look(&mut self, seen: &Seen<'_>) -> Sight {
        let all = seen.zones.map(super::super::zones::Zones::crossings).unwrap_or_default();
        let mut own = all.iter().filter(|crossing| {
            crossing.line == self.place && self.way.is_none_or(|way| way == crossing.way)
        });
        let Some(first) = own.next() else {
            return Sight { verdict: Verdict::Good, ..Sight::NOTHING };
        };
        Sight {
            verdict: Verdict::Bad,
            value: u32::try_from(1 + own.count()).ok().map(f64::from),
            limit: None,
            about: Some((first.track, first.label.clone())),
        }
    }

    fn lasts(&self) -> bool {
        false
    }
}
