//! The camera looks elsewhere: its picture is no longer like the one that was learned.
//!
//! What is compared is the pattern of bright and dark places, not how bright they are: the correlation of the
//! cells with their slow average. So that evening, a cloud or a lamp is no movement; somebody who walks past
//! changes some cells for a moment, and a camera that was turned changes all of them for good.

use std::time::Duration;

use super::settings::{hold, limits};
use super::{Needs, Rule, RuleSpec, Seen, Sight};
use crate::config::Section;
use crate::kinds::Kind;
use crate::latch::below;
use crate::pipeline::lookout::CELLS;

/// Correlation with what was learned: 1 is the same view.
const LIMIT_DEFAULT: f64 = 0.5;
/// How much likelier it must be to be over.
const CLEAR_ABOVE: f64 = 0.2;
const FOR_MS_DEFAULT: u64 = 3_000;
/// After how long the new view is the one to compare with.
const ADOPT_MS_DEFAULT: u64 = 60_000;
const ADOPT_MS: std::ops::RangeInclusive<u64> = 1_000..=86_400_000;
/// In which time the view is learned: long against who walks past, short against the sun.
const LEARN: Duration = Duration::from_secs(30);
/// Least contrast of a view that can be compared: less is noise.
const CONTRAST_MIN: f32 = 3.0;

/// `kind = "moved"`.
pub const KIND: Kind<dyn RuleSpec> = Kind {
    name: "moved",
    summary: "the camera looks elsewhere than before, until it looks back or the new view is learned",
    example: "kind = \"moved\"\nlimit = 0.5                 # likeness of the view to the one that was learned\n\
              clear = 0.7                 # over again above so much\nfor_ms = 3000\n\
              adopt_ms = 60000            # then the new view is the one to compare with\n",
    build: |section: &Section<'_>| {
        let (limit, clear) = limits(section, -1.0..=1.0, LIMIT_DEFAULT, CLEAR_ABOVE);
        let adopt = section.integer("adopt_ms", ADOPT_MS).unwrap_or(ADOPT_MS_DEFAULT);
        let (hold, adopt) = (hold(section, FOR_MS_DEFAULT), Duration::from_millis(adopt));
        Some(Box::new(Moved { limit, clear, hold, adopt }))
    },
};

#[derive(Debug, Clone, Copy)]
struct Moved {
    limit: f64,
    clear: f64,
    hold: Duration,
    adopt: Duration,
}

impl RuleSpec for Moved {
    fn needs(&self) -> Needs<'_> {
        Needs::Source
    }

    fn hold(&self) -> Duration {
        self.hold
    }

    fn build(&self, _: usize) -> Box<dyn Rule> {
        Box::new(Watching { moved: *self, view: None, before: Duration::ZERO, unlike: None })
    }
}

#[derive(Debug)]
struct Watching {
    moved: Moved,
    /// What was learned.
    view: Option<[f32; CELLS]>,
    before: Duration,
    /// Since when the picture is unlike it.
    unlike: Option<Duration>,
}

impl Rule for Watching {
    fn look(&mut self, seen: &Seen<'_>) -> Sight {
        let Some(luma) = seen.luma.filter(|luma| luma.contrast >= CONTRAST_MIN) else {
            return Sight::NOTHING;
        };
        let passed = seen.now.saturating_sub(std::mem::replace(&mut self.before, seen.now));
        let view = self.view.get_or_insert_with(|| luma.cells.map(f32::from));
        let likeness = correlation(&luma.cells, view);
        if f64::from(likeness) < self.moved.limit {
            let since = *self.unlike.get_or_insert(seen.now);
            if seen.now.saturating_sub(since) >= self.moved.adopt {
                *view = luma.cells.map(f32::from);
                self.unlike = None;
            }
        } else {
            self.unlike = None;
            let share = (passed.as_secs_f32() / LEARN.as_secs_f32()).min(1.0);
            for (known, &cell) in view.iter_mut().zip(&luma.cells) {
                *known += share * (f32::from(cell) - *known);
            }
        }
        let likeness = f64::from(likeness);
        let verdict = below(Some(likeness), self.moved.limit, self.moved.clear);
        Sight::measured(verdict, likeness, self.moved.limit)
    }
}

/// How alike the patterns are, from -1 to 1.
fn correlation(cells: &[u8; CELLS], view: &[f32; CELLS]) -> f32 {
    let count = f32::from(u16::try_from(CELLS).unwrap_or(u16::MAX));
    let mean = cells.iter().map(|&cell| f32::from(cell)).sum::<f32>() / count;
    let known = view.iter().sum::<f32>() / count;
    let (mut both, mut own, mut others) = (0.0, 0.0, 0.0);
    for (&cell, &value) in cells.iter().zip(view) {
        let (a, b) = (f32::from(cell) - mean, value - known);
        both += a * b;
        own += a * a;
        others += b * b;
    }
    let scale = (own * others).sqrt();
    if scale > 0.0 { both / scale } else { 1.0 }
}
