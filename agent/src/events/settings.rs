//! `[events]`: how much is kept of events.

use crate::config::Section;

/// Room for clips, in MiB; 0: none are kept.
const CLIPS_MB: std::ops::RangeInclusive<u64> = 0..=1 << 20;
/// Some hundreds of clips of five pictures.
const CLIPS_MB_DEFAULT: u64 = 64;

/// How much is kept of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSettings {
    /// Most bytes of all clips.
    pub clips_bytes: u64,
}

impl Default for EventSettings {
    fn default() -> Self {
        Self { clips_bytes: CLIPS_MB_DEFAULT << 20 }
    }
}

impl EventSettings {
    /// Reads the table.
    #[must_use]
    pub fn read(section: &Section<'_>) -> Self {
        let megabytes = section.integer("clips_mb", CLIPS_MB).unwrap_or(CLIPS_MB_DEFAULT);
        Self { clips_bytes: megabytes << 20 }
    }
}
