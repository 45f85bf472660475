use wire::telemetry::{Disk, Fan, Zone};

use super::rules::RULES;
use super::*;

/// All that alarms look at, to be made bad.
#[derive(Debug, Clone)]
struct World {
    readings: Readings,
    pipelines: Vec<PipelineView>,
    refused: Vec<(String, String)>,
    lost: Option<u64>,
}

/// A board on which nothing is wrong.
fn healthy() -> World {
    let mut readings = Readings::default();
    readings.thermal.margin_c = Some(40.0);
    readings.thermal.margin_zone = Some("cpu-thermal".to_owned());
    readings.thermal.hottest_c = Some(55.0);
    readings.thermal.zones.insert("cpu-thermal".to_owned(), Zone::default());
    readings.throttle.active = Some(false);
    for oc in [&mut readings.over_current.oc1, &mut readings.over_current.oc2] {
        oc.events_delta = Some(0);
    }
    readings.over_current.oc3.events_per_s = Some(7.0);
    readings.gpu.frequency_min_hz = Some(1_020_000_000);
    readings.gpu.memory_total_bytes = Some(8000);
    readings.gpu.memory_used_bytes = Some(2000);
    readings.memory.total_bytes = Some(8000);
    readings.memory.available_bytes = Some(4000);
    readings.memory.oom_kills_delta = Some(0);
    readings.host.disks.insert("/".to_owned(), Disk { total_bytes: 1000, available_bytes: 500 });
    readings.host.clock_synchronised = Some(true);
    let fan = Fan { speed_rpm: Some(2000), ..Fan::default() };
    readings.fans.insert("fan".to_owned(), fan);
    let door = PipelineView {
        name: "door".to_owned(),
        captured: 30,
        begun: true,
        period: Some(Duration::from_millis(100)),
        ..PipelineView::default()
    };
    World { readings, pipelines: vec![door], refused: Vec::new(), lost: Some(0) }
}

fn full_disk(world: &mut World) {
    world
        .readings
        .host
        .disks
        .insert("/data".to_owned(), Disk { total_bytes: 1000, available_bytes: 49 });
}

fn stopped_fan(world: &mut World) {
    world.readings.thermal.hottest_c = Some(70.5);
    world.readings.fans.insert("fan".to_owned(), Fan { speed_rpm: Some(0), ..Fan::default() });
}

fn switched_off_fan(world: &mut World) {
    world.readings.thermal.hottest_c = Some(71.0);
    let fan = Fan { speed_rpm: Some(900), enabled: Some(false), ..Fan::default() };
    world.readings.fans.insert("fan".to_owned(), fan);
}

fn silent_source(world: &mut World) {
    world.pipelines[0].captured = 0;
    world.pipelines[0].silent = Duration::from_secs(1);
}

fn slow_pipeline(world: &mut World) {
    world.pipelines[0].replaced = 4;
}

type Change = fn(&mut World);

/// What is wrong, with which alarm: its hold and clear times in seconds, its value and what it is about.
type Case = (Change, &'static str, [u64; 2], Option<f64>, Option<&'static str>);

const CASES: &[Case] = &[
    (
        |w| w.readings.thermal.margin_c = Some(4.9),
        "temperature",
        [10, 30],
        Some(4.9),
        Some("cpu-thermal"),
    ),
    (
        |w| {
            w.readings.throttle.active = Some(true);
            w.readings.throttle.reasons = vec!["gpu-throttle-alert".to_owned()];
        },
        "thermal_throttle",
        [5, 30],
        None,
        Some("gpu-throttle-alert"),
    ),
    (
        |w| w.readings.over_current.oc1.events_delta = Some(1),
        "under_voltage",
        [0, 300],
        Some(1.0),
        Some("oc1"),
    ),
    (
        |w| w.readings.over_current.oc2.events_delta = Some(3),
        "under_voltage",
        [0, 300],
        Some(3.0),
        Some("oc2"),
    ),
    (
        |w| w.readings.over_current.oc3.events_per_s = Some(20.5),
        "over_current",
        [60, 60],
        Some(20.5),
        Some("oc3"),
    ),
    (
        |w| w.readings.gpu.frequency_min_hz = Some(306_000_000),
        "clock_floor",
        [0, 0],
        Some(306_000_000.0),
        Some("gpu"),
    ),
    (|w| w.readings.gpu.memory_used_bytes = Some(7700), "gpu_memory", [30, 30], Some(3.8), None),
    (full_disk, "disk", [30, 30], Some(4.9), Some("/data")),
    (|w| w.readings.memory.available_bytes = Some(300), "memory", [30, 30], Some(3.8), None),
    (|w| w.readings.memory.oom_kills_delta = Some(2), "oom_kill", [0, 600], Some(2.0), None),
    (stopped_fan, "fan_stopped", [30, 10], Some(70.5), Some("fan")),
    (switched_off_fan, "fan_stopped", [30, 10], Some(71.0), Some("fan")),
    (silent_source, "source_silent.door", [10, 5], None, Some("door")),
    (slow_pipeline, "pipeline_slow.door", [60, 60], Some(13.3), Some("door")),
    (
        |w| w.refused = vec![("shapes".to_owned(), "golden samples".to_owned())],
        "model_refused",
        [0, 0],
        None,
        Some("shapes: golden samples"),
    ),
    (|w| w.lost = Some(7), "messages_lost", [0, 600], Some(7.0), None),
    (
        |w| w.readings.host.clock_synchronised = Some(false),
        "clock_unsynchronised",
        [300, 0],
        None,
        None,
    ),
];

fn alarms() -> Alarms {
    Alarms::new(RULES, &["door".to_owned()])
}

/// Looks at `world` once a second for `seconds`. What changed at the last of them; nothing may before.
fn watch(
    alarms: &mut Alarms,
    world: &World,
    now: &mut u64,
    seconds: u64,
    what: &str,
) -> Vec<Standing> {
    let mut changed = Vec::new();
    for second in 0..=seconds {
        assert_eq!(changed, [], "{what}: changed {} s early", seconds + 1 - second);
        *now += 1;
        let view = View {
            readings: &world.readings,
            pipelines: &world.pipelines,
            refused: &world.refused,
            lost: world.lost,
        };
        changed = alarms.look(&view, Duration::from_secs(*now));
    }
    changed
}

#[test]
fn each_alarm_is_raised_after_its_hold_time_and_ends_after_its_own() {
    for (change, name, [hold, clear], value, subject) in CASES {
        let (mut alarms, mut now) = (alarms(), 1000);
        assert_eq!(watch(&mut alarms, &healthy(), &mut now, 400, name), [], "{name}");
        let mut bad = healthy();
        change(&mut bad);
        let raised = watch(&mut alarms, &bad, &mut now, *hold, name);
        assert_eq!(raised.len(), 1, "{name}: {raised:?}");
        assert_eq!((raised[0].name.as_str(), raised[0].active), (*name, true));
        assert_eq!((raised[0].value, raised[0].subject.as_deref()), (*value, *subject), "{name}");
        let ended = watch(&mut alarms, &healthy(), &mut now, *clear, name);
        assert_eq!(ended.len(), 1, "{name}: {ended:?}");
        assert_eq!((ended[0].name.as_str(), ended[0].active), (*name, false));
    }
}

#[test]
fn every_rule_has_a_case() {
    for rule in RULES {
        let told = |name: &str| name == rule.name || name.starts_with(&format!("{}.", rule.name));
        assert!(CASES.iter().any(|(_, name, ..)| told(name)), "{}", rule.name);
    }
}

#[test]
fn what_is_not_known_raises_nothing_and_ends_nothing() {
    let blank = World {
        readings: Readings::default(),
        pipelines: Vec::new(),
        refused: Vec::new(),
        lost: None,
    };
    let (mut fresh, mut now) = (alarms(), 0);
    assert_eq!(watch(&mut fresh, &blank, &mut now, 700, "blank"), []);
    for (change, name, [hold, _], ..) in
        CASES.iter().filter(|(_, name, ..)| *name != "model_refused")
    {
        let (mut alarms, mut now) = (alarms(), 0);
        watch(&mut alarms, &healthy(), &mut now, 1, name);
        let mut bad = healthy();
        change(&mut bad);
        assert_eq!(watch(&mut alarms, &bad, &mut now, *hold, name).len(), 1, "{name}");
        assert_eq!(watch(&mut alarms, &blank, &mut now, 700, name), [], "{name}");
    }
}

#[test]
fn an_alarm_that_is_switched_off_is_not_watched() {
    let rules: Vec<Rule> =
        RULES.iter().map(|rule| Rule { enabled: rule.name == "disk", ..*rule }).collect();
    let mut alarms = Alarms::new(&rules, &["door".to_owned()]);
    assert_eq!(alarms.standing().count(), 1);
    let (mut world, mut now) = (healthy(), 0);
    CASES.iter().for_each(|(change, ..)| change(&mut world));
    assert_eq!(watch(&mut alarms, &world, &mut now, 30, "disk").len(), 1);
}

#[test]
fn another_power_mode_is_no_fall_of_the_clock_floor() {
    let (mut alarms, mut now) = (alarms(), 0);
    let mut world = healthy();
    world.readings.board.power_mode_id = Some(2);
    watch(&mut alarms, &world, &mut now, 1, "floor");
    world.readings.gpu.frequency_min_hz = Some(306_000_000);
    world.readings.board.power_mode_id = Some(0);
    assert_eq!(watch(&mut alarms, &world, &mut now, 10, "floor"), []);
    world.readings.gpu.frequency_min_hz = Some(305_000_000);
    assert_eq!(watch(&mut alarms, &world, &mut now, 0, "floor").len(), 1);
}

#[test]
fn the_silence_of_a_slow_source_ends_with_its_frames_although_most_samples_see_none() {
    // Seconds from one frame to the next, and from one sample to the next.
    for (period_s, every_s) in [(10, 5), (60, 5), (10, 1), (1, 5)] {
        let mut alarms = alarms();
        let mut world = healthy();
        world.pipelines[0].period = Some(Duration::from_secs(period_s));
        let mut changed = Vec::new();
        let gone_s = 10 * period_s.max(10);
        let back_s = 2 * gone_s;
        for now_s in (0..back_s + 3 * period_s + 60).step_by(usize::try_from(every_s).unwrap()) {
            let frames = |until_s: u64| {
                until_s.min(gone_s) / period_s + until_s.saturating_sub(back_s) / period_s
            };
            let last_s = if now_s < back_s + period_s { now_s.min(gone_s) } else { now_s };
            let pipeline = &mut world.pipelines[0];
            pipeline.captured = frames(now_s) - frames(now_s.saturating_sub(every_s));
            pipeline.silent = Duration::from_secs(now_s - last_s / period_s * period_s);
            let view = View {
                readings: &world.readings,
                pipelines: &world.pipelines,
                refused: &world.refused,
                lost: world.lost,
            };
            let told = alarms.look(&view, Duration::from_secs(now_s));
            changed.extend(told.into_iter().map(|alarm| (alarm.name, alarm.active)));
        }
        let name = || "source_silent.door".to_owned();
        assert_eq!(changed, [(name(), true), (name(), false)], "{period_s} s, {every_s} s");
    }
}

#[test]
fn a_fan_header_without_a_fan_is_no_fan_that_stopped_and_one_that_turned_is() {
    let (mut alarms, mut now) = (alarms(), 0);
    let mut world = healthy();
    world.readings.thermal.hottest_c = Some(80.0);
    let mut header = |world: &mut World, speed: u64, seconds: u64| {
        let fan = Fan { speed_rpm: Some(speed), ..Fan::default() };
        world.readings.fans.insert("nct6775-2".to_owned(), fan);
        let told = watch(&mut alarms, world, &mut now, seconds, "header");
        told.first().map(|alarm| (alarm.active, alarm.subject.clone()))
    };
    assert_eq!(header(&mut world, 0, 100), None);
    assert_eq!(header(&mut world, 900, 100), None);
    assert_eq!(header(&mut world, 0, 30), Some((true, Some("nct6775-2".to_owned()))));
}

#[test]
fn a_slow_camera_and_a_file_that_ended_are_not_silent() {
    for (what, period_s, ended) in [("a frame a minute", 60, false), ("an ended file", 0, true)] {
        let (mut alarms, mut now) = (alarms(), 0);
        let mut world = healthy();
        world.pipelines[0] = PipelineView {
            captured: 0,
            silent: Duration::from_secs(100),
            period: Some(Duration::from_secs(period_s)),
            ended,
            ..world.pipelines[0].clone()
        };
        assert_eq!(watch(&mut alarms, &world, &mut now, 100, what), [], "{what}");
    }
}
