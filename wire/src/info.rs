//! What a device is and what it runs.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Envelope;

/// Whether a device is there. Topic `status`, retained; the broker says `offline` as its last will.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Status<'a> {
    /// Schema `vedette/status/1`.
    #[serde(flatten, borrow)]
    pub envelope: Envelope<'a>,
    /// The word itself.
    pub status: StatusWord,
}

/// Whether a device is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum StatusWord {
    /// It runs and is connected.
    Online,
    /// It said goodbye, or the broker lost it.
    Offline,
}

/// What a device is and runs. Topic `info`, retained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Info<'a> {
    /// Schema `vedette/info/1`.
    #[serde(flatten, borrow)]
    pub envelope: Envelope<'a>,
    /// Version of the daemon.
    #[serde(borrow)]
    pub agent_version: Cow<'a, str>,
    /// Version of the ONNX Runtime library it opened; `null` until a model needed one.
    pub onnxruntime_version: Option<String>,
    /// Its pipelines, by name.
    pub pipelines: Vec<PipelineInfo>,
    /// Its engines, by model.
    pub engines: Vec<EngineInfo>,
}

/// One configured pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PipelineInfo {
    /// Its name.
    pub name: String,
    /// Kind of its source.
    pub source: String,
    /// Name of its model in the configuration.
    pub model: String,
}

/// One loaded model, and what really runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EngineInfo {
    /// Name of the model in the configuration.
    pub model: String,
    /// Version in its `model.toml`.
    pub version: String,
    /// SHA-256 of its graph file.
    pub sha256: String,
    /// Providers asked for, in order of preference.
    pub providers_requested: Vec<String>,
    /// How many of the graph's nodes each provider ran in a real run; empty where the engine cannot tell.
    pub nodes: BTreeMap<String, u64>,
    /// The provider that ran most of the graph.
    pub provider: String,
    /// Why a preferred provider does not run, by provider.
    pub why_not: BTreeMap<String, String>,
}
