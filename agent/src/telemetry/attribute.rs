//! One file of the kernel that is read again and again.
//!
//! It was there when the board was scanned. Where it is gone, or its device is called otherwise, the board was
//! numbered anew and must be scanned again: the reader notes that. Where it is there and does not answer, the
//! reading is `None`, and it is left alone for a while: a powered-off sensor answers `EAGAIN` for days.

use std::time::Duration;

use super::tree::{ATTRIBUTE_BYTES, FILE_BYTES_MAX, Tree, Unread};

/// How long a file that does not answer is left alone: short enough that a GPU that wakes is seen soon.
const REST: Duration = Duration::from_secs(30);

/// Reads attributes of one tree, at one time.
#[derive(Debug)]
pub struct Reader<'a> {
    tree: &'a Tree,
    /// The monotonic clock.
    now: Duration,
    buffer: Vec<u8>,
    stale: bool,
}

impl<'a> Reader<'a> {
    /// Reads `tree`, `now` by the monotonic clock.
    #[must_use]
    pub fn new(tree: &'a Tree, now: Duration) -> Self {
        Self { tree, now, buffer: Vec::with_capacity(ATTRIBUTE_BYTES), stale: false }
    }

    /// Whether something was not where the scan had found it.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    /// The tree.
    #[must_use]
    pub fn tree(&self) -> &'a Tree {
        self.tree
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Attribute {
    place: String,
    max: usize,
    rests_until: Duration,
}

impl Attribute {
    /// The attribute `name` of the device at `place`, where it has one.
    #[must_use]
    pub fn find(tree: &Tree, place: &str, name: &str) -> Option<Self> {
        let place = tree.resolve(&format!("{place}/{name}"))?;
        Some(Self { place, max: ATTRIBUTE_BYTES, rests_until: Duration::ZERO })
    }

    /// The file at `path`, where there is one; it may be longer than an attribute.
    #[must_use]
    pub fn file(tree: &Tree, path: &str) -> Option<Self> {
        let place = tree.resolve(path)?;
        Some(Self { place, max: FILE_BYTES_MAX, rests_until: Duration::ZERO })
    }

    /// Its text, without white space around it and the NULs of the device tree.
    pub fn text<'r>(&mut self, reader: &'r mut Reader<'_>) -> Option<&'r str> {
        if reader.now < self.rests_until {
            return None;
        }
        match reader.tree.read(&self.place, self.max, &mut reader.buffer) {
            Ok(()) => {
                let text = std::str::from_utf8(&reader.buffer).ok()?;
                Some(text.trim_matches(|c: char| c.is_whitespace() || c == '\0'))
            }
            Err(Unread::Absent) => {
                reader.stale = true;
                None
            }
            Err(Unread::Refused(_)) => {
                self.rests_until = reader.now + REST;
                None
            }
        }
    }

    /// Its number. A unit that stands behind it (`32760 ma`) is not looked at.
    pub fn number(&mut self, reader: &mut Reader<'_>) -> Option<i64> {
        self.text(reader)?.split_whitespace().next()?.parse().ok()
    }

    /// Its number, where that is not negative.
    pub fn count(&mut self, reader: &mut Reader<'_>) -> Option<u64> {
        u64::try_from(self.number(reader)?).ok()
    }

    /// Whether it still says `text`. What does not is noted as stale.
    pub fn says(&mut self, text: &str, reader: &mut Reader<'_>) -> bool {
        let same = self.text(reader) == Some(text);
        reader.stale |= !same;
        same
    }
}

/// The number of an attribute that a device may not have.
pub fn number(attribute: &mut Option<Attribute>, reader: &mut Reader<'_>) -> Option<i64> {
    attribute.as_mut()?.number(reader)
}

/// The number of an attribute that a device may not have, where it is not negative.
pub fn count(attribute: &mut Option<Attribute>, reader: &mut Reader<'_>) -> Option<u64> {
    attribute.as_mut()?.count(reader)
}

/// The text of an attribute that is read once.
#[must_use]
pub fn text_once(tree: &Tree, place: &str, name: &str) -> Option<String> {
    let mut reader = Reader::new(tree, Duration::ZERO);
    let text = Attribute::find(tree, place, name)?.text(&mut reader)?.to_owned();
    Some(text)
}

/// The number of an attribute that is read once.
#[must_use]
pub fn number_once(tree: &Tree, place: &str, name: &str) -> Option<i64> {
    text_once(tree, place, name)?.split_whitespace().next()?.parse().ok()
}

/// Whether the kernel says yes: `1`, `0`, or no answer.
#[must_use]
pub fn flag(number: Option<i64>) -> Option<bool> {
    number.map(|number| number != 0)
}

/// `value` in a unit that is `per` times as large, with three decimals at most.
#[must_use]
#[expect(clippy::as_conversions, reason = "readings are far below 2^53")]
#[expect(clippy::cast_precision_loss, reason = "readings are far below 2^53")]
pub fn scaled(value: i64, per: i64) -> f64 {
    rounded(value as f64 / per as f64)
}

/// `value` with three decimals: more is noise, and longer than a message can hold.
#[must_use]
pub fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// The devices of a class, in the order of their numbers: where each is, and its own name.
pub fn devices(tree: &Tree, class: &str, begins: &str) -> Vec<(String, String)> {
    let Some(class) = tree.resolve(class) else { return Vec::new() };
    let names = tree.names(&class).into_iter().filter(|name| name.starts_with(begins));
    names.filter_map(|name| Some((tree.resolve(&format!("{class}/{name}"))?, name))).collect()
}

/// `name`, or with a number where `taken` says that there is one already.
#[must_use]
pub fn unique(name: &str, taken: impl Fn(&str) -> bool) -> String {
    if !taken(name) {
        return name.to_owned();
    }
    let mut number = 2;
    loop {
        let numbered = format!("{name}-{number}");
        if !taken(&numbered) {
            return numbered;
        }
        number += 1;
    }
}
