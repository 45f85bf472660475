//! What is wrong with a device, one topic for each thing that can be.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Envelope;
use crate::envelope::maybe_millis;

/// One alarm, raised or not. Topic `alarm/<name>`, retained, and there from the start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Alarm<'a> {
    /// Schema `vedette/alarm/1`.
    #[serde(flatten, borrow)]
    pub envelope: Envelope<'a>,
    /// Its name: the last level of its topic.
    #[serde(borrow)]
    pub alarm: Cow<'a, str>,
    /// Whether it is raised.
    pub active: bool,
    /// Since when it is raised, or not; the wall clock may be wrong. `null`: since the daemon started.
    #[serde(serialize_with = "maybe_millis")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::maybe_time"))]
    pub since: Option<Timestamp>,
    /// The reading that decided, in the unit of `unit`.
    pub value: Option<f64>,
    /// What it is compared with.
    pub threshold: Option<f64>,
    /// Unit of both, such as `celsius`; `null` where they have none.
    #[serde(borrow)]
    pub unit: Option<Cow<'a, str>>,
    /// What it is about: a zone, a file system, a pipeline, a reason.
    #[serde(borrow)]
    pub subject: Option<Cow<'a, str>>,
}
