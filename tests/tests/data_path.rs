//! From a source to the broker, the file and the console: what was seen arrives, all of it, and as `wire` says.

use std::io::Read as _;

use anyhow::{Context as _, Result, ensure};
use tests::bench::{self, BRIGHTNESS};
use tests::heard::{every_frame, exactly, info, observation, observations, statuses, unbroken};
use tests::{Bench, Daemon, Folder, Listener, PATIENCE, Stdout, onnx, picture};
use wire::{Observation, StatusWord};

/// A source that is read as fast as it is inferred, and then ends.
const TWENTY_FRAMES: &str =
    r#"kind = "pattern", width = 320, height = 240, pace = "free", frames = 20"#;

#[test]
fn every_frame_is_told_to_the_broker_and_the_file_in_the_same_words() -> Result<()> {
    let bench = Bench::new()?;
    let file = "[sinks.file]\nkind = \"jsonl\"\npath = \"seen.jsonl\"\n";
    let door = bench::pipeline("door", "shapes", TWENTY_FRAMES, "sinks = [\"mqtt\", \"file\"]");
    let config = [&bench::shapes()?, file, &door].concat();
    let ended = bench.start(&config)?.wait_exit(PATIENCE)?;
    assert_eq!(ended.code, Some(0), "{}", ended.log);

    let heard = bench.goodbye()?;
    let seen = observations(&heard, &bench.topics, "door")?;
    assert_eq!(seen.len(), 20);
    unbroken(&seen)?;
    every_frame(&seen)?;
    for one in &seen {
        assert_eq!((one.frame.width_px, one.frame.height_px), (320, 240));
        assert_eq!(one.model.name, "shapes");
        assert!(one.truth.is_some(), "the pattern source knows what is there");
    }
    assert!(seen.iter().any(|one| !one.detections.is_empty()), "nothing was found in 20 pictures");

    let text = bench.folder.read("seen.jsonl")?;
    let written: Vec<Observation<'_>> =
        text.lines().map(|line| observation(line.as_bytes())).collect::<Result<_>>()?;
    assert_eq!(written, seen);
    Ok(())
}

#[test]
fn status_and_info_are_kept_for_whoever_comes_later() -> Result<()> {
    let bench = Bench::new()?;
    let model = bench::brightness(&bench.folder, BRIGHTNESS, &onnx::brightness(13))?;
    let door = bench::pipeline("door", BRIGHTNESS, bench::TEN_A_SECOND, "");
    let mut daemon = bench.start(&(model + &door))?;
    // Said behind the status: from now on the broker has both.
    bench.listener.wait_count(&bench.topics.info(), 1, PATIENCE)?;

    let later = Listener::start(bench.broker.port(), None)?;
    later.wait_status(&bench.topics, StatusWord::Online, PATIENCE)?;
    let kept = later.wait("a retained info", PATIENCE, |messages| {
        let kept = messages.iter().filter(|message| message.retained);
        let own = [bench.topics.status(), bench.topics.info()];
        let kept: Vec<_> = kept.filter(|message| own.contains(&message.topic)).cloned().collect();
        (kept.len() >= 2).then_some(kept)
    })?;
    assert_eq!(statuses(&kept, &bench.topics)?, [StatusWord::Online]);
    let told = info(&kept, &bench.topics)?.context("no info was kept")?;
    assert_eq!(told.pipelines[0].source, "pattern");
    assert_eq!(told.engines[0].model, BRIGHTNESS);
    assert!(kept.iter().all(|message| !message.topic.contains("observation")));

    assert_eq!(daemon.stop()?.code, Some(0));
    later.wait_status(&bench.topics, StatusWord::Offline, PATIENCE)
}

#[test]
fn two_pipelines_with_one_model_share_one_engine() -> Result<()> {
    let bench = Bench::new()?;
    let yard =
        r#"kind = "pattern", width = 400, height = 300, rate_hz = 5, format = "mjpeg", seed = 9"#;
    let config = bench::shapes()?
        + &bench::pipeline("door", "shapes", bench::TEN_A_SECOND, "")
        + &bench::pipeline("yard", "shapes", yard, "");
    let mut daemon = bench.start(&config)?;
    for pipeline in ["door", "yard"] {
        bench.observed(pipeline, 5)?;
    }
    assert_eq!(daemon.stop()?.code, Some(0));

    let heard = bench.goodbye()?;
    let told = info(&heard, &bench.topics)?.context("no info")?;
    assert_eq!(told.pipelines.len(), 2);
    assert_eq!(told.engines.len(), 1, "{:?}", told.engines);
    let engine = &told.engines[0];
    assert_eq!(engine.provider, "cpu");
    assert!(engine.nodes.get("cpu").is_some_and(|count| *count > 0), "{engine:?}");
    assert!(told.onnxruntime_version.is_some_and(|version| version.contains('.')));
    for (pipeline, width_px) in [("door", 320), ("yard", 400)] {
        let seen = observations(&heard, &bench.topics, pipeline)?;
        unbroken(&seen)?;
        for one in &seen {
            assert_eq!((one.frame.width_px, &*one.model.sha256), (width_px, &*engine.sha256));
        }
    }
    Ok(())
}

#[test]
fn cameras_that_share_runs_of_a_model_are_each_told_all_of_their_own_frames() -> Result<()> {
    let bench = Bench::new()?;
    let of = |width: u32| {
        format!("kind = \"pattern\", width = {width}, height = 240, pace = \"free\", frames = 30")
    };
    let cameras = [("door", 320), ("yard", 400), ("gate", 240)];
    let mut config = bench::shapes()? + "batch_max = 3\nbatch_delay_ms = 100\n";
    for (name, width) in cameras {
        config += &bench::pipeline(name, "shapes", &of(width), "");
    }
    let ended = bench.start(&config)?.wait_exit(PATIENCE)?;
    assert_eq!(ended.code, Some(0), "{}", ended.log);

    let heard = bench.goodbye()?;
    let mut told = Vec::new();
    for (name, width_px) in cameras {
        let seen = observations(&heard, &bench.topics, name)?;
        unbroken(&seen)?;
        every_frame(&seen)?;
        assert_eq!(seen.len(), 30);
        assert!(seen.iter().all(|one| one.frame.width_px == width_px));
        assert!(seen.iter().any(|one| !one.detections.is_empty()), "nothing was found in {name}");
        told.push(seen);
    }
    // Who shared a run was inferred in the same time, to the digit.
    let times = |one: usize| told[one].iter().map(|seen| seen.timings.inference_ms.to_bits());
    let shared = times(0).filter(|time| times(1).any(|other| other == *time)).count();
    assert!(shared > 5, "only {shared} of 30 frames shared a run");
    Ok(())
}

/// Replays the pictures in the folder `pictures`, each once, and returns how bright each one is.
fn brightness_of_pictures(bench: &Bench) -> Result<(Vec<f32>, String)> {
    let model = bench::brightness(&bench.folder, BRIGHTNESS, &onnx::brightness(13))?;
    let source = r#"kind = "replay", path = "pictures", pace = "free""#;
    let config = model + &bench::pipeline("album", BRIGHTNESS, source, "");
    let ended = bench.start(&config)?.wait_exit(PATIENCE)?;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    let heard = bench.goodbye()?;
    let seen = observations(&heard, &bench.topics, "album")?;
    unbroken(&seen)?;
    every_frame(&seen)?;
    let brightness = |one: &Observation<'_>| -> Result<f32> {
        ensure!(one.truth.is_none(), "nobody knows what is in a picture");
        one.raw
            .first()
            .and_then(|tensor| tensor.data.first().copied().flatten())
            .context("no value")
    };
    Ok((seen.iter().map(brightness).collect::<Result<_>>()?, ended.log))
}

#[test]
fn a_folder_that_was_shown_ends_the_daemon_after_every_picture() -> Result<()> {
    let bench = Bench::new()?;
    let greys: Vec<u8> = (0..40_u8).map(|n| n * 6).collect();
    for (n, grey) in greys.iter().enumerate() {
        bench.folder.write(&format!("pictures/{n:02}.png"), picture::png(32, 24, *grey))?;
    }
    let (seen, log) = brightness_of_pictures(&bench)?;
    assert!(log.contains("every source has ended"), "{log}");
    assert_eq!(seen.len(), greys.len());
    for (seen, grey) in seen.iter().zip(greys) {
        assert!((seen - f32::from(grey) / 255.0).abs() < 1e-3, "{seen} for grey {grey}");
    }
    Ok(())
}

#[test]
fn bad_pictures_are_skipped_and_the_good_ones_among_them_are_seen() -> Result<()> {
    let bench = Bench::new()?;
    let (png, jpeg) = (picture::png(32, 24, 51), picture::jpeg(32, 24, 3));
    let good_and_bad: [(&str, Vec<u8>); 14] = [
        ("01-good.png", png.clone()),
        ("02-truncated.png", png[..png.len() / 2].to_vec()),
        ("03-without-size.png", picture::png_header(0, 0)),
        ("04-far-too-large.png", picture::png_header(20_000, 20_000)),
        ("05-good-with-16-bits.png", picture::png_of_16_bits(32, 24, 0x6666)),
        ("06-empty.png", Vec::new()),
        ("07-text.png", b"this is no picture".to_vec()),
        ("08-good.jpg", jpeg.clone()),
        ("09-truncated.jpg", jpeg[..jpeg.len() - 9].to_vec()),
        ("10-without-size.jpg", picture::jpeg(0, 0, 3)),
        ("11-far-too-large.jpg", picture::jpeg_header(20_000, 20_000, 3)),
        ("12-cmyk.jpg", picture::jpeg(32, 24, 4)),
        ("13-good-grey.jpg", picture::jpeg(32, 24, 1)),
        ("14-good.png", picture::png(320, 240, 204)),
    ];
    for (name, bytes) in &good_and_bad {
        bench.folder.write(&format!("pictures/{name}"), bytes)?;
    }
    let (seen, log) = brightness_of_pictures(&bench)?;
    let expected = [0.2, 0.4, 0.502, 0.502, 0.8];
    assert_eq!(seen.len(), expected.len(), "{seen:?}\n{log}");
    for (seen, expected) in seen.iter().zip(expected) {
        assert!((seen - expected).abs() < 0.01, "{seen} is not {expected}");
    }
    assert!(log.contains("02-truncated.png"), "the first bad picture is not named: {log}");
    assert!(!log.contains("panicked"), "{log}");
    Ok(())
}

#[test]
fn the_console_prints_an_observation_a_line() -> Result<()> {
    let folder = Folder::new()?;
    let model = bench::brightness(&folder, BRIGHTNESS, &onnx::brightness(13))?;
    let out = "[sinks.out]\nkind = \"console\"\nformat = \"json\"\n";
    let door = bench::pipeline("door", BRIGHTNESS, TWENTY_FRAMES, "sinks = [\"out\"]");
    let config = bench::head() + &model + out + &door;
    let mut daemon = Daemon::prepare(&folder, &config)?.stdout(Stdout::Pipe).start()?;
    let mut text = String::new();
    daemon.take_stdout().context("no standard output")?.read_to_string(&mut text)?;
    assert_eq!(daemon.wait_exit(PATIENCE)?.code, Some(0));
    let seen: Vec<Observation<'_>> =
        text.lines().map(|line| exactly(line.as_bytes())).collect::<Result<_>>()?;
    assert_eq!(seen.len(), 20);
    unbroken(&seen)
}
