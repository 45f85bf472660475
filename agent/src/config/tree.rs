//! A TOML document as a tree whose every value knows where it was written.

use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// In a file, on a line counted from 1.
    File(Arc<Path>, usize),
    /// In an environment variable.
    Environment(String),
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path, line) => write!(f, "`{}`: line {line}", path.display()),
            Self::Environment(name) => write!(f, "environment variable `{name}`"),
        }
    }
}

/// A value and its place.
#[derive(Debug, Clone)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it was written.
    pub at: At,
}

/// What TOML can say. A date is kept as its text: nothing here is configured by one.
#[derive(Debug, Clone)]
pub enum Value {
    /// A string.
    Text(String),
    /// An integer.
    Integer(i64),
    /// A number with a point.
    Float(f64),
    /// True or false.
    Flag(bool),
    /// A list.
    List(Vec<Node>),
    /// A table.
    Table(Table),
}

impl Value {
    /// What to call it when another type was expected.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number with a decimal point",
            Self::Flag(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// Keys and their values, in the order in which they were written.
pub type Table = Vec<(String, Node)>;

/// Why a text is not TOML: the line, counted from 1, and what the parser says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Syntax {
    /// The line.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

/// Reads `text`, which stands in `file`.
///
/// # Errors
/// The first place where `text` is not TOML.
pub fn parse(text: &str, file: &Path) -> Result<Table, Syntax> {
    let lines = Lines::new(text);
    match DeTable::parse(text) {
        Ok(table) => Ok(lines.table(table.get_ref(), &Arc::from(file))),
        Err(error) => Err(Syntax {
            line: lines.of(error.span().map_or(0, |span| span.start)),
            message: error.message().trim().replace('\n', ", "),
        }),
    }
}

/// Where each line of a text begins.
struct Lines(Vec<usize>);

impl Lines {
    fn new(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|&(_, b)| b == b'\n').map(|(at, _)| at + 1).collect())
    }

    fn of(&self, offset: usize) -> usize {
        self.0.partition_point(|&start| start <= offset) + 1
    }

    fn table(&self, table: &DeTable<'_>, file: &Arc<Path>) -> Table {
        table
            .iter()
            .map(|(key, value)| {
                let line = self.of(key.span().start);
                let node =
                    Node { value: self.value(value, file), at: At::File(file.clone(), line) };
                (key.get_ref().to_string(), node)
            })
            .collect()
    }

    fn list(&self, list: &DeArray<'_>, file: &Arc<Path>) -> Vec<Node> {
        list.iter()
            .map(|value| Node {
                value: self.value(value, file),
                at: At::File(file.clone(), self.of(value.span().start)),
            })
            .collect()
    }

    fn value(&self, value: &Spanned<DeValue<'_>>, file: &Arc<Path>) -> Value {
        match value.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => {
                match i64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => Value::Integer(number),
                    Err(_) => Value::Text(number.as_str().to_owned()),
                }
            }
            DeValue::Float(number) => match number.as_str().parse() {
                Ok(number) => Value::Float(number),
                Err(_) => Value::Text(number.as_str().to_owned()),
            },
            DeValue::Boolean(flag) => Value::Flag(*flag),
            DeValue::Datetime(date) => Value::Text(date.to_string()),
            DeValue::Array(list) => Value::List(self.list(list, file)),
            DeValue::Table(table) => Value::Table(self.table(table, file)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_knows_its_line() {
        let table = parse("a = 1\n\n[b]\nc = 'x'\n", Path::new("f.toml")).unwrap();
        assert_eq!(table[0].1.at.to_string(), "`f.toml`: line 1");
        let Value::Table(inner) = &table[1].1.value else { panic!("b is a table") };
        assert_eq!(inner[0].1.at.to_string(), "`f.toml`: line 4");
    }

    #[test]
    fn a_text_that_is_not_toml_names_the_line() {
        assert_eq!(parse("a = 1\nb = = 2\n", Path::new("f")).unwrap_err().line, 2);
    }
}
