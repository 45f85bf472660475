//! `[[pipeline.zones]]` and `[[pipeline.lines]]`: parts of the picture, and what counts in them.

use std::sync::Arc;
use std::time::Duration;

use wire::topic::is_name;

use super::geometry::{Point, area};
use super::schedule::Span;
use crate::config::Section;
use crate::config::section::{narrow, unknown};
use crate::config::tree::{Node, Value};

/// Zones of one pipeline, and as many lines: with the longest names their counts are half of a message.
pub const ZONES_MAX: usize = 16;
/// Corners of a zone.
const CORNERS_MAX: usize = 32;
/// Smallest area of a zone, as a share of the picture: a pixel of a small one.
const AREA_MIN: f32 = 1e-6;
/// How long an object may be outside, or not seen, before it has left.
const LEAVE_MS: std::ops::RangeInclusive<u64> = 0..=60_000;
const LEAVE_MS_DEFAULT: u64 = 500;
/// How far from a line, as a share of the picture, an object is on one side of it.
const MARGIN_MAX: f64 = 0.2;
const MARGIN_DEFAULT: f64 = 0.01;

/// Which point of a box is where the object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// The middle of its lower edge: where somebody stands.
    Foot,
    /// Its centre.
    Centre,
}

/// Which objects count.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// Labels; none: all.
    pub classes: Vec<String>,
    /// Least score.
    pub score: f32,
    /// Least and most area of the box, as shares of the picture.
    pub area: (f32, f32),
    /// When; none: always.
    pub schedule: Vec<Span>,
    /// Which point of the box.
    pub anchor: Anchor,
}

/// A part of the picture.
#[derive(Debug, Clone, PartialEq)]
pub struct ZoneSettings {
    /// Its name.
    pub name: Arc<str>,
    /// Its corners.
    pub corners: Vec<Point>,
    /// Which objects count.
    pub filter: Filter,
    /// How long an object may be outside, or not seen, before it has left.
    pub leave: Duration,
}

/// A line across the picture.
#[derive(Debug, Clone, PartialEq)]
pub struct LineSettings {
    /// Its name.
    pub name: Arc<str>,
    /// Where it begins and ends.
    pub ends: [Point; 2],
    /// Which objects count.
    pub filter: Filter,
    /// How far from it an object is on one side of it.
    pub margin: f32,
}

impl ZoneSettings {
    /// Reads one zone; `labels` are those of the model. `None` where a mistake was noted.
    pub fn read(section: &Section<'_>, labels: &[Arc<str>]) -> Option<Self> {
        let name = name(section);
        let corners = points(section, 3..=CORNERS_MAX);
        if corners.as_ref().is_some_and(|corners| area(corners) < AREA_MIN) {
            section.mistake("points", "the corners lie on one line: a zone needs an area");
        }
        let leave = section.integer("leave_ms", LEAVE_MS).unwrap_or(LEAVE_MS_DEFAULT);
        let filter = Filter::read(section, labels);
        let leave = Duration::from_millis(leave);
        Some(Self { name: name?, corners: corners?, filter, leave })
    }
}

impl LineSettings {
    /// Reads one line; `labels` are those of the model. `None` where a mistake was noted.
    pub fn read(section: &Section<'_>, labels: &[Arc<str>]) -> Option<Self> {
        let name = name(section);
        let ends = points(section, 2..=2).and_then(|points| <[Point; 2]>::try_from(points).ok());
        if ends.is_some_and(|[from, to]| from == to) {
            section.mistake("points", "both ends are the same");
        }
        let margin = section.number("margin", 0.0..=MARGIN_MAX).unwrap_or(MARGIN_DEFAULT);
        let filter = Filter::read(section, labels);
        Some(Self { name: name?, ends: ends?, filter, margin: narrow(margin) })
    }
}

impl Filter {
    fn read(section: &Section<'_>, labels: &[Arc<str>]) -> Self {
        let classes = section.texts("classes").unwrap_or_default();
        for class in &classes {
            // A model without labels names its classes by their numbers.
            if !labels.is_empty() && !labels.iter().any(|label| **label == **class) {
                let known: Vec<&str> = labels.iter().map(|label| &**label).collect();
                section.mistake("classes", unknown(class, &known));
            }
        }
        let share = |key, default| section.number(key, 0.0..=1.0).map_or(default, narrow);
        let area = (share("min_area", 0.0), share("max_area", 1.0));
        if area.0 > area.1 {
            section.mistake("min_area", format!("{} is above `max_area`, {}", area.0, area.1));
        }
        let spans = section.text_or_texts("schedule_utc").unwrap_or_default();
        let schedule = spans.iter().filter_map(|text| {
            let span = Span::parse(text);
            if span.is_none() {
                let advice = "as in `mon-fri 06:00-18:00`, `sat,sun 22:00-02:00` or `06:00-18:00`";
                section
                    .mistake("schedule_utc", format!("`{text}` is no time of the week: {advice}"));
            }
            span
        });
        Self {
            schedule: schedule.collect(),
            classes,
            score: share("score_threshold", 0.0),
            area,
            anchor: section
                .choice("anchor", &[("foot", Anchor::Foot), ("centre", Anchor::Centre)])
                .unwrap_or(Anchor::Foot),
        }
    }
}

fn name(section: &Section<'_>) -> Option<Arc<str>> {
    let name = section.required_text("name");
    if !name.is_empty() && !is_name(&name) {
        section.mistake("name", wire::topic::BadName(name.clone()).to_string());
    }
    (!name.is_empty()).then(|| name.into())
}

/// `points`: a list of pairs from 0 to 1.
fn points(section: &Section<'_>, count: std::ops::RangeInclusive<usize>) -> Option<Vec<Point>> {
    let Some(list) = section.list("points") else {
        if !section.has("points") {
            section.mistake("points", "is missing: a list of [x, y], each from 0 to 1");
        }
        return None;
    };
    if !count.contains(&list.len()) {
        let wanted = match (count.start(), count.end()) {
            (from, to) if from == to => from.to_string(),
            (from, to) => format!("from {from} to {to}"),
        };
        section.mistake("points", format!("has {} points, expected {wanted}", list.len()));
        return None;
    }
    let points: Option<Vec<Point>> = list.iter().map(point).collect();
    if points.is_none() {
        let message = "expected points [x, y]: shares of width and height, each from 0 to 1";
        section.mistake("points", message);
    }
    points
}

fn point(node: &Node) -> Option<Point> {
    let number = |node: &Node| match node.value {
        Value::Float(number) if (0.0..=1.0).contains(&number) => Some(narrow(number)),
        Value::Integer(0) => Some(0.0),
        Value::Integer(1) => Some(1.0),
        _ => None,
    };
    match &node.value {
        Value::List(pair) => match &pair[..] {
            [x, y] => Some(Point { x: number(x)?, y: number(y)? }),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::tests::check;

    #[test]
    fn every_mistake_in_a_zone_is_named() {
        let labels = ["person".into(), "car".into()];
        for (text, wanted) in [
            ("name = 'a'\npoints = [[0, 0], [1, 0], [0.5, 1]]\nclasses = ['car']\n", ""),
            (
                "name = 'a b'\npoints = [[0, 0], [1, 0], [0.5, 1]]\n",
                "line 1: `name`: `a b` is not a name: 1 to 63 of a-z, A-Z, 0-9, `-`, `_`, `.`",
            ),
            ("name = 'a'\n", "line 1: `points`: is missing: a list of [x, y], each from 0 to 1"),
            (
                "name = 'a'\npoints = [[0, 0], [1, 0]]\n",
                "line 2: `points`: has 2 points, expected from 3 to 32",
            ),
            (
                "name = 'a'\npoints = [[0, 0], [1, 0], [0.5, 1.5]]\n",
                "line 2: `points`: expected points [x, y]: shares of width and height, each from 0 to 1",
            ),
            (
                "name = 'a'\npoints = [[0, 0], [1, 1], [0.5, 0.5]]\n",
                "line 2: `points`: the corners lie on one line: a zone needs an area",
            ),
            (
                "name = 'a'\npoints = [[0, 0], [1, 0], [0.5, 1]]\nclasses = ['persn']\n",
                "line 3: `classes`: unknown value `persn`; did you mean `person`?",
            ),
            (
                "name = 'a'\npoints = [[0, 0], [1, 0], [0.5, 1]]\nschedule_utc = 'noon'\n",
                "line 3: `schedule_utc`: `noon` is no time of the week: as in `mon-fri 06:00-18:00`, \
              `sat,sun 22:00-02:00` or `06:00-18:00`",
            ),
        ] {
            let found = check(text, |section| drop(ZoneSettings::read(section, &labels)));
            assert_eq!(found.join("\n"), wanted, "{text}");
        }
    }

    #[test]
    fn a_line_has_two_different_ends() {
        for (text, wanted) in [
            ("name = 'a'\npoints = [[0, 0.5], [1, 0.5]]\nmargin = 0.02", ""),
            (
                "name = 'a'\npoints = [[0, 0.5], [0, 0.5]]",
                "line 2: `points`: both ends are the same",
            ),
            ("name = 'a'\npoints = [[0, 0.5]]", "line 2: `points`: has 1 points, expected 2"),
        ] {
            let found = check(text, |section| drop(LineSettings::read(section, &[])));
            assert_eq!(found.join("\n"), wanted, "{text}");
        }
    }
}
