//! `vedette bench --pipeline`: a configured pipeline's steps, timed beside a daemon that is not disturbed.

use std::io::Read as _;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::bench::{self, BRIGHTNESS};
use tests::{Bench, Folder, Launch, PATIENCE, Stdout, onnx};
use wire::StatusWord;

/// A source that comes to its end.
const TWENTY_FRAMES: &str =
    r#"kind = "pattern", width = 64, height = 48, pace = "free", frames = 20"#;

/// Runs `vedette bench` with `args`: its exit code, what it printed, and what it complained of.
fn measure(folder: &Folder, args: &[&str]) -> Result<(Option<i32>, String, String)> {
    let args = [&["bench"], args].concat();
    let mut command = Launch::test(folder, &args)?.stdout(Stdout::Pipe).start()?;
    let mut text = String::new();
    command.take_stdout().context("no standard output")?.read_to_string(&mut text)?;
    let ended = command.wait_exit(PATIENCE)?;
    Ok((ended.code, text, ended.log))
}

#[test]
fn a_pipeline_is_timed_step_by_step_beside_a_daemon_that_notices_nothing() -> Result<()> {
    let bench = Bench::new()?;
    let model = bench::brightness(&bench.folder, BRIGHTNESS, &onnx::brightness(13))?;
    let door = bench::pipeline("door", BRIGHTNESS, bench::TEN_A_SECOND, "");
    let mut daemon = bench.start(&(model + &door))?;
    let before = bench.observed("door", 1)?.len();
    let args = ["--pipeline", "door", "--config", "vedette.toml", "--seconds", "1", "--warm-up"];
    let (code, text, log) = measure(&bench.folder, &[&args[..], &["2", "--json"]].concat())?;
    ensure!(code == Some(0), "{log}");
    let told: Value = serde_json::from_str(&text)?;
    assert_eq!(
        (told["pipeline"].as_str(), told["source"].as_str()),
        (Some("door"), Some("pattern"))
    );
    let number = |value: &Value| value.as_f64().context("no number");
    let fps = number(&told["fps"])?;
    ensure!((5.0..15.0).contains(&fps) && told["failed"] == 0, "{told:#}");
    let stages = told["stages"].as_array().context("no stages")?;
    let names: Vec<&str> = stages.iter().filter_map(|stage| stage["stage"].as_str()).collect();
    assert_eq!(names, ["capture", "wait", "preprocess", "run", "postprocess", "total"]);
    let p50: Vec<f64> = stages.iter().map(|one| number(&one["p50_ms"])).collect::<Result<_>>()?;
    let [_, wait, preprocess, run, postprocess, total] = p50[..] else { anyhow::bail!("{p50:?}") };
    ensure!(run > 0.0 && total < 100.0, "{told:#}");
    // Medians of parts need not add up to that of the whole, but it has each of them in it.
    ensure!([wait, preprocess, run, postprocess].iter().all(|part| *part <= total), "{told:#}");
    // The daemon goes on, and is still the only one of its name.
    bench.observed("door", before + 10)?;
    let words = tests::heard::statuses(&bench.listener.heard(), &bench.topics)?;
    assert_eq!(words, [StatusWord::Online]);
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

#[test]
fn what_cannot_be_timed_is_one_error_and_an_exit_code() -> Result<()> {
    let folder = Folder::new()?;
    let model = bench::brightness(&folder, BRIGHTNESS, &onnx::brightness(13))?;
    let pipelines = [
        ("short", TWENTY_FRAMES),
        (
            "gone",
            r#"kind = "v4l2", device = "/dev/no-such-camera", width = 64, height = 48, rate_hz = 10"#,
        ),
        ("heard", r#"kind = "mqtt", topic = "pictures", rate_hz = 1"#),
    ];
    let pipelines = pipelines.map(|(name, source)| bench::pipeline(name, BRIGHTNESS, source, ""));
    // Nobody is there, and nobody is asked.
    let broker = "[mqtt]\nurl = \"mqtt://127.0.0.1:1\"\n".to_owned();
    folder.write("vedette.toml", [bench::head(), broker, model, pipelines.concat()].concat())?;
    folder.write("wrong.toml", "devise = 'x'\n")?;
    let of = |name| vec!["--config", "vedette.toml", "--pipeline", name];
    for (args, code, says) in [
        (of("short"), 0, ""),
        (of("gone"), 1, "pipeline `gone` failed: no frames: cannot open"),
        (of("heard"), 1, "hears the daemon's connection to the broker"),
        (of("door"), 2, "there is no pipeline `door`; there are: short, gone, heard"),
        ([of("short"), vec!["--warm-up", "20"]].concat(), 1, "inferred too few frames to measure"),
        ([of("short"), vec!["brightness"]].concat(), 2, "cannot be used with"),
        (vec![], 2, "<MODEL>"),
        (vec!["--config", "wrong.toml", "--pipeline", "door"], 78, "cannot use the configuration"),
    ] {
        let (found, text, log) = measure(&folder, &args)?;
        ensure!(found == Some(code) && log.contains(says), "{args:?}: {found:?} {log}");
        ensure!(text.contains("postprocess") == (code == 0), "{args:?}: {text}");
    }
    Ok(())
}
