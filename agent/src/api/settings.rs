//! `[api]` of the configuration.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::config::Section;
use crate::mqtt::Secret;

/// Where it listens: nobody but this machine, on the port that clients of the inference protocol try first.
const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8000);
/// Largest body: a batch of three pictures of 640 pixels a side in f32 has 15 MB.
const BODY_MB_DEFAULT: usize = 16;
/// A tensor has at most a gigabyte, and so has a body.
const BODY_MB: std::ops::RangeInclusive<usize> = 1..=1024;
/// A slow model on a slow board with a full queue before it answers within this.
const TIMEOUT_S_DEFAULT: u64 = 30;
/// An hour: a model whose engine must be built first takes minutes.
const TIMEOUT_S: std::ops::RangeInclusive<u64> = 1..=3600;
/// Connections at one time: more than a device's own programs have. Others wait in the system's queue.
const CONNECTIONS_DEFAULT: usize = 64;
/// Each takes some kilobytes.
const CONNECTIONS: std::ops::RangeInclusive<usize> = 1..=4096;

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, with those that vouch for it.
    pub cert: Secret,
    /// Its key.
    pub key: Secret,
}

/// How the API answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiSettings {
    /// Where it listens; port 0 takes a free one, and the log says which.
    pub listen: SocketAddr,
    /// What whoever changes something must know; `None`: nobody changes anything.
    pub token: Option<Secret>,
    /// Who it says that it is; `None`: no TLS.
    pub identity: Option<Identity>,
    /// Largest body.
    pub body_bytes: usize,
    /// Longest time for a request.
    pub timeout: Duration,
    /// Connections at one time.
    pub connections: usize,
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            listen: LISTEN_DEFAULT,
            token: None,
            identity: None,
            body_bytes: BODY_MB_DEFAULT << 20,
            timeout: Duration::from_secs(TIMEOUT_S_DEFAULT),
            connections: CONNECTIONS_DEFAULT,
        }
    }
}

impl ApiSettings {
    /// Reads `[api]`.
    #[must_use]
    pub fn read(section: &Section<'_>) -> Self {
        let mut settings = Self::default();
        if let Some(text) = section.text("listen") {
            match text.parse() {
                Ok(listen) => settings.listen = listen,
                Err(_) => section.mistake(
                    "listen",
                    format!("`{text}` is no address and port, such as 127.0.0.1:8000 or [::]:8000"),
                ),
            }
        }
        settings.token = Secret::read(section, "token_file");
        let cert = Secret::read(section, "cert_file");
        settings.identity = match (cert, Secret::read(section, "key_file")) {
            (Some(cert), Some(key)) => Some(Identity { cert, key }),
            (None, None) => None,
            (Some(_), None) => {
                section.mistake("key_file", "is missing: the certificate's key");
                None
            }
            (None, Some(_)) => {
                section.mistake("cert_file", "is missing: the key's certificate");
                None
            }
        };
        if let Some(mb) = section.integer("body_mb", BODY_MB) {
            settings.body_bytes = mb << 20;
        }
        if let Some(seconds) = section.integer("timeout_s", TIMEOUT_S) {
            settings.timeout = Duration::from_secs(seconds);
        }
        if let Some(count) = section.integer("connections", CONNECTIONS) {
            settings.connections = count;
        }
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::tests::check;

    #[test]
    fn what_is_wrong_is_said_with_what_would_be_right() {
        let text = "listen = 'localhost'\ncert_file = 'c.pem'\nbody_mb = 0\ntimeout_s = 0\n";
        let found = check(text, |section| {
            assert_eq!(ApiSettings::read(section), ApiSettings::default());
        });
        assert_eq!(
            found,
            [
                "line 1: `listen`: `localhost` is no address and port, such as 127.0.0.1:8000 or [::]:8000",
                "line 1: `key_file`: is missing: the certificate's key",
                "line 3: `body_mb`: 0 is not from 1 to 1024",
                "line 4: `timeout_s`: 0 is not from 1 to 3600",
            ]
        );
    }

    #[test]
    fn nobody_but_this_machine_is_answered_unless_that_was_asked_for() {
        assert!(ApiSettings::default().listen.ip().is_loopback());
    }
}
