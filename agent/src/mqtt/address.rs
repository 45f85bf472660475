//! Where a broker is: `mqtt://`, `mqtts://`, `ws://` or `wss://`.

use std::fmt;

/// What carries the packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// TCP.
    Tcp,
    /// TLS.
    Tls,
    /// A WebSocket.
    Ws,
    /// A WebSocket over TLS.
    Wss,
}

/// Prefix, carrier, port unless one is named.
const SCHEMES: [(&str, Carrier, u16); 4] = [
    ("mqtt://", Carrier::Tcp, 1883),
    ("mqtts://", Carrier::Tls, 8883),
    ("ws://", Carrier::Ws, 80),
    ("wss://", Carrier::Wss, 443),
];

/// Where a broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// What carries the packets.
    pub carrier: Carrier,
    /// Its name or address, an IPv6 address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The path of a WebSocket, with its slash.
    pub path: String,
}

impl Address {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong, with advice.
    pub fn parse(url: &str) -> Result<Self, String> {
        let wanted = "expected `mqtt://HOST[:PORT]`, or `mqtts://`, `ws://`, `wss://`";
        let scheme = SCHEMES.iter().find(|(prefix, ..)| url.starts_with(prefix));
        let Some(&(prefix, carrier, default)) = scheme else {
            return Err(format!("`{url}` is no address; {wanted}"));
        };
        let rest = &url[prefix.len()..];
        if rest.contains('@') {
            return Err(
                "a login does not belong into the address: use `username` and `password_file`"
                    .to_owned(),
            );
        }
        let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
        let is_web = matches!(carrier, Carrier::Ws | Carrier::Wss);
        if !is_web && !path.is_empty() {
            return Err(format!("`{url}` has a path, which only ws:// and wss:// have"));
        }
        // An IPv6 address stands in brackets, so that its colons are not taken for the port's.
        let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
        };
        let port = match port {
            None => default,
            Some(text) => match text.parse() {
                Ok(port) if port > 0 => port,
                _ => return Err(format!("`{text}` is no port; {wanted}")),
            },
        };
        if host.is_empty() || host.contains([' ', '?', '#']) || path.contains([' ', '#']) {
            return Err(format!("`{url}` is no address; {wanted}"));
        }
        Ok(Self { carrier, host: host.to_owned(), port, path: format!("/{path}") })
    }

    /// Whether what goes there is encrypted.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self.carrier, Carrier::Tls | Carrier::Wss)
    }

    /// The whole address, as a WebSocket wants it.
    pub(super) fn url(&self) -> String {
        let scheme = SCHEMES.iter().find(|(_, carrier, _)| *carrier == self.carrier);
        format!("{}{self}{}", scheme.map_or("", |(prefix, ..)| prefix), self.path)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_understood_or_refused_with_advice() {
        for (url, found) in [
            ("mqtt://broker", Ok("mqtt://broker:1883/")),
            ("mqtt://broker:1884/", Ok("mqtt://broker:1884/")),
            ("mqtt://[::1]:1885", Ok("mqtt://[::1]:1885/")),
            ("mqtt://[::1]", Ok("mqtt://[::1]:1883/")),
            ("mqtts://broker", Ok("mqtts://broker:8883/")),
            ("ws://broker", Ok("ws://broker:80/")),
            ("wss://broker/mqtt?a=b", Ok("wss://broker:443/mqtt?a=b")),
            ("broker:1883", Err("is no address")),
            ("mqtt://", Err("is no address")),
            ("mqtt://broker:0", Err("is no port")),
            ("mqtt://broker:port", Err("is no port")),
            ("mqtt://broker/path", Err("has a path")),
            ("mqtts://me:secret@broker", Err("a login does not belong")),
        ] {
            match (Address::parse(url), found) {
                (Ok(address), Ok(wanted)) => assert_eq!(address.url(), wanted, "{url}"),
                (Err(message), Err(wanted)) => {
                    assert!(message.contains(wanted), "{url}: {message}");
                }
                (read, _) => panic!("{url}: {read:?}"),
            }
        }
    }
}
