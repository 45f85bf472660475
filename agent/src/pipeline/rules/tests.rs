use wire::{Anomaly, PixelBox};

use super::*;
use crate::config::section::tests::check;
use crate::pipeline::lookout::CELLS;
use crate::pipeline::zones::{LineSettings, When, ZoneSettings};

const ZONE: &str = "[[zones]]\nname = 'z'\nleave_ms = 0\npoints = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]\n\
                    [[lines]]\nname = 'l'\npoints = [[0.5, 1], [0.5, 0]]\n";

/// What a rule sees, one frame every 100 ms.
struct Scene {
    zones: Zones,
    rules: Rules,
    told: mpsc::Receiver<Occurrence>,
    frame: u64,
}

impl Scene {
    fn new(rule: &str) -> Self {
        let read = std::cell::RefCell::new((Vec::new(), Vec::new(), Vec::new()));
        let text = format!("{ZONE}[[events]]\nname = 'e'\n{rule}");
        let mistakes = check(&text, |top| {
            let mut read = read.borrow_mut();
            let sections = top.sections("zones");
            read.0.extend(sections.iter().filter_map(|one| ZoneSettings::read(one, &[])));
            let sections = top.sections("lines");
            read.1.extend(sections.iter().filter_map(|one| LineSettings::read(one, &[])));
            for section in top.sections("events") {
                read.2.extend(RuleSettings::read(&section));
                section.finish();
            }
        });
        assert_eq!(mistakes, [""; 0], "{rule}");
        let (zones, lines, settings) = read.into_inner();
        let (outlet, told) = mpsc::channel(EVENTS_MAX);
        let rules = Rules::new(&"p".into(), &settings, |_| true, |_| 0, Some(outlet));
        Self { zones: Zones::new(&zones, &lines), rules, told, frame: 0 }
    }

    fn next(&mut self, objects: &[f32], luma: Option<&Luma>, anomaly: Option<bool>) {
        let now = Duration::from_millis(100 * self.frame);
        let ts = Timestamp::from_millisecond(i64::try_from(100 * self.frame).unwrap()).unwrap();
        let object = |(index, x): (u64, &f32)| Detection {
            index: 0,
            label: "person".into(),
            score: 0.9,
            bounds: PixelBox { x_px: x - 5.0, y_px: 40.0, width_px: 10.0, height_px: 20.0 },
            track: Some(index + 1),
        };
        let detections: Vec<Detection> = (0_u64..).zip(objects).map(object).collect();
        self.zones.update(&detections, &When { now, ts, width_px: 100.0, height_px: 100.0 });
        let anomaly = anomaly.map(|anomalous| Anomaly { score: 0.5, threshold: 0.2, anomalous });
        let zones = Some(&self.zones);
        let frame_seq = self.frame;
        self.rules.look(&Seen {
            now,
            ts,
            frame_seq,
            luma,
            zones,
            detections: &detections,
            anomaly,
        });
        self.frame += 1;
    }

    /// What was told so far: state, frame, and how often not.
    fn told(&mut self) -> Vec<(EventState, u64, u64)> {
        std::iter::from_fn(|| self.told.try_recv().ok())
            .map(|told| (told.state, told.captured.1.unwrap(), told.suppressed))
            .collect()
    }
}

use EventState::{Began, Ended, Happened};

#[test]
fn an_object_that_stays_in_a_zone_begins_an_event_and_ends_it_after_a_while() {
    let mut scene =
        Scene::new("kind = 'in-zone'\nzone = 'z'\nfor_ms = 500\nclear_ms = 300\ncool_down_ms = 0");
    for frame in 0..30 {
        // In from the 3rd to the 14th, with a hole too short to be an end; who is out for good ends it.
        let inside = (3..15).contains(&frame);
        scene.next(if inside { &[20.0] } else { &[80.0] }, None, None);
    }
    assert_eq!(scene.told(), [(Began, 8, 0), (Ended, 18, 0)]);
}

#[test]
fn an_event_is_told_with_what_it_is_about() {
    let mut scene = Scene::new("kind = 'in-zone'\nzone = 'z'\nfor_ms = 100\nclip_pictures = 3");
    scene.next(&[20.0], None, None);
    scene.next(&[20.0], None, None);
    let told = scene.told.try_recv().unwrap();
    assert_eq!((&*told.pipeline, &*told.event, told.kind), ("p", "e", "in-zone"));
    assert_eq!(told.place.as_deref(), Some("z"));
    assert_eq!(told.sight.about, Some((1, "person".into())));
    assert_eq!((told.sight.value, told.sight.limit), (Some(100.0), Some(100.0)));
    assert_eq!(told.clip.unwrap().pictures, 3);
}

#[test]
fn too_many_objects_are_an_event_with_a_hysteresis() {
    let rule =
        "kind = 'count-over'\nlimit = 2\nclear = 1\nfor_ms = 200\nclear_ms = 200\ncool_down_ms = 0";
    for (place, at, state) in
        [("", 80.0, true), ("\nzone = 'z'", 80.0, false), ("\nzone = 'z'", 20.0, true)]
    {
        let mut scene = Scene::new(&format!("{rule}{place}"));
        for count in [3, 3, 0, 3, 3, 3, 2, 2, 2, 1, 1, 1, 0] {
            scene.next(&vec![at; count], None, None);
        }
        let expected = if state { &[(Began, 5, 0), (Ended, 11, 0)][..] } else { &[] };
        assert_eq!(scene.told(), expected, "{place} {at}");
    }
}

#[test]
fn a_line_that_is_crossed_is_a_moment() {
    for (to, told) in [("right", &[1, 7][..]), ("left", &[4]), ("either", &[1, 4, 7])] {
        let mut scene =
            Scene::new(&format!("kind = 'crossing'\nline = 'l'\nto = '{to}'\ncool_down_ms = 0"));
        for x in [20.0, 80.0, 80.0, 80.0, 20.0, 20.0, 20.0, 80.0] {
            scene.next(&[x], None, None);
        }
        let expected: Vec<_> = told.iter().map(|&frame| (Happened, frame, 0)).collect();
        assert_eq!(scene.told(), expected, "{to}");
    }
}

#[test]
fn what_need_not_last_is_told_in_the_frame_that_decides_it() {
    for rule in [
        "kind = 'in-zone'\nzone = 'z'\nfor_ms = 0",
        "kind = 'count-over'\nlimit = 0\nzone = 'z'\nfor_ms = 0",
        "kind = 'crossing'\nline = 'l'",
        "kind = 'anomaly'\nwindows = 1",
    ] {
        for decides in [1, 2, 7] {
            let mut scene = Scene::new(rule);
            for frame in 0..=decides {
                assert_eq!(scene.told(), [], "{rule}: before frame {frame}");
                let there = frame == decides;
                scene.next(if there { &[20.0] } else { &[80.0] }, None, Some(there));
            }
            // It is out before the next frame is looked at.
            let frames: Vec<u64> = scene.told().into_iter().map(|(_, frame, _)| frame).collect();
            assert_eq!(frames, [decides], "{rule}");
        }
    }
}

#[test]
fn what_comes_too_soon_is_counted_and_what_lasts_is_told_once_it_may_be() {
    let mut scene = Scene::new("kind = 'crossing'\nline = 'l'\ncool_down_ms = 350");
    for x in [20.0, 80.0, 20.0, 80.0, 20.0, 80.0] {
        scene.next(&[x], None, None);
    }
    assert_eq!(scene.told(), [(Happened, 1, 0), (Happened, 5, 3)]);
    let mut scene =
        Scene::new("kind = 'in-zone'\nzone = 'z'\nfor_ms = 0\nclear_ms = 0\ncool_down_ms = 600");
    for x in [20.0, 80.0, 20.0, 80.0, 20.0, 20.0, 20.0, 80.0] {
        scene.next(&[x], None, None);
    }
    assert_eq!(scene.told(), [(Began, 0, 0), (Ended, 1, 0), (Began, 6, 1), (Ended, 7, 0)]);
}

#[test]
fn an_anomaly_is_told_after_so_many_in_a_row() {
    let mut scene = Scene::new(
        "kind = 'anomaly'\nwindows = 3\nclear_windows = 2\nclear_ms = 0\ncool_down_ms = 0",
    );
    for window in "..##.####.#..#...".chars() {
        scene.next(&[], None, Some(window == '#'));
    }
    assert_eq!(scene.told(), [(Began, 7, 0), (Ended, 12, 0)]);
}

/// A view of stripes, a little brighter with each `level`; `turned` looks elsewhere.
fn view(level: u8, turned: bool) -> Luma {
    let mut cells = [0; CELLS];
    for (index, cell) in cells.iter_mut().enumerate() {
        let bright = if turned { index / 40 % 2 == 0 } else { index % 5 == 0 };
        *cell = level + if bright { 60 } else { 0 };
    }
    Luma::of(cells, Some(u64::from(level) + u64::from(turned)))
}

#[test]
fn a_camera_that_is_dark_covered_frozen_or_turned_is_told_and_only_that() {
    let usual = |frame: u64| view(100 + u8::try_from(frame % 7).unwrap(), false);
    let dark = |frame: u64| {
        let mut cells = [8; CELLS];
        cells[usize::try_from(frame).unwrap()] = 60;
        Luma::of(cells, Some(frame))
    };
    let covered =
        |frame: u64| Luma::of([120 + u8::try_from(frame % 3).unwrap(); CELLS], Some(frame));
    let frozen = |_: u64| view(101, false);
    let turned = |frame: u64| view(100 + u8::try_from(frame % 7).unwrap(), true);
    let states: [(&str, &dyn Fn(u64) -> Luma); 5] = [
        ("usual", &usual),
        ("dark", &dark),
        ("covered", &covered),
        ("frozen", &frozen),
        ("moved", &turned),
    ];
    for kind in ["dark", "covered", "frozen", "moved"] {
        for (state, picture) in &states {
            let mut scene = Scene::new(&format!(
                "kind = '{kind}'\nfor_ms = 500\nclear_ms = 0\ncool_down_ms = 0"
            ));
            // Nobody else has all bytes of every frame read.
            assert_eq!(scene.rules.tells_apart(), kind == "frozen");
            for frame in 0_u64..60 {
                let luma = if (20..40).contains(&frame) { picture(frame) } else { usual(frame) };
                scene.next(&[], Some(&luma), None);
            }
            let told: Vec<EventState> = scene.told().iter().map(|told| told.0).collect();
            // What is dark has no contrast either.
            let wanted = kind == *state || (kind == "covered" && *state == "dark");
            let expected = if wanted { vec![Began, Ended] } else { vec![] };
            assert_eq!(told, expected, "{kind} while {state}");
        }
    }
}

#[test]
fn a_new_view_is_learned_after_a_while() {
    let mut scene =
        Scene::new("kind = 'moved'\nfor_ms = 300\nadopt_ms = 2000\nclear_ms = 0\ncool_down_ms = 0");
    for frame in 0_u64..60 {
        scene.next(&[], Some(&view(100, frame >= 10)), None);
    }
    let told = scene.told();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!((told[0].1, told[1].0), (13, Ended));
    assert!((30..33).contains(&told[1].1), "{told:?}");
}

#[test]
fn a_rule_that_cannot_be_is_refused() {
    for (text, wanted) in [
        (
            "name = 'e'\nkind = 'in-zne'",
            "line 2: `kind`: unknown value `in-zne`; did you mean `in-zone`?",
        ),
        ("name = 'e'\nkind = 'in-zone'", "line 1: `zone`: is missing"),
        ("name = 'e'\nkind = 'count-over'", "line 1: `limit`: is missing"),
        (
            "name = 'e'\nkind = 'count-over'\nlimit = 2\nclear = 3",
            "line 4: `clear`: 3 is above `limit`, 2",
        ),
        (
            "name = 'e'\nkind = 'dark'\nlimit = 30\nclear = 20",
            "line 4: `clear`: 20 is below `limit`, 30",
        ),
        (
            "name = 'e'\nkind = 'dark'\nclip_every_ms = 20",
            "line 3: `clip_every_ms`: says nothing without `clip_pictures`",
        ),
        (
            "name = 'e'\nkind = 'frozen'\nclip_pictures = 99",
            "line 3: `clip_pictures`: 99 is not from 1 to 50",
        ),
    ] {
        let found = check(text, |section| drop(RuleSettings::read(section)));
        assert_eq!(found.join("\n"), wanted, "{text}");
    }
}
