//! The `tcp` source: lines from a sensor, or what reads one, that listens on a port.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use super::super::reach::{ReachError, dial, reach};
use super::super::samples::{
    Bytes, Counts, Failed, Feed, Format, Got, Place, Reader, Sensor, Settings, Text, Wanted,
    format, read_fd,
};
use super::super::{Returns, SourceSpec, returned};
use crate::config::Section;
use crate::kinds::Kind;
use crate::stop::Stop;

/// `kind = "tcp"`.
pub const KIND: Kind<dyn SourceSpec> = Kind {
    name: "tcp",
    summary: "samples as lines from a host and port that listens for who wants them",
    example: r#"kind = "tcp"
address = "plc.local:4001"
format = "jsonl"            # csv, jsonl; columns, separator, time, channels as `csv` has them
rate_hz = 1000              # samples a second; default: the model's
# silence_s = 2.5           # without anything for so long it has failed, and is opened again
# start_s = 15              # how long the first sample may take
"#,
    build: read,
};

#[derive(Debug)]
struct Tcp {
    host: String,
    port: u16,
    format: Format,
}

/// What ends a connection.
#[derive(Debug, thiserror::Error)]
enum TcpError {
    #[error("it has closed the connection")]
    Closed,
    #[error("the connection is lost")]
    Lost(#[source] Failed),
}

/// Reads the table of such a source.
fn read(section: &Section<'_>) -> Option<Box<dyn SourceSpec>> {
    let address = section.required_text("address");
    let place = place(&address);
    if place.is_none() && !address.is_empty() {
        section.mistake("address", format!("`{address}` is no address: HOST:PORT"));
    }
    let format = format(section);
    let settings = Settings::text(section, format);
    let (host, port) = place?;
    Some(Sensor::boxed(Tcp { host, port, format }, settings))
}

fn place(address: &str) -> Option<(String, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if bare.is_none() && host.contains([':', '/']) {
        return None;
    }
    let host = bare.unwrap_or(host);
    let port: u16 = port.parse().ok().filter(|port| *port > 0)?;
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

impl Place for Tcp {
    fn what(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    fn open(&self, wanted: &Arc<Wanted>, counts: &Arc<Counts>) -> Result<Box<dyn Feed>, Failed> {
        let reader = Reader::new(&self.what(), self.format, false, wanted, counts);
        let open = Open { host: self.host.clone(), port: self.port, stream: None };
        Ok(Box::new(Text::new(Box::new(open), false, reader)))
    }

    fn returns(&self, stop: &Stop) -> Option<Returns> {
        let (host, port, stop) = (self.host.clone(), self.port, stop.clone());
        Some(returned(move || reach(&host, port, &stop).is_ok()))
    }
}

struct Open {
    host: String,
    port: u16,
    /// Connected when it is first read: only then is it known when to stop.
    stream: Option<TcpStream>,
}

impl Bytes for Open {
    fn read(&mut self, into: &mut [u8], limit: Duration, stop: &Stop) -> Result<Got, Failed> {
        let stream = match &self.stream {
            Some(stream) => stream,
            None => match dial(&self.host, self.port, stop) {
                Ok(stream) => &*self.stream.insert(stream),
                Err(ReachError::Silent) if stop.said() => return Ok(Got::Nothing),
                Err(error) => return Err(error.into()),
            },
        };
        match read_fd(stream, into, limit) {
            Ok(Got::End) => Err(TcpError::Closed.into()),
            Ok(got) => Ok(got),
            Err(error) => Err(TcpError::Lost(error.into()).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for (address, wanted) in [
            ("plc.local:4001", Some(("plc.local", 4001))),
            ("10.0.0.7:1", Some(("10.0.0.7", 1))),
            ("[fe80::1]:99", Some(("fe80::1", 99))),
            ("fe80::1:99", None),
            ("tcp://plc:99", None),
            ("plc", None),
            (":99", None),
            ("plc:0", None),
            ("plc:70000", None),
        ] {
            let wanted = wanted.map(|(host, port)| (host.to_owned(), port));
            assert_eq!(place(address), wanted, "{address}");
        }
    }
}
