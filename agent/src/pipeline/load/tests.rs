use super::*;
use crate::config::section::tests::check;

/// Looks every five seconds.
const EVERY: Duration = Duration::from_secs(5);

fn settings() -> LoadSettings {
    read("min_hz = 2")
}

fn read(text: &str) -> LoadSettings {
    let read = std::cell::RefCell::new(None);
    let mistakes = check(text, |section| {
        read.replace(Some(LoadSettings::read(section)));
    });
    assert_eq!(mistakes, [""; 0]);
    read.into_inner().unwrap()
}

#[test]
fn it_steps_down_after_a_while_of_bad_and_up_after_a_longer_while_of_well() {
    let mut controller = Controller::new(settings(), 30.0);
    let hot = Strain { margin_c: Some(4.0), ..Strain::default() };
    let warm = Strain { margin_c: Some(7.0), ..Strain::default() };
    let cool = Strain { margin_c: Some(20.0), ..Strain::default() };
    let mut steps = Vec::new();
    for (index, strain) in [hot; 6].iter().chain(&[warm; 30]).chain(&[cool; 30]).enumerate() {
        let now = EVERY * u32::try_from(index).unwrap();
        if let Some(step) = controller.look(strain, now) {
            steps.push((index, step.reason, step.limit_hz));
        }
    }
    let expected = [
        (2, Reason::Hot, Some(22.5)),
        (5, Reason::Hot, Some(16.875)),
        (48, Reason::Well, Some(22.5)),
        (61, Reason::Well, None),
    ];
    assert_eq!(steps, expected, "what is only warm changes nothing");
}

#[test]
fn it_never_goes_below_the_least_nor_above_all() {
    let mut controller = Controller::new(settings(), 30.0);
    let throttled = Strain { throttled: Some(true), ..Strain::default() };
    let mut now = Duration::ZERO;
    let mut last = None;
    for _ in 0..200 {
        now += EVERY;
        last = controller.look(&throttled, now).or(last);
        let limit = controller.limit_hz().unwrap_or(30.0);
        assert!((2.0..=30.0).contains(&limit), "{limit}");
    }
    let least = Step { limit_hz: Some(2.0), lighter: false, reason: Reason::Throttled };
    assert_eq!(last, Some(least));
}

#[test]
fn what_cannot_be_read_is_no_reason_for_anything() {
    let mut controller = Controller::new(settings(), 30.0);
    for second in 0..1000 {
        assert_eq!(controller.look(&Strain::default(), Duration::from_secs(second)), None);
    }
}

#[test]
fn the_first_step_down_is_the_lighter_model_and_the_last_one_up_the_own_one() {
    let lighter = read("lighter = 'small'\nmin_hz = 20\ndown_after_s = 5\nup_after_s = 5");
    let mut controller = Controller::new(lighter, 30.0);
    let strain = |margin| Strain { margin_c: Some(margin), ..Strain::default() };
    let mut steps = Vec::new();
    for (index, margin) in [1.0; 12].into_iter().chain([50.0; 40]).enumerate() {
        let now = EVERY * u32::try_from(index).unwrap();
        steps.extend(controller.look(&strain(margin), now));
    }
    let expected = [
        (None, true, Reason::Hot),
        (Some(22.5), true, Reason::Hot),
        (Some(20.0), true, Reason::Hot),
        (Some(22.5), true, Reason::Well),
        (None, true, Reason::Well),
        (None, false, Reason::Well),
    ];
    let expected = expected.map(|(limit_hz, lighter, reason)| Step { limit_hz, lighter, reason });
    assert_eq!(steps, expected);
}

#[test]
fn a_source_that_is_as_slow_as_the_least_still_gets_the_lighter_model_and_nothing_else() {
    let mut controller = Controller::new(read("lighter = 'small'\nmin_hz = 30"), 30.0);
    let throttled = Strain { throttled: Some(true), ..Strain::default() };
    let steps: Vec<Step> =
        (0..100).filter_map(|look| controller.look(&throttled, EVERY * look)).collect();
    let lighter = Step { limit_hz: None, lighter: true, reason: Reason::Throttled };
    assert_eq!(steps, [lighter]);
}

#[test]
fn where_the_lighter_model_is_enough_every_frame_is_inferred_by_it_and_the_own_one_tried_ever_more_rarely()
 {
    // Of 30 frames a second the own model manages 12, the lighter one all.
    let (mut lighter_looks, mut full_rate) = (0_u32, 0_u32);
    let settings = read("lighter = 'small'\nmin_hz = 2");
    let (steps, _) = simulate_with(settings, |rate, lighter| {
        let inferred = if lighter { rate } else { f64::min(rate, 12.0) } * 5.0;
        lighter_looks += u32::from(lighter);
        full_rate += u32::from(rate >= 30.0);
        let round = |frames: f64| frames.round().to_string().parse().unwrap();
        let replaced = round(rate * 5.0 - inferred);
        Strain { inferred: round(inferred), replaced, ..Strain::default() }
    });
    assert_eq!(full_rate, 2880, "the rate was lowered though the lighter model was enough");
    assert!(lighter_looks > 2700, "{lighter_looks} of 2880");
    let later = steps.iter().filter(|(at, _)| *at > Duration::from_secs(7200)).count();
    assert!(later <= 10, "{steps:?}");
}

#[test]
fn a_board_that_stays_too_hot_with_the_lighter_model_gets_fewer_frames_of_it() {
    let mut temperature: f64 = 45.0;
    let mut tripped = 0;
    let settings = read("lighter = 'small'\nmin_hz = 2");
    let (steps, mean_hz) = simulate_with(settings, |rate, lighter| {
        let each = if lighter { 1.6 } else { 2.2 };
        temperature += (50.0 + each * rate - temperature) * 5.0 / 120.0;
        tripped += u32::from(temperature >= 95.0);
        let margin_c = Some(95.0 - temperature);
        Strain { margin_c, throttled: Some(temperature >= 95.0), ..Strain::default() }
    });
    let later = steps.iter().filter(|(at, _)| *at > Duration::from_secs(7200)).count();
    assert!(later <= 10 && tripped == 0, "{tripped} {steps:?}");
    // 25 a second of the lighter one are what 90 degrees allow, 18 of the other.
    assert!(mean_hz > 15.0 && mean_hz < 27.0, "{mean_hz}");
}

/// Four hours of a source of 30 a second; `strain` says how it is at a rate.
fn simulate(mut strain: impl FnMut(f64) -> Strain) -> (Vec<(Duration, f64)>, f64) {
    simulate_with(settings(), |rate, _| strain(rate))
}

/// The same, with whether the lighter model runs.
fn simulate_with(
    settings: LoadSettings,
    mut strain: impl FnMut(f64, bool) -> Strain,
) -> (Vec<(Duration, f64)>, f64) {
    let mut controller = Controller::new(settings, 30.0);
    let (mut steps, mut frames) = (Vec::new(), 0.0);
    for look in 1..=2880_u32 {
        let rate = controller.limit_hz().unwrap_or(30.0);
        frames += rate * EVERY.as_secs_f64();
        let strain = strain(rate, controller.is_lighter());
        if controller.look(&strain, EVERY * look).is_some() {
            steps.push((EVERY * look, controller.limit_hz().unwrap_or(30.0)));
        }
    }
    (steps, frames / (2880.0 * EVERY.as_secs_f64()))
}

#[test]
fn a_model_that_is_too_slow_soon_gets_what_it_can_do_and_is_tried_again_ever_more_rarely() {
    for most_hz in [4.0, 7.0, 13.0, 21.0, 29.0] {
        let (steps, mean_hz) = simulate(|rate| {
            let inferred = f64::min(rate, most_hz) * 5.0;
            let round = |frames: f64| frames.round().to_string().parse().unwrap();
            let replaced = round(rate * 5.0 - inferred);
            Strain { inferred: round(inferred), replaced, ..Strain::default() }
        });
        let later = steps.iter().filter(|(at, _)| *at > Duration::from_secs(7200)).count();
        assert!(later <= 10, "{most_hz}: {steps:?}");
        assert!(mean_hz >= 0.7 * most_hz && mean_hz <= 1.3 * most_hz, "{most_hz}: {mean_hz}");
    }
}

#[test]
fn a_board_that_gets_too_hot_settles_below_its_trip_point() {
    for outside_c in [25.0, 45.0, 60.0] {
        // Two degrees more for each frame a second, reached within some minutes; it trips at 95.
        let mut temperature: f64 = outside_c;
        let mut tripped = 0;
        let (steps, mean_hz) = simulate(|rate| {
            temperature += (outside_c + 2.0 * rate - temperature) * 5.0 / 120.0;
            tripped += u32::from(temperature >= 95.0);
            let throttled = Some(temperature >= 95.0);
            Strain { margin_c: Some(95.0 - temperature), throttled, ..Strain::default() }
        });
        let later = steps.iter().filter(|(at, _)| *at > Duration::from_secs(7200)).count();
        assert!(later <= 10 && tripped == 0, "{outside_c}: {tripped} {steps:?}");
        let possible = f64::min(30.0, (90.0 - outside_c) / 2.0);
        assert!(mean_hz > 0.6 * possible && mean_hz < 1.2 * possible, "{outside_c}: {mean_hz}");
    }
}
