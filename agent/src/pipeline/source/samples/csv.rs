//! A line of values between separators, as a sample.

use std::sync::Arc;

use super::counts::Trouble;
use super::rows::Rows;
use super::settings::Wanted;

/// What a column is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Nothing,
    Time,
    Channel(usize),
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub(crate) struct Wrong {
    /// In which way.
    pub(crate) trouble: Trouble,
    /// What it says.
    pub(crate) detail: String,
    /// Whether the columns are not those that are wanted: no other line will do.
    pub(crate) columns: bool,
}

/// Longest part of a line that is shown.
const SHOWN: usize = 60;

impl Wrong {
    pub(super) fn new(trouble: Trouble, detail: impl Into<String>) -> Self {
        Self { trouble, detail: detail.into(), columns: false }
    }

    /// A line that means nothing.
    pub(super) fn line(line: &[u8]) -> Self {
        let line = String::from_utf8_lossy(line);
        Self::new(Trouble::Text, format!("`{}`", shown(&line)))
    }
}

/// Reads lines.
#[derive(Debug)]
pub(super) struct Csv {
    wanted: Arc<Wanted>,
    /// By column; `None` until they are known.
    targets: Option<Vec<Target>>,
    values: Vec<f64>,
}

impl Csv {
    pub(super) fn new(wanted: &Arc<Wanted>) -> Self {
        let values = vec![f64::NAN; wanted.channels.len()];
        let mut csv = Self { wanted: wanted.clone(), targets: None, values };
        if let Some(columns) = &wanted.columns {
            // Checked with the configuration.
            csv.targets = csv.targets(columns.iter().map(String::as_str)).ok();
        }
        csv
    }

    /// Whether the columns are known.
    pub(super) fn is_ready(&self) -> bool {
        self.targets.is_some()
    }

    /// Adds what `line` says to `rows`; a header says which column is which, and adds nothing.
    pub(super) fn read(&mut self, line: &[u8], rows: &mut Rows) -> Result<(), Wrong> {
        let text = std::str::from_utf8(line).map_err(|_| Wrong::line(line))?;
        let fields = || fields(text, self.wanted.separator);
        if fields().all(|field| field.parse::<f64>().is_err()) {
            return self.header(text, line);
        }
        if self.targets.is_none() {
            self.targets = Some(self.by_order(fields().count()).ok_or_else(|| Wrong::line(line))?);
        }
        let targets = self.targets.as_deref().unwrap_or_default();
        let (found, known) = (fields().count(), targets.len());
        if found != known {
            let detail = format!("{found} columns instead of {known}: {}", Wrong::line(line));
            return Err(Wrong::new(Trouble::Missing, detail));
        }
        let mut stamp = None;
        for (field, target) in fields().zip(targets) {
            match *target {
                Target::Nothing => {}
                Target::Time => {
                    stamp = self.wanted.time.as_ref().and_then(|time| time.read(field));
                }
                Target::Channel(channel) => {
                    let value = field.parse::<f64>().ok().filter(|value| value.is_finite());
                    let name = &self.wanted.channels[channel].name;
                    let value = value.ok_or_else(|| {
                        let field: String = shown(field);
                        Wrong::new(Trouble::NotNumber, format!("`{name}` is `{field}`"))
                    })?;
                    self.values[channel] = self.wanted.channels[channel].scaled(value);
                }
            }
        }
        if self.wanted.time.is_some() && stamp.is_none() {
            return Err(Wrong { trouble: Trouble::Time, ..Wrong::line(line) });
        }
        rows.push(stamp, self.values.iter().copied());
        Ok(())
    }

    /// A line without a number: it names the columns, again or for the first time, or says something else.
    fn header(&mut self, text: &str, line: &[u8]) -> Result<(), Wrong> {
        let names = || fields(text, self.wanted.separator).map(|name| name.trim_matches('"'));
        if let Some(columns) = &self.wanted.columns {
            let again = names().eq(columns.iter().map(String::as_str));
            return if again { Ok(()) } else { Err(Wrong::line(line)) };
        }
        if let Some(targets) = &self.targets
            && names().map(|name| self.target(name)).eq(targets.iter().copied())
        {
            return Ok(());
        }
        match (self.targets(names()), self.targets.is_some()) {
            (Ok(targets), _) => {
                self.targets = Some(targets);
                Ok(())
            }
            (Err(_), true) => Err(Wrong::line(line)),
            (Err(wrong), false) => Err(wrong),
        }
    }

    /// What each of the columns is for.
    fn targets<'a>(
        &self,
        names: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<Vec<Target>, Wrong> {
        let time = self.wanted.time.as_ref().map(|time| &*time.column);
        let channels = &self.wanted.channels;
        let wanted = time.into_iter().chain(channels.iter().map(|channel| &*channel.column));
        for column in wanted {
            if !names.clone().any(|name| name == column) {
                let known: Vec<String> = names.map(|name| format!("`{name}`")).take(64).collect();
                let known: String = known.join(", ").chars().take(4 * SHOWN).collect();
                return Err(Wrong {
                    columns: true,
                    ..Wrong::new(
                        Trouble::Missing,
                        format!("no column `{column}`: known are {known}"),
                    )
                });
            }
        }
        Ok(names.map(|name| self.target(name)).collect())
    }

    /// What the column of this name is for.
    fn target(&self, name: &str) -> Target {
        let channel = self.wanted.channels.iter().position(|one| *one.column == *name);
        match (channel, &self.wanted.time) {
            (Some(channel), _) => Target::Channel(channel),
            (None, Some(time)) if *time.column == *name => Target::Time,
            (None, _) => Target::Nothing,
        }
    }

    /// Without names: the time, where it is wanted, and then the channels in the model's order.
    fn by_order(&self, found: usize) -> Option<Vec<Target>> {
        let time = self.wanted.time.iter().map(|_| Target::Time);
        let channels = (0..self.wanted.channels.len()).map(Target::Channel);
        let targets: Vec<Target> = time.chain(channels).collect();
        (targets.len() == found).then_some(targets)
    }
}

/// The beginning of a text that anybody may have sent, for the log.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN).filter(|c| !c.is_control()).collect()
}

/// The values of a line. Blanks may be several.
fn fields(line: &str, separator: char) -> impl Iterator<Item = &str> + Clone {
    let blank = separator == ' ';
    line.split(separator).map(str::trim).filter(move |field| !blank || !field.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::settings::tests::wanted;
    use super::*;

    /// What `lines` say: samples, and what is wrong.
    fn read(keys: &str, lines: &[&str]) -> Vec<String> {
        let wanted = Arc::new(wanted(keys, &["x", "y"]).unwrap());
        let (mut csv, mut rows, mut found) = (Csv::new(&wanted), Rows::new(2), Vec::new());
        for line in lines {
            if let Err(wrong) = csv.read(line.as_bytes(), &mut rows) {
                found.push(format!("{:?}: {wrong}", wrong.trouble));
            }
            let mut values = [0.0; 2];
            while let Some(row) = rows.pop(&mut values) {
                found.push(format!("{:?} {values:?}", row.stamp));
            }
        }
        found
    }

    #[test]
    fn columns_are_found_by_name_in_any_order_or_by_the_models() {
        for (keys, lines, wanted) in [
            (
                "",
                &["y, z ,x", "1,2,3", "y,z,x", "4,5,6"][..],
                ["None [3.0, 1.0]", "None [6.0, 4.0]"],
            ),
            ("", &["1,2", "3,-4e-1"], ["None [1.0, 2.0]", "None [3.0, -0.4]"]),
            ("separator = ' '", &["  1   2", "3 4 "], ["None [1.0, 2.0]", "None [3.0, 4.0]"]),
            (
                "columns = ['t', 'x', 'y', 'n']\ntime = 't'\ntime_unit = 'ms'",
                &["t,x,y,n", "1500,1,2,q", "1501,3,4,"],
                ["Some(1.5) [1.0, 2.0]", "Some(1.501) [3.0, 4.0]"],
            ),
            (
                "separator = ';'\ntime = 'at'\ntime_unit = 'rfc3339'",
                &["1970-01-01T00:00:02.5Z;1;2", "1970-01-01T00:00:03Z;3;4"],
                ["Some(2.5) [1.0, 2.0]", "Some(3.0) [3.0, 4.0]"],
            ),
            (
                "channels = { x = { column = 'ax', scale = 2, offset = 1 } }",
                &["ax,y", "1,2", "2,3"],
                ["None [3.0, 2.0]", "None [5.0, 3.0]"],
            ),
        ] {
            assert_eq!(read(keys, lines), wanted, "{keys}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said_and_the_next_is_read() {
        let lines = [
            "boot ok",
            "x,y",
            "1,2",
            "1",
            "nan,2",
            "1,",
            "rst:0x1",
            "\u{1b}[2J1,2",
            "1,2,3",
            "5,6",
        ];
        assert_eq!(
            read("", &lines),
            [
                "Missing: no column `x`: known are `boot ok`",
                "None [1.0, 2.0]",
                "Missing: 1 columns instead of 2: `1`",
                "NotNumber: `x` is `nan`",
                "NotNumber: `y` is ``",
                "Text: `rst:0x1`",
                "NotNumber: `x` is `[2J1`",
                "Missing: 3 columns instead of 2: `1,2,3`",
                "None [5.0, 6.0]",
            ]
        );
        let found = read("time = 't'", &["t,x,y", "soon,1,2"]);
        assert_eq!(found, ["Time: `soon,1,2`"]);
    }
}
