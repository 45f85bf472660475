//! How one pipeline is set.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::Envelope;

/// How one pipeline is set. Topic `pipeline/<pipeline>/state`, retained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PipelineState<'a> {
    /// Schema `vedette/pipeline-state/1`.
    #[serde(flatten, borrow)]
    pub envelope: Envelope<'a>,
    /// Its name.
    #[serde(borrow)]
    pub pipeline: Cow<'a, str>,
    /// Whether somebody paused it: its source is closed then, and nothing is seen.
    pub paused: bool,
    /// From which score on something counts; `null` where its postprocess has no such number.
    pub threshold: Option<f32>,
    /// The same as the configuration and the model have it.
    pub threshold_configured: Option<f32>,
}
