//! `[homeassistant]` of the configuration.

use crate::config::Section;

/// Where Home Assistant looks for devices unless it was told otherwise.
const PREFIX: &str = "homeassistant";

/// How Home Assistant finds this device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomeAssistantSettings {
    /// Whether it does; `false` takes back what was published before.
    pub enabled: bool,
    /// The first levels of its discovery topics.
    pub prefix: String,
}

impl HomeAssistantSettings {
    /// Reads `[homeassistant]`.
    #[must_use]
    pub fn read(section: &Section<'_>) -> Self {
        let prefix = section.text("prefix").unwrap_or_else(|| PREFIX.to_owned());
        if prefix.is_empty() || prefix.contains(['+', '#']) || prefix.ends_with('/') {
            section.mistake("prefix", format!("`{prefix}` is no beginning of a topic"));
        }
        Self { enabled: section.flag("enabled").unwrap_or(true), prefix }
    }
}
