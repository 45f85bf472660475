//! A JSON object as a sample, or as a packet of samples where its values are lists.
//!
//! `{"x": 0.1, "y": 0.2}` is one; `{"x": [0.1, 0.3], "y": [0.2, 0.2]}` are two. Nothing is allocated for one once
//! the lists have grown to their length.

use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::counts::Trouble;
use super::csv::Wrong;
use super::rows::Rows;
use super::settings::{TimeColumn, Wanted};

/// Most samples of a packet: a second of the fastest sensors.
const PACKET_MAX: usize = 1 << 17;

/// Reads lines.
#[derive(Debug)]
pub(super) struct Json {
    wanted: Arc<Wanted>,
    stamps: Vec<f64>,
    columns: Vec<Vec<f64>>,
}

impl Json {
    pub(super) fn new(wanted: &Arc<Wanted>) -> Self {
        let columns = vec![Vec::new(); wanted.channels.len()];
        Self { wanted: wanted.clone(), stamps: Vec::new(), columns }
    }

    /// Adds what `line` says to `rows`.
    pub(super) fn read(&mut self, line: &[u8], rows: &mut Rows) -> Result<(), Wrong> {
        self.stamps.clear();
        self.columns.iter_mut().for_each(Vec::clear);
        let mut reader = serde_json::Deserializer::from_slice(line);
        let seed =
            Object { wanted: &self.wanted, stamps: &mut self.stamps, columns: &mut self.columns };
        let read = seed.deserialize(&mut reader).and_then(|()| reader.end());
        if read.is_err() {
            return Err(Wrong::line(line));
        }
        let count = self.columns.first().map_or(0, Vec::len);
        for (column, channel) in self.columns.iter().zip(&self.wanted.channels) {
            let name = &channel.column;
            let detail = match column.len() {
                0 => format!("no key `{name}`: {}", Wrong::line(line)),
                found if found != count => format!("`{name}` has {found} values, others {count}"),
                _ => continue,
            };
            return Err(Wrong::new(Trouble::Missing, detail));
        }
        let timed = self.wanted.time.is_some();
        if timed && (self.stamps.len() != count || self.stamps.iter().any(|one| !one.is_finite())) {
            return Err(Wrong { trouble: Trouble::Time, ..Wrong::line(line) });
        }
        let mut bad = None;
        for index in 0..count {
            let of = |column: &Vec<f64>| column.get(index).copied().unwrap_or(f64::NAN);
            match self.columns.iter().position(|column| !of(column).is_finite()) {
                Some(channel) => {
                    bad = Some(channel);
                    rows.lose();
                }
                None => {
                    let stamp = self.stamps.get(index).copied().filter(|_| timed);
                    let channels = self.wanted.channels.iter();
                    rows.push(
                        stamp,
                        self.columns.iter().zip(channels).map(|(c, one)| one.scaled(of(c))),
                    );
                }
            }
        }
        match bad {
            // Of a packet the others are good: those that are not are in the rows as lost ones.
            Some(channel) => {
                let name = &self.wanted.channels[channel].name;
                let detail = format!("`{name}`: {}", Wrong::line(line));
                Err(Wrong::new(Trouble::NotNumber, detail))
            }
            None => Ok(()),
        }
    }
}

/// The object itself.
struct Object<'a> {
    wanted: &'a Wanted,
    stamps: &'a mut Vec<f64>,
    columns: &'a mut [Vec<f64>],
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a value for each channel")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(Key(self.wanted))? {
            match key {
                Found::Time(time) => {
                    self.stamps.clear();
                    map.next_value_seed(Numbers { into: self.stamps, time: Some(time) })?;
                }
                Found::Channel(index) => {
                    let into = &mut self.columns[index];
                    into.clear();
                    map.next_value_seed(Numbers { into, time: None })?;
                }
                Found::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// What a key is for.
enum Found<'a> {
    Time(&'a TimeColumn),
    Channel(usize),
    Other,
}

struct Key<'a>(&'a Wanted);

impl<'de, 'a> DeserializeSeed<'de> for Key<'a> {
    type Value = Found<'a>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Found<'a>, D::Error> {
        reader.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Key<'a> {
    type Value = Found<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Found<'a>, E> {
        let channel = self.0.channels.iter().position(|channel| *channel.column == *key);
        let time = self.0.time.as_ref().filter(|time| *time.column == *key);
        Ok(match (channel, time) {
            (Some(index), _) => Found::Channel(index),
            (None, Some(time)) => Found::Time(time),
            (None, None) => Found::Other,
        })
    }
}

/// A number, or a list of them. What is none is NaN.
struct Numbers<'a> {
    into: &'a mut Vec<f64>,
    time: Option<&'a TimeColumn>,
}

impl Numbers<'_> {
    fn add<E>(self, number: f64) -> Result<(), E> {
        if self.into.len() < PACKET_MAX {
            self.into.push(self.time.map_or(number, |time| time.seconds(number)));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Numbers<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Numbers<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or a list of numbers")
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.add(number)
    }

    #[expect(clippy::as_conversions, reason = "a sample's number has no more digits")]
    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.add(number as f64)
    }

    #[expect(clippy::as_conversions, reason = "a sample's number has no more digits")]
    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.add(number as f64)
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.add(f64::NAN)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.add(f64::NAN)
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        let number = match self.time {
            Some(time) => time.read(text),
            None => text.trim().parse::<f64>().ok(),
        };
        if self.into.len() < PACKET_MAX {
            self.into.push(number.unwrap_or(f64::NAN));
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Numbers { into: self.into, time: self.time })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        self.add(f64::NAN)
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::tests::wanted;
    use super::*;

    fn read(keys: &str, line: &str) -> String {
        let wanted = Arc::new(wanted(keys, &["x", "y"]).unwrap());
        let (mut json, mut rows) = (Json::new(&wanted), Rows::new(2));
        let mut found = Vec::new();
        if let Err(wrong) = json.read(line.as_bytes(), &mut rows) {
            found.push(format!("{:?}: {wrong}", wrong.trouble));
        }
        let mut values = [0.0; 2];
        while let Some(row) = rows.pop(&mut values) {
            let lost = if row.lost { "lost" } else { "" };
            found.push(format!("{:?} {values:?}{lost}", row.stamp));
        }
        found.join("; ")
    }

    #[test]
    fn an_object_is_a_sample_and_an_object_of_lists_a_packet() {
        for (keys, line, wanted) in [
            ("", r#"{"y": 2, "q": {"x": [1]}, "x": 1.5}"#, "None [1.5, 2.0]"),
            ("", r#"{"x": [1, 2], "y": [3, 4]}"#, "None [1.0, 3.0]; None [2.0, 4.0]"),
            (
                "time = 't'\ntime_unit = 'us'",
                r#"{"t": 5e6, "x": 1, "y": "2"}"#,
                "Some(5.0) [1.0, 2.0]",
            ),
            (
                "time = 't'\ntime_unit = 'rfc3339'",
                r#"{"t": "1970-01-01T00:00:01Z", "x": 1, "y": 2}"#,
                "Some(1.0) [1.0, 2.0]",
            ),
            (
                "channels = { y = { column = 'b', scale = -1 } }",
                r#"{"x": 1, "b": 2}"#,
                "None [1.0, -2.0]",
            ),
        ] {
            assert_eq!(read(keys, line), wanted, "{line}");
        }
    }

    #[test]
    fn what_is_wrong_with_an_object_is_said() {
        for (keys, line, wanted) in [
            ("", "hello", "Text: `hello`"),
            ("", r#"{"x": 1"#, r#"Text: `{"x": 1`"#),
            ("", "[1, 2]", "Text: `[1, 2]`"),
            ("", r#"{"x": 1}"#, r#"Missing: no key `y`: `{"x": 1}`"#),
            ("", r#"{"x": [1, 2], "y": 1}"#, "Missing: `y` has 1 values, others 2"),
            (
                "",
                r#"{"x": null, "y": 1}"#,
                r#"NotNumber: `x`: `{"x": null, "y": 1}`; None [NaN, NaN]lost"#,
            ),
            ("time = 't'", r#"{"x": 1, "y": 1}"#, r#"Time: `{"x": 1, "y": 1}`"#),
        ] {
            assert_eq!(read(keys, line), wanted, "{line}");
        }
        let packet = read("", r#"{"x": [1, null, 3], "y": [1, 2, 3]}"#);
        assert!(
            packet.ends_with("None [1.0, 1.0]; None [NaN, NaN]lost; None [3.0, 3.0]"),
            "{packet}"
        );
    }
}
