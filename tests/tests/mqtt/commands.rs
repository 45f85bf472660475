//! What may be asked of a device is done once, and what may not is refused for one clear reason.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tests::bench::{self, BRIGHTNESS};
use tests::heard::{exactly, observations};
use tests::{Bench, Daemon, Fleet, Kind, Listener, PATIENCE, onnx};
use wire::{
    CommandErrorCode, CommandResult, DeviceReport, Diagnostics, ModelState, Phase, PipelineState,
    SnapshotReport, Verb,
};

use super::schemas::Schemas;

/// Everything may be asked.
const ALL: &str = r#"[commands]
allow = ["status", "set", "pause", "resume", "snapshot", "rollback", "diagnostics"]
"#;

/// What came of a command.
#[derive(Debug)]
struct Answer {
    ok: bool,
    code: Option<CommandErrorCode>,
    seq: u64,
    report: Option<DeviceReport>,
    diagnostics: Option<Diagnostics>,
    snapshot: Option<SnapshotReport>,
    /// As it was heard.
    body: Vec<u8>,
}

/// A bench whose device detects shapes at `door` and measures brightness at `light`.
fn start(commands: &str) -> Result<(Bench, Daemon)> {
    let bench = Bench::new()?;
    let model = bench::brightness(&bench.folder, BRIGHTNESS, &onnx::brightness(13))?;
    let config = [
        commands,
        &bench::shapes()?,
        &model,
        &bench::pipeline("door", "shapes", bench::TEN_A_SECOND, ""),
        &bench::pipeline("light", BRIGHTNESS, bench::TEN_A_SECOND, ""),
    ];
    let daemon = bench.start(&config.concat())?;
    bench.listener.wait_status(&bench.topics, wire::StatusWord::Online, PATIENCE)?;
    Ok((bench, daemon))
}

/// Asks `verb` with `body` as `request`, and waits for the `count`th answer.
fn ask_again(bench: &Bench, verb: &str, request: &str, body: &str, count: usize) -> Result<Answer> {
    bench.listener.say(&format!("vedette/v1/dut/cmd/{verb}/{request}"), body)?;
    let topic = bench.topics.command_result(verb, request);
    let answers = bench.listener.wait_count(&topic, count, PATIENCE)?;
    let body = answers.last().context("no answer")?.body.clone();
    let answer: CommandResult<'_> = exactly(&body)?;
    ensure!((&*answer.verb, &*answer.request) == (verb, request), "{answer:?}");
    ensure!(answer.ok == answer.error.is_none(), "{answer:?}");
    Ok(Answer {
        ok: answer.ok,
        code: answer.error.map(|error| error.code),
        seq: answer.envelope.seq,
        report: answer.report,
        diagnostics: answer.diagnostics,
        snapshot: answer.snapshot,
        body: body.clone(),
    })
}

fn ask(bench: &Bench, verb: &str, request: &str, body: &Value) -> Result<Answer> {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    ask_again(bench, verb, request, &text, 1)
}

/// Waits until the state that the device keeps of `pipeline` is as `wanted` says.
fn wait_state(
    bench: &Bench,
    pipeline: &str,
    wanted: impl Fn(&PipelineState<'_>) -> bool,
) -> Result<()> {
    let topic = bench.topics.pipeline_state(pipeline);
    bench.listener.wait(&format!("the state of {pipeline}"), PATIENCE, |messages| {
        let last = messages.iter().rev().find(|message| message.topic == topic)?;
        wanted(&exactly(&last.body).ok()?).then_some(())
    })
}

/// Frames that the source of `pipeline` gave so far.
fn captured(bench: &Bench, request: &str, pipeline: &str) -> Result<u64> {
    let report = ask(bench, "status", request, &Value::Null)?.report.context("no report")?;
    let own = report.pipelines.iter().find(|one| one.name == pipeline);
    Ok(own.context("no such pipeline")?.captured)
}

#[test]
fn by_default_a_device_says_how_it_is_and_does_nothing() -> Result<()> {
    let (bench, mut daemon) = start("")?;
    let answer = ask(&bench, "status", "1", &Value::Null)?;
    let report = answer.report.context("no report")?;
    assert!(answer.ok && report.pipelines.len() == 2, "{report:?}");
    for verb in Verb::ALL.into_iter().filter(|verb| *verb != Verb::Status) {
        let body = match verb {
            Verb::Set => json!({ "pipeline": "door", "threshold": 0.5 }),
            Verb::Pause | Verb::Resume | Verb::Snapshot => json!({ "pipeline": "door" }),
            _ => json!({}),
        };
        let answer = ask(&bench, verb.word(), "1", &body)?;
        assert_eq!(answer.code, Some(CommandErrorCode::NotAllowed), "{answer:?}");
    }
    assert_eq!(daemon.stop()?.code, Some(0));
    Schemas::new()?.check(&bench.goodbye()?)?;
    Ok(())
}

#[test]
fn a_paused_pipeline_closes_its_source_until_it_is_resumed() -> Result<()> {
    let (bench, mut daemon) = start(ALL)?;
    bench.observed("door", 5)?;
    assert!(ask(&bench, "pause", "1", &json!({ "pipeline": "door" }))?.ok);
    wait_state(&bench, "door", |state| state.paused)?;
    // The other pipeline is the clock: once it has seen a frame more, one that was under way here is through.
    let light = bench.observed("light", 1)?.len();
    bench.observed("light", light + 2)?;
    let before = captured(&bench, "1", "door")?;
    bench.observed("light", light + 7)?;
    assert_eq!(captured(&bench, "2", "door")?, before, "frames of a paused pipeline");
    let answer = ask(&bench, "snapshot", "1", &json!({ "pipeline": "door" }))?;
    assert_eq!(answer.code, Some(CommandErrorCode::Failed), "{answer:?}");

    assert!(ask(&bench, "resume", "1", &json!({ "pipeline": "door" }))?.ok);
    wait_state(&bench, "door", |state| !state.paused)?;
    let seen = bench.listener.wait("a frame of the opened source", PATIENCE, |messages| {
        let seen = observations(messages, &bench.topics, "door").ok()?;
        let frames: Vec<(u64, u64)> =
            seen.iter().map(|one| (one.envelope.seq, one.frame.seq)).collect();
        frames.windows(2).any(|pair| pair[1].1 < pair[0].1).then_some(frames)
    })?;
    assert!(seen.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1), "{seen:?}");
    assert_eq!(daemon.stop()?.code, Some(0));
    Schemas::new()?.check(&bench.goodbye()?)?;
    Ok(())
}

#[test]
fn a_request_that_comes_twice_is_done_once_and_a_button_s_each_time() -> Result<()> {
    let (bench, _daemon) = start(ALL)?;
    let (pause, resume) = (json!({ "pipeline": "door" }), json!({ "pipeline": "door" }));
    let first = ask(&bench, "pause", "7", &pause)?;
    assert!(ask(&bench, "resume", "8", &resume)?.ok);
    let again = ask_again(&bench, "pause", "7", &pause.to_string(), 2)?;
    assert_eq!(again.body, first.body, "the same answer, to the number");
    wait_state(&bench, "door", |state| !state.paused)?;
    for (count, paused) in [(1, true), (2, false), (3, true)] {
        let body = json!({ "pipeline": "door", "paused": paused }).to_string();
        let answer = ask_again(&bench, "pause", "-", &body, count)?;
        assert_eq!((answer.ok, answer.seq), (true, u64::try_from(count)?));
        wait_state(&bench, "door", |state| state.paused == paused)?;
    }
    Ok(())
}

#[test]
fn a_retained_command_is_refused_and_so_is_what_cannot_be_read() -> Result<()> {
    let bench = Bench::new()?;
    let topic = bench.topics.command(Verb::Pause, "1");
    bench.listener.leave(&topic, r#"{"pipeline":"light"}"#)?;
    let model = bench::brightness(&bench.folder, BRIGHTNESS, &onnx::brightness(13))?;
    let light = bench::pipeline("light", BRIGHTNESS, bench::TEN_A_SECOND, "");
    let _daemon = bench.start(&(ALL.to_owned() + &model + &light))?;
    let result = bench.topics.command_result("pause", "1");
    let refused = bench.listener.wait_count(&result, 1, PATIENCE)?;
    let answer: CommandResult<'_> = exactly(&refused[0].body)?;
    let error = answer.error.context("it was done")?;
    assert_eq!(error.code, CommandErrorCode::Retained);
    // It sees on.
    bench.observed("light", 3)?;

    let long = format!(r#"{{"pipeline":"{}"}}"#, "x".repeat(100_000));
    for (request, verb, body, code_wanted) in [
        ("a", "pause", "{", CommandErrorCode::Malformed),
        ("b", "pause", "", CommandErrorCode::Malformed),
        ("c", "pause", &*long, CommandErrorCode::Malformed),
        ("d", "reboot", "", CommandErrorCode::Malformed),
        ("e", "pause", r#"{"pipeline":"gate"}"#, CommandErrorCode::NotFound),
        ("f", "set", r#"{"pipeline":"light","threshold":0.5}"#, CommandErrorCode::NotFound),
        ("g", "rollback", "{}", CommandErrorCode::NotFound),
        ("h", "rollback", "", CommandErrorCode::Malformed),
    ] {
        let answer = ask_again(&bench, verb, request, body, 1)?;
        assert_eq!(answer.code, Some(code_wanted), "{answer:?}");
    }
    Schemas::new()?.check(&bench.listener.heard())?;
    Ok(())
}

#[test]
fn a_threshold_holds_from_the_next_frame_on_and_can_be_taken_back() -> Result<()> {
    let (bench, _daemon) = start(ALL)?;
    wait_state(&bench, "door", |state| state.threshold == state.threshold_configured)?;
    let found = |what: &str, some: bool| {
        let before = bench.listener.heard().len();
        bench.listener.wait(what, PATIENCE, |messages| {
            let new = observations(messages.get(before..)?, &bench.topics, "door").ok()?;
            new.iter().any(|one| one.detections.is_empty() != some).then_some(())
        })
    };
    found("something found", true)?;
    let set = |request: &str, threshold: Value| {
        ask(&bench, "set", request, &json!({ "pipeline": "door", "threshold": threshold }))
    };
    assert!(set("1", json!(1.0))?.ok);
    wait_state(&bench, "door", |state| state.threshold == Some(1.0))?;
    found("nothing found", false)?;
    assert_eq!(set("2", json!(1.5))?.code, Some(CommandErrorCode::Failed));
    assert!(set("3", Value::Null)?.ok);
    wait_state(&bench, "door", |state| state.threshold == state.threshold_configured)?;
    found("something found again", true)
}

#[test]
fn a_snapshot_is_a_picture_kept_on_its_own_topic() -> Result<()> {
    let (bench, _daemon) = start(ALL)?;
    bench.observed("door", 3)?;
    let answer = ask(&bench, "snapshot", "1", &json!({ "pipeline": "door" }))?;
    let told = answer.snapshot.context("no snapshot")?;
    assert_eq!((told.width_px, told.height_px), (320, 240));
    assert_eq!(told.topic, bench.topics.snapshot("door"));
    let later = Listener::start(bench.broker.port(), None)?;
    let kept = later.wait_count(&told.topic, 1, PATIENCE)?;
    assert!(kept[0].retained);
    assert_eq!(u64::try_from(kept[0].body.len())?, told.bytes);
    assert!(kept[0].body.starts_with(&[0xff, 0xd8]) && kept[0].body.ends_with(&[0xff, 0xd9]));
    let mut codec = vedette::hw::jpeg::Decoder::new()?;
    assert_eq!(codec.decode_rgb(&kept[0].body, &mut Vec::new())?, (320, 240));
    Ok(())
}

#[test]
fn diagnostics_say_what_runs_and_what_was_wrong() -> Result<()> {
    let (bench, _daemon) = start(ALL)?;
    let refused = ask_again(&bench, "pause", "1", "{", 1)?;
    assert!(!refused.ok);
    let answer = ask(&bench, "diagnostics", "1", &Value::Null)?;
    let told = answer.diagnostics.context("no diagnostics")?;
    assert_eq!(told.engines.len(), 2, "{told:?}");
    assert!(told.onnxruntime_version.is_some() && told.resident_bytes > Some(1 << 20), "{told:?}");
    let named = told.warnings.iter().any(|line| line.contains("a command is refused"));
    assert!(named, "{:?}", told.warnings);
    Schemas::new()?.check(&bench.listener.heard())?;
    Ok(())
}

#[test]
fn a_release_is_left_for_the_one_before_once_however_often_it_is_asked() -> Result<()> {
    let (bench, fleet) = (Bench::new()?, Fleet::new()?);
    fleet.release("2.0.0", Kind::Good, 1)?;
    tests::fleet::write_model(&bench.folder, BRIGHTNESS, &onnx::brightness(13), "1.0.0", 0.5)?;
    let model = bench::model(BRIGHTNESS, BRIGHTNESS) + "release = \"brightness\"\n";
    let light = bench::pipeline("light", BRIGHTNESS, bench::TEN_A_SECOND, "");
    let mut daemon = bench.start(&[ALL, &fleet.update(), &model, &light].concat())?;
    bench.observed("light", 3)?;
    bench.listener.say(&bench.topics.model_install(BRIGHTNESS), "install")?;
    let wait = |version: Option<&str>| {
        bench.listener.wait(&format!("{version:?} installed"), PATIENCE * 2, |messages| {
            let topic = bench.topics.model_state(BRIGHTNESS);
            let last = messages.iter().rev().find(|message| message.topic == topic)?;
            let state: ModelState<'_> = exactly(&last.body).ok()?;
            let installed = state.installed.as_ref().map(|one| one.version.as_str());
            (state.phase == Phase::Idle && installed == version).then_some(())
        })
    };
    wait(Some("2.0.0"))?;
    let wrong = json!({ "slot": BRIGHTNESS, "to": "9.9.9" });
    assert_eq!(ask(&bench, "rollback", "1", &wrong)?.code, Some(CommandErrorCode::Failed));
    let back = ask(&bench, "rollback", "2", &json!({}))?;
    assert!(back.ok, "{back:?}");
    wait(None)?;
    let again = ask_again(&bench, "rollback", "2", "{}", 2)?;
    assert_eq!(again.body, back.body);
    assert_eq!(daemon.stop()?.code, Some(0));
    let seen = Schemas::new()?.check(&bench.goodbye()?)?;
    assert!(seen.contains(&"model-state") && seen.contains(&"model-event"), "{seen:?}");
    Ok(())
}
