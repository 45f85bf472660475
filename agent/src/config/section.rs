//! One table of a configuration, read key by key, with every mistake noted and none of them fatal yet.
//!
//! A reader asks for keys by name and gets `None` where a value is missing or unusable; what was wrong is
//! in [`Mistakes`] with its place. [`Section::finish`] reports the keys that nobody asked for. So one run
//! over a configuration finds all that is wrong with it; nothing may be used unless [`Mistakes`] is empty.

use std::cell::RefCell;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::tree::{At, Node, Table, Value};

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where.
    pub at: At,
    /// The key, from the top: `pipeline.door.source.rate_hz`.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => write!(f, "{}: {}", self.at, self.message),
            key => write!(f, "{}: `{key}`: {}", self.at, self.message),
        }
    }
}

/// All that was found wrong so far.
#[derive(Debug, Default)]
pub struct Mistakes(RefCell<Vec<Mistake>>);

impl Mistakes {
    /// Nothing was found yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes one.
    pub fn note(&self, at: At, key: impl Into<String>, message: impl Into<String>) {
        self.0.borrow_mut().push(Mistake { at, key: key.into(), message: message.into() });
    }

    /// What was found, in the order of the checks.
    #[must_use]
    pub fn into_vec(self) -> Vec<Mistake> {
        self.0.into_inner()
    }

    /// Whether nothing is wrong so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }
}

/// One table, being read.
#[derive(Debug)]
pub struct Section<'a> {
    table: &'a [(String, Node)],
    at: At,
    path: String,
    base: &'a Path,
    asked: RefCell<Vec<&'static str>>,
    mistakes: &'a Mistakes,
}

impl<'a> Section<'a> {
    /// The top table of a document; paths in it are relative to `base`.
    #[must_use]
    pub fn top(table: &'a Table, at: At, base: &'a Path, mistakes: &'a Mistakes) -> Self {
        Self { table, at, path: String::new(), base, asked: RefCell::default(), mistakes }
    }

    /// The keys of this table, as written.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.table.iter().map(|(key, _)| key.as_str())
    }

    /// Where the table was written.
    #[must_use]
    pub fn at(&self) -> &At {
        &self.at
    }

    /// Notes that something is wrong with `key` (or, where it is empty, with the table itself).
    pub fn mistake(&self, key: &str, message: impl Into<String>) {
        let at = self.find(key).map_or(&self.at, |node| &node.at).clone();
        self.mistakes.note(at, self.name(key), message);
    }

    /// A string.
    pub fn text(&self, key: &'static str) -> Option<String> {
        self.typed(key, "a string", |value| match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        })
    }

    /// A string that must be there; empty after a mistake.
    pub fn required_text(&self, key: &'static str) -> String {
        self.required(key).then(|| self.text(key)).flatten().unwrap_or_default()
    }

    /// A path, relative to the directory of the file it is written in.
    pub fn path(&self, key: &'static str) -> Option<PathBuf> {
        self.text(key).map(|text| self.base.join(text))
    }

    /// A path that must be there; empty after a mistake.
    pub fn required_path(&self, key: &'static str) -> PathBuf {
        self.required(key).then(|| self.path(key)).flatten().unwrap_or_default()
    }

    /// True or false.
    pub fn flag(&self, key: &'static str) -> Option<bool> {
        self.typed(key, "true or false", |value| match value {
            Value::Flag(flag) => Some(*flag),
            _ => None,
        })
    }

    /// An integer of type `T` within `range`.
    pub fn integer<T>(&self, key: &'static str, range: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<i64> + PartialOrd + fmt::Display,
    {
        let number = self.typed(key, "an integer", |value| match value {
            Value::Integer(number) => Some(*number),
            _ => None,
        })?;
        let found = T::try_from(number).ok().filter(|number| range.contains(number));
        if found.is_none() {
            self.mistake(key, format!("{number} is not from {} to {}", range.start(), range.end()));
        }
        found
    }

    /// A finite number within `range`; an integer will do.
    pub fn number(&self, key: &'static str, range: RangeInclusive<f64>) -> Option<f64> {
        let number = self.typed(key, "a number", as_number)?;
        if range.contains(&number) {
            return Some(number);
        }
        self.mistake(key, format!("{number} is not from {} to {}", range.start(), range.end()));
        None
    }

    /// One of the words in `choices`.
    pub fn choice<T: Copy>(&self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let word = self.text(key)?;
        let found = choices.iter().find(|(name, _)| *name == word).map(|&(_, value)| value);
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|&(name, _)| name).collect();
            self.mistake(key, unknown(&word, &names));
        }
        found
    }

    /// A list of strings.
    pub fn texts(&self, key: &'static str) -> Option<Vec<String>> {
        self.typed(key, "a list of strings", |value| match value {
            Value::List(list) => texts(list),
            _ => None,
        })
    }

    /// A list of strings, or one string, which is a list of one.
    pub fn text_or_texts(&self, key: &'static str) -> Option<Vec<String>> {
        self.typed(key, "a string or a list of strings", |value| match value {
            Value::Text(text) => Some(vec![text.clone()]),
            Value::List(list) => texts(list),
            _ => None,
        })
    }

    /// A list of numbers.
    pub fn numbers(&self, key: &'static str) -> Option<Vec<f64>> {
        self.typed(key, "a list of numbers", |value| match value {
            Value::List(list) => list.iter().map(|node| as_number(&node.value)).collect(),
            _ => None,
        })
    }

    /// A list whose items are read by the caller.
    pub fn list(&self, key: &'static str) -> Option<&'a [Node]> {
        self.ask(key)?;
        self.typed(key, "a list", |value| matches!(value, Value::List(_)).then_some(()))?;
        match &self.find(key)?.value {
            Value::List(list) => Some(list),
            _ => None,
        }
    }

    /// The table under `key`.
    pub fn section(&self, key: &'static str) -> Option<Section<'a>> {
        self.ask(key)?;
        self.child(key, self.find(key)?)
    }

    /// Each table of the list `[[key]]`. `named` gives the key by which a mistake in one is named.
    pub fn sections(&self, key: &'static str) -> Vec<Section<'a>> {
        let Some(list) = self.list(key) else { return Vec::new() };
        let mut found = Vec::new();
        for (index, node) in list.iter().enumerate() {
            let name = match &node.value {
                Value::Table(table) => table.iter().find_map(|(key, node)| match &node.value {
                    Value::Text(text) if key == "name" => Some(text.clone()),
                    _ => None,
                }),
                _ => None,
            };
            let name = name.unwrap_or_else(|| (index + 1).to_string());
            found.extend(self.child(&format!("{key}.{name}"), node));
        }
        found
    }

    /// Each named table under `key`: `[key.NAME]`.
    pub fn named(&self, key: &'static str) -> Vec<(&'a str, Section<'a>)> {
        let Some(section) = self.section(key) else { return Vec::new() };
        section
            .table
            .iter()
            .filter_map(|(name, node)| Some((name.as_str(), section.child(name, node)?)))
            .collect()
    }

    /// The table under `key` as it was written, for the caller to merge with another.
    pub fn table(&self, key: &'static str) -> Option<&'a Table> {
        self.ask(key)?;
        self.typed(key, "a table", |value| matches!(value, Value::Table(_)).then_some(()))?;
        match &self.find(key)?.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// `table` read as if it stood under `key` here.
    #[must_use]
    pub fn with<'b>(&'b self, key: &str, table: &'b Table) -> Section<'b> {
        Section {
            table,
            at: self.at.clone(),
            path: self.name(key),
            base: self.base,
            asked: RefCell::default(),
            mistakes: self.mistakes,
        }
    }

    /// Notes a mistake at another place than this table's.
    pub fn note(&self, at: At, key: &str, message: impl Into<String>) {
        self.mistakes.note(at, key, message);
    }

    /// Whether `key` is there, in whatever type.
    pub fn has(&self, key: &'static str) -> bool {
        self.ask(key).is_some()
    }

    /// Reports every key that nobody asked for.
    pub fn finish(self) {
        let asked = self.asked.borrow();
        for (key, node) in self.table {
            if !asked.contains(&key.as_str()) {
                let message = format!("unknown key; {}", known(key, &asked));
                self.mistakes.note(node.at.clone(), self.name(key), message);
            }
        }
    }

    fn find(&self, key: &str) -> Option<&'a Node> {
        self.table.iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    fn ask(&self, key: &'static str) -> Option<&'a Node> {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&key) {
            asked.push(key);
        }
        self.find(key)
    }

    fn required(&self, key: &'static str) -> bool {
        let there = self.ask(key).is_some();
        if !there {
            self.mistakes.note(self.at.clone(), self.name(key), "is missing");
        }
        there
    }

    fn typed<T>(
        &self,
        key: &'static str,
        wanted: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Option<T> {
        let node = self.ask(key)?;
        let found = read(&node.value);
        if found.is_none() {
            self.mistake(key, format!("is {}, expected {wanted}", node.value.type_name()));
        }
        found
    }

    fn child(&self, key: &str, node: &'a Node) -> Option<Section<'a>> {
        let (path, at) = (self.name(key), node.at.clone());
        if let Value::Table(table) = &node.value {
            return Some(Section {
                table,
                at,
                path,
                base: self.base,
                asked: RefCell::default(),
                mistakes: self.mistakes,
            });
        }
        self.mistakes.note(at, path, format!("is {}, expected a table", node.value.type_name()));
        None
    }

    fn name(&self, key: &str) -> String {
        match (self.path.as_str(), key) {
            ("", key) => key.to_owned(),
            (path, "") => path.to_owned(),
            (path, key) => format!("{path}.{key}"),
        }
    }
}

fn texts(list: &[Node]) -> Option<Vec<String>> {
    list.iter()
        .map(|node| match &node.value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        })
        .collect()
}

#[expect(clippy::as_conversions, reason = "an integer in a configuration is far below 2^53")]
fn as_number(value: &Value) -> Option<f64> {
    match value {
        Value::Float(number) if number.is_finite() => Some(*number),
        Value::Integer(number) => Some(*number as f64),
        _ => None,
    }
}

/// What to say about a word that is none of `names`.
#[must_use]
pub fn unknown(word: &str, names: &[&str]) -> String {
    format!("unknown value `{word}`; {}", known(word, names))
}

/// The closest of `names`, or all of them.
fn known(word: &str, names: &[&str]) -> String {
    // Half of the letters may be wrong before a suggestion is a guess.
    let close = names
        .iter()
        .map(|name| (strsim::damerau_levenshtein(word, name), name))
        .filter(|(distance, name)| *distance <= name.len().max(2) / 2)
        .min();
    match close {
        Some((_, name)) => format!("did you mean `{name}`?"),
        None if names.is_empty() => "no key is known here".to_owned(),
        None => {
            let list: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            format!("known are {}", list.join(", "))
        }
    }
}

/// `number` with the digits that scores, places and tensors have.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "f64 to f32: digits beyond the seventh are noise"
)]
#[must_use]
pub fn narrow(number: f64) -> f32 {
    number as f32
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::tree::parse;
    use super::*;

    /// Reads `text` with `read` and returns what was wrong, without the file's name.
    pub(crate) fn check(text: &str, read: impl Fn(&Section<'_>)) -> Vec<String> {
        let (file, mistakes) = (Path::new("f"), Mistakes::new());
        let table = parse(text, file).unwrap();
        let top = Section::top(&table, At::File(file.into(), 1), Path::new("/base"), &mistakes);
        read(&top);
        top.finish();
        mistakes.into_vec().iter().map(|m| m.to_string().replace("`f`: ", "")).collect()
    }

    #[test]
    fn every_mistake_is_reported_with_line_key_and_advice() {
        let text =
            "rate = 'x'\nwidht = 3\nheight = 99\nfit = 'leterbox'\n[[p]]\nname = 'a'\nq = 1\n";
        let found = check(text, |top| {
            assert_eq!(top.number("rate", 1.0..=9.0), None);
            assert_eq!(top.integer::<u32>("width", 1..=9), None);
            assert_eq!(top.integer::<u32>("height", 1..=9), None);
            assert_eq!(top.choice("fit", &[("letterbox", 1), ("crop", 2)]), None);
            top.required_text("name");
            for p in top.sections("p") {
                p.text("name");
                p.finish();
            }
        });
        assert_eq!(
            found,
            [
                "line 1: `rate`: is a string, expected a number",
                "line 3: `height`: 99 is not from 1 to 9",
                "line 4: `fit`: unknown value `leterbox`; did you mean `letterbox`?",
                "line 1: `name`: is missing",
                "line 7: `p.a.q`: unknown key; known are `name`",
                "line 2: `widht`: unknown key; did you mean `width`?",
            ]
        );
    }

    #[test]
    fn a_path_is_relative_to_its_file() {
        check("a = 'm/x'\nb = '/abs'", |top| {
            assert_eq!(top.path("a"), Some("/base/m/x".into()));
            assert_eq!(top.path("b"), Some("/abs".into()));
        });
    }
}
