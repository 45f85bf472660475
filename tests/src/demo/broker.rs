//! A broker inside the demonstration, so that it needs none to be installed. Never part of the product: the
//! crate is behind the feature `demo` of `tests`, which nothing that goes on a device depends on.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};

use crate::broker::free_port;

/// How long it may take until it listens.
const START: Duration = Duration::from_secs(10);
/// Between two looks whether it does.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Starts it on a free port of 127.0.0.1, which is returned. It lives as long as the process.
///
/// # Errors
/// It does not listen in time.
pub fn start() -> Result<u16> {
    let port = free_port()?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut broker = Broker::new(config(address));
    std::thread::Builder::new().name("broker".to_owned()).spawn(move || broker.start().ok())?;
    let deadline = Instant::now() + START;
    while TcpStream::connect_timeout(&address, START).is_err() {
        if Instant::now() > deadline {
            bail!("the embedded broker does not listen on {address}");
        }
        std::thread::park_timeout(LOOK_AGAIN);
    }
    Ok(port)
}

/// One listener for MQTT 3.1.1, open to this machine, everything in memory and little of it.
fn config(listen: SocketAddr) -> Config {
    let connections = ConnectionSettings {
        connection_timeout_ms: 5000,
        // What the daemon itself allows.
        max_payload_size: 256 << 10,
        max_inflight_count: 100,
        auth: None,
        external_auth: None,
        // Without this, what nobody listens to yet ends the connection of who says it.
        dynamic_filters: true,
    };
    let server = ServerSettings {
        name: "mqtt".to_owned(),
        listen,
        tls: None,
        next_connection_delay_ms: 1,
        connections,
    };
    Config {
        router: RouterConfig {
            max_connections: 16,
            max_outgoing_packet_count: 200,
            // A hundred seconds of two pipelines before the oldest message goes.
            max_segment_size: 1 << 20,
            max_segment_count: 10,
            ..RouterConfig::default()
        },
        v4: Some(HashMap::from([("mqtt".to_owned(), server)])),
        ..Config::default()
    }
}
