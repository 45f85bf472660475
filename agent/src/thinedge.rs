//! This device's readings, alarms and events once more, where thin-edge.io expects them.
//!
//! What the device publishes in its own tree is heard back from the broker, translated by [`translate`], which is
//! pure, and published below `te/`. The broker is then best the one on the device itself.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio::sync::Mutex;
use tokio::sync::mpsc::Receiver;

use crate::config::Section;
use crate::mqtt::{Heard, Link};
use crate::outbox::Class;
use crate::stop::Stop;
use crate::supervisor::{Failure, Supervisor};

/// Root of thin-edge's topics unless it was told otherwise.
const ROOT: &str = "te";
/// The device itself, as thin-edge names entities.
const ENTITY: &str = "device/main//";
/// Depth of the deepest reading: a table of tables below a group.
const DEPTH_MAX: usize = 6;

/// Where in thin-edge's tree this device's readings are repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThinEdgeSettings {
    /// First level of thin-edge's topics.
    pub root: String,
    /// The entity: four levels, some of which may be empty.
    pub entity: String,
}

impl ThinEdgeSettings {
    /// Reads `[thinedge]`.
    #[must_use]
    pub fn read(section: &Section<'_>) -> Self {
        let settings = Self {
            root: section.text("root").unwrap_or_else(|| ROOT.to_owned()),
            entity: section.text("entity").unwrap_or_else(|| ENTITY.to_owned()),
        };
        if settings.root.is_empty() || settings.root.contains(['+', '#']) {
            section.mistake("root", format!("`{}` is no beginning of a topic", settings.root));
        }
        if settings.entity.split('/').count() != 4 || settings.entity.contains(['+', '#']) {
            let message =
                format!("`{}` is no entity: four levels, as in `{ENTITY}`", settings.entity);
            section.mistake("entity", message);
        }
        settings
    }
}

/// What is to be said in thin-edge's tree.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// A measurement or an event.
    Once(String, Value),
    /// An alarm that is raised: retained.
    Raised(String, Value),
    /// An alarm that is not.
    Cleared(String),
}

/// What `body` on `levels`, the topic's levels below the device, is in thin-edge's tree; `None`: nothing. A topic that
/// was cleared has no body: null.
#[must_use]
pub fn translate(settings: &ThinEdgeSettings, levels: &[&str], body: &Value) -> Option<Said> {
    let topic =
        |kind: &str, name: &str| format!("{}/{}/{kind}/{name}", settings.root, settings.entity);
    if let (["alarm", name], Value::Null) = (levels, body) {
        return Some(Said::Cleared(topic("a", name)));
    }
    let time = body.get("ts")?.clone();
    match levels {
        ["telemetry", "board"] => {
            Some(Said::Once(topic("m", "vedette_board"), measurement(time, body)))
        }
        ["telemetry", "pipeline", pipeline] => {
            let topic = topic("m", &format!("vedette_pipeline_{pipeline}"));
            Some(Said::Once(topic, measurement(time, body)))
        }
        ["alarm", name] => {
            let topic = topic("a", name);
            if body.get("active") != Some(&Value::Bool(true)) {
                return Some(Said::Cleared(topic));
            }
            let word = |key: &str| body.get(key).filter(|value| !value.is_null());
            let text = match (word("subject").and_then(Value::as_str), word("value")) {
                (Some(subject), Some(value)) => format!("{name}: {subject}, {value}"),
                (Some(subject), None) => format!("{name}: {subject}"),
                (None, Some(value)) => format!("{name}: {value}"),
                (None, None) => (*name).to_owned(),
            };
            Some(Said::Raised(topic, json!({ "text": text, "severity": "major", "time": time })))
        }
        ["event", "model", slot] => {
            let word = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default();
            let mut text = format!("model {slot}: {} to {}", word("from"), word("to"));
            if !word("reason").is_empty() {
                text = format!("{text}: {}", word("reason"));
            }
            Some(Said::Once(topic("e", "vedette_model"), json!({ "text": text, "time": time })))
        }
        ["event", pipeline] => {
            let word = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default();
            let mut text = format!("{pipeline}: {} {}", word("event"), word("state"));
            if !word("place").is_empty() {
                text = format!("{text} at {}", word("place"));
            }
            Some(Said::Once(topic("e", "vedette_event"), json!({ "text": text, "time": time })))
        }
        _ => None,
    }
}

/// Keys of every payload that are no readings.
const NO_READINGS: [&str; 2] = ["uptime_ms", "seq"];

/// The numbers in `body`: those of a table as one group, deeper ones with their keys joined by `_`, since
/// thin-edge's measurements have two levels.
fn measurement(time: Value, body: &Value) -> Value {
    let mut groups = Map::new();
    groups.insert("time".to_owned(), time);
    for (key, value) in body.as_object().into_iter().flatten() {
        if value.is_number() && !NO_READINGS.contains(&key.as_str()) {
            groups.insert(key.clone(), value.clone());
        }
        let mut numbers = Map::new();
        flatten("", value, DEPTH_MAX, &mut numbers);
        if !numbers.is_empty() {
            groups.insert(key.clone(), numbers.into());
        }
    }
    groups.into()
}

fn flatten(prefix: &str, value: &Value, depth: usize, into: &mut Map<String, Value>) {
    let Some(table) = value.as_object().filter(|_| depth > 0) else { return };
    for (key, value) in table {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}_{key}") };
        if value.is_number() {
            into.insert(name, value.clone());
        } else {
            flatten(&name, value, depth - 1, into);
        }
    }
}

/// Starts to translate.
pub fn start(settings: &ThinEdgeSettings, link: &Link, supervisor: &Supervisor) {
    let topics = link.topics();
    let filters = [
        topics.telemetry_board(),
        topics.telemetry_pipeline("+"),
        topics.alarm("+"),
        topics.model_event("+"),
        topics.event("+"),
    ];
    // What all of the device's topics begin with.
    let below = topics.status().trim_end_matches("status").to_owned();
    for filter in filters {
        let worker = Worker {
            settings: settings.clone(),
            below: below.clone(),
            heard: link.listen(&filter),
            link: link.clone(),
            stop: supervisor.stop().clone(),
        };
        let worker = Arc::new(Mutex::new(worker));
        supervisor.run("thinedge", move || {
            let worker = worker.clone();
            async move { worker.lock().await.work().await }
        });
    }
}

struct Worker {
    settings: ThinEdgeSettings,
    below: String,
    heard: Receiver<Heard>,
    link: Link,
    stop: Stop,
}

impl Worker {
    async fn work(&mut self) -> Result<(), Failure> {
        loop {
            let heard = tokio::select! {
                () = self.stop.heard() => return Ok(()),
                heard = self.heard.recv() => heard,
            };
            let Some(heard) = heard else { return Ok(()) };
            let Some(levels) = heard.topic.strip_prefix(&self.below) else { continue };
            let levels: Vec<&str> = levels.split('/').collect();
            let body = match &*heard.payload {
                [] => Ok(Value::Null),
                payload => serde_json::from_slice(payload),
            };
            let Ok(body) = body else { continue };
            // Made of strings and numbers: writing them cannot fail.
            let bytes = |body: &Value| serde_json::to_vec(body).unwrap_or_default();
            match translate(&self.settings, &levels, &body) {
                None => {}
                Some(Said::Once(topic, body)) => {
                    self.link.publish(Class::Telemetry, &topic, bytes(&body));
                }
                Some(Said::Raised(topic, body)) => self.link.retain(&topic, bytes(&body)),
                Some(Said::Cleared(topic)) => self.link.forget(&topic),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(topic: &str, body: &Value) -> Option<Said> {
        let settings = ThinEdgeSettings { root: ROOT.to_owned(), entity: ENTITY.to_owned() };
        let levels: Vec<&str> = topic.split('/').collect();
        translate(&settings, &levels, body)
    }

    #[test]
    fn a_boards_readings_become_a_measurement_of_two_levels_and_nulls_are_left_out() {
        let body = json!({
            "schema": "vedette/board/1", "ts": "T", "boot_id": "b", "uptime_ms": 5, "seq": 1,
            "gpu": { "load_percent": 3.5, "governor": "x", "frequency_hz": null },
            "thermal": { "hottest_c": 50, "zones": { "cpu": { "temperature_c": 40 } } },
            "fans": {},
        });
        let wanted = json!({
            "time": "T",
            "gpu": { "load_percent": 3.5 },
            "thermal": { "hottest_c": 50, "zones_cpu_temperature_c": 40 },
        });
        let topic = "te/device/main///m/vedette_board".to_owned();
        assert_eq!(translated("telemetry/board", &body), Some(Said::Once(topic, wanted)));
    }

    #[test]
    fn an_alarm_is_raised_and_cleared_where_thin_edge_looks() {
        let topic = "te/device/main///a/hot".to_owned();
        let raised = json!({ "ts": "T", "active": true, "subject": "cpu", "value": 99 });
        let wanted = json!({ "text": "hot: cpu, 99", "severity": "major", "time": "T" });
        assert_eq!(translated("alarm/hot", &raised), Some(Said::Raised(topic.clone(), wanted)));
        let cleared = json!({ "ts": "T", "active": false, "subject": null, "value": null });
        for gone in [cleared, Value::Null] {
            assert_eq!(translated("alarm/hot", &gone), Some(Said::Cleared(topic.clone())));
        }
    }

    #[test]
    fn a_models_event_is_told_in_words_and_anything_else_is_not_told() {
        let body = json!({ "ts": "T", "from": "trialing", "to": "refusing", "reason": "slow" });
        let wanted = json!({ "text": "model m: trialing to refusing: slow", "time": "T" });
        let topic = "te/device/main///e/vedette_model".to_owned();
        assert_eq!(translated("event/model/m", &body), Some(Said::Once(topic, wanted)));
        for topic in ["status", "observation/p", "cmd/status/1", "alarm/a/b"] {
            assert_eq!(translated(topic, &body), None, "{topic}");
        }
    }
}
