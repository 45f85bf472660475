//! How the board feels, and what is wrong with it, as a listener hears it from the real daemon.

use anyhow::{Context as _, Result, ensure};
use tests::bench::{self, BRIGHTNESS};
use tests::heard::exactly;
use tests::{Bench, Folder, Listener, Message, PATIENCE, onnx};
use wire::{Alarm, BoardTelemetry, PAYLOAD_MAX_BYTES, PipelineTelemetry};

/// A board that is sampled every second, with an alarm that does not wait.
const BOARD: &str = "[telemetry]\nevery_s = 1\nsysroot = \"board\"\n\
                     [alarms.temperature]\nhold_s = 0\nclear_after_s = 0\n";

/// A few files of an Orin.
fn board(folder: &Folder) -> Result<()> {
    for (path, text) in [
        ("proc/device-tree/model", "NVIDIA Jetson Orin NX Developer Kit\0"),
        ("proc/device-tree/compatible", "nvidia,p3768-0000+p3767-0000\0nvidia,tegra234\0"),
        ("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n"),
        ("sys/class/thermal/thermal_zone0/temp", "47375\n"),
        ("sys/class/thermal/thermal_zone0/trip_point_0_type", "critical\n"),
        ("sys/class/thermal/thermal_zone0/trip_point_0_temp", "104500\n"),
        ("sys/devices/platform/bus@0/17000000.gpu/load", "427\n"),
    ] {
        folder.write(&format!("board/{path}"), text)?;
    }
    Ok(())
}

/// The last that was said of the alarm `topic`.
fn alarm<'a>(messages: &'a [Message], topic: &str) -> Result<Option<Alarm<'a>>> {
    let last = messages.iter().rev().find(|message| message.topic == topic);
    last.map(|message| exactly(&message.body)).transpose()
}

#[test]
fn a_daemon_without_a_pipeline_tells_how_its_board_feels_and_what_is_wrong() -> Result<()> {
    let bench = Bench::new()?;
    board(&bench.folder)?;
    let mut daemon = bench.start(BOARD)?;
    let topic = bench.topics.telemetry_board();
    let heard = bench.listener.wait_count(&topic, 2, PATIENCE)?;
    let told = heard.iter().filter(|message| message.topic == topic).take(2);
    for (place, message) in (1..).zip(told) {
        ensure!(message.body.len() < PAYLOAD_MAX_BYTES, "{} bytes", message.body.len());
        let told: BoardTelemetry<'_> = exactly(&message.body)?;
        assert_eq!((told.envelope.schema.as_ref(), told.envelope.seq), ("vedette/board/1", place));
        let readings = told.readings;
        assert_eq!((readings.board.kind.as_str(), readings.board.serial), ("orin-nx", None));
        assert_eq!(
            (readings.gpu.load_percent, readings.thermal.hottest_c),
            (Some(42.7), Some(47.375))
        );
    }

    // Whoever comes later hears of alarms that were never raised.
    let topic = bench.topics.alarm("temperature");
    let later = Listener::start(bench.broker.port(), None)?;
    later.wait_count(&topic, 1, PATIENCE)?;
    let quiet = alarm(&later.heard(), &topic)?.context("no alarm")?.active;
    assert!(!quiet);
    bench.folder.write("board/sys/class/thermal/thermal_zone0/temp", "101000\n")?;
    let raised = later.wait("the alarm", PATIENCE, |messages| {
        let alarm = alarm(messages, &topic).ok()??;
        alarm
            .active
            .then(|| (alarm.value, alarm.threshold, alarm.subject.map(|zone| zone.to_string())))
    })?;
    assert_eq!(raised, (Some(3.5), Some(5.0), Some("cpu-thermal".to_owned())));
    bench.folder.write("board/sys/class/thermal/thermal_zone0/temp", "60000\n")?;
    later.wait("its end", PATIENCE, |messages| {
        alarm(messages, &topic).ok()?.filter(|alarm| !alarm.active).map(drop)
    })?;
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

/// The versions of the models that spoke, in order, each once in a row.
fn speakers(messages: &[Message], topic: &str) -> Vec<String> {
    let own = messages.iter().filter(|message| message.topic == topic);
    let version = |message: &Message| {
        let body: serde_json::Value = serde_json::from_slice(&message.body).ok()?;
        Some(body["model"]["version"].as_str()?.to_owned())
    };
    let mut all: Vec<String> = own.filter_map(version).collect();
    all.dedup();
    all
}

#[test]
fn a_board_that_gets_hot_has_the_lighter_model_infer_and_its_own_again_when_it_is_well()
-> Result<()> {
    let bench = Bench::new()?;
    board(&bench.folder)?;
    let heat = |temperature: &str| {
        bench.folder.write("board/sys/class/thermal/thermal_zone0/temp", temperature).map(drop)
    };
    let model = bench::brightness(&bench.folder, BRIGHTNESS, &onnx::brightness(13))?
        + &bench::brightness(&bench.folder, "lighter", &onnx::brightness(13))?;
    bench.folder.edit("lighter/model.toml", "1.0.0", "0.9.0")?;
    let load = "[pipeline.load]\nlighter = \"lighter\"\ndown_after_s = 1\nup_after_s = 1\n\
                min_hz = 10\n";
    let door = bench::pipeline("door", BRIGHTNESS, bench::TEN_A_SECOND, load);
    // Another one on the same model, which the heat does not concern.
    let yard = bench::pipeline("yard", BRIGHTNESS, bench::TEN_A_SECOND, "");
    let mut daemon = bench.start(&[BOARD, &model, &door, &yard].concat())?;
    bench.observed("door", 5)?;
    let topic = bench.topics.observation("door");
    let speaks = |wanted: &[&str]| {
        let what = format!("{wanted:?} to speak");
        bench
            .listener
            .wait(&what, PATIENCE, |messages| (speakers(messages, &topic) == wanted).then_some(()))
    };
    heat("101000\n")?;
    speaks(&["1.0.0", "0.9.0"])?;
    let telemetry = bench.topics.telemetry_pipeline("door");
    bench.listener.wait("telemetry that says so", PATIENCE, |messages| {
        let mut own = messages.iter().filter(|message| message.topic == telemetry);
        own.any(|message| {
            let told = exactly::<PipelineTelemetry<'_>>(&message.body);
            told.is_ok_and(|told| told.lighter && told.limit_hz.is_none())
        })
        .then_some(())
    })?;
    heat("47375\n")?;
    speaks(&["1.0.0", "0.9.0", "1.0.0"])?;
    assert_eq!(daemon.stop()?.code, Some(0));

    let heard = bench.goodbye()?;
    let reasons: Vec<String> = heard
        .iter()
        .filter(|message| message.topic == bench.topics.event("door"))
        .map(|message| {
            let told: wire::Event<'_> = exactly(&message.body)?;
            Ok(told.reason.unwrap_or_default().into_owned())
        })
        .collect::<Result<_>>()?;
    assert_eq!(
        reasons,
        [
            "the board is near a trip point; the lighter model infers from now on",
            "all was well for a while; its own model infers again"
        ]
    );
    // One row of observations, whichever model spoke, and none of the other pipeline's by the lighter one.
    let seen = tests::heard::observations(&heard, &bench.topics, "door")?;
    tests::heard::unbroken(&seen)?;
    ensure!(seen.windows(2).all(|pair| pair[0].frame.seq < pair[1].frame.seq), "out of order");
    assert_eq!(speakers(&heard, &bench.topics.observation("yard")), ["1.0.0"]);
    let told = tests::heard::info(&heard, &bench.topics)?.context("no info")?;
    assert_eq!(told.engines.len(), 2);
    Ok(())
}

#[test]
fn a_pipeline_tells_how_it_does_and_a_source_that_falls_silent_is_an_alarm() -> Result<()> {
    let bench = Bench::new()?;
    board(&bench.folder)?;
    let model = bench::brightness(&bench.folder, BRIGHTNESS, &onnx::brightness(13))?;
    let door = bench::pipeline("door", BRIGHTNESS, bench::TEN_A_SECOND, "");
    // Pictures that are not there at the start, as a camera that is not plugged in.
    let yard = "kind = \"replay\", path = \"pictures\", rate_hz = 10, loop = true";
    let yard = bench::pipeline("yard", BRIGHTNESS, yard, "");
    let alarms = "[alarms.source_silent]\nhold_s = 0\nclear_after_s = 0\n";
    let mut daemon = bench.start(&[BOARD, alarms, &model, &door, &yard].concat())?;
    let topic = bench.topics.telemetry_pipeline("door");
    let told = bench.listener.wait("frames of the pipeline", PATIENCE, |messages| {
        let own = messages.iter().filter(|message| message.topic == topic);
        own.filter_map(|message| exactly::<PipelineTelemetry<'_>>(&message.body).ok())
            .find(|told| told.inferred_total > 5 && told.latency_p50_ms.is_some())
            .map(|told| (told.pipeline.to_string(), told.source_rate_hz, told.captured_rate_hz))
    })?;
    assert_eq!((told.0.as_str(), told.1), ("door", Some(10.0)));
    ensure!(told.2.is_some_and(|rate| rate > 0.0), "{told:?}");

    let topic = bench.topics.alarm("source_silent.yard");
    bench.listener.wait("the alarm", PATIENCE, |messages| {
        alarm(messages, &topic).ok()?.filter(|alarm| alarm.active).map(drop)
    })?;
    let other = alarm(&bench.listener.heard(), &bench.topics.alarm("source_silent.door"))?
        .map(|alarm| alarm.active);
    assert_eq!(other, Some(false));
    bench.folder.write("pictures/1.png", tests::picture::png(64, 48, 90))?;
    bench.listener.wait("its end", PATIENCE + PATIENCE, |messages| {
        alarm(messages, &topic).ok()?.filter(|alarm| !alarm.active).map(drop)
    })?;
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

#[test]
fn what_an_earlier_configuration_left_is_cleared_and_what_there_is_stays() -> Result<()> {
    let bench = Bench::new()?;
    board(&bench.folder)?;
    let topics = &bench.topics;
    let gone = [
        topics.alarm("fan_stopped"),
        topics.alarm("source_silent.porch"),
        topics.pipeline_state("porch"),
        topics.snapshot("porch"),
    ];
    let stays = [
        topics.snapshot("door"),
        topics.alarm("source_silent.door"),
        topics.pipeline_state("door"),
    ];
    for topic in gone.iter().chain(&stays) {
        bench.listener.leave(topic, "{}")?;
    }
    let model = bench::brightness(&bench.folder, BRIGHTNESS, &onnx::brightness(13))?;
    let door = bench::pipeline("door", BRIGHTNESS, bench::TEN_A_SECOND, "");
    let off = "[alarms.fan_stopped]\nenabled = false\n";
    let mut daemon = bench.start(&[BOARD, off, &model, &door].concat())?;
    bench.listener.wait("the last of it to be cleared", PATIENCE, |messages| {
        let cleared =
            |topic: &String| messages.iter().any(|one| one.topic == *topic && one.body.is_empty());
        gone.iter().all(cleared).then_some(())
    })?;
    assert_eq!(daemon.stop()?.code, Some(0));
    let later = Listener::start(bench.broker.port(), None)?;
    for topic in &stays {
        later.wait_count(topic, 1, PATIENCE)?;
    }
    let heard = later.heard();
    assert!(heard.iter().all(|message| !gone.contains(&message.topic)), "{heard:?}");

    // Without telemetry nobody says how any alarm stands.
    let mut daemon = bench.start(&["[telemetry]\nenabled = false\n", &model, &door].concat())?;
    later.wait("the alarm to be cleared", PATIENCE, |messages| {
        let last = messages.iter().rfind(|one| one.topic == topics.alarm("source_silent.door"))?;
        last.body.is_empty().then_some(())
    })?;
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

#[test]
fn messages_that_were_lost_are_an_alarm_until_a_sample_has_lost_no_more() -> Result<()> {
    let bench = Bench::new()?;
    board(&bench.folder)?;
    for name in ["conf", "db"] {
        bench.folder.write(&format!("state/outbox/{name}"), [0x5A; 4096])?;
    }
    let quick = "[alarms.messages_lost]\nhold_s = 0\nclear_after_s = 0\n";
    let mut daemon = bench.start(&[BOARD, quick].concat())?;
    let topic = bench.topics.alarm("messages_lost");
    let raised = bench.listener.wait("the alarm", PATIENCE, |messages| {
        let told = messages.iter().filter(|message| message.topic == topic);
        told.filter_map(|message| exactly::<Alarm<'_>>(&message.body).ok())
            .find(|alarm| alarm.active)
            .map(|alarm| alarm.value)
    })?;
    assert_eq!(raised, Some(1.0), "the store that was set aside");
    bench.listener.wait("its end", PATIENCE, |messages| {
        let told = messages.iter().filter(|message| message.topic == topic);
        let states: Vec<bool> = told
            .filter_map(|message| exactly::<Alarm<'_>>(&message.body).ok())
            .map(|alarm| alarm.active)
            .collect();
        states.windows(2).any(|two| two == [true, false]).then_some(())
    })?;
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}
