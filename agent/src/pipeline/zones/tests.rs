use wire::PixelBox;

use super::*;
use crate::config::section::tests::check;

/// Zones and lines as they are configured.
fn zones(text: &str) -> Zones {
    let read = std::cell::RefCell::new((Vec::new(), Vec::new()));
    let mistakes = check(text, |top| {
        let mut read = read.borrow_mut();
        for section in top.sections("zones") {
            read.0.extend(ZoneSettings::read(&section, &[]));
            section.finish();
        }
        for section in top.sections("lines") {
            read.1.extend(LineSettings::read(&section, &[]));
            section.finish();
        }
    });
    assert_eq!(mistakes, [""; 0], "{text}");
    let (zones, lines) = read.into_inner();
    Zones::new(&zones, &lines)
}

/// An object of a tenth of a picture of 100 by 100 that stands at `x`, `y`.
fn object(track: u64, x: f32, y: f32) -> Detection {
    let bounds = PixelBox { x_px: x - 5.0, y_px: y - 10.0, width_px: 10.0, height_px: 10.0 };
    let track = Some(track);
    Detection { index: 0, label: "person".into(), score: 0.8, bounds, track }
}

fn when(ms: u64) -> When {
    let ts = "2026-11-25T12:00:00Z".parse().unwrap();
    When { now: Duration::from_millis(ms), ts, width_px: 100.0, height_px: 100.0 }
}

const LEFT_HALF: &str = "points = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]";

/// Objects, entered, left and longest stay after each frame.
fn counts(zones: &Zones) -> (u32, u64, u64, Option<u64>) {
    let count = &zones.zone_counts()[0];
    (count.objects, count.entered_total, count.left_total, count.dwell_max_ms)
}

#[test]
fn who_enters_stays_and_leaves_is_counted_once_whatever_its_box_does() {
    let mut zones = zones(&format!("[[zones]]\nname = 'a'\nleave_ms = 300\n{LEFT_HALF}"));
    for (ms, x, expected) in [
        (0, Some(60.0), (0, 0, 0, None)),
        (100, Some(45.0), (1, 1, 0, Some(0))),
        (200, Some(52.0), (1, 1, 0, Some(100))),
        (300, Some(40.0), (1, 1, 0, Some(200))),
        (400, None, (1, 1, 0, Some(300))),
        (500, Some(40.0), (1, 1, 0, Some(400))),
        (700, Some(90.0), (1, 1, 0, Some(600))),
        (800, Some(90.0), (0, 1, 1, None)),
        (900, Some(40.0), (1, 2, 1, Some(0))),
    ] {
        let seen: Vec<Detection> = x.iter().map(|x| object(7, *x, 50.0)).collect();
        zones.update(&seen, &when(ms));
        assert_eq!(counts(&zones), expected, "{ms}");
    }
}

#[test]
fn only_what_the_filters_let_through_counts() {
    let small = Detection {
        bounds: PixelBox { x_px: 10.0, y_px: 10.0, width_px: 2.0, height_px: 2.0 },
        ..object(1, 0.0, 0.0)
    };
    let nobody = Detection { track: None, ..object(2, 20.0, 50.0) };
    let cat = Detection { label: "cat".into(), ..object(3, 20.0, 50.0) };
    let unsure = Detection { score: 0.4, ..object(4, 20.0, 50.0) };
    let person = object(5, 20.0, 50.0);
    let all = [small, nobody, cat, unsure, person];
    for (filter, objects) in [
        ("", 4),
        ("classes = ['cat']", 1),
        ("classes = ['cat', 'person']", 4),
        ("score_threshold = 0.5", 3),
        ("min_area = 0.005", 3),
        ("max_area = 0.005", 1),
        ("schedule_utc = 'wed 11:00-13:00'", 4),
        ("schedule_utc = ['mon 11:00-13:00', '00:00-06:00']", 0),
    ] {
        let mut zones = zones(&format!("[[zones]]\nname = 'a'\n{LEFT_HALF}\n{filter}"));
        zones.update(&all, &when(0));
        assert_eq!(counts(&zones).0, objects, "{filter}");
    }
}

#[test]
fn an_object_is_where_its_foot_is_or_its_centre() {
    let lower = "points = [[0, 0.5], [1, 0.5], [1, 1], [0, 1]]";
    for (anchor, objects) in [("", 1), ("anchor = 'foot'", 1), ("anchor = 'centre'", 0)] {
        let mut zones = zones(&format!("[[zones]]\nname = 'a'\n{lower}\n{anchor}"));
        zones.update(&[object(1, 50.0, 52.0)], &when(0));
        assert_eq!(counts(&zones).0, objects, "{anchor}");
    }
}

#[test]
fn a_line_is_crossed_once_each_way_and_not_by_who_stands_on_it() {
    // From the left edge to the middle: below is to its right.
    let line = "[[lines]]\nname = 'sill'\npoints = [[0, 0.5], [0.5, 0.5]]\nmargin = 0.02\n";
    for (what, way, expected) in [
        ("down", &[(20.0, 40.0), (20.0, 60.0)][..], (1, 0)),
        ("down and up", &[(20.0, 40.0), (20.0, 60.0), (20.0, 45.0)], (1, 1)),
        ("slowly", &[(20.0, 40.0), (20.0, 49.0), (20.0, 50.5), (20.0, 51.0), (20.0, 53.0)], (1, 0)),
        ("trembling", &[(20.0, 49.0), (20.0, 51.0), (20.0, 49.5), (20.0, 50.5)], (0, 0)),
        ("turning", &[(20.0, 40.0), (20.0, 50.0), (20.0, 40.0)], (0, 0)),
        ("past its end", &[(80.0, 40.0), (80.0, 60.0)], (0, 0)),
        ("begun on it", &[(20.0, 50.0), (20.0, 60.0)], (0, 0)),
    ] {
        let mut zones = zones(line);
        for (step, (x, y)) in (0_u64..).zip(way) {
            zones.update(&[object(1, *x, *y)], &when(100 * step));
        }
        let count = &zones.line_counts()[0];
        assert_eq!((count.right_total, count.left_total), expected, "{what}");
    }
}

#[test]
fn a_crossing_is_told_with_its_frame_and_forgotten_with_the_next() {
    let mut zones = zones("[[lines]]\nname = 'sill'\npoints = [[0, 0.5], [1, 0.5]]\n");
    zones.update(&[object(1, 20.0, 40.0)], &when(0));
    zones.update(&[object(1, 20.0, 60.0)], &when(100));
    let label = "person".into();
    assert_eq!(zones.crossings(), [Crossing { line: 0, way: Way::Right, track: 1, label }]);
    zones.update(&[object(1, 20.0, 70.0)], &when(200));
    assert_eq!(zones.crossings(), []);
}
