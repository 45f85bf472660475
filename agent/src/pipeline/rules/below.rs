//! What a glance gives, and is below a limit: `dark` and `covered` are this.

use std::time::Duration;

use super::settings::{hold, limits};
use super::{Needs, Rule, RuleSpec, Seen, Sight};
use crate::config::Section;
use crate::latch::below;
use crate::pipeline::lookout::Luma;

const FOR_MS_DEFAULT: u64 = 2_000;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Below {
    of: fn(&Luma) -> f32,
    limits: (f64, f64),
    hold: Duration,
}

impl Below {
    /// Reads `limit`, `clear` (`above` the limit unless it says otherwise) and `for_ms`, of what `of` gives.
    pub(super) fn read(
        section: &Section<'_>,
        of: fn(&Luma) -> f32,
        range: std::ops::RangeInclusive<f64>,
        default: f64,
        above: f64,
    ) -> Box<dyn RuleSpec> {
        let limits = limits(section, range, default, above);
        Box::new(Self { of, limits, hold: hold(section, FOR_MS_DEFAULT) })
    }
}

impl RuleSpec for Below {
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

impl Rule for Below {
    fn look(&mut self, seen: &Seen<'_>) -> Sight {
        let Some(luma) = seen.luma else { return Sight::NOTHING };
        let (value, (limit, clear)) = (f64::from((self.of)(luma)), self.limits);
        Sight::measured(below(Some(value), limit, clear), value, limit)
    }
}
