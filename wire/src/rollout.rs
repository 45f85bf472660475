//! The rollout document: which release of a model the devices of a group should have, and since when.
//!
//! It is a TUF target of the delegated role `rollout`, whose online key can only choose among releases that the
//! offline keys signed: model, version, counter and digest must agree with the release document. Whoever steals
//! that key can slow, pause, or pick among good releases.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::topic::is_name;
use crate::{BadDocument, Digest};

/// The schema that this version reads and writes.
pub const SCHEMA: &str = "vedette/rollout/1";

/// Largest rollout document: a list of 10,000 devices fits.
pub const DOCUMENT_BYTES_MAX: u64 = 1 << 20;

/// The delegated role that signs rollouts.
pub const ROLE: &str = "rollout";

/// What the delegation lets it sign.
pub const PATHS: &str = "rollout~*";

/// The group of a device that is in no other.
pub const GROUP_DEFAULT: &str = "default";

/// Every device.
pub const WHOLE: u32 = 10_000;

const WAVES_MAX: usize = 100;
const DEVICES_MAX: usize = 10_000;

/// Which release a group's devices should have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutDocument {
    /// [`SCHEMA`].
    pub schema: String,
    /// The model.
    pub model: String,
    /// The group of devices.
    pub group: String,
    /// Counts the rollouts of this model and group.
    pub id: u64,
    /// The release's version.
    pub version: String,
    /// The release's counter.
    pub counter: u64,
    /// Digest of the release document.
    pub release: Digest,
    /// When it was started.
    pub started: Timestamp,
    /// Only these devices, at once; `null`: by waves.
    pub devices: Option<Vec<String>>,
    /// How many devices may begin when, ascending.
    pub waves: Vec<Wave>,
    /// Whether nobody is to begin any more.
    pub halted: bool,
    /// Since when; older documents do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halted_at: Option<Timestamp>,
}

/// From when a share of the devices may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wave {
    /// Share of the devices, in ten-thousandths, those of earlier waves included.
    pub permyriad: u32,
    /// Not earlier than this.
    pub not_before: Timestamp,
}

/// What a rollout says to one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Take the release now.
    Now,
    /// Take it, but not earlier than this.
    NotBefore(Timestamp),
    /// It is for others.
    Never,
    /// Do not begin, and leave what is not committed yet.
    Halted,
}

impl RolloutDocument {
    /// The name of the target that has the rollout of `model` for `group`.
    #[must_use]
    pub fn target(model: &str, group: &str) -> String {
        format!("rollout~{model}~{group}.json")
    }

    /// Reads and checks a document whose signatures, length and digest were verified.
    ///
    /// # Errors
    /// [`BadDocument`]: whoever signed it made a mistake; nothing is rolled out by it.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadDocument> {
        let document: Self = crate::document::parse(bytes, SCHEMA, DOCUMENT_BYTES_MAX)?;
        document.check()?;
        Ok(document)
    }

    /// Checks what a device relies on.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), BadDocument> {
        let wrong = |what: &str| Err(BadDocument::Wrong(what.to_owned()));
        if ![&self.model, &self.group, &self.version].into_iter().all(|name| is_name(name)) {
            return wrong("model, group or version is no name");
        }
        if self.waves.len() > WAVES_MAX {
            return wrong("more than 100 waves");
        }
        if self.devices.as_ref().is_some_and(|devices| devices.len() > DEVICES_MAX) {
            return wrong("more than 10,000 devices: use a group");
        }
        let ascending = self.waves.windows(2).all(|pair| {
            pair[0].permyriad <= pair[1].permyriad && pair[0].not_before <= pair[1].not_before
        });
        if !ascending || self.waves.iter().any(|wave| wave.permyriad > WHOLE) {
            return wrong("waves are not ascending shares of at most 10,000 ten-thousandths");
        }
        Ok(())
    }

    /// Has nobody begin any more from `now` on.
    pub fn halt(&mut self, now: Timestamp) {
        if !self.halted {
            (self.halted, self.halted_at) = (true, Some(now));
        }
    }

    /// Lets it go on at `now`: the waves that had not begun at the halt begin later by its length, which is returned
    /// where there are any and it is known.
    ///
    /// # Errors
    /// A wave would begin after the last moment that there is.
    pub fn resume(&mut self, now: Timestamp) -> Result<Option<SignedDuration>, BadDocument> {
        let halted_at = self.halted_at.take().filter(|_| self.halted);
        self.halted = false;
        let Some(since) = halted_at.filter(|since| *since < now) else { return Ok(None) };
        let length = now.duration_since(since);
        let mut later = None;
        for wave in self.waves.iter_mut().filter(|wave| wave.not_before > since) {
            wave.not_before = (wave.not_before.checked_add(length))
                .map_err(|error| BadDocument::Wrong(error.to_string()))?;
            later = Some(length);
        }
        Ok(later)
    }

    /// What it says to `device` at `now`.
    #[must_use]
    pub fn turn(&self, device: &str, now: Timestamp) -> Turn {
        if self.halted {
            return Turn::Halted;
        }
        if let Some(devices) = &self.devices {
            let named = devices.iter().any(|name| name == device);
            return if named { Turn::Now } else { Turn::Never };
        }
        let bucket = bucket(device, &self.release);
        match self.waves.iter().find(|wave| bucket < wave.permyriad) {
            Some(wave) if wave.not_before <= now => Turn::Now,
            Some(wave) => Turn::NotBefore(wave.not_before),
            None => Turn::Never,
        }
    }
}

/// Where `device` stands in the rollout of `release`: 0 to 9,999. Other releases have other canaries.
#[must_use]
pub fn bucket(device: &str, release: &Digest) -> u32 {
    let digest = Sha256::new()
        .chain_update(device)
        .chain_update(b"\n")
        .chain_update(release.as_bytes())
        .finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u32::try_from(u64::from_be_bytes(first) % u64::from(WHOLE)).unwrap_or(0)
}
