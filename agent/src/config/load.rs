//! From files and environment to one tree.
//!
//! The file first, then `conf.d/*.toml` beside it by name, then `VEDETTE_` variables. A later value replaces an
//! earlier one, tables are merged, lists of tables (`[[pipeline]]`) grow.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::section::{Mistakes, Section};
use super::tree::{At, Node, Table, Value, parse};

/// Largest configuration file: a thousand pipelines fit; a wrong path (a disk image) does not.
const FILE_MAX_BYTES: u64 = 1 << 20;
/// Most files of a `conf.d`.
const FILES_MAX: usize = 100;
/// What variables begin with; `__` stands for the point of a key: `VEDETTE_MQTT__URL` is `mqtt.url`.
const PREFIX: &str = "VEDETTE_";

/// A merged configuration and where it begins.
#[derive(Debug)]
pub struct Loaded {
    /// The merged tree.
    pub table: Table,
    /// Its place, for keys that are missing.
    pub at: At,
    /// Directory of the main file: relative paths begin here.
    pub base: PathBuf,
}

/// Reads `file`, what lies in `conf.d` beside it, and `variables`. What could not be read is a mistake.
#[must_use]
pub fn load(
    file: &Path,
    variables: impl Iterator<Item = (String, String)>,
    mistakes: &Mistakes,
) -> Loaded {
    let base = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut table = read(file, mistakes);
    for path in extra_files(&base.join("conf.d"), mistakes) {
        merge(&mut table, read(&path, mistakes));
    }
    let mut variables: Vec<(String, String)> = variables.collect();
    variables.sort();
    for (name, text) in variables {
        if let Some(key) = name.strip_prefix(PREFIX) {
            merge(&mut table, variable(&name, &key.to_ascii_lowercase(), &text));
        }
    }
    Loaded { table, at: At::File(Arc::from(file), 1), base }
}

impl Loaded {
    /// The top table, to be read.
    #[must_use]
    pub fn top<'a>(&'a self, mistakes: &'a Mistakes) -> Section<'a> {
        Section::top(&self.table, self.at.clone(), &self.base, mistakes)
    }
}

/// The tree of one file; empty after a mistake.
fn read(path: &Path, mistakes: &Mistakes) -> Table {
    let note = |line, message: String| mistakes.note(At::File(Arc::from(path), line), "", message);
    let text = match std::fs::metadata(path) {
        Ok(meta) if meta.len() > FILE_MAX_BYTES => {
            note(
                1,
                format!(
                    "has {} bytes, more than {FILE_MAX_BYTES}: is it a configuration?",
                    meta.len()
                ),
            );
            return Table::new();
        }
        _ => std::fs::read_to_string(path),
    };
    let parsed = match text {
        Ok(text) => parse(&text, path),
        Err(error) => {
            note(1, format!("cannot be read: {error}"));
            return Table::new();
        }
    };
    parsed.unwrap_or_else(|syntax| {
        note(syntax.line, syntax.message);
        Table::new()
    })
}

fn extra_files(directory: &Path, mistakes: &Mistakes) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let mut paths: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .take(FILES_MAX + 1)
        .collect();
    paths.sort();
    if paths.len() > FILES_MAX {
        let at = At::File(Arc::from(directory), 1);
        mistakes.note(at, "", format!("has more than {FILES_MAX} files"));
        paths.truncate(FILES_MAX);
    }
    paths
}

/// Puts `over` over `under`.
pub fn merge(under: &mut Table, over: Table) {
    for (key, new) in over {
        let Some((_, old)) = under.iter_mut().find(|(name, _)| *name == key) else {
            under.push((key, new));
            continue;
        };
        match (&mut old.value, new.value) {
            (Value::Table(old), Value::Table(new)) => merge(old, new),
            (Value::List(old), Value::List(new)) if old.iter().chain(&new).all(is_table) => {
                old.extend(new)
            }
            (_, value) => *old = Node { value, at: new.at },
        }
    }
}

fn is_table(node: &Node) -> bool {
    matches!(node.value, Value::Table(_))
}

/// The tree of one variable: what reads as a TOML value is one, anything else is a string.
fn variable(name: &str, key: &str, text: &str) -> Table {
    let at = At::Environment(name.to_owned());
    let value = parse(&format!("v = {text}"), Path::new(name))
        .ok()
        .and_then(|mut table| if table.len() == 1 { table.pop() } else { None })
        .map_or_else(|| Value::Text(text.to_owned()), |(_, node)| node.value);
    let mut node = Node { value, at: at.clone() };
    let mut parts: Vec<&str> = key.split("__").collect();
    let first = parts.remove(0);
    for part in parts.into_iter().rev() {
        node = Node { value: Value::Table(vec![(part.to_owned(), node)]), at: at.clone() };
    }
    vec![(first.to_owned(), node)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Loads `files` (the first is the main one) and `variables`, and shows the keys `a.b` and `p`.
    fn check(
        files: &[(&str, &str)],
        variables: &[(&str, &str)],
    ) -> (Option<i64>, usize, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("conf.d")).unwrap();
        for (name, text) in files {
            crate::disk::replace(&dir.path().join(name), text.as_bytes()).unwrap();
        }
        let mistakes = Mistakes::new();
        let variables = variables.iter().map(|&(name, text)| (name.to_owned(), text.to_owned()));
        let loaded = load(&dir.path().join("v.toml"), variables, &mistakes);
        let top = loaded.top(&mistakes);
        let a = top.section("a").and_then(|a| a.integer("b", 0..=100_i64));
        let p = top.sections("p").len();
        (a, p, mistakes.into_vec().iter().map(|m| m.message.clone()).collect())
    }

    #[test]
    fn a_later_place_wins_and_lists_of_tables_grow() {
        let main = ("v.toml", "[a]\nb = 1\n[[p]]\n");
        let more = ("conf.d/10.toml", "[a]\nb = 2\n[[p]]\n");
        let not = ("conf.d/10.bak", "[a]\nb = 9\n");
        for (files, variables, a, p) in [
            (&[main][..], &[][..], 1, 1),
            (&[main, more, not], &[], 2, 2),
            (&[main, more], &[("VEDETTE_A__B", "3"), ("OTHER_A__B", "4")], 3, 2),
        ] {
            assert_eq!(check(files, variables), (Some(a), p, vec![]));
        }
    }

    #[test]
    fn what_cannot_be_read_is_a_mistake_and_not_an_end() {
        let (_, _, mistakes) = check(&[("conf.d/1.toml", "a = ")], &[("VEDETTE_A__B", "many")]);
        assert_eq!(mistakes.len(), 3, "{mistakes:?}");
        assert!(mistakes[0].starts_with("cannot be read: No such file"), "{mistakes:?}");
        assert_eq!(mistakes[2], "is a string, expected an integer");
    }
}
