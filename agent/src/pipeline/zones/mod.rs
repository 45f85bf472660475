//! Who is in which part of the picture, since when, and who crossed which line which way.
//!
//! An object has entered a zone with the frame in which its anchor is inside; it has left once it was outside, or
//! not seen, for a while, so that neither a jumpy box nor a missed frame counts twice. It has crossed a line once
//! it was clearly on one side and then on the other, and its way led between the line's ends.
//!
//! **Invariant:** what is remembered has a bound and is there from the start; a frame allocates nothing. Pure:
//! time is an argument.

mod geometry;
mod schedule;
mod settings;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use wire::{Detection, LineCount, ZoneCount};

pub use self::geometry::Point;
use self::geometry::{crosses, holds, right_of};
pub use self::schedule::Span;
use self::settings::{Anchor, Filter};
pub use self::settings::{LineSettings, ZONES_MAX, ZoneSettings};
use super::track::TRACKS_MAX;

/// How long the side of a line on which an object was is remembered while it is not seen.
const REMEMBER: Duration = Duration::from_secs(10);

/// An object that is in a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its number.
    pub track: u64,
    /// Its label.
    pub label: Arc<str>,
    /// When it entered.
    pub since: Duration,
    /// When it was last seen inside.
    pub last: Duration,
}

/// One zone and who is in it.
#[derive(Debug)]
pub struct Zone {
    settings: ZoneSettings,
    members: Vec<Member>,
}

impl Zone {
    /// Who is in it, in no order.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }
}

/// Where an object was when it was last clearly on one side of a line.
#[derive(Debug, Clone, Copy)]
struct Side {
    track: u64,
    right: bool,
    at: Point,
    last: Duration,
}

/// Which way a line was crossed, as seen from its first point to its second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From left to right.
    Right,
    /// From right to left.
    Left,
}

/// A line that was crossed in this frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crossing {
    /// Which line.
    pub line: usize,
    /// Which way.
    pub way: Way,
    /// By which object.
    pub track: u64,
    /// Its label.
    pub label: Arc<str>,
}

#[derive(Debug)]
struct Line {
    settings: LineSettings,
    sides: Vec<Side>,
}

/// The zones and lines of one pipeline.
#[derive(Debug, Default)]
pub struct Zones {
    zones: Vec<Zone>,
    lines: Vec<Line>,
    zone_counts: Vec<ZoneCount>,
    line_counts: Vec<LineCount>,
    crossings: Vec<Crossing>,
}

/// When a frame was taken, and how large it is.
#[derive(Debug, Clone, Copy)]
pub struct When {
    /// By the pipeline's own clock, which never goes back.
    pub now: Duration,
    /// By the wall clock, for schedules.
    pub ts: Timestamp,
    /// Width of the picture.
    pub width_px: f32,
    /// Height of the picture.
    pub height_px: f32,
}

impl Zones {
    /// Zones and lines in which nobody is yet.
    #[must_use]
    pub fn new(zones: &[ZoneSettings], lines: &[LineSettings]) -> Self {
        let zone_count = |zone: &ZoneSettings| ZoneCount {
            zone: zone.name.clone(),
            objects: 0,
            entered_total: 0,
            left_total: 0,
            dwell_max_ms: None,
        };
        let line_count = |line: &LineSettings| LineCount {
            line: line.name.clone(),
            right_total: 0,
            left_total: 0,
        };
        let zone = |settings: &ZoneSettings| Zone {
            settings: settings.clone(),
            members: Vec::with_capacity(TRACKS_MAX),
        };
        let line = |settings: &LineSettings| Line {
            settings: settings.clone(),
            sides: Vec::with_capacity(TRACKS_MAX),
        };
        Self {
            zone_counts: zones.iter().map(zone_count).collect(),
            line_counts: lines.iter().map(line_count).collect(),
            crossings: Vec::with_capacity(if lines.is_empty() { 0 } else { TRACKS_MAX }),
            zones: zones.iter().map(zone).collect(),
            lines: lines.iter().map(line).collect(),
        }
    }

    /// Looks where the objects in `detections` are; those without a number are nobody.
    pub fn update(&mut self, detections: &[Detection], when: &When) {
        let Self { zones, lines, zone_counts, line_counts, crossings } = self;
        for (zone, count) in zones.iter_mut().zip(zone_counts) {
            zone.update(detections, when, count);
        }
        crossings.clear();
        for (index, (line, count)) in lines.iter_mut().zip(line_counts).enumerate() {
            let before = crossings.len();
            line.update(index, detections, when, crossings);
            for crossing in &crossings[before..] {
                match crossing.way {
                    Way::Right => count.right_total += 1,
                    Way::Left => count.left_total += 1,
                }
            }
        }
    }

    /// The zones.
    #[must_use]
    pub fn zones(&self) -> &[Zone] {
        &self.zones
    }

    /// What is in each zone.
    #[must_use]
    pub fn zone_counts(&self) -> &[ZoneCount] {
        &self.zone_counts
    }

    /// What crossed each line.
    #[must_use]
    pub fn line_counts(&self) -> &[LineCount] {
        &self.line_counts
    }

    /// What crossed a line in the last frame.
    #[must_use]
    pub fn crossings(&self) -> &[Crossing] {
        &self.crossings
    }
}

impl Zone {
    fn update(&mut self, detections: &[Detection], when: &When, count: &mut ZoneCount) {
        let Self { settings, members } = self;
        if settings.filter.is_open(when.ts) {
            for found in detections {
                let Some(track) = found.track.filter(|_| settings.filter.takes(found, when)) else {
                    continue;
                };
                if !holds(&settings.corners, settings.filter.anchor(found, when)) {
                    continue;
                }
                if let Some(member) = members.iter_mut().find(|member| member.track == track) {
                    member.last = when.now;
                } else if members.len() < TRACKS_MAX {
                    let label = found.label.clone();
                    members.push(Member { track, label, since: when.now, last: when.now });
                    count.entered_total += 1;
                }
            }
        }
        let before = members.len();
        members.retain(|member| {
            let unseen = when.now.saturating_sub(member.last);
            unseen.is_zero() || unseen < settings.leave
        });
        count.left_total += wide(before - members.len());
        count.objects = u32::try_from(members.len()).unwrap_or(u32::MAX);
        let first = members.iter().map(|member| member.since).min();
        count.dwell_max_ms = first.map(|since| millis(when.now.saturating_sub(since)));
    }
}

impl Line {
    fn update(
        &mut self,
        index: usize,
        detections: &[Detection],
        when: &When,
        crossings: &mut Vec<Crossing>,
    ) {
        let Self { settings, sides } = self;
        sides.retain(|side| when.now.saturating_sub(side.last) < REMEMBER);
        if !settings.filter.is_open(when.ts) {
            sides.clear();
            return;
        }
        let [from, to] = settings.ends;
        for found in detections {
            let Some(track) = found.track.filter(|_| settings.filter.takes(found, when)) else {
                continue;
            };
            let at = settings.filter.anchor(found, when);
            let far = right_of(from, to, at);
            let known = sides.iter().position(|side| side.track == track);
            if far.abs() <= settings.margin {
                if let Some(known) = known {
                    sides[known].last = when.now;
                }
                continue;
            }
            let now = Side { track, right: far > 0.0, at, last: when.now };
            match known {
                Some(known) => {
                    let before = std::mem::replace(&mut sides[known], now);
                    if before.right != now.right && crosses(from, to, before.at, at) {
                        let way = if now.right { Way::Right } else { Way::Left };
                        // As many as there are objects: one line is crossed once a frame by each.
                        if crossings.len() < crossings.capacity() {
                            let label = found.label.clone();
                            crossings.push(Crossing { line: index, way, track, label });
                        }
                    }
                }
                None if sides.len() < TRACKS_MAX => sides.push(now),
                None => {}
            }
        }
    }
}

/// The last place inside: what is cut off by the lower or right edge is still in the picture, and in a zone that
/// reaches to it.
const INSIDE: f32 = 1.0 - f32::EPSILON;

impl Filter {
    fn is_open(&self, ts: Timestamp) -> bool {
        self.schedule.is_empty() || self.schedule.iter().any(|span| span.holds(ts))
    }

    fn takes(&self, found: &Detection, when: &When) -> bool {
        let picture = (when.width_px * when.height_px).max(1.0);
        let area = found.bounds.width_px * found.bounds.height_px / picture;
        found.score >= self.score
            && (self.area.0..=self.area.1).contains(&area)
            && (self.classes.is_empty() || self.classes.iter().any(|class| **class == *found.label))
    }

    fn anchor(&self, found: &Detection, when: &When) -> Point {
        let bounds = &found.bounds;
        let down = match self.anchor {
            Anchor::Foot => bounds.height_px,
            Anchor::Centre => bounds.height_px / 2.0,
        };
        Point {
            x: ((bounds.x_px + bounds.width_px / 2.0) / when.width_px.max(1.0)).clamp(0.0, INSIDE),
            y: ((bounds.y_px + down) / when.height_px.max(1.0)).clamp(0.0, INSIDE),
        }
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
