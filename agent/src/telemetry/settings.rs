//! `[telemetry]` and `[alarms]` of the configuration.

use std::path::PathBuf;
use std::time::Duration;

use super::alarms::rules::{self, Rule};
use crate::config::Section;

/// How often to sample where nothing is configured. An alarm is seen within some seconds, and a day of it is
/// about 60 MB before the broker: half the time would be twice as much on a metered link, to see nothing new.
const EVERY_S_DEFAULT: u64 = 5;
/// Oftener than once a second there is nothing new: the boards' own averages are as long.
const EVERY_S: std::ops::RangeInclusive<u64> = 1..=3600;

/// How the board is watched.
#[derive(Debug, Clone, PartialEq)]
pub struct TelemetrySettings {
    /// How often.
    pub every: Duration,
    /// Below which root: `/`, or a copied tree.
    pub sysroot: PathBuf,
    /// NVIDIA's library, where it is not the system's.
    pub nvml: Option<PathBuf>,
    /// Whether the board's serial number is told.
    pub serial: bool,
    /// The alarms.
    pub alarms: Vec<Rule>,
}

impl TelemetrySettings {
    /// Reads `[telemetry]` and `[alarms]`. `None` where it is switched off.
    #[must_use]
    pub fn read(section: Option<Section<'_>>, alarms: Option<Section<'_>>) -> Option<Self> {
        let mut settings = Self {
            every: Duration::from_secs(EVERY_S_DEFAULT),
            sysroot: PathBuf::from("/"),
            nvml: None,
            serial: false,
            alarms: rules::read(alarms),
        };
        let Some(section) = section else { return Some(settings) };
        let enabled = section.flag("enabled").unwrap_or(true);
        let every = section.integer("every_s", EVERY_S).unwrap_or(EVERY_S_DEFAULT);
        settings.every = Duration::from_secs(every);
        if let Some(path) = section.path("sysroot") {
            if !path.exists() {
                section.mistake("sysroot", "there is no such directory or capture");
            }
            settings.sysroot = path;
        }
        settings.nvml = section.path("nvml");
        settings.serial = section.flag("serial").unwrap_or(false);
        section.finish();
        enabled.then_some(settings)
    }
}
