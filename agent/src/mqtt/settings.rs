//! `[mqtt]` of the configuration.

use std::path::PathBuf;
use std::time::Duration;

use rumqttc::QoS;

use crate::config::Section;
use crate::pipeline::sink::{QUEUE_DEFAULT, QUEUE_MAX};
use crate::supervisor::Failure;

/// Port of MQTT without TLS.
const PORT: u16 = 1883;
/// A shorter keep-alive is noise on a metered link; a longer one leaves a dead device "online" for minutes.
const KEEP_ALIVE_S: std::ops::RangeInclusive<u64> = 5..=1200;

/// Where the broker is and how to talk to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MqttSettings {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Our name there, where it is not the device's.
    pub client_id: Option<String>,
    /// User to log in as.
    pub username: Option<String>,
    /// File whose first line is the password.
    pub password_file: Option<PathBuf>,
    /// How often the two sides prove that they are there.
    pub keep_alive: Duration,
    /// Messages held while the broker is away.
    pub queue: usize,
    /// Whether observations are acknowledged.
    pub acknowledged: bool,
}

impl MqttSettings {
    /// Reads `[mqtt]`.
    #[must_use]
    pub fn read(section: &Section<'_>) -> Self {
        let url = section.required_text("url");
        let (host, port) = match parse_url(&url) {
            Ok(address) => address,
            Err(message) => {
                if !url.is_empty() {
                    section.mistake("url", message);
                }
                (String::new(), PORT)
            }
        };
        let settings = Self {
            host,
            port,
            client_id: section.text("client_id"),
            username: section.text("username"),
            password_file: section.path("password_file"),
            keep_alive: Duration::from_secs(
                section.integer("keep_alive_s", KEEP_ALIVE_S).unwrap_or(30),
            ),
            queue: section.integer("queue", 1..=QUEUE_MAX).unwrap_or(QUEUE_DEFAULT),
            acknowledged: section.integer("qos", 0..=1_u8).unwrap_or(1) == 1,
        };
        if settings.password_file.is_some() && settings.username.is_none() {
            section.mistake("password_file", "has no `username` beside it");
        }
        settings
    }

    /// Host and port, for messages.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    pub(super) fn client_id(&self, device: &str) -> String {
        self.client_id.clone().unwrap_or_else(|| format!("vedette-{device}"))
    }

    pub(super) fn qos(&self) -> QoS {
        if self.acknowledged { QoS::AtLeastOnce } else { QoS::AtMostOnce }
    }

    /// User and password, read anew at each start so that a changed file is seen.
    pub(super) fn login(&self) -> Result<Option<(String, String)>, Failure> {
        let Some(user) = &self.username else { return Ok(None) };
        let Some(path) = &self.password_file else {
            return Ok(Some((user.clone(), String::new())));
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::retry(format!("cannot read `{}`", path.display()), error))?;
        Ok(Some((user.clone(), text.lines().next().unwrap_or_default().to_owned())))
    }
}

/// Host and port of `mqtt://host[:port]`.
fn parse_url(url: &str) -> Result<(String, u16), String> {
    let wanted = "expected `mqtt://HOST` or `mqtt://HOST:PORT`";
    if url.starts_with("mqtts://") || url.starts_with("ssl://") {
        return Err(format!("TLS is not supported in this version; {wanted}"));
    }
    let rest =
        url.strip_prefix("mqtt://").ok_or_else(|| format!("`{url}` is no address; {wanted}"))?;
    if rest.contains('@') {
        return Err("a login does not belong into the address: use `username` and `password_file`"
            .to_owned());
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    // An IPv6 address stands in brackets, so that its colons are not taken for the port's.
    let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        None => PORT,
        Some(text) => match text.parse() {
            Ok(port) if port > 0 => port,
            _ => return Err(format!("`{text}` is no port; {wanted}")),
        },
    };
    if host.is_empty() || host.contains(['/', ' ', '?', '#']) {
        return Err(format!("`{url}` is no address; {wanted}"));
    }
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_understood_or_refused_with_advice() {
        for (url, found) in [
            ("mqtt://broker", Ok(("broker", 1883))),
            ("mqtt://broker:1884/", Ok(("broker", 1884))),
            ("mqtt://[::1]:1885", Ok(("::1", 1885))),
            ("mqtt://[::1]", Ok(("::1", 1883))),
            ("broker:1883", Err("is no address")),
            ("mqtt://", Err("is no address")),
            ("mqtt://broker:0", Err("is no port")),
            ("mqtt://broker:port", Err("is no port")),
            ("mqtts://broker", Err("TLS is not supported")),
            ("mqtt://me:secret@broker", Err("a login does not belong")),
        ] {
            match (parse_url(url), found) {
                (Ok((host, port)), Ok(wanted)) => {
                    assert_eq!((host.as_str(), port), wanted, "{url}")
                }
                (Err(message), Err(wanted)) => {
                    assert!(message.contains(wanted), "{url}: {message}")
                }
                (read, _) => panic!("{url}: {read:?}"),
            }
        }
    }
}
