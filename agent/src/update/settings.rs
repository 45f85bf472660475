//! `[update]` of the configuration: where releases come from, and when they may be taken.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use wire::topic::is_name;

use crate::config::Section;

/// How often to look where nothing is configured: an hour, with jitter.
const POLL_S_DEFAULT: u64 = 3600;
/// Looking more often than every 10 s is what the `install` topic is for; less than once a week misses the
/// lifetime of the metadata.
const POLL_S: std::ops::RangeInclusive<u64> = 10..=604_800;
/// Slowest download that still ends: below this the largest chunk takes longer than a connection lives.
const BANDWIDTH_KIB_S: std::ops::RangeInclusive<u64> = 16..=1 << 20;
/// Most memory that a rehearsal may take, in MiB, whatever the release asks for.
const REHEARSAL_MB: std::ops::RangeInclusive<u64> = 64..=1 << 20;
const REHEARSAL_MB_DEFAULT: u64 = 4096;
/// Bits of a file's mode that neither its owner nor its group needs.
const EVERYBODY: u32 = 0o007;

/// Where releases come from, and when they may be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateSettings {
    /// The repository: what `metadata/` and `targets/` lie below.
    pub url: String,
    /// The root of trust that was installed with the device.
    pub root: PathBuf,
    /// The group of devices that this one belongs to.
    pub group: String,
    /// How this board is called, where the device tree is not to be asked.
    pub boards: Option<Vec<String>>,
    /// How often to look.
    pub poll: Duration,
    /// When a release may be installed, UTC; `None`: at any time.
    pub window: Option<Window>,
    /// How to reach the repository.
    pub link: LinkSettings,
    /// Most memory of a rehearsal.
    pub rehearsal_bytes: u64,
}

/// How to reach the repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkSettings {
    /// Certificates of the authorities to believe, beside the system's.
    pub ca_file: Option<PathBuf>,
    /// This device's certificate.
    pub cert_file: Option<PathBuf>,
    /// The certificate's private key.
    pub key_file: Option<PathBuf>,
    /// File whose first line is a bearer token.
    pub token_file: Option<PathBuf>,
    /// Most bytes a second.
    pub bandwidth_bytes_s: Option<u64>,
}

/// A time of the day, UTC, that may go over midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    from_minute: u32,
    to_minute: u32,
}

impl Window {
    /// Reads `HH:MM-HH:MM`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let minute = |text: &str| {
            let (hour, minute) = text.split_once(':')?;
            let two = |text: &str, below: u32| {
                let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
                text.parse::<u32>().ok().filter(|number| digits && *number < below)
            };
            Some(two(hour, 24)? * 60 + two(minute, 60)?)
        };
        let (from, to) = text.split_once('-')?;
        let window = Self { from_minute: minute(from)?, to_minute: minute(to)? };
        (window.from_minute != window.to_minute).then_some(window)
    }

    /// Whether `now` is in it.
    #[must_use]
    pub fn holds(&self, now: jiff::Timestamp) -> bool {
        let minute = now.as_second().div_euclid(60).rem_euclid(24 * 60);
        let minute = u32::try_from(minute).unwrap_or(0);
        let (from, to) = (self.from_minute, self.to_minute);
        if from < to { (from..to).contains(&minute) } else { minute >= from || minute < to }
    }
}

impl UpdateSettings {
    /// Reads `[update]`.
    #[must_use]
    pub fn read(section: &Section<'_>) -> Self {
        let url = section.required_text("url");
        if let (false, Some(mistake)) = (url.is_empty(), super::http::address_mistake(&url)) {
            section.mistake("url", mistake);
        }
        let root = section.required_path("root");
        if !root.as_os_str().is_empty() && !root.is_file() {
            let message =
                "there is no such file: it is the `root.json` that `vedette-fleet init` made";
            section.mistake("root", message);
        }
        let group =
            section.text("group").unwrap_or_else(|| wire::rollout::GROUP_DEFAULT.to_owned());
        if !is_name(&group) {
            section.mistake("group", wire::topic::BadName(group.clone()).to_string());
        }
        let window = section.text("window_utc").and_then(|text| {
            let window = Window::parse(&text);
            if window.is_none() {
                section
                    .mistake("window_utc", format!("`{text}` is no time of the day: 22:00-05:30"));
            }
            window
        });
        let rehearsal_mb =
            section.integer("rehearsal_memory_mb", REHEARSAL_MB).unwrap_or(REHEARSAL_MB_DEFAULT);
        Self {
            url,
            root,
            group,
            boards: section.texts("boards"),
            poll: Duration::from_secs(section.integer("poll_s", POLL_S).unwrap_or(POLL_S_DEFAULT)),
            window,
            link: LinkSettings::read(section),
            rehearsal_bytes: rehearsal_mb << 20,
        }
    }
}

impl LinkSettings {
    fn read(section: &Section<'_>) -> Self {
        let file = |key| {
            let path = section.path(key);
            if path.as_ref().is_some_and(|path| !path.is_file()) {
                section.mistake(key, "there is no such file");
            }
            path
        };
        let secret = |key| {
            let path = file(key);
            let mode = path.as_ref().and_then(|path| std::fs::metadata(path).ok());
            if mode.is_some_and(|found| found.permissions().mode() & EVERYBODY != 0) {
                let message = "everybody on this device may read it: run `chmod o=` on it";
                section.mistake(key, message);
            }
            path
        };
        let link = Self {
            ca_file: file("ca_file"),
            cert_file: file("cert_file"),
            key_file: secret("key_file"),
            token_file: secret("token_file"),
            bandwidth_bytes_s: section
                .integer("bandwidth_kib_s", BANDWIDTH_KIB_S)
                .map(|kib| kib << 10),
        };
        for (key, has, other, with) in [
            ("cert_file", &link.cert_file, "key_file", &link.key_file),
            ("key_file", &link.key_file, "cert_file", &link.cert_file),
        ] {
            if has.is_some() && with.is_none() {
                section.mistake(key, format!("has no `{other}` beside it"));
            }
        }
        link
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_holds_its_minutes_also_over_midnight() {
        let at = |text: &str| format!("2026-11-24T{text}:30Z").parse().unwrap();
        for (window, time, inside) in [
            ("02:00-05:00", "01:59", false),
            ("02:00-05:00", "02:00", true),
            ("02:00-05:00", "04:59", true),
            ("02:00-05:00", "05:00", false),
            ("22:00-05:30", "23:00", true),
            ("22:00-05:30", "05:29", true),
            ("22:00-05:30", "12:00", false),
        ] {
            assert_eq!(Window::parse(window).unwrap().holds(at(time)), inside, "{window} {time}");
        }
        for wrong in
            ["", "22:00", "22-05", "24:00-05:00", "22:60-05:00", "2:00-5:00", "05:00-05:00"]
        {
            assert_eq!(Window::parse(wrong), None, "{wrong}");
        }
    }
}
