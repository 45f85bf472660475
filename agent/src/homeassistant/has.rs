//! What a device has that a dashboard could show: from its configuration, and from what it says.
//!
//! The readings of a board and its alarms are learned from the device's own messages, so that what is discovered is
//! what is published, whoever publishes it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use wire::Verb;

use super::readings::{EACH, SINGLE};

/// Names of one table of readings, such as the thermal zones, that are shown at most.
const NAMES_MAX: usize = 64;
/// Alarms that are shown at most.
const ALARMS_MAX: usize = 256;

/// One pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// Least and most that its threshold may be, where it has one.
    pub threshold: Option<(f32, f32)>,
    /// Whether its frames are pictures, which can be looked at: those of a sensor are not.
    pub pictures: bool,
    /// Names of what it waits for.
    pub events: Vec<String>,
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Has {
    /// Its pipelines.
    pub pipelines: Vec<Pipeline>,
    /// Models that take releases.
    pub slots: Vec<String>,
    /// What may be asked of it.
    pub may: Vec<Verb>,
    /// Alarms that it has, raised or not.
    pub alarms: BTreeSet<String>,
    /// What the board calls itself.
    pub board: Option<String>,
    /// Readings by a fixed name that were a number at least once, by their place in [`SINGLE`].
    pub readings: BTreeSet<usize>,
    /// Names in the tables of readings, by the table's place in [`EACH`].
    pub named: BTreeMap<usize, BTreeSet<String>>,
    /// Pipelines whose telemetry was heard.
    pub measured: BTreeSet<String>,
}

impl Has {
    /// Learns from a message on `telemetry/board`.
    pub fn learn_board(&mut self, body: &Value) {
        if let Some(model) = body.pointer("/board/model").and_then(Value::as_str) {
            self.board = Some(model.to_owned());
        }
        for (index, reading) in SINGLE.iter().enumerate() {
            if body.pointer(&format!("/{}", reading.path.join("/"))).is_some_and(Value::is_number) {
                self.readings.insert(index);
            }
        }
        for (index, (table, reading)) in EACH.iter().enumerate() {
            let Some(rows) = body.pointer(&format!("/{}", table.join("/"))) else { continue };
            for (name, row) in rows.as_object().into_iter().flatten() {
                let known = self.named.entry(index).or_default();
                if row.get(reading.path[0]).is_some_and(Value::is_number) && known.len() < NAMES_MAX
                {
                    known.insert(name.clone());
                }
            }
        }
    }

    /// Learns that the alarm `name` is there, or (`body` empty) no longer.
    pub fn learn_alarm(&mut self, name: &str, body: &[u8]) {
        if body.is_empty() {
            self.alarms.remove(name);
        } else if self.alarms.len() < ALARMS_MAX {
            self.alarms.insert(name.to_owned());
        }
    }

    /// Learns that telemetry of `pipeline` is published.
    pub fn learn_pipeline(&mut self, pipeline: &str) {
        if self.pipelines.iter().any(|known| known.name == pipeline) {
            self.measured.insert(pipeline.to_owned());
        }
    }

    /// Whether `verb` may be asked.
    #[must_use]
    pub fn may(&self, verb: Verb) -> bool {
        self.may.contains(&verb)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_reading_is_had_once_it_was_a_number_and_kept_when_it_is_null_again() {
        let mut has = Has::default();
        has.learn_board(&json!({
            "board": { "model": "Orin" },
            "gpu": { "load_percent": null },
            "thermal": { "zones": { "cpu": { "temperature_c": 40.5 }, "off": { "temperature_c": null } } },
        }));
        let named: Vec<&str> = has.named.values().flatten().map(String::as_str).collect();
        assert_eq!(
            (has.readings.len(), named, has.board.as_deref()),
            (0, vec!["cpu"], Some("Orin"))
        );
        has.learn_board(&json!({ "gpu": { "load_percent": 3 } }));
        has.learn_board(&json!({ "gpu": { "load_percent": null } }));
        assert_eq!(has.readings.len(), 1);
    }

    #[test]
    fn an_alarm_is_had_until_its_topic_is_cleared() {
        let mut has = Has::default();
        has.learn_alarm("hot", b"{}");
        assert!(has.alarms.contains("hot"));
        has.learn_alarm("hot", b"");
        assert!(has.alarms.is_empty());
    }
}
