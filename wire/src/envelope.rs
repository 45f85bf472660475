//! The keys that every payload begins with.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

/// What every payload carries, so that a listener can order, deduplicate and place it in time.
///
/// `boot_id` and `seq` together name a message for ever: a duplicate has the same pair. `uptime_ms` orders
/// messages of one boot even when the wall clock jumped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Envelope<'a> {
    /// The payload's type and version, such as `vedette/observation/1`.
    #[serde(borrow)]
    pub schema: Cow<'a, str>,
    /// When it was said, RFC 3339 with milliseconds, UTC; the wall clock may be wrong.
    #[serde(serialize_with = "millis")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::time"))]
    pub ts: Timestamp,
    /// Names the run of the daemon that sent it: new at every start.
    #[serde(borrow)]
    pub boot_id: Cow<'a, str>,
    /// Milliseconds since the daemon started, from the monotonic clock.
    pub uptime_ms: u64,
    /// Counts the messages of one topic from 1, without a gap where nothing was dropped.
    pub seq: u64,
}

/// Writes `ts` with exactly three decimals, without allocating.
pub(crate) fn millis<S: Serializer>(ts: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{ts:.3}"))
}

/// The same of a time that may not be known.
pub(crate) fn maybe_millis<S: Serializer>(
    ts: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match ts {
        Some(ts) => millis(ts, serializer),
        None => serializer.serialize_none(),
    }
}

/// `value` where it is a number, `None` where it is NaN or infinite: JSON has no word for those.
#[must_use]
pub fn finite(value: f32) -> Option<f32> {
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_with_three_decimals_even_on_a_full_second() {
        let envelope = Envelope {
            schema: "vedette/status/1".into(),
            ts: Timestamp::from_millisecond(1_795_000_000_000).unwrap(),
            boot_id: "b".into(),
            uptime_ms: 5,
            seq: 1,
        };
        let text = serde_json::to_string(&envelope).unwrap();
        assert!(text.contains(r#""ts":"2026-11-18T11:06:40.000Z""#), "{text}");
        assert_eq!(serde_json::from_str::<Envelope<'_>>(&text).unwrap(), envelope);
    }
}
