//! Points, polygons and lines of a picture, in shares of its width and height. Pure.

/// A place in the picture: 0 to 1 across and down.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Point {
    /// Share of the width.
    pub x: f32,
    /// Share of the height.
    pub y: f32,
}

/// Whether `point` lies in the polygon with these corners, by the even-odd rule.
pub(super) fn holds(corners: &[Point], point: Point) -> bool {
    let mut inside = false;
    let mut before = corners.last().copied().unwrap_or_default();
    for &corner in corners {
        if (corner.y > point.y) != (before.y > point.y) {
            let across = (before.x - corner.x) * (point.y - corner.y) / (before.y - corner.y);
            inside ^= point.x < corner.x + across;
        }
        before = corner;
    }
    inside
}

/// Area of the polygon with these corners.
pub(super) fn area(corners: &[Point]) -> f32 {
    let mut doubled = 0.0;
    let mut before = corners.last().copied().unwrap_or_default();
    for &corner in corners {
        doubled += before.x * corner.y - corner.x * before.y;
        before = corner;
    }
    (doubled / 2.0).abs()
}

/// How far `point` lies to the right of the line from `from` to `to`, as seen by who looks along it; negative to
/// its left. In a picture y grows downwards.
pub(super) fn right_of(from: Point, to: Point, point: Point) -> f32 {
    let (dx, dy) = (to.x - from.x, to.y - from.y);
    let length = dx.hypot(dy);
    if length == 0.0 {
        return 0.0;
    }
    (dx * (point.y - from.y) - dy * (point.x - from.x)) / length
}

/// Whether the way from `a` to `b`, which lie on two sides of the line, crosses it between its ends.
pub(super) fn crosses(from: Point, to: Point, a: Point, b: Point) -> bool {
    let (start, end) = (right_of(a, b, from), right_of(a, b, to));
    start * end <= 0.0 && (start != 0.0 || end != 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: f32, y: f32) -> Point {
        Point { x, y }
    }

    #[test]
    fn a_point_is_in_a_polygon_or_it_is_not() {
        // An L.
        let corners = [(0.0, 0.0), (0.6, 0.0), (0.6, 0.4), (0.3, 0.4), (0.3, 1.0), (0.0, 1.0)]
            .map(|(x, y)| at(x, y));
        for (x, y, inside) in [
            (0.1, 0.1, true),
            (0.5, 0.3, true),
            (0.5, 0.5, false),
            (0.2, 0.9, true),
            (0.9, 0.1, false),
        ] {
            assert_eq!(holds(&corners, at(x, y)), inside, "{x} {y}");
        }
        assert!((area(&corners) - 0.42).abs() < 1e-6);
        assert!(!holds(&[], at(0.5, 0.5)));
    }

    #[test]
    fn right_is_right_for_who_looks_along_the_line() {
        // Looking up the picture, right is where x grows.
        assert!(right_of(at(0.5, 1.0), at(0.5, 0.0), at(0.7, 0.5)) > 0.19);
        assert!(right_of(at(0.5, 0.0), at(0.5, 1.0), at(0.7, 0.5)) < -0.19);
        assert!(right_of(at(0.5, 0.5), at(0.5, 0.5), at(0.7, 0.5)).abs() < 1e-9);
    }

    #[test]
    fn a_way_past_the_end_of_a_line_does_not_cross_it() {
        let (from, to) = (at(0.2, 0.5), at(0.6, 0.5));
        for (x, crossed) in [(0.1, false), (0.3, true), (0.59, true), (0.7, false)] {
            assert_eq!(crosses(from, to, at(x, 0.4), at(x, 0.6)), crossed, "{x}");
        }
    }
}
