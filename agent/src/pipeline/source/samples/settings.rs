//! What every sensor's table has: its channels, its clock, its rate, and how long it may be silent.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::timeline::{Clock, gap_s};
use crate::config::Section;
use crate::pipeline::window::{Cut, RATES_HZ};

/// Shortest and longest gap that can be configured, in seconds: a day for readings that come once an hour.
const GAPS_S: std::ops::RangeInclusive<f64> = 1e-3..=86_400.0;
/// Shortest and longest silence: for readings that come once a day, two of them.
const SILENCES_S: std::ops::RangeInclusive<f64> = 0.2..=172_800.0;
/// A silence that is reported within three seconds.
const SILENCE: Duration = Duration::from_millis(2500);
/// Samples that may be missing besides.
const SILENT_SAMPLES: f64 = 3.0;
/// A sensor that wakes.
const START: Duration = Duration::from_secs(15);
/// Factors and offsets: further than any unit is from another.
const FACTORS: std::ops::RangeInclusive<f64> = -1e12..=1e12;

/// How a time is written.
#[derive(Debug, Clone, Copy, PartialEq)]
enum TimeUnit {
    /// A number of these in a second.
    PerSecond(f64),
    /// RFC 3339.
    Text,
}

const UNITS: &[(&str, TimeUnit)] = &[
    ("s", TimeUnit::PerSecond(1.0)),
    ("ms", TimeUnit::PerSecond(1e3)),
    ("us", TimeUnit::PerSecond(1e6)),
    ("ns", TimeUnit::PerSecond(1e9)),
    ("rfc3339", TimeUnit::Text),
];

/// The column with the sensor's own time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TimeColumn {
    /// Its name.
    pub(crate) column: Arc<str>,
    unit: TimeUnit,
}

impl TimeColumn {
    /// A number of it as seconds.
    pub(crate) fn seconds(&self, number: f64) -> f64 {
        match self.unit {
            TimeUnit::PerSecond(of) => number / of,
            TimeUnit::Text => f64::NAN,
        }
    }

    /// A text of it as seconds.
    pub(crate) fn read(&self, text: &str) -> Option<f64> {
        match self.unit {
            TimeUnit::PerSecond(of) => {
                Some(text.parse::<f64>().ok()? / of).filter(|s| s.is_finite())
            }
            TimeUnit::Text => {
                let at: Timestamp = text.trim_matches('"').parse().ok()?;
                Some(at.duration_since(Timestamp::UNIX_EPOCH).as_secs_f64())
            }
        }
    }
}

/// A channel of the model: where the sensor has it, and how it becomes what the model means.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Channel {
    /// Its name.
    pub(crate) name: Arc<str>,
    /// The column or key of the sensor.
    pub(crate) column: Arc<str>,
    scale: f64,
    offset: f64,
    unit: Option<Arc<str>>,
}

impl Channel {
    /// A value in the model's unit.
    pub(crate) fn scaled(&self, value: f64) -> f64 {
        value * self.scale + self.offset
    }
}

/// What is wanted of a sensor, for one model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wanted {
    /// The model's windows.
    pub(crate) cut: Cut,
    /// Their channels, in the model's order.
    pub(crate) channels: Vec<Channel>,
    /// The sensor's clock, where it tells it.
    pub(crate) time: Option<TimeColumn>,
    /// The columns in order, where they are configured.
    pub(crate) columns: Option<Vec<String>>,
    /// Between two of them.
    pub(crate) separator: char,
    /// Samples a second, where that is configured.
    pub(crate) rate_hz: Option<f64>,
    /// Longest gap over which a window goes on, in seconds.
    pub(crate) gap_s: f64,
    /// How long the sensor may be silent, and until its first sample.
    pub(crate) silence: Duration,
    pub(crate) start: Duration,
}

impl Wanted {
    /// Whose clock counts.
    pub(super) fn clock(&self) -> Clock {
        match self.time {
            Some(_) => Clock::Stamped,
            None => Clock::Counted(self.rate_hz.unwrap_or(self.cut.rate_hz)),
        }
    }
}

/// How samples are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Values between separators.
    Csv,
    /// A JSON object a line.
    Jsonl,
}

const FORMATS: &[(&str, Format)] = &[("csv", Format::Csv), ("jsonl", Format::Jsonl)];

/// Reads `format`.
pub(crate) fn format(section: &Section<'_>) -> Format {
    section.choice("format", FORMATS).unwrap_or(Format::Csv)
}

/// What a table says of its sensor, before it is known for which model.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    channels: Vec<Channel>,
    time: Option<TimeColumn>,
    columns: Option<Vec<String>>,
    separator: char,
    rate_hz: Option<f64>,
    gap_s: Option<f64>,
    silence: Option<Duration>,
    start: Option<Duration>,
}

impl Settings {
    /// Reads what every sensor has: `rate_hz`, `gap_s`, `silence_s`, `start_s`, `channels`.
    pub(crate) fn read(section: &Section<'_>) -> Self {
        let wait = |key| section.number(key, SILENCES_S).map(Duration::from_secs_f64);
        Self {
            channels: section.named("channels").into_iter().map(channel).collect(),
            time: None,
            columns: None,
            separator: ',',
            rate_hz: section.number("rate_hz", RATES_HZ),
            gap_s: section.number("gap_s", GAPS_S),
            silence: wait("silence_s"),
            start: wait("start_s"),
        }
    }

    /// Reads what sensors that send text have besides: `time`, `time_unit`, and for `format` CSV `columns` and
    /// `separator`.
    pub(crate) fn text(section: &Section<'_>, format: Format) -> Self {
        let mut settings = Self::read(section);
        let unit = section.choice("time_unit", UNITS);
        settings.time = section.text("time").map(|column| TimeColumn {
            column: column.into(),
            unit: unit.unwrap_or(TimeUnit::PerSecond(1.0)),
        });
        if settings.time.is_none() && unit.is_some() {
            section.mistake("time_unit", "needs `time`: which column is it?");
        }
        if format == Format::Csv {
            settings.columns = section.texts("columns");
            let separators = [
                (",", ','),
                ("comma", ','),
                (";", ';'),
                ("semicolon", ';'),
                ("tab", '\t'),
                (" ", ' '),
                ("blank", ' '),
            ];
            settings.separator = section.choice("separator", &separators).unwrap_or(',');
        }
        settings
    }

    /// The same for samples that each have a time, in seconds.
    pub(crate) fn timed(mut self) -> Self {
        self.time = Some(TimeColumn { column: "timestamp".into(), unit: TimeUnit::PerSecond(1.0) });
        self
    }

    /// Whether samples tell their time.
    pub(crate) fn is_timed(&self) -> bool {
        self.time.is_some()
    }

    /// What is wanted for a model with this cut.
    ///
    /// # Errors
    /// What of the model's channels the sensor cannot have.
    pub(crate) fn fit(&self, cut: &Cut) -> Result<Wanted, String> {
        let names = |names: &[Arc<str>]| {
            names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        };
        let strange = self.channels.iter().find(|own| !cut.channels.contains(&own.name));
        if let Some(strange) = strange {
            let known = names(&cut.channels);
            return Err(format!("the model has no channel `{}`: it has {known}", strange.name));
        }
        let mut channels: Vec<Channel> = Vec::with_capacity(cut.channels.len());
        for (index, name) in cut.channels.iter().enumerate() {
            let own = self.channels.iter().find(|own| own.name == *name).cloned();
            let channel = own.unwrap_or_else(|| Channel {
                name: name.clone(),
                column: name.clone(),
                scale: 1.0,
                offset: 0.0,
                unit: None,
            });
            if let (Some(own), Some(wanted)) = (&channel.unit, cut.units.get(index))
                && own != wanted
            {
                return Err(format!(
                    "channel `{name}` comes in {own}, and the model wants {wanted}: set `scale` and `offset`, and `unit` to {wanted}"
                ));
            }
            if let Some(other) = channels.iter().find(|other| other.column == channel.column) {
                let (column, other) = (&channel.column, &other.name);
                return Err(format!("`{other}` and `{name}` are both the column `{column}`"));
            }
            channels.push(channel);
        }
        if let Some(columns) = &self.columns {
            let time = self.time.iter().map(|time| &time.column);
            for column in channels.iter().map(|channel| &channel.column).chain(time) {
                if !columns.iter().any(|known| **known == **column) {
                    let known: Vec<Arc<str>> =
                        columns.iter().map(|known| known.as_str().into()).collect();
                    return Err(format!("no column `{column}`: `columns` has {}", names(&known)));
                }
            }
        }
        let rate_hz = self.rate_hz.unwrap_or(cut.rate_hz);
        let silence = SILENCE.max(Duration::from_secs_f64(SILENT_SAMPLES / rate_hz));
        let silence = self.silence.unwrap_or(silence);
        Ok(Wanted {
            cut: cut.clone(),
            channels,
            time: self.time.clone(),
            columns: self.columns.clone(),
            separator: self.separator,
            rate_hz: self.rate_hz,
            gap_s: self.gap_s.unwrap_or_else(|| gap_s(rate_hz)),
            silence,
            start: self.start.unwrap_or(START.max(silence)),
        })
    }
}

fn channel((name, section): (&str, Section<'_>)) -> Channel {
    let channel = Channel {
        name: name.into(),
        column: section.text("column").map_or_else(|| name.into(), Into::into),
        scale: section.number("scale", FACTORS).unwrap_or(1.0),
        offset: section.number("offset", FACTORS).unwrap_or(0.0),
        unit: section.text("unit").map(Into::into),
    };
    section.finish();
    channel
}

#[cfg(test)]
pub(in crate::pipeline::source) mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::config::section::tests::check;

    /// What `keys` want for a model with these channels, 100 samples a second, windows of 8 every 4.
    pub(in crate::pipeline::source) fn wanted(
        keys: &str,
        channels: &[&str],
    ) -> Result<Wanted, String> {
        let channels: Vec<Arc<str>> = channels.iter().map(|&name| name.into()).collect();
        let units = channels.iter().map(|_| "g".into()).collect();
        let cut = Cut { channels, units, rate_hz: 100.0, length: 8, hop: 4 };
        let found = RefCell::new(None);
        let mistakes = check(keys, |section| {
            found.replace(Some(Settings::text(section, Format::Csv).fit(&cut)));
        });
        assert_eq!(mistakes, [""; 0], "{keys}");
        found.into_inner().unwrap()
    }

    #[test]
    fn a_channel_that_the_sensor_does_not_have_is_named_with_those_it_has() {
        for (keys, message) in [
            ("columns = ['t', 'x']", "no column `y`: `columns` has `t`, `x`"),
            ("time = 't'\ncolumns = ['x', 'y']", "no column `t`: `columns` has `x`, `y`"),
            ("channels = { q = {} }", "the model has no channel `q`: it has `x`, `y`"),
            ("channels = { x = { column = 'y' } }", "`x` and `y` are both the column `y`"),
            (
                "channels = { x = { unit = 'm/s2' } }",
                "channel `x` comes in m/s2, and the model wants g: set `scale` and `offset`, and `unit` to g",
            ),
        ] {
            assert_eq!(wanted(keys, &["x", "y"]).unwrap_err(), message, "{keys}");
        }
        wanted("channels = { x = { unit = 'g' } }", &["x", "y"]).unwrap();
    }

    #[test]
    fn times_that_are_not_configured_follow_from_the_rate() {
        for (keys, gap, silence) in [
            ("", 0.25, 2500),
            ("rate_hz = 1", 10.0, 3000),
            ("rate_hz = 1\ngap_s = 2\nsilence_s = 9", 2.0, 9000),
        ] {
            let found = wanted(keys, &["x"]).unwrap();
            assert_eq!((found.gap_s, found.silence.as_millis()), (gap, silence), "{keys}");
        }
    }
}
