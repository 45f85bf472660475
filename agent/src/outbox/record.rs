//! One message on its way, how much it matters, and how it lies on disk.

use bytes::Bytes;

/// How much a record matters: where there is no room, the last of these is forgotten first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Somebody must act.
    Alarm,
    /// Something happened.
    Event,
    /// What a pipeline saw.
    Observation,
    /// How the device feels.
    Telemetry,
}

impl Class {
    /// All of them, the most important first.
    pub const ALL: [Self; 4] = [Self::Alarm, Self::Event, Self::Observation, Self::Telemetry];

    /// Its place among [`Class::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Alarm => 0,
            Self::Event => 1,
            Self::Observation => 2,
            Self::Telemetry => 3,
        }
    }
}

/// Names a record for ever: its class, and a number that only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// Its class.
    pub class: Class,
    /// Its number; within a class, records go out in the order of their numbers.
    pub number: u64,
}

impl Id {
    /// The key in the store: sorts by class, then by number.
    pub(super) fn key(self) -> [u8; 9] {
        let mut key = [0; 9];
        key[0] = u8::try_from(self.class.index()).unwrap_or(u8::MAX);
        key[1..].copy_from_slice(&self.number.to_be_bytes());
        key
    }

    /// The id that `key` is of. `None` where it is no key of ours.
    pub(super) fn of(key: &[u8]) -> Option<Self> {
        let (class, number) = key.split_first()?;
        let class = *Class::ALL.get(usize::from(*class))?;
        Some(Self { class, number: u64::from_be_bytes(number.try_into().ok()?) })
    }
}

/// A record with all that it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its name.
    pub id: Id,
    /// When it was taken in, in milliseconds of the outbox's own clock.
    pub at_ms: u64,
    /// Where it is to be published.
    pub topic: Bytes,
    /// What it says.
    pub body: Bytes,
}

/// What a record costs beside its topic and body: key, time and the store's own pages.
const OVERHEAD_BYTES: u64 = 64;

impl Record {
    /// What it counts for against the bound.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = u64::try_from(self.topic.len() + self.body.len()).unwrap_or(u64::MAX);
        bytes.saturating_add(OVERHEAD_BYTES)
    }

    /// As it lies in the store: time, length of the topic, topic, body.
    pub(super) fn to_value(&self) -> Vec<u8> {
        let topic = u16::try_from(self.topic.len()).unwrap_or(u16::MAX);
        let mut value = Vec::with_capacity(10 + self.topic.len() + self.body.len());
        value.extend_from_slice(&self.at_ms.to_be_bytes());
        value.extend_from_slice(&topic.to_be_bytes());
        value.extend_from_slice(&self.topic);
        value.extend_from_slice(&self.body);
        value
    }

    /// The record `id` that lies in `value`. `None` where that is none of ours.
    pub(super) fn from_value(id: Id, value: &[u8]) -> Option<Self> {
        let (at_ms, rest) = value.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (topic, body) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        std::str::from_utf8(topic).ok()?;
        Some(Self {
            id,
            at_ms: u64::from_be_bytes(*at_ms),
            topic: Bytes::copy_from_slice(topic),
            body: Bytes::copy_from_slice(body),
        })
    }
}

/// What is kept in memory of a record that is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) number: u64,
    /// In seconds: a mark is small, since there may be a hundred thousand of them.
    pub(super) at_s: u32,
    pub(super) bytes: u32,
}

impl Mark {
    pub(super) fn of(record: &Record) -> Self {
        Self {
            number: record.id.number,
            at_s: u32::try_from(record.at_ms / 1000).unwrap_or(u32::MAX),
            bytes: u32::try_from(record.bytes()).unwrap_or(u32::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written_and_rubbish_is_none() {
        let id = Id { class: Class::Event, number: 258 };
        let record = Record {
            id,
            at_ms: 7,
            topic: Bytes::from_static(b"a/b"),
            body: Bytes::from_static(b"{}"),
        };
        assert_eq!(Id::of(&id.key()), Some(id));
        assert_eq!(Record::from_value(id, &record.to_value()), Some(record));
        assert_eq!(Id::of(b"\x04\0\0\0\0\0\0\0\0"), None);
        assert_eq!(Id::of(b"short"), None);
        for rubbish in [b"".as_slice(), b"1234567", b"12345678\xff\xffab", b"12345678\0\x01\xff"] {
            assert_eq!(Record::from_value(id, rubbish), None, "{rubbish:?}");
        }
    }

    #[test]
    fn keys_sort_by_importance_and_then_by_age() {
        let key = |class, number| Id { class, number }.key();
        assert!(key(Class::Alarm, 300) < key(Class::Event, 1));
        assert!(key(Class::Event, 255) < key(Class::Event, 256));
    }
}
