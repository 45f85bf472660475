//! The one message by which Home Assistant discovers a device and everything it has. Pure.
//!
//! Keys are Home Assistant's abbreviations where there is one in every version that discovers whole devices.

use serde_json::{Map, Value, json};
use wire::topic::{Topics, UNNUMBERED};
use wire::{Digest, EventState, Phase, Verb};

use super::has::{Has, Pipeline};
use super::readings::{EACH, PIPELINE, Reading, SINGLE};

/// Entities of one device: with some 400 bytes each they stay inside the largest packet, 240 KiB.
const COMPONENTS_MAX: usize = 400;

/// Phases as the `event` entity declares them: an event of another type would be dropped.
const PHASES: [Phase; 10] = [
    Phase::Idle,
    Phase::Fetching,
    Phase::Staging,
    Phase::Rehearsing,
    Phase::Trialing,
    Phase::Committing,
    Phase::Probation,
    Phase::RollingBack,
    Phase::Refusing,
    Phase::Withdrawing,
];

/// What an event says of its rule.
const EVENT_STATES: [EventState; 3] = [EventState::Began, EventState::Ended, EventState::Happened];

/// What Home Assistant calls `device`: letters, digits and `_` only. Names that differ only in other signs get a
/// digest, so that they stay two.
#[must_use]
pub fn id(device: &str) -> String {
    let plain = device.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let word = word(device);
    if plain {
        format!("vedette_{word}")
    } else {
        format!("vedette_{word}_{}", Digest::of(device.as_bytes()).short())
    }
}

fn word(text: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    text.chars().map(letter).collect()
}

/// Where the message stands, retained.
#[must_use]
pub fn topic(prefix: &str, device: &str) -> String {
    format!("{prefix}/device/{}/config", id(device))
}

/// The message for a device that has `has`.
#[must_use]
pub fn discovery(topics: &Topics, has: &Has) -> Value {
    let device = topics.device();
    let mut entities = Entities { id: id(device), topics, all: Map::new() };
    has.pipelines.iter().for_each(|pipeline| entities.pipeline(pipeline, has));
    has.slots.iter().for_each(|slot| entities.slot(slot));
    has.alarms.iter().for_each(|alarm| entities.alarm(alarm));
    entities.board(has);
    let version = env!("CARGO_PKG_VERSION");
    let mut about = json!({ "ids": [entities.id], "name": device, "mf": "Vedette", "sw": version });
    if let Some(model) = &has.board {
        about["mdl"] = model.as_str().into();
    }
    json!({
        "dev": about,
        "o": { "name": "vedette", "sw": version },
        "avty_t": topics.status(),
        "avty_tpl": "{{ value_json.status }}",
        "pl_avail": "online",
        "pl_not_avail": "offline",
        "cmps": entities.all,
    })
}

/// `next`, with what `earlier` had and it has no longer named once more by its platform alone: that removes it.
/// While the device is still `learning`, readings and alarms that it has not said yet stay as they were.
#[must_use]
pub fn without_vanished(earlier: Option<&Value>, mut next: Value, learning: bool) -> Value {
    let before = earlier.and_then(|earlier| earlier.get("cmps")).and_then(Value::as_object);
    if let (Some(before), Some(now)) = (before, next.get_mut("cmps").and_then(Value::as_object_mut))
    {
        for (key, component) in before {
            let removed_already = component.as_object().is_none_or(|keys| keys.len() <= 1);
            if removed_already || now.contains_key(key) {
                continue;
            }
            let learned = component["p"] == "sensor" || key.starts_with("alarm_");
            let kept = if learned && learning {
                component.clone()
            } else {
                json!({ "p": component["p"] })
            };
            now.insert(key.clone(), kept);
        }
    }
    next
}

/// The entities of one device.
struct Entities<'a> {
    id: String,
    topics: &'a Topics,
    all: Map<String, Value>,
}

impl Entities<'_> {
    fn add(&mut self, platform: &str, key: &str, name: &str, mut keys: Value) {
        if self.all.len() >= COMPONENTS_MAX {
            return;
        }
        let key = word(key);
        keys["p"] = platform.into();
        keys["uniq_id"] = format!("{}_{key}", self.id).into();
        keys["name"] = name.into();
        self.all.insert(key, keys);
    }

    fn pipeline(&mut self, pipeline: &Pipeline, has: &Has) {
        let name = &pipeline.name;
        let (state, about) = (self.topics.pipeline_state(name), json!({ "pipeline": name }));
        if has.may(Verb::Pause) {
            let body = |paused: bool| json!({ "pipeline": name, "paused": paused }).to_string();
            let keys = json!({
                "cmd_t": self.topics.command(Verb::Pause, UNNUMBERED),
                "pl_on": body(false),
                "pl_off": body(true),
                "stat_t": state,
                "val_tpl": "{{ value_json.paused }}",
                "stat_on": "False",
                "stat_off": "True",
            });
            self.add("switch", &format!("{name} running"), &format!("{name} runs"), keys);
        } else {
            let keys = json!({
                "stat_t": state,
                "val_tpl": "{{ value_json.paused }}",
                "pl_on": "False",
                "pl_off": "True",
                "dev_cla": "running",
            });
            self.add("binary_sensor", &format!("{name} runs"), &format!("{name} runs"), keys);
        }
        if let Some((min, max)) = pipeline.threshold.filter(|_| has.may(Verb::Set)) {
            let open = format!("{{\"pipeline\":{},\"threshold\":", json!(name));
            let keys = json!({
                "cmd_t": self.topics.command(Verb::Set, UNNUMBERED),
                "cmd_tpl": format!("{open}{{{{ value }}}}}}"),
                "stat_t": state,
                "val_tpl": "{{ value_json.threshold }}",
                "min": min,
                "max": max,
                "step": 0.01,
                "mode": "box",
            });
            self.add("number", &format!("{name} threshold"), &format!("{name} threshold"), keys);
        }
        if has.may(Verb::Snapshot) && pipeline.pictures {
            let keys =
                json!({ "image_topic": self.topics.snapshot(name), "content_type": "image/jpeg" });
            self.add("image", &format!("{name} picture"), &format!("{name} picture"), keys);
            let keys = json!({
                "cmd_t": self.topics.command(Verb::Snapshot, UNNUMBERED),
                "pl_prs": about.to_string(),
            });
            self.add("button", &format!("{name} look"), &format!("{name}: take a picture"), keys);
        }
        self.events(pipeline);
        if has.measured.contains(name) {
            let topic = self.topics.telemetry_pipeline(name);
            for reading in PIPELINE {
                let key = format!("{name} {}", reading.path.join(" "));
                let shown = format!("{name} {}", reading.name);
                let template = format!("{{{{ value_json.{} }}}}", reading.path.join("."));
                self.sensor(reading, &topic, &key, &shown, &template);
            }
        }
    }

    /// What a pipeline waits for, as one entity.
    fn events(&mut self, pipeline: &Pipeline) {
        if pipeline.events.is_empty() {
            return;
        }
        let name = &pipeline.name;
        // An event of a type that is not declared here would be dropped.
        let types = pipeline.events.iter().flat_map(|event| {
            EVENT_STATES
                .map(|state| format!("{event}_{}", json!(state).as_str().unwrap_or_default()))
        });
        let keys = json!({
            "stat_t": self.topics.event(name),
            "val_tpl": "{{ {'event_type': value_json.event ~ '_' ~ value_json.state, \
                        'place': value_json.place, 'label': value_json.label, \
                        'value': value_json.value, 'clip': value_json.clip} | tojson }}",
            "event_types": types.collect::<Vec<_>>(),
        });
        self.add("event", &format!("{name} event"), &format!("{name}: what happens"), keys);
    }

    fn slot(&mut self, slot: &str) {
        let installed =
            "(value_json.installed.version if value_json.installed else 'configured folder')";
        let offered =
            format!("(value_json.offered.version if value_json.offered else {installed})");
        let busy = "value_json.phase not in ['idle', 'probation']";
        let percent = "(100 * value_json.progress_bytes / value_json.total_bytes) | round(0) \
                       if value_json.phase == 'fetching' and value_json.total_bytes else none";
        let template = format!(
            "{{{{ {{'installed_version': {installed}, 'latest_version': {offered}, \
             'in_progress': {busy}, 'update_percentage': {percent}}} | tojson }}}}"
        );
        let keys = json!({
            "stat_t": self.topics.model_state(slot),
            "val_tpl": template,
            "cmd_t": self.topics.model_install(slot),
            "payload_install": "install",
            "dev_cla": "firmware",
        });
        self.add("update", &format!("model {slot}"), &format!("Model {slot}"), keys);
        let types: Vec<Value> = PHASES.iter().map(|phase| json!(phase)).collect();
        let keys = json!({
            "stat_t": self.topics.model_event(slot),
            "val_tpl": "{{ {'event_type': value_json.to, 'reason': value_json.reason} | tojson }}",
            "event_types": types,
        });
        self.add(
            "event",
            &format!("model {slot} event"),
            &format!("Model {slot}: what happens"),
            keys,
        );
    }

    fn alarm(&mut self, alarm: &str) {
        let topic = self.topics.alarm(alarm);
        let keys = json!({
            "stat_t": topic,
            "val_tpl": "{{ value_json.active }}",
            "pl_on": "True",
            "pl_off": "False",
            "dev_cla": "problem",
            "json_attr_t": topic,
        });
        self.add("binary_sensor", &format!("alarm {alarm}"), &format!("Alarm {alarm}"), keys);
    }

    fn board(&mut self, has: &Has) {
        let topic = self.topics.telemetry_board();
        for reading in has.readings.iter().filter_map(|&index| SINGLE.get(index)) {
            let template = format!("{{{{ value_json.{} }}}}", reading.path.join("."));
            self.sensor(reading, &topic, &reading.path.join(" "), reading.name, &template);
        }
        for (&index, names) in &has.named {
            let Some((table, reading)) = EACH.get(index) else { continue };
            let (rows, path) = (table.join("."), reading.path.join("."));
            for name in names {
                let quoted = name.replace('\\', "\\\\").replace('\'', "\\'");
                // A zone may come and go between two readings.
                let template =
                    format!("{{{{ (value_json.{rows}.get('{quoted}') or {{}}).get('{path}') }}}}");
                let key = format!("{} {name} {path}", table.join(" "));
                self.sensor(reading, &topic, &key, &format!("{name} {}", reading.name), &template);
            }
        }
    }

    fn sensor(&mut self, reading: &Reading, topic: &str, key: &str, name: &str, template: &str) {
        let class = if reading.counts { "total_increasing" } else { "measurement" };
        let mut keys = json!({ "stat_t": topic, "val_tpl": template, "stat_cla": class });
        for (key, text) in [("unit_of_meas", reading.unit), ("dev_cla", reading.class)] {
            if !text.is_empty() {
                keys[key] = text.into();
            }
        }
        self.add("sensor", key, name, keys);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has() -> Has {
        let mut has = Has {
            pipelines: vec![Pipeline {
                name: "door".to_owned(),
                threshold: Some((0.0, 1.0)),
                pictures: true,
                events: vec!["loiter".to_owned()],
            }],
            slots: vec!["shapes".to_owned()],
            may: Verb::ALL.to_vec(),
            ..Has::default()
        };
        has.learn_board(&json!({
            "gpu": { "load_percent": 12 },
            "thermal": { "zones": { "it's": { "temperature_c": 1 } } },
        }));
        has.learn_alarm("hot", b"{}");
        has.learn_pipeline("door");
        has
    }

    fn platforms(document: &Value) -> Vec<(String, String)> {
        let components = document["cmps"].as_object().unwrap();
        let platform =
            |(key, keys): (&String, &Value)| (key.clone(), keys["p"].as_str().unwrap().to_owned());
        components.iter().map(platform).collect()
    }

    #[test]
    fn a_device_has_an_entity_for_everything_it_has_and_may_be_asked() {
        let topics = Topics::new("d").unwrap();
        let all = platforms(&discovery(&topics, &has()));
        for (key, platform) in [
            ("door_running", "switch"),
            ("door_threshold", "number"),
            ("door_picture", "image"),
            ("door_look", "button"),
            ("door_event", "event"),
            ("door_inferred_rate_hz", "sensor"),
            ("model_shapes", "update"),
            ("model_shapes_event", "event"),
            ("alarm_hot", "binary_sensor"),
            ("gpu_load_percent", "sensor"),
            ("thermal_zones_it_s_temperature_c", "sensor"),
        ] {
            assert!(all.contains(&(key.to_owned(), platform.to_owned())), "{key}: {all:?}");
        }
        let may = Vec::new();
        let none = platforms(&discovery(&topics, &Has { may, ..has() }));
        let acting = ["switch", "number", "button", "image"];
        assert!(none.iter().all(|(_, platform)| !acting.contains(&platform.as_str())), "{none:?}");
    }

    #[test]
    fn nobody_is_offered_a_picture_of_a_sensor() {
        let mut sensor = has();
        sensor.pipelines[0].pictures = false;
        let all = platforms(&discovery(&Topics::new("d").unwrap(), &sensor));
        assert!(all.iter().any(|(key, _)| key == "door_running"), "{all:?}");
        let pictures = |(key, _): &&(String, String)| key == "door_picture" || key == "door_look";
        assert_eq!(all.iter().find(pictures), None);
    }

    #[test]
    fn what_vanished_is_removed_once_by_its_platform_alone() {
        let topics = Topics::new("d").unwrap();
        let before = discovery(&topics, &has());
        let less = discovery(&topics, &Has { slots: Vec::new(), ..has() });
        let removing = without_vanished(Some(&before), less.clone(), false);
        assert_eq!(removing["cmps"]["model_shapes"], json!({ "p": "update" }));
        assert_eq!(removing["cmps"]["model_shapes_event"], json!({ "p": "event" }));
        assert_eq!(removing["cmps"]["door_running"], less["cmps"]["door_running"]);
        assert_eq!(without_vanished(Some(&removing), less.clone(), false), less, "once");
        for no_document in [None, Some(json!(null)), Some(json!({ "cmps": 7 }))] {
            assert_eq!(without_vanished(no_document.as_ref(), less.clone(), false), less);
        }
    }

    #[test]
    fn a_reading_that_was_not_said_yet_stays_while_the_device_learns() {
        let topics = Topics::new("d").unwrap();
        let before = discovery(&topics, &has());
        let pipelines = has().pipelines;
        let fresh = discovery(&topics, &Has { pipelines, ..Has::default() });
        let learning = without_vanished(Some(&before), fresh.clone(), true);
        for key in ["gpu_load_percent", "alarm_hot"] {
            assert_eq!(learning["cmps"][key], before["cmps"][key]);
        }
        assert_eq!(learning["cmps"]["door_running"], json!({ "p": "switch" }));
        let learned = without_vanished(Some(&learning), fresh, false);
        assert_eq!(learned["cmps"]["gpu_load_percent"], json!({ "p": "sensor" }));
    }

    #[test]
    fn two_devices_never_have_one_name_and_no_name_breaks_a_topic() {
        assert_eq!(id("orin-7"), "vedette_orin_7");
        assert_ne!(id("a.b"), id("a_b"));
        for device in ["a.b", "a_b", "A-B"] {
            assert!(id(device).bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
        }
    }

    #[test]
    fn a_command_template_gives_a_body_that_is_read() {
        let topics = Topics::new("d").unwrap();
        let document = discovery(&topics, &has());
        let template = document["cmps"]["door_threshold"]["cmd_tpl"].as_str().unwrap();
        let body: wire::SetBody =
            serde_json::from_str(&template.replace("{{ value }}", "0.25")).unwrap();
        assert_eq!((body.pipeline.as_str(), body.threshold), ("door", Some(0.25)));
        for key in ["pl_on", "pl_off"] {
            let text = document["cmps"]["door_running"][key].as_str().unwrap();
            let body: wire::PauseBody = serde_json::from_str(text).unwrap();
            assert_eq!(body.paused, key == "pl_off");
        }
    }
}
