//! Home Assistant finds what the device has, and no longer finds what it has not.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tests::bench::{self, BRIGHTNESS};
use tests::{Bench, Daemon, Listener, PATIENCE, onnx};
use wire::topic::Topics;

use super::schemas::{all, schema_of};

/// Where the device under test is listed.
const CONFIG: &str = "homeassistant/device/vedette_dut/config";

const ALLOW: &str = "[telemetry]\nevery_s = 1\n\
                     [commands]\nallow = [\"set\", \"pause\", \"snapshot\"]\n\
                     [homeassistant]\n";

/// What Home Assistant takes for each platform, beside `p`, `name` and `uniq_id`. A key it does not know makes it
/// refuse the whole entity.
const KEYS: &[(&str, &[&str], &[&str])] = &[
    // platform, what must be there, what may be there
    ("sensor", &["stat_t"], &["val_tpl", "unit_of_meas", "dev_cla", "stat_cla"]),
    ("binary_sensor", &["stat_t"], &["val_tpl", "pl_on", "pl_off", "dev_cla", "json_attr_t"]),
    ("switch", &["cmd_t"], &["stat_t", "val_tpl", "pl_on", "pl_off", "stat_on", "stat_off"]),
    ("number", &["cmd_t"], &["cmd_tpl", "stat_t", "val_tpl", "min", "max", "step", "mode"]),
    ("image", &["image_topic"], &["content_type"]),
    ("button", &["cmd_t"], &["pl_prs"]),
    ("update", &["stat_t"], &["val_tpl", "cmd_t", "payload_install", "dev_cla"]),
    ("event", &["stat_t", "event_types"], &["val_tpl"]),
];

/// Starts a device with these pipelines behind `settings`.
fn start(bench: &Bench, settings: &str, pipelines: &[&str]) -> Result<Daemon> {
    let model = bench::brightness(&bench.folder, BRIGHTNESS, &onnx::brightness(13))?;
    let mut config = settings.to_owned() + &bench::shapes()? + &model;
    for name in pipelines {
        let model = if *name == "door" { "shapes" } else { BRIGHTNESS };
        config += &bench::pipeline(name, model, bench::TEN_A_SECOND, "");
    }
    bench.start(&config)
}

/// The last document, once it has `component` as `wanted` says.
fn wait_document(
    listener: &Listener,
    what: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Result<Value> {
    listener.wait(what, PATIENCE, |messages| {
        let last = messages.iter().rev().find(|message| message.topic == CONFIG)?;
        let document = serde_json::from_slice(&last.body).ok()?;
        wanted(&document).then_some(document)
    })
}

/// The keys that `template` reads, each as its path.
fn paths(template: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, word) in template.match_indices("value_json") {
        let mut rest = &template[at + word.len()..];
        let mut path = Vec::new();
        loop {
            if let Some((name, after)) = quoted(rest, ".get('", "')") {
                path.push(name.replace("\\'", "'"));
                rest = after;
            } else if let Some(after) = rest.strip_prefix(" or {})") {
                rest = after;
            } else if let Some(after) = rest.strip_prefix('.') {
                let ends = |c: char| !c.is_ascii_alphanumeric() && c != '_';
                let end = after.find(ends).unwrap_or(after.len());
                path.push(after[..end].to_owned());
                rest = &after[end..];
            } else {
                break;
            }
        }
        found.push(path);
    }
    found
}

fn quoted<'a>(text: &'a str, open: &str, close: &str) -> Option<(&'a str, &'a str)> {
    text.strip_prefix(open)?.split_once(close)
}

/// Whether `path` leads to something in `schema`, which is `root` or a part of it.
fn leads(root: &Value, schema: &Value, path: &[String]) -> bool {
    if let Some(name) = schema["$ref"].as_str() {
        return leads(
            root,
            root.pointer(name.trim_start_matches('#')).unwrap_or(&Value::Null),
            path,
        );
    }
    if let Some(either) = schema["anyOf"].as_array() {
        return either.iter().any(|schema| leads(root, schema, path));
    }
    let Some((key, rest)) = path.split_first() else { return schema.is_object() };
    match schema.pointer(&format!("/properties/{key}")) {
        Some(next) => leads(root, next, rest),
        None => {
            schema["additionalProperties"].is_object()
                && leads(root, &schema["additionalProperties"], rest)
        }
    }
}

/// That every entity of `document` is one that Home Assistant takes, and reads keys that are really there.
fn check(document: &Value) -> Result<BTreeMap<String, usize>> {
    let schemas = all()?;
    let mut platforms = BTreeMap::new();
    for key in ["dev", "o", "avty_t", "avty_tpl", "pl_avail", "pl_not_avail", "cmps"] {
        ensure!(document.get(key).is_some(), "no `{key}`");
    }
    let reads = |topic: &Value, template: &Value| -> Result<()> {
        let topic = topic.as_str().context("no topic")?;
        let name = schema_of(topic).with_context(|| format!("nothing is said on {topic}"))?;
        let template = template.as_str().context("no template")?;
        let found = paths(template);
        ensure!(!found.is_empty(), "{template} reads nothing");
        for path in found {
            ensure!(
                leads(&schemas[name], &schemas[name], &path),
                "{name} has no {path:?}: {template}"
            );
        }
        Ok(())
    };
    reads(&document["avty_t"], &document["avty_tpl"])?;
    let mut ids = Vec::new();
    for (key, entity) in document["cmps"].as_object().context("no components")? {
        let platform = entity["p"].as_str().context("no platform")?;
        let rule = KEYS.iter().find(|(name, ..)| *name == platform);
        let (_, must, may) = rule.with_context(|| format!("{key}: platform {platform}"))?;
        let keys: Vec<&String> =
            entity.as_object().into_iter().flat_map(|keys| keys.keys()).collect();
        for wanted in must.iter().chain(&["uniq_id", "name"]) {
            ensure!(keys.iter().any(|key| key == wanted), "{key} has no `{wanted}`");
        }
        for found in keys {
            let known = ["p", "uniq_id", "name"].iter().chain(*must).chain(*may);
            ensure!(known.into_iter().any(|known| known == found), "{key}: `{found}` is not known");
        }
        if entity.get("val_tpl").is_some() {
            reads(&entity["stat_t"], &entity["val_tpl"]).with_context(|| key.clone())?;
        }
        ids.push(entity["uniq_id"].clone());
        *platforms.entry(platform.to_owned()).or_default() += 1;
    }
    let count = ids.len();
    ids.sort_by_key(ToString::to_string);
    ids.dedup();
    ensure!(ids.len() == count, "two entities have one id");
    Ok(platforms)
}

#[test]
fn a_device_is_listed_with_everything_it_has_and_every_template_reads_a_key_that_is_there()
-> Result<()> {
    let bench = Bench::new()?;
    let _daemon = start(&bench, ALLOW, &["door", "light"])?;
    let home = Listener::of("homeassistant/#", bench.broker.port(), None)?;
    let document = wait_document(&home, "readings, alarms and pipelines", |document| {
        let all = &document["cmps"];
        ["host_uptime_s", "alarm_memory", "door_inferred_rate_hz"]
            .iter()
            .all(|key| all.get(key).is_some())
    })?;
    let platforms = check(&document)?;
    for (platform, count) in [("switch", 2), ("number", 1), ("image", 2), ("button", 2)] {
        assert_eq!(platforms.get(platform), Some(&count), "{platforms:?}");
    }
    assert_eq!(document["dev"]["name"], "dut");
    let later = Listener::of(CONFIG, bench.broker.port(), None)?;
    assert!(later.wait_count(CONFIG, 1, PATIENCE)?[0].retained);
    Ok(())
}

#[test]
fn every_entity_that_there_can_be_reads_keys_that_are_there() -> Result<()> {
    use vedette::homeassistant::{EACH, Has, PIPELINE, Pipeline, SINGLE, discovery};
    let topics = Topics::new("dut")?;
    let mut has = Has {
        pipelines: vec![Pipeline {
            pictures: true,
            name: "door".to_owned(),
            threshold: Some((0.0, 1.0)),
            events: vec!["loiter".to_owned()],
        }],
        slots: vec!["shapes".to_owned()],
        may: wire::Verb::ALL.to_vec(),
        ..Has::default()
    };
    let platforms = check(&discovery(&topics, &has))?;
    assert_eq!(platforms.len(), 6, "{platforms:?}");
    has.may.clear();
    assert_eq!(check(&discovery(&topics, &has))?.get("binary_sensor"), Some(&1));
    // A board that has every reading.
    let mut board = json!({});
    for reading in SINGLE {
        let mut at = &mut board;
        for key in reading.path {
            at = &mut at[*key];
        }
        *at = json!(1);
    }
    for (table, reading) in EACH {
        let mut at = &mut board;
        for key in table.iter().chain(&["it's one"]).chain(reading.path) {
            at = &mut at[*key];
        }
        *at = json!(1);
    }
    has.learn_board(&board);
    has.learn_alarm("hot", b"{}");
    has.learn_pipeline("door");
    let sensors = SINGLE.len() + EACH.len() + PIPELINE.len();
    let platforms = check(&discovery(&topics, &has))?;
    assert_eq!(platforms.get("sensor"), Some(&sensors), "{platforms:?}");
    // Every phase is declared: an event of another type is dropped.
    let schemas = all()?;
    let phases = &schemas["model-event"]["$defs"]["Phase"];
    let each = phases["oneOf"].as_array().context("no phases")?.iter();
    let words: Vec<&Value> = each.map(|phase| &phase["const"]).collect();
    let document = discovery(&topics, &has);
    let declared = document["cmps"]["model_shapes_event"]["event_types"].as_array();
    assert_eq!(declared.context("no event")?.iter().collect::<Vec<_>>(), words);
    Ok(())
}

#[test]
fn what_a_device_no_longer_has_is_taken_back_and_the_whole_device_where_it_is_switched_off()
-> Result<()> {
    let bench = Bench::new()?;
    let home = Listener::of("homeassistant/#", bench.broker.port(), None)?;
    let mut daemon = start(&bench, ALLOW, &["door", "light"])?;
    wait_document(&home, "two pipelines", |document| {
        document["cmps"]["light_running"]["cmd_t"].is_string()
    })?;
    assert_eq!(daemon.stop()?.code, Some(0));
    let mut daemon = start(&bench, ALLOW, &["door"])?;
    let document = wait_document(&home, "one pipeline less", |document| {
        document["cmps"]["light_running"] == json!({ "p": "switch" })
    })?;
    assert!(document["cmps"]["door_running"]["cmd_t"].is_string());
    assert_eq!(daemon.stop()?.code, Some(0));
    let _daemon = start(&bench, "[homeassistant]\nenabled = false\n", &["door"])?;
    home.wait("the device taken back", PATIENCE, |messages| {
        let last = messages.iter().rev().find(|message| message.topic == CONFIG)?;
        last.body.is_empty().then_some(())
    })
}

/// How often a Home Assistant comes back until what it is told is what it was told before.
const BIRTHS: usize = 4;

#[test]
fn a_home_assistant_that_comes_back_is_told_again() -> Result<()> {
    let bench = Bench::new()?;
    let home = Listener::of("homeassistant/#", bench.broker.port(), None)?;
    let _daemon = start(&bench, ALLOW, &["light"])?;
    home.wait_count(CONFIG, 1, PATIENCE)?;
    // It says the same again only where it was asked to. What comes first may be more than before, since a reading
    // came meanwhile.
    for birth in 1..=BIRTHS {
        home.say("homeassistant/status", "offline")?;
        home.say("homeassistant/status", "online")?;
        let told = home.wait_count(CONFIG, 1 + birth, PATIENCE)?;
        let Some(again) = told.windows(2).find(|pair| pair[0].body == pair[1].body) else {
            continue;
        };
        let heard = home.heard();
        let mut births = heard.iter().filter(|message| message.body == b"online");
        let last = births.rfind(|birth| birth.at <= again[1].at).context("no birth")?;
        let waited = again[1].at - last.at;
        assert!(waited.as_millis() >= 900, "{waited:?} is no pause");
        return Ok(());
    }
    bail!("each time something else: {:?}", home.heard());
}
