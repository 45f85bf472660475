//! The shapes that are drawn: which pixels lie in them, row by row.
//!
//! A pixel belongs to a shape where its centre lies in it; nothing is smoothed. A shape is its outline in a
//! unit square, stretched over its box, so that the box is exactly the outline's. The triangle is upright and
//! isosceles with its apex in the middle of the top edge; the star has one point up, and an inner radius of
//! [`WAIST`] of the outer one. `models/make/drawing.py` draws the same for training.

use std::f64::consts::PI;
use std::sync::LazyLock;

/// Inner radius of a star over its outer one; a pentagram has 0.382.
const WAIST: f64 = 0.4;

/// Most separate stretches of one row that a shape has: two, a star's legs.
const SPANS_MAX: usize = 2;

/// What is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// As high as wide.
    Circle,
    /// Its sides along the picture's.
    Square,
    /// Upright.
    Triangle,
    /// Five points.
    Star,
}

impl Kind {
    /// Each, in the order of the demonstration model's classes.
    pub(super) const ALL: [(Self, &str); 4] = [
        (Self::Circle, "circle"),
        (Self::Square, "square"),
        (Self::Triangle, "triangle"),
        (Self::Star, "star"),
    ];

    /// Height over width of its box.
    pub(super) fn slenderness(self) -> f64 {
        match self {
            Self::Star => STAR.height_by_width,
            Self::Circle | Self::Square | Self::Triangle => 1.0,
        }
    }
}

/// A star's corners in the unit square.
struct Star {
    corners: [(f64, f64); 10],
    height_by_width: f64,
}

static STAR: LazyLock<Star> = LazyLock::new(|| {
    let mut corners = [(0.0, 0.0); 10];
    for (turns, corner) in (0_u32..).zip(&mut corners) {
        let angle = PI * (f64::from(turns) / 5.0 - 0.5);
        let radius = if turns % 2 == 0 { 1.0 } else { WAIST };
        *corner = (radius * angle.cos(), radius * angle.sin());
    }
    // The outer corners alone decide the box: the widest two are at 18 degrees, the lowest two at 54.
    let (half_width, bottom) = ((PI / 10.0).cos(), (PI * 0.3).sin());
    let (width, height) = (2.0 * half_width, 1.0 + bottom);
    for (x, y) in &mut corners {
        (*x, *y) = ((*x + half_width) / width, (*y + 1.0) / height);
    }
    Star { corners, height_by_width: height / width }
});

/// Columns `from..to` of a row.
pub(super) type Span = (usize, usize);

/// The stretches of one row that lie in a shape, from left to right.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spans {
    found: [Span; SPANS_MAX],
    count: usize,
}

impl Spans {
    fn push(&mut self, span: Span) {
        if let Some(place) = self.found.get_mut(self.count).filter(|_| span.0 < span.1) {
            *place = span;
            self.count += 1;
        }
    }

    /// Them.
    pub(super) fn iter(self) -> impl Iterator<Item = Span> {
        self.found.into_iter().take(self.count)
    }
}

/// A shape at its place; pixels from the picture's top left corner.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outline {
    /// What it is.
    pub(super) kind: Kind,
    /// Left edge of its box.
    pub(super) left: f64,
    /// Top edge.
    pub(super) top: f64,
    /// Width of its box.
    pub(super) width: f64,
    /// Height.
    pub(super) height: f64,
}

impl Outline {
    /// The rows that may have pixels of it.
    pub(super) fn rows(&self) -> std::ops::Range<usize> {
        first_centre_from(self.top)..first_centre_from(self.top + self.height)
    }

    /// The columns that may have pixels of it.
    pub(super) fn columns(&self) -> Span {
        (first_centre_from(self.left), first_centre_from(self.left + self.width))
    }

    /// Its pixels in that row.
    pub(super) fn spans(&self, row: usize) -> Spans {
        let mut spans = Spans::default();
        let y = (centre(row) - self.top) / self.height;
        if !(0.0..1.0).contains(&y) {
            return spans;
        }
        match self.kind {
            Kind::Square => spans.push(self.columns()),
            Kind::Triangle => spans.push(self.span(0.5 - y / 2.0, 0.5 + y / 2.0)),
            Kind::Circle => {
                let half = (0.25 - (y - 0.5) * (y - 0.5)).max(0.0).sqrt();
                spans.push(self.span(0.5 - half, 0.5 + half));
            }
            Kind::Star => {
                let (crossings, count) = crossings(&STAR.corners, y);
                for pair in crossings.get(..count).unwrap_or_default().chunks_exact(2) {
                    if let &[from, to] = pair {
                        spans.push(self.span(from, to));
                    }
                }
            }
        }
        spans
    }

    /// The pixels with centres between two places in the unit square.
    fn span(&self, from: f64, to: f64) -> Span {
        let column = |x: f64| first_centre_from(self.left + x * self.width);
        (column(from), column(to))
    }
}

/// Where the line at `y` enters and leaves a polygon, in order, and how often.
fn crossings(corners: &[(f64, f64); 10], y: f64) -> ([f64; 10], usize) {
    let (mut found, mut count) = ([f64::INFINITY; 10], 0);
    let next = corners.iter().cycle().skip(1);
    for (((ax, ay), (bx, by)), place) in corners.iter().zip(next).zip(&mut found) {
        if (*ay > y) != (*by > y) {
            *place = ax + (y - ay) * (bx - ax) / (by - ay);
            count += 1;
        }
    }
    found.sort_unstable_by(f64::total_cmp);
    (found, count)
}

#[expect(clippy::as_conversions, reason = "a row or column, far below 2^53")]
fn centre(row: usize) -> f64 {
    row as f64 + 0.5
}

/// The first row or column whose centre is not before `at`.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "float to usize saturates: a shape that hung over the left edge would begin at 0"
)]
fn first_centre_from(at: f64) -> usize {
    (at - 0.5).ceil() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(kind: Kind, width: f64) -> Vec<String> {
        let height = width * kind.slenderness();
        let outline = Outline { kind, left: 1.0, top: 0.0, width, height };
        let picture = outline.rows().map(|row| {
            let mut line = [b'.'; 13];
            for (from, to) in outline.spans(row).iter() {
                line[from..to].fill(b'#');
            }
            String::from_utf8(line.to_vec()).unwrap()
        });
        picture.collect()
    }

    #[test]
    fn shapes_look_like_themselves() {
        assert_eq!(drawn(Kind::Square, 3.0), [".###.........", ".###.........", ".###........."]);
        assert_eq!(
            drawn(Kind::Triangle, 6.0),
            [
                ".............",
                "...##........",
                "...##........",
                "..####.......",
                "..####.......",
                ".######......"
            ]
        );
        assert_eq!(
            drawn(Kind::Circle, 6.0),
            [
                "..####.......",
                ".######......",
                ".######......",
                ".######......",
                ".######......",
                "..####......."
            ]
        );
        assert_eq!(
            drawn(Kind::Star, 11.0),
            [
                "......#......",
                "......#......",
                "......#......",
                ".....###.....",
                "..#########..",
                "...#######...",
                "....#####....",
                "....#####....",
                "....##.##....",
                "...#.....#...",
            ]
        );
    }

    #[test]
    fn a_shape_fills_its_box_and_never_leaves_it() {
        for (kind, name) in Kind::ALL {
            for step in 0..40 {
                let width = 20.0 + f64::from(step) * 1.37;
                let height = width * kind.slenderness();
                let outline = Outline { kind, left: 3.3, top: 7.7, width, height };
                let (left, right) = outline.columns();
                let spans =
                    outline.rows().flat_map(|row| outline.spans(row).iter().collect::<Vec<_>>());
                let (mut first, mut last) = (usize::MAX, 0);
                for (from, to) in spans {
                    (first, last) = (first.min(from), last.max(to));
                }
                // Sharp points may miss the centres of the outermost pixels.
                assert!((left..=left + 2).contains(&first), "{name} {width}: {first} {left}");
                assert!((right - 2..=right).contains(&last), "{name} {width}: {last} {right}");
            }
        }
    }
}
