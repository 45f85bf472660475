//! Every payload has a schema, the schema is that of its type, and what is really said keeps to it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use jsonschema::Validator;
use serde_json::Value;
use tests::bench::{self, BRIGHTNESS};
use tests::{Bench, Message, PATIENCE, onnx, places};
use wire::PAYLOAD_MAX_BYTES;

/// Set to write the files again instead of comparing them.
const WRITE: &str = "VEDETTE_WRITE_SCHEMAS";
/// What to run where a file and its type differ.
const AGAIN: &str =
    "VEDETTE_WRITE_SCHEMAS=1 cargo nextest run -p tests -E 'test(a_schema_is_that_of_its_type)'";

/// All schemas, by name.
pub(crate) fn all() -> Result<BTreeMap<&'static str, Value>> {
    let schemas = wire::schema::all().into_iter();
    schemas.map(|(name, schema)| Ok((name, serde_json::to_value(schema)?))).collect()
}

/// Which schema holds for `topic`; `None` for pictures, and for what the device hears.
pub(crate) fn schema_of(topic: &str) -> Option<&'static str> {
    let levels: Vec<&str> = topic.strip_prefix("vedette/v1/")?.split('/').skip(1).collect();
    Some(match levels[..] {
        ["status"] => "status",
        ["info"] => "info",
        ["observation", _] => "observation",
        ["telemetry", "board"] => "board",
        ["telemetry", "pipeline", _] => "pipeline",
        ["alarm", _] => "alarm",
        ["event", _] => "event",
        ["clip", _] => "clip",
        ["pipeline", _, "state"] => "pipeline-state",
        ["model", _, "state"] => "model-state",
        ["event", "model", _] => "model-event",
        ["cmd", _, _, "result"] => "command-result",
        _ => return None,
    })
}

/// Holds messages against the schemas of their topics.
pub(crate) struct Schemas(BTreeMap<&'static str, Validator>);

impl Schemas {
    pub(crate) fn new() -> Result<Self> {
        let compiled = all()?.into_iter().map(|(name, schema)| {
            let validator = jsonschema::validator_for(&schema);
            Ok((name, validator.map_err(|error| anyhow::anyhow!("{name}: {error}"))?))
        });
        Ok(Self(compiled.collect::<Result<_>>()?))
    }

    /// Names of the schemas that `messages` were held against.
    pub(crate) fn check(&self, messages: &[Message]) -> Result<Vec<&'static str>> {
        let mut names = Vec::new();
        for message in messages {
            let topic = &message.topic;
            let Some(name) = schema_of(topic) else { continue };
            let text = String::from_utf8_lossy(&message.body);
            ensure!(message.body.len() < PAYLOAD_MAX_BYTES, "{topic}: {} bytes", text.len());
            let body = serde_json::from_str(&text).with_context(|| format!("{topic}: {text}"))?;
            let errors = self.0[name].iter_errors(&body).map(|error| error.to_string());
            let errors: Vec<String> = errors.collect();
            ensure!(errors.is_empty(), "{topic} is not {name}: {}\n{text}", errors.join("; "));
            names.push(name);
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }
}

#[test]
fn a_schema_is_that_of_its_type() -> Result<()> {
    let folder = places::repository().join("wire/schema");
    let mut known = Vec::new();
    for (name, schema) in all()? {
        let path = folder.join(format!("{name}.json"));
        let text = serde_json::to_string_pretty(&schema)? + "\n";
        if std::env::var_os(WRITE).is_some() {
            std::fs::create_dir_all(&folder)?;
            write(&path, &text)?;
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        ensure!(found == text, "{} is not what its type says: {AGAIN}", path.display());
        known.push(format!("{name}.json"));
    }
    for entry in std::fs::read_dir(&folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        ensure!(known.contains(&name), "{name} is the schema of nothing");
    }
    Ok(())
}

fn write(path: &std::path::Path, text: &str) -> Result<()> {
    Ok(vedette::disk::replace(path, text.as_bytes())?)
}

/// Every object schema inside `schema`, with where it is.
fn objects<'a>(schema: &'a Value, at: String, found: &mut Vec<(String, &'a Value)>) {
    match schema {
        Value::Object(keys) => {
            if keys.contains_key("properties") {
                found.push((at.clone(), schema));
            }
            for (key, value) in keys {
                objects(value, format!("{at}/{key}"), found);
            }
        }
        Value::Array(items) => {
            items.iter().for_each(|item| objects(item, at.clone(), found));
        }
        _ => {}
    }
}

#[test]
fn every_key_of_every_payload_is_always_there() -> Result<()> {
    for (name, schema) in all()? {
        // Bodies of commands are said to us, and may leave out what is optional.
        if name.starts_with("command-") && name != "command-result" {
            continue;
        }
        let mut found = Vec::new();
        objects(&schema, String::new(), &mut found);
        ensure!(!found.is_empty(), "{name} has no keys");
        for (at, object) in found {
            let required = object["required"].as_array().context("nothing is required")?;
            for key in object["properties"].as_object().into_iter().flat_map(|keys| keys.keys()) {
                ensure!(
                    required.iter().any(|one| one == key),
                    "{name}{at}: `{key}` may be missing"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn what_a_device_says_keeps_to_its_schemas() -> Result<()> {
    let bench = Bench::new()?;
    let model = bench::brightness(&bench.folder, BRIGHTNESS, &onnx::brightness(13))?;
    let config = bench::shapes()?
        + &model
        + &bench::pipeline("door", "shapes", bench::TEN_A_SECOND, "")
        + &bench::pipeline("light", BRIGHTNESS, bench::TEN_A_SECOND, "");
    let mut daemon = bench.start(&config)?;
    bench.listener.wait_status(&bench.topics, wire::StatusWord::Online, PATIENCE)?;
    bench.listener.say(&bench.topics.command(wire::Verb::Status, "1"), "")?;
    bench.listener.wait_count(&bench.topics.command_result("status", "1"), 1, PATIENCE)?;
    for pipeline in ["door", "light"] {
        bench.observed(pipeline, 10)?;
        bench.listener.wait_count(&bench.topics.telemetry_pipeline(pipeline), 1, PATIENCE)?;
    }
    bench.listener.wait_count(&bench.topics.telemetry_board(), 1, PATIENCE)?;
    bench.listener.wait_count(&bench.topics.alarm("disk"), 1, PATIENCE)?;
    assert_eq!(daemon.stop()?.code, Some(0));
    let heard = bench.goodbye()?;
    let seen = Schemas::new()?.check(&heard)?;
    let all = ["alarm", "board", "command-result", "info", "observation"];
    assert_eq!(seen, [&all[..], &["pipeline", "pipeline-state", "status"]].concat());
    Ok(())
}

#[test]
fn a_schema_refuses_what_is_no_such_payload() -> Result<()> {
    let schemas = Schemas::new()?;
    let message = |body: &str| Message {
        topic: "vedette/v1/d/status".to_owned(),
        body: body.as_bytes().to_vec(),
        retained: false,
        at: std::time::Instant::now(),
    };
    let good = r#"{"schema":"vedette/status/1","ts":"2026-11-18T11:06:40.000Z","boot_id":"b","uptime_ms":5,"seq":1,"status":"online"}"#;
    schemas.check(&[message(good)])?;
    for (what, from, to) in [
        ("another word", "online", "gone"),
        ("another schema", "vedette/status/1", "vedette/status/2"),
        ("no milliseconds", "40.000Z", "40Z"),
        ("a missing key", r#""seq":1,"#, ""),
        ("a number below zero", r#""seq":1"#, r#""seq":-1"#),
    ] {
        if schemas.check(&[message(&good.replace(from, to))]).is_ok() {
            bail!("{what} passes");
        }
    }
    Ok(())
}
