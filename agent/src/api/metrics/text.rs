//! Writes Prometheus' text format: families, each with its help and type before its samples.

use std::fmt::{Display, Write as _};

use crate::pipeline::meter::{BOUNDS_US, Metered};

/// Room for a device with a few pipelines.
const CAPACITY: usize = 32 << 10;

/// What kind of number a family has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by buckets.
    Histogram,
}

/// Names and values of a sample's labels.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// The text so far.
#[derive(Debug)]
pub(super) struct Text(String);

impl Text {
    pub(super) fn new() -> Self {
        Self(String::with_capacity(CAPACITY))
    }

    pub(super) fn finish(self) -> String {
        self.0
    }

    /// Begins the family `name`; its samples follow at once.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        put(&mut self.0, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        Family { text: &mut self.0, name }
    }

    /// A counter with one sample.
    pub(super) fn counter(&mut self, name: &'static str, help: &str, value: impl Display) {
        self.family(name, Kind::Counter, help).sample(&[], value);
    }

    /// A gauge with one sample; without a value it is left out.
    pub(super) fn gauge(&mut self, name: &'static str, help: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.family(name, Kind::Gauge, help).sample(&[], value);
        }
    }

    /// A gauge with a sample for each thing, by one label; without any it is left out.
    pub(super) fn gauges<'a, V: Display>(
        &mut self,
        name: &'static str,
        help: &str,
        label: &str,
        values: impl Iterator<Item = (&'a str, Option<V>)>,
    ) {
        self.by_label(name, Kind::Gauge, help, label, values);
    }

    /// The same for a counter.
    pub(super) fn counters<'a, V: Display>(
        &mut self,
        name: &'static str,
        help: &str,
        label: &str,
        values: impl Iterator<Item = (&'a str, Option<V>)>,
    ) {
        self.by_label(name, Kind::Counter, help, label, values);
    }

    fn by_label<'a, V: Display>(
        &mut self,
        name: &'static str,
        kind: Kind,
        help: &str,
        label: &str,
        values: impl Iterator<Item = (&'a str, Option<V>)>,
    ) {
        let known = values.filter_map(|(of, value)| Some((of, value?)));
        let mut known = known.peekable();
        if known.peek().is_none() {
            return;
        }
        let mut family = self.family(name, kind, help);
        for (of, value) in known {
            family.sample(&[(label, of)], value);
        }
    }
}

/// A family whose samples are being written.
#[derive(Debug)]
pub(super) struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Family<'_> {
    /// One sample.
    pub(super) fn sample(&mut self, labels: Labels<'_>, value: impl Display) {
        self.line("", labels, None, value);
    }

    /// One histogram: its buckets, sum and count.
    pub(super) fn histogram(&mut self, labels: Labels<'_>, read: &Metered) {
        for (bound, count) in BOUNDS_US.iter().zip(read.at_most) {
            self.line("_bucket", labels, Some(&Seconds(*bound)), count);
        }
        self.line("_bucket", labels, Some(&"+Inf"), read.count);
        self.line("_sum", labels, None, Seconds(read.sum_us));
        self.line("_count", labels, None, read.count);
    }

    fn line(
        &mut self,
        suffix: &str,
        labels: Labels<'_>,
        bound: Option<&dyn Display>,
        value: impl Display,
    ) {
        let text = &mut *self.text;
        text.push_str(self.name);
        text.push_str(suffix);
        let mut between = '{';
        for (name, value) in labels {
            text.push(between);
            text.push_str(name);
            text.push_str("=\"");
            escape(value, text);
            text.push('"');
            between = ',';
        }
        if let Some(bound) = bound {
            put(text, format_args!("{between}le=\"{bound}\""));
            between = ',';
        }
        if between == ',' {
            text.push('}');
        }
        put(text, format_args!(" {value}\n"));
    }
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    if text.write_fmt(what).is_err() {
        // Writing to a string cannot fail.
    }
}

fn escape(value: &str, text: &mut String) {
    for letter in value.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            letter => text.push(letter),
        }
    }
}

/// Microseconds, written as seconds without rounding.
#[derive(Debug)]
pub(super) struct Seconds(pub(super) u64);

impl Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, part) = (self.0 / 1_000_000, self.0 % 1_000_000);
        if part == 0 {
            return write!(f, "{whole}");
        }
        let part = format!("{part:06}");
        write!(f, "{whole}.{}", part.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::meter::Meter;
    use std::time::Duration;

    #[test]
    fn a_family_is_written_with_its_help_type_and_escaped_labels() {
        let mut text = Text::new();
        let mut family = text.family("a_total", Kind::Counter, "What.");
        family.sample(&[], 1);
        family.sample(&[("x", "a\"b\\c\nd"), ("y", "")], 2.5);
        text.gauge("b", "Not there.", None::<f64>);
        text.gauges("c", "Some.", "of", [("one", Some(1)), ("two", None)].into_iter());
        text.gauges("d", "None.", "of", [("one", None::<u64>)].into_iter());
        assert_eq!(
            text.finish(),
            "# HELP a_total What.\n# TYPE a_total counter\na_total 1\n\
             a_total{x=\"a\\\"b\\\\c\\nd\",y=\"\"} 2.5\n\
             # HELP c Some.\n# TYPE c gauge\nc{of=\"one\"} 1\n"
        );
    }

    #[test]
    fn a_histogram_ends_with_its_sum_and_count_in_seconds() {
        let meter = Meter::default();
        meter.took(Duration::from_micros(250));
        meter.took(Duration::from_secs(3));
        let mut text = Text::new();
        text.family("h_seconds", Kind::Histogram, "H.").histogram(&[("p", "door")], &meter.read());
        let text = text.finish();
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(lines.len(), BOUNDS_US.len() + 3);
        assert_eq!(lines[0], "h_seconds_bucket{p=\"door\",le=\"0.0001\"} 0");
        assert_eq!(lines[1], "h_seconds_bucket{p=\"door\",le=\"0.00025\"} 1");
        assert_eq!(lines[12], "h_seconds_bucket{p=\"door\",le=\"1\"} 1");
        assert_eq!(lines[14], "h_seconds_bucket{p=\"door\",le=\"+Inf\"} 2");
        assert_eq!(lines[15], "h_seconds_sum{p=\"door\"} 3.00025");
        assert_eq!(lines[16], "h_seconds_count{p=\"door\"} 2");
    }
}
