//! What a pipeline waits for is told and kept: the real daemon, its model, a broker.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::bench::{self, TEN_A_SECOND};
use tests::{Bench, Message, PATIENCE};

/// All of the picture is one zone, and a line goes down its middle.
const WATCHED: &str = r#"
[pipeline.postprocess]
score_threshold = 0.25
[pipeline.track]
high = 0.4
begin = 0.4
[[pipeline.zones]]
name = "everywhere"
points = [[0, 0], [1, 0], [1, 1], [0, 1]]
[[pipeline.lines]]
name = "middle"
points = [[0.5, 1], [0.5, 0]]
"#;

fn json(message: &Message) -> Result<Value> {
    serde_json::from_slice(&message.body).context("no JSON")
}

#[test]
fn an_object_in_a_zone_has_a_number_is_told_once_and_its_pictures_are_kept() -> Result<()> {
    let bench = Bench::new()?;
    let rule = r#"
[[pipeline.events]]
name = "loiter"
kind = "in-zone"
zone = "everywhere"
for_ms = 500
clip_pictures = 3
clip_every_ms = 100
"#;
    let more = format!("{WATCHED}{rule}");
    let config = bench::shapes()? + &bench::pipeline("door", "shapes", TEN_A_SECOND, &more);
    let mut daemon = bench.start(&config)?;
    let clips = bench.listener.wait_count(&bench.topics.clip("door"), 1, PATIENCE)?;
    let events = bench.listener.wait_count(&bench.topics.event("door"), 1, PATIENCE)?;
    let (event, clip) = (json(&events[0])?, json(&clips[0])?);
    ensure!(event["event"] == "loiter" && event["state"] == "began", "{event}");
    ensure!(event["place"] == "everywhere" && event["track"].is_u64(), "{event}");
    ensure!(event["value"].as_f64() >= Some(500.0), "{event}");
    ensure!(event["clip"] == clip["clip"] && clip["error"].is_null(), "{event} {clip}");
    let pictures = clip["pictures"].as_array().context("no pictures")?;
    ensure!(pictures.len() == 3, "{clip}");
    let name = clip["clip"].as_str().context("no name")?;
    for picture in pictures {
        let file = picture["file"].as_str().context("no file")?;
        let path = bench.folder.path().join("state/clips").join(name).join(file);
        let jpeg = std::fs::read(&path).with_context(|| path.display().to_string())?;
        ensure!(jpeg.starts_with(&[0xff, 0xd8]), "{file} is no JPEG file");
        ensure!(picture["bytes"].as_u64() == u64::try_from(jpeg.len()).ok(), "{clip}");
    }
    // The numbers are those of the observations, and the zone counts them.
    let observed = bench.observed("door", 20)?;
    let last = json(observed.last().context("nothing observed")?)?;
    ensure!(last["zones"][0]["zone"] == "everywhere", "{last}");
    ensure!(last["zones"][0]["entered_total"].as_u64() >= Some(1), "{last}");
    ensure!(last["lines"][0]["line"] == "middle", "{last}");
    let numbered = observed.iter().any(|one| {
        let body = json(one).unwrap_or_default();
        let all = body["detections"].as_array().cloned().unwrap_or_default();
        all.iter().any(|found| found["track"].is_u64() && found["track"] == event["track"])
    });
    ensure!(numbered, "{event}: no observation has its track");
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

#[test]
fn an_event_is_of_the_very_frame_in_which_it_was_first_so() -> Result<()> {
    let bench = Bench::new()?;
    let rule = "[[pipeline.events]]\nname = \"some\"\nkind = \"count-over\"\nlimit = 0\n";
    let source = r#"kind = "pattern", width = 320, height = 240, pace = "free", frames = 30"#;
    let config = bench::shapes()? + &bench::pipeline("door", "shapes", source, rule);
    let ended = bench.start(&config)?.wait_exit(PATIENCE)?;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    let heard = bench.goodbye()?;
    let of = |topic: &str| -> Result<Vec<Value>> {
        heard.iter().filter(|message| message.topic == topic).map(json).collect()
    };
    let observed = of(&bench.topics.observation("door"))?;
    let some = |seen: &&Value| seen["detections"].as_array().is_some_and(|all| !all.is_empty());
    let first = observed.iter().find(some).context("nothing was found in 30 pictures")?;
    let event = of(&bench.topics.event("door"))?.into_iter().next().context("no event")?;
    ensure!(event["state"] == "began" && event["frame_seq"] == first["frame"]["seq"], "{event}");
    Ok(())
}

#[test]
fn a_camera_that_gives_one_picture_for_ever_is_told_and_its_model_runs_once() -> Result<()> {
    let bench = Bench::new()?;
    bench.folder.write("one/picture.png", tests::picture::png(320, 240, 120))?;
    let more = r#"
[pipeline.gate]
skip_duplicates = true
[[pipeline.events]]
name = "stuck"
kind = "frozen"
for_ms = 1000
[[pipeline.events]]
name = "blind"
kind = "covered"
for_ms = 500
"#;
    let source = r#"kind = "replay", path = "one", rate_hz = 10, loop = true"#;
    let config = "[telemetry]\nevery_s = 1\n".to_owned()
        + &bench::shapes()?
        + &bench::pipeline("door", "shapes", source, more);
    let mut daemon = bench.start(&config)?;
    let topic = bench.topics.event("door");
    let events = bench.listener.wait_count(&topic, 2, PATIENCE)?;
    let mut names: Vec<String> =
        events.iter().map(|one| Ok(json(one)?["event"].to_string())).collect::<Result<_>>()?;
    names.sort();
    ensure!(names == ["\"blind\"", "\"stuck\""], "{names:?}");
    let skipped = |messages: &[Message]| {
        let topic = bench.topics.telemetry_pipeline("door");
        let last = messages.iter().rev().find(|message| message.topic == topic)?;
        let body = json(last).ok()?;
        (body["skipped_duplicate_total"].as_u64()? >= 20).then_some(body)
    };
    let told = bench.listener.wait("duplicates that were skipped", PATIENCE, skipped)?;
    ensure!(told["inferred_total"] == 1 && told["replaced_total"] == 0, "{told}");
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

#[test]
fn a_pipeline_keeps_to_its_rate_and_counts_what_it_left_out() -> Result<()> {
    let bench = Bench::new()?;
    let source = r#"kind = "pattern", width = 320, height = 240, rate_hz = 40"#;
    let more = "gate = { max_hz = 5 }";
    let config = "[telemetry]\nevery_s = 1\n".to_owned()
        + &bench::shapes()?
        + &bench::pipeline("door", "shapes", source, more);
    let mut daemon = bench.start(&config)?;
    let topic = bench.topics.telemetry_pipeline("door");
    let told = bench.listener.wait("some seconds of telemetry", PATIENCE, |messages| {
        let last = messages.iter().rev().find(|message| message.topic == topic)?;
        let body = json(last).ok()?;
        (body["captured_total"].as_u64()? >= 160).then_some(body)
    })?;
    let number = |key: &str| told[key].as_u64().unwrap_or(0);
    let (captured, inferred) = (number("captured_total"), number("inferred_total"));
    // An eighth of them, give or take one at each end.
    ensure!(inferred <= captured / 8 + 2 && inferred + 2 >= captured / 10, "{told}");
    ensure!(number("skipped_thinned_total") >= captured / 8 * 6, "{told}");
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}
