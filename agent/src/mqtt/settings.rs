//! `[mqtt]` of the configuration.

use std::path::PathBuf;
use std::time::Duration;

use rumqttc::QoS;

use super::address::Address;
use super::secret::Secret;
use crate::config::Section;
use crate::outbox::Limits;
use crate::pipeline::sink::{QUEUE_DEFAULT, QUEUE_MAX};
use crate::supervisor::Failure;

/// A shorter keep-alive is noise on a metered link; a longer one leaves a dead device "online" for minutes.
const KEEP_ALIVE_S: std::ops::RangeInclusive<u64> = 5..=1200;
/// Most brokers: a failed round over more would take minutes.
const BROKERS_MAX: usize = 8;
/// Size of the store unless configured: two days of one event a second, and a part of any card.
const STORE_MB: u64 = 64;
/// How old a record becomes unless configured: a week.
const STORE_HOURS: u64 = 168;
/// Records of stored telemetry a second unless configured: a day of one a minute in a good minute.
const REPLAY_HZ: u64 = 20;

/// Where the broker is and how to talk to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MqttSettings {
    /// Where brokers are, the preferred one first.
    pub brokers: Vec<Address>,
    /// Our name there, where it is not the device's.
    pub client_id: Option<String>,
    /// User to log in as.
    pub username: Option<Username>,
    /// Where the password is: its first line.
    pub password: Option<Secret>,
    /// Whom to believe instead of the system's authorities.
    pub ca: Option<PathBuf>,
    /// Our certificate and its key.
    pub identity: Option<(Secret, Secret)>,
    /// How often the two sides prove that they are there.
    pub keep_alive: Duration,
    /// Observations that wait for the outbox.
    pub queue: usize,
    /// Whether observations are acknowledged.
    pub acknowledged: bool,
    /// Bounds of the outbox.
    pub limits: Limits,
}

/// User to log in as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Username {
    /// As written.
    Named(String),
    /// The first line of a file.
    In(Secret),
}

impl MqttSettings {
    /// Reads `[mqtt]`.
    #[must_use]
    pub fn read(section: &Section<'_>) -> Self {
        let brokers = brokers(section);
        let is_tls = brokers.iter().any(Address::is_tls);
        let username = match (section.text("username"), Secret::read(section, "username_file")) {
            (Some(_), Some(_)) => {
                section.mistake("username_file", "stands beside `username`: one of them");
                None
            }
            (Some(name), None) => Some(Username::Named(name)),
            (None, file) => file.map(Username::In),
        };
        let password = Secret::read(section, "password_file");
        if password.is_some() && username.is_none() {
            section.mistake("password_file", "has no `username` beside it");
        }
        let ca = section.path("ca_file");
        let identity = match (Secret::read(section, "cert_file"), Secret::read(section, "key_file"))
        {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            (Some(_), None) => {
                section.mistake("cert_file", "has no `key_file` beside it");
                None
            }
            (None, Some(_)) => {
                section.mistake("key_file", "has no `cert_file` beside it");
                None
            }
        };
        for (key, given) in [("ca_file", ca.is_some()), ("cert_file", identity.is_some())] {
            if given && !is_tls && !brokers.is_empty() {
                section.mistake(key, "is for TLS: use `mqtts://` or `wss://` in `url`");
            }
        }
        Self {
            brokers,
            client_id: section.text("client_id"),
            username,
            password,
            ca,
            identity,
            keep_alive: Duration::from_secs(
                section.integer("keep_alive_s", KEEP_ALIVE_S).unwrap_or(30),
            ),
            queue: section.integer("queue", 1..=QUEUE_MAX).unwrap_or(QUEUE_DEFAULT),
            acknowledged: section.integer("qos", 0..=1_u8).unwrap_or(1) == 1,
            limits: limits(section),
        }
    }

    /// Why this process cannot log in as the service does, where that is so: a secret is the service's alone.
    #[must_use]
    pub fn withheld(&self) -> Option<String> {
        let user = match &self.username {
            Some(Username::In(secret)) => Some(secret),
            _ => None,
        };
        let identity = self.identity.iter().flat_map(|(cert, key)| [cert, key]);
        user.into_iter().chain(&self.password).chain(identity).find_map(Secret::withheld)
    }

    pub(super) fn client_id(&self, device: &str) -> String {
        self.client_id.clone().unwrap_or_else(|| format!("vedette-{device}"))
    }

    pub(super) fn qos(&self) -> QoS {
        if self.acknowledged { QoS::AtLeastOnce } else { QoS::AtMostOnce }
    }

    /// User and password, read anew at each attempt so that a changed file is seen.
    pub(super) fn login(&self) -> Result<Option<(String, String)>, Failure> {
        let user = match &self.username {
            None => return Ok(None),
            Some(Username::Named(name)) => name.clone(),
            Some(Username::In(secret)) => secret.line()?,
        };
        let password = self.password.as_ref().map(Secret::line).transpose()?;
        Ok(Some((user, password.unwrap_or_default())))
    }
}

fn brokers(section: &Section<'_>) -> Vec<Address> {
    let urls = section.text_or_texts("url").unwrap_or_default();
    if urls.is_empty() && !section.has("url") {
        section.mistake("url", "is missing: where the broker is, as in `mqtt://broker.local`");
    } else if urls.len() > BROKERS_MAX {
        section.mistake("url", format!("{} brokers are more than {BROKERS_MAX}", urls.len()));
    }
    let mut brokers = Vec::new();
    for url in &urls {
        match Address::parse(url) {
            Ok(address) => brokers.push(address),
            Err(message) => section.mistake("url", message),
        }
    }
    brokers
}

fn limits(section: &Section<'_>) -> Limits {
    let megabytes = section.integer("store_mb", 1..=4096_u64).unwrap_or(STORE_MB);
    let hours = section.integer("store_hours", 1..=8760_u64).unwrap_or(STORE_HOURS);
    let rate = section.integer("replay_hz", 1..=1000_u64).unwrap_or(REPLAY_HZ);
    Limits {
        max_bytes: megabytes << 20,
        max_age: Duration::from_secs(hours * 3600),
        replay_pause: Duration::from_micros(1_000_000 / rate),
    }
}
