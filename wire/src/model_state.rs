//! Where each model slot stands, and what happened to it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{Digest, Envelope};

/// Where one slot stands. Topic `model/<slot>/state`, retained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ModelState<'a> {
    /// Schema `vedette/model-state/1`.
    #[serde(flatten, borrow)]
    pub envelope: Envelope<'a>,
    /// The slot: the model's name in the configuration.
    #[serde(borrow)]
    pub slot: Cow<'a, str>,
    /// What is committed; `null`: the folder that the configuration names.
    pub installed: Option<ReleaseRef>,
    /// What was committed before, and can be returned to.
    pub previous: Option<ReleaseRef>,
    /// What is under way.
    pub offered: Option<ReleaseRef>,
    /// What is being done with it.
    pub phase: Phase,
    /// Bytes of it that are here and verified.
    pub progress_bytes: u64,
    /// Bytes of it in all; 0 where nothing is under way.
    pub total_bytes: u64,
    /// Tries that are left before it is refused; `null` where nothing is under way.
    pub tries_left: Option<u32>,
    /// The last release that was refused, until one is committed.
    pub refused: Option<Refusal>,
    /// The last check of the repository that failed, in words; `null` after one that went well.
    pub check_error: Option<String>,
}

/// Which release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReleaseRef {
    /// Its version, for people.
    pub version: String,
    /// Its counter.
    pub counter: u64,
    /// Digest of its release document.
    pub release: Digest,
}

/// A release that is not tried again, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Refusal {
    /// Which.
    #[serde(flatten)]
    pub release: ReleaseRef,
    /// In which phase.
    pub phase: Phase,
    /// Why, in words.
    pub reason: String,
}

/// What is being done in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing: what is installed runs.
    Idle,
    /// Its files are being fetched and verified.
    Fetching,
    /// Its files are being put together.
    Staging,
    /// It runs its golden samples in a process of its own.
    Rehearsing,
    /// It runs on live frames, unheard, beside the installed one.
    Trialing,
    /// It becomes the installed one.
    Committing,
    /// It is installed, and goes back if it fails now.
    Probation,
    /// The one before returns.
    RollingBack,
    /// It is written down as refused.
    Refusing,
    /// It is left, since the operator halted it.
    Withdrawing,
}

/// Something that happened to a slot. Topic `event/model/<slot>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ModelEvent<'a> {
    /// Schema `vedette/model-event/1`.
    #[serde(flatten, borrow)]
    pub envelope: Envelope<'a>,
    /// The slot.
    #[serde(borrow)]
    pub slot: Cow<'a, str>,
    /// The phase before.
    pub from: Phase,
    /// The phase since.
    pub to: Phase,
    /// What is under way.
    pub offered: Option<ReleaseRef>,
    /// What is installed.
    pub installed: Option<ReleaseRef>,
    /// Why, in words, where there is something to say.
    pub reason: Option<String>,
}
