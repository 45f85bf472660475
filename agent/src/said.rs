//! Makes the keys that every payload begins with, and the payloads that are not about a frame.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use wire::{Envelope, Info, Status, StatusWord};

/// This run of the daemon: when it began and what it is called.
#[derive(Debug)]
pub struct Said {
    boot_id: String,
    began: Instant,
    status_seq: AtomicU64,
    info_seq: AtomicU64,
    /// Of each slot whose last release was refused: why.
    refused: Mutex<BTreeMap<String, String>>,
}

/// Parts of [`Info`] that do not come from the clock.
#[derive(Debug, Clone, Default)]
pub struct InfoParts {
    /// Version of the ONNX Runtime library, where one was opened.
    pub onnxruntime_version: Option<String>,
    /// The pipelines.
    pub pipelines: Vec<wire::PipelineInfo>,
    /// The engines.
    pub engines: Vec<wire::EngineInfo>,
}

impl Said {
    /// A new run, with a name of its own.
    #[must_use]
    pub fn new() -> Self {
        let random =
            || std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), 0);
        Self {
            boot_id: format!("{:016x}{:016x}", random(), random()),
            began: Instant::now(),
            status_seq: AtomicU64::new(0),
            info_seq: AtomicU64::new(0),
            refused: Mutex::default(),
        }
    }

    /// The keys for message `seq` of `schema`, said now.
    #[must_use]
    pub fn envelope<'a>(&'a self, schema: &'a str, seq: u64) -> Envelope<'a> {
        Envelope {
            schema: schema.into(),
            ts: Timestamp::now(),
            boot_id: self.boot_id.as_str().into(),
            uptime_ms: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            seq,
        }
    }

    /// How long this run has lasted.
    #[must_use]
    pub fn uptime(&self) -> std::time::Duration {
        self.began.elapsed()
    }

    /// The last release of `slot` was refused for this reason, or was not.
    pub fn refuse(&self, slot: &str, reason: Option<&str>) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        match reason {
            Some(reason) => drop(refused.insert(slot.to_owned(), reason.to_owned())),
            None => drop(refused.remove(slot)),
        }
    }

    /// Slots whose last release was refused, and why.
    #[must_use]
    pub fn refused(&self) -> Vec<(String, String)> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.iter().map(|(slot, reason)| (slot.clone(), reason.clone())).collect()
    }

    /// A `status` payload.
    #[must_use]
    pub fn status(&self, status: StatusWord) -> Vec<u8> {
        let seq = self.status_seq.fetch_add(1, Ordering::Relaxed) + 1;
        encode(&Status { envelope: self.envelope("vedette/status/1", seq), status })
    }

    /// An `info` payload.
    #[must_use]
    pub fn info(&self, parts: InfoParts) -> Vec<u8> {
        let seq = self.info_seq.fetch_add(1, Ordering::Relaxed) + 1;
        encode(&Info {
            envelope: self.envelope("vedette/info/1", seq),
            agent_version: env!("CARGO_PKG_VERSION").into(),
            onnxruntime_version: parts.onnxruntime_version,
            pipelines: parts.pipelines,
            engines: parts.engines,
        })
    }
}

impl Default for Said {
    fn default() -> Self {
        Self::new()
    }
}

/// `payload` as it is published.
pub(crate) fn encode(payload: &impl serde::Serialize) -> Vec<u8> {
    // Payload types have string keys and finite numbers only: this cannot fail.
    serde_json::to_vec(payload).unwrap_or_default()
}
