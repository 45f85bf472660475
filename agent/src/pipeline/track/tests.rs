use super::*;

/// A box of class 0, 40 wide and 80 high.
fn found(x_px: f32, score: f32) -> Detection {
    let bounds = PixelBox { x_px, y_px: 100.0, width_px: 40.0, height_px: 80.0 };
    Detection { index: 0, label: "person".into(), score, bounds, track: None }
}

/// Numbers of the boxes of each frame, one step apart.
fn follow(settings: TrackSettings, frames: &[&[Detection]]) -> Vec<Vec<Option<u64>>> {
    let mut tracker = Tracker::new(settings);
    frames.iter().map(|frame| tracker.update(frame, 1.0).to_vec()).collect()
}

#[test]
fn an_object_keeps_its_number_and_another_gets_another() {
    let numbers = follow(
        TrackSettings::default(),
        &[
            &[found(0.0, 0.9)],
            &[found(4.0, 0.9), found(300.0, 0.8)],
            &[found(304.0, 0.9), found(8.0, 0.8)],
            &[found(12.0, 0.9), found(308.0, 0.8)],
        ],
    );
    let expected =
        [vec![Some(1)], vec![Some(1), None], vec![Some(2), Some(1)], vec![Some(1), Some(2)]];
    assert_eq!(numbers, expected, "the second is sure at its second frame");
}

#[test]
fn an_unsure_box_continues_an_object_and_begins_none() {
    let numbers = follow(
        TrackSettings::default(),
        &[
            &[found(0.0, 0.9)],
            &[found(3.0, 0.2), found(300.0, 0.2)],
            &[found(6.0, 0.9), found(300.0, 0.55)],
            &[found(9.0, 0.05)],
        ],
    );
    assert_eq!(numbers, [vec![Some(1)], vec![Some(1), None], vec![Some(1), None], vec![None]]);
}

#[test]
fn an_object_that_is_hidden_for_a_while_comes_back_as_itself_and_after_too_long_as_another() {
    for (hidden_ms, number) in [(500_u64, 1), (990, 1), (1100, 2)] {
        let settings = TrackSettings { confirm: 1, ..TrackSettings::default() };
        let mut tracker = Tracker::new(settings);
        for x in 0_u8..10 {
            tracker.update(&[found(f32::from(x), 0.9)], 1.0);
        }
        let hidden = steps(Duration::from_millis(hidden_ms)) - 1.0;
        tracker.update(&[], hidden);
        let back = tracker.update(&[found(9.0 + hidden, 0.9)], 1.0);
        assert_eq!(back, [Some(number)], "{hidden_ms}");
    }
}

#[test]
fn an_unsure_box_finds_a_lost_object_again_only_where_it_should_be() {
    // Half of the box's width off, the overlap is a third.
    for (off_px, number) in [(0.0, Some(1)), (20.0, None)] {
        let mut tracker = Tracker::new(TrackSettings::default());
        for _ in 0..10 {
            tracker.update(&[found(50.0, 0.9)], 1.0);
        }
        tracker.update(&[], 5.0);
        assert_eq!(tracker.update(&[found(50.0 + off_px, 0.2)], 1.0), [number], "{off_px}");
    }
}

#[test]
fn objects_that_pass_each_other_do_not_swap_their_numbers() {
    let mut tracker = Tracker::new(TrackSettings::default());
    let mut last = Vec::new();
    for step in 0_u8..100 {
        let step = f32::from(step);
        let (mut right, mut left) = (found(4.0 * step, 0.9), found(400.0 - 4.0 * step, 0.85));
        (right.bounds.y_px, left.bounds.y_px) = (100.0, 130.0);
        last = tracker.update(&[right, left], 1.0).to_vec();
    }
    assert_eq!(last, [Some(1), Some(2)]);
}

#[test]
fn an_object_of_another_class_is_another_object_unless_classes_do_not_matter() {
    for (by_class, second) in [(true, None), (false, Some(1))] {
        let settings = TrackSettings { by_class, ..TrackSettings::default() };
        let other = Detection { index: 1, ..found(2.0, 0.9) };
        let numbers = follow(settings, &[&[found(0.0, 0.9)], &[other]]);
        assert_eq!(numbers[1], [second], "{by_class}");
    }
}

#[test]
fn there_are_never_too_many_objects_and_no_number_comes_twice() {
    let mut tracker = Tracker::new(TrackSettings { confirm: 1, ..TrackSettings::default() });
    let mut highest = 0;
    for frame in 0_u16..20 {
        let many: Vec<Detection> = (0_u16..400)
            .map(|box_| found(f32::from(box_) * 50.0 + f32::from(frame) * 40_000.0, 0.9))
            .collect();
        let numbers = tracker.update(&many, 1.0).to_vec();
        assert!(tracker.count() <= TRACKS_MAX);
        let mut given: Vec<u64> = numbers.iter().flatten().copied().collect();
        given.sort_unstable();
        assert!(given.windows(2).all(|pair| pair[0] < pair[1]), "{given:?}");
        assert!(given.first().is_none_or(|first| *first > highest));
        highest = given.last().copied().unwrap_or(highest);
    }
    assert!(highest > 1000);
}

#[test]
fn whatever_the_boxes_are_nothing_panics() {
    let mut tracker = Tracker::new(TrackSettings::default());
    let odd = [0.0, -1e9, 1e9, f32::MAX, 1e-30];
    for (x, width) in odd.iter().flat_map(|x| odd.map(|width| (*x, width))) {
        let mut box_ = found(x, 0.9);
        box_.bounds.width_px = width;
        for steps in [0.0, 1.0, 1e9, -3.0] {
            assert_eq!(tracker.update(&[box_.clone(), found(5.0, 0.7)], steps).len(), 2);
        }
    }
}
