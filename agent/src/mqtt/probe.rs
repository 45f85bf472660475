//! One visit to a broker, to see whether it serves this device: `vedette doctor`.
//!
//! It comes under a name of its own, since the daemon that runs beside it would be thrown out otherwise.

use std::time::{Duration, Instant};

use rumqttc::{AsyncClient, Event, EventLoop, Packet, QoS, SubscribeReasonCode};
use wire::topic::Topics;

use super::address::Address;
use super::settings::MqttSettings;
use super::{advice, session};
use crate::supervisor::Failure;

/// How long a message may take to come back, once there is a connection.
const ECHO: Duration = Duration::from_secs(5);
/// Requests between us and the library: a subscription, a message and a goodbye.
const REQUESTS: usize = 4;

/// Why a broker does not serve this device.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Its name is not known.
    #[error("nobody knows the name `{host}`")]
    Name {
        /// The name.
        host: String,
        /// Why not.
        source: std::io::Error,
    },
    /// What a connection needs of this device is missing: a password, a certificate.
    #[error("a connection cannot be tried")]
    Unable(#[source] Failure),
    /// No connection was made, with what to do about it.
    #[error("{0}")]
    Refused(String),
    /// The broker does not let this device listen to its own topic.
    #[error("it forbids this device to listen to `{0}`")]
    Forbidden(String),
    /// What this device published did not come back.
    #[error("a message to `{0}` did not come back")]
    Unheard(String),
}

/// Visits `broker`: how long a message took to come back.
///
/// # Errors
/// [`ProbeError`]: how far it came.
pub async fn probe(
    settings: &MqttSettings,
    broker: &Address,
    topics: &Topics,
) -> Result<Duration, ProbeError> {
    let known = tokio::net::lookup_host((broker.host.as_str(), broker.port)).await;
    let _addresses =
        known.map_err(|source| ProbeError::Name { host: broker.host.clone(), source })?;
    let id = format!("{}-doctor", settings.client_id(topics.device()));
    let options = session::options(settings, broker, id).map_err(ProbeError::Unable)?;
    let (client, mut events) = AsyncClient::new(options, REQUESTS);
    session::impatient(&mut events);
    let first = events.poll().await;
    first.map_err(|error| ProbeError::Refused(advice::advice(&error, broker)))?;
    let topic = topics.doctor();
    let echo = echo(&client, &mut events, broker, &topic);
    match tokio::time::timeout(ECHO, echo).await {
        Ok(result) => result,
        Err(_) => Err(ProbeError::Unheard(topic)),
    }
}

/// Listens to `topic`, publishes there and waits for it.
async fn echo(
    client: &AsyncClient,
    events: &mut EventLoop,
    broker: &Address,
    topic: &str,
) -> Result<Duration, ProbeError> {
    let body = format!("doctor {}", std::process::id());
    let ended = |_| ProbeError::Refused("the connection ended".to_owned());
    client.subscribe(topic, QoS::AtLeastOnce).await.map_err(ended)?;
    let mut began = Instant::now();
    loop {
        let event = events.poll().await;
        match event.map_err(|error| ProbeError::Refused(advice::advice(&error, broker)))? {
            Event::Incoming(Packet::SubAck(ack)) => {
                if ack.return_codes.contains(&SubscribeReasonCode::Failure) {
                    return Err(ProbeError::Forbidden(topic.to_owned()));
                }
                began = Instant::now();
                client
                    .publish(topic, QoS::AtLeastOnce, false, body.clone())
                    .await
                    .map_err(ended)?;
            }
            Event::Incoming(Packet::Publish(heard)) if heard.payload == body.as_bytes() => {
                // Whether the goodbye arrives makes no difference any more.
                drop(client.try_disconnect());
                drop(tokio::time::timeout(Duration::from_millis(200), events.poll()).await);
                return Ok(began.elapsed());
            }
            _ => {}
        }
    }
}
