//! More objects than there should be, in a zone or in the whole picture.

use std::time::Duration;

use super::settings::hold;
use super::{Needs, Rule, RuleSpec, Seen, Sight};
use crate::config::Section;
use crate::kinds::Kind;
use crate::latch::above;

/// More than a postprocess gives.
const LIMIT: std::ops::RangeInclusive<u32> = 0..=1000;

/// `kind = "count-over"`.
pub const KIND: Kind<dyn RuleSpec> = Kind {
    name: "count-over",
    summary: "more objects than a limit, in a zone or in the whole picture",
    example: "kind = \"count-over\"\nlimit = 10                  # more than so many\n\
              clear = 8                   # over again at so many; default: limit\n\
              zone = \"entrance\"           # default: the whole picture\nfor_ms = 2000\n",
    build: |section: &Section<'_>| {
        let limit = section.integer("limit", LIMIT);
        if !section.has("limit") {
            section.mistake("limit", "is missing");
        }
        let clear = section.integer("clear", LIMIT);
        let zone = section.text("zone");
        let hold = hold(section, 0);
        let limit = limit?;
        let clear = clear.unwrap_or(limit);
        if clear > limit {
            section.mistake("clear", format!("{clear} is above `limit`, {limit}"));
        }
        Some(Box::new(CountOver { zone, hold, limit: limit.into(), clear: clear.into() }))
    },
};

#[derive(Debug, Clone)]
struct CountOver {
    zone: Option<String>,
    hold: Duration,
    limit: f64,
    clear: f64,
}

impl RuleSpec for CountOver {
    fn needs(&self) -> Needs<'_> {
        self.zone.as_deref().map_or(Needs::Objects, Needs::Zone)
    }

    fn hold(&self) -> Duration {
        self.hold
    }

    fn build(&self, place: usize) -> Box<dyn Rule> {
        let zone = self.zone.is_some().then_some(place);
        Box::new(Watching { zone, limit: self.limit, clear: self.clear })
    }
}

#[derive(Debug)]
struct Watching {
    zone: Option<usize>,
    limit: f64,
    clear: f64,
}

impl Rule for Watching {
    fn look(&mut self, seen: &Seen<'_>) -> Sight {
        let objects = match self.zone {
            Some(zone) => {
                seen.zones.and_then(|zones| zones.zone_counts().get(zone)).map(|c| c.objects)
            }
            // Where objects are followed, boxes that are not believed yet are none.
            None => {
                let followed = seen.zones.is_some();
                let objects = seen.detections.iter();
                u32::try_from(objects.filter(|one| !followed || one.track.is_some()).count()).ok()
            }
        };
        let Some(objects) = objects.map(f64::from) else { return Sight::NOTHING };
        Sight::measured(above(Some(objects), self.limit, self.clear), objects, self.limit)
    }
}
