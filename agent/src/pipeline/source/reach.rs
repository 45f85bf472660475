//! Whether anybody listens at an address, and if not, in which of the ways that a person tells apart.

use std::io::{self, ErrorKind};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use super::live::LOOK_EVERY;
use crate::stop::Stop;

/// How long an address may take to accept: a camera is near.
const ACCEPTS_WITHIN: Duration = Duration::from_millis(1500);
/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 4;

/// Why a camera or a sensor cannot be reached.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReachError {
    /// Its name has no address.
    #[error("the host's name `{host}` is not known: look at its address and the name server")]
    Name {
        /// The name.
        host: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// The host is there and the port is closed.
    #[error("nothing listens there: is its service on, and the port of its address right?")]
    Refused,
    /// Nothing comes back.
    #[error("the host does not answer: is it on, and is its address right?")]
    Silent,
    /// There is no way there.
    #[error("the host cannot be reached: look at the network and at its address")]
    Way(#[source] io::Error),
}

/// Connects to `port` of `host`, and hangs up. Returns early where `stop` is said.
///
/// # Errors
/// [`ReachError`] of the last address that was tried.
pub(super) fn reach(host: &str, port: u16, stop: &Stop) -> Result<(), ReachError> {
    dial(host, port, stop).map(drop)
}

/// Connects to `port` of `host`. Returns early where `stop` is said.
///
/// # Errors
/// [`ReachError`] of the last address that was tried.
pub(super) fn dial(host: &str, port: u16, stop: &Stop) -> Result<TcpStream, ReachError> {
    let (sender, answer) = mpsc::sync_channel(1);
    let place = host.to_owned();
    // A name server may take longer than there is to stop; nobody wants its answer then.
    let asking = std::thread::Builder::new()
        .name("reach".to_owned())
        .spawn(move || drop(sender.send(connect(&place, port))));
    while asking.is_ok() && !stop.said() {
        match answer.recv_timeout(LOOK_EVERY) {
            Ok(found) => return found,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    Err(ReachError::Silent)
}

fn connect(host: &str, port: u16) -> Result<TcpStream, ReachError> {
    let name = |source| ReachError::Name { host: host.to_owned(), source };
    let addresses = (host, port).to_socket_addrs().map_err(name)?;
    let mut last = ReachError::Silent;
    for address in addresses.take(ADDRESSES_MAX) {
        match TcpStream::connect_timeout(&address, ACCEPTS_WITHIN) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = meaning(error),
        }
    }
    Err(last)
}

fn meaning(error: io::Error) -> ReachError {
    match error.kind() {
        ErrorKind::ConnectionRefused => ReachError::Refused,
        ErrorKind::TimedOut | ErrorKind::WouldBlock => ReachError::Silent,
        _ => ReachError::Way(error),
    }
}

/// Host and port of an address `scheme://HOST[:PORT]/…` without a user; `None` where it has none.
pub(super) fn host_and_port(url: &str, default: u16) -> Option<(&str, u16)> {
    let authority = url.split_once("://")?.1.split(['/', '?', '#']).next()?;
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, rest.strip_prefix(':'))
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = port.map_or(Some(default), |port| port.parse().ok())?;
    (!host.is_empty()).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for (url, wanted) in [
            ("rtsp://camera/stream", Some(("camera", 554))),
            ("rtsp://camera:8554/stream", Some(("camera", 8554))),
            ("rtsp://10.0.0.7:8554", Some(("10.0.0.7", 8554))),
            ("rtsp://[fe80::1]/s", Some(("fe80::1", 554))),
            ("rtsp://[fe80::1]:99/s", Some(("fe80::1", 99))),
            ("rtsp://:99/s", None),
            ("rtsp://h:x/s", None),
            ("camera", None),
        ] {
            assert_eq!(host_and_port(url, 554), wanted, "{url}");
        }
    }

    #[test]
    fn a_closed_port_is_told_from_an_open_one() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let stop = Stop::new();
        reach("127.0.0.1", port, &stop).unwrap();
        drop(listener);
        assert!(matches!(reach("127.0.0.1", port, &stop), Err(ReachError::Refused)));
        assert!(matches!(reach("camera.invalid", port, &stop), Err(ReachError::Name { .. })));
    }
}
