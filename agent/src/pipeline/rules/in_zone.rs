//! An object is in a zone for some time.

use std::time::Duration;

use super::settings::hold;
use super::{Needs, Rule, RuleSpec, Seen, Sight};
use crate::config::Section;
use crate::kinds::Kind;
use crate::latch::Verdict;

/// Unless configured.
const FOR_MS_DEFAULT: u64 = 1_000;

/// `kind = "in-zone"`.
pub const KIND: Kind<dyn RuleSpec> = Kind {
    name: "in-zone",
    summary: "an object is in a zone for some time, and until the last such object left",
    example: "kind = \"in-zone\"\nzone = \"entrance\"\nfor_ms = 5000\n",
    build: |section: &Section<'_>| {
        let zone = section.required_text("zone");
        Some(Box::new(InZone { zone, dwell: hold(section, FOR_MS_DEFAULT) }))
    },
};

#[derive(Debug)]
struct InZone {
    zone: String,
    dwell: Duration,
}

impl RuleSpec for InZone {
    fn needs(&self) -> Needs<'_> {
        Needs::Zone(&self.zone)
    }

    fn build(&self, place: usize) -> Box<dyn Rule> {
        Box::new(Watching { place, dwell: self.dwell })
    }
}

#[derive(Debug)]
struct Watching {
    place: usize,
    dwell: Duration,
}

impl Rule for Watching {
    fn look(&mut self, seen: &Seen<'_>) -> Sight {
        let zone = seen.zones.and_then(|zones| zones.zones().get(self.place));
        let Some(zone) = zone else { return Sight::NOTHING };
        let first = zone.members().iter().min_by_key(|member| member.since);
        let stays = first.map(|member| seen.now.saturating_sub(member.since));
        let verdict = match stays {
            Some(stays) if stays >= self.dwell => Verdict::Bad,
            _ => Verdict::Good,
        };
        let millis = |time: Duration| time.as_secs_f64() * 1000.0;
        Sight {
            verdict,
            value: stays.map(|stays| millis(stays).round()),
            limit: Some(millis(self.dwell)),
            about: first.map(|member| (member.track, member.label.clone())),
        }
    }
}
