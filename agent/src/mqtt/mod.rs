//! The connection to the broker: the one file that knows `rumqttc`.
//!
//! Offline is normal: the daemon is never slower or different without a broker, it only counts what did not fit
//! into the queue. Reconnects are paced here, since the library has no pause of its own. What must arrive even
//! over a restart of the broker is the outbox's work, which is not built yet: until then an observation that was
//! handed to the library and not acknowledged when the connection broke is sent again by the library, and lost
//! where the broker lost its session.

mod filter;
mod link;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, LastWill, MqttOptions,
    Outgoing, Packet, QoS,
};
use wire::topic::Topics;

pub use link::{Heard, Link, Reached};
pub use settings::MqttSettings;

use crate::report;
use crate::said::Said;
use crate::stop::Stop;
use crate::supervisor::{Failure, Pause, Supervisor};

/// Largest packet either way. The library's own 10 KiB loses a larger message with the connection; ours are
/// under 8 KiB, and a picture of a later version fits.
const PACKET_MAX_BYTES: usize = 256 << 10;
/// Requests between our queue and the library: small, since our queue is the one that is bounded and counted.
const REQUESTS: usize = 32;
/// Messages without an acknowledgement at one time.
const INFLIGHT: u16 = 100;
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_millis(1500);

/// Starts the connection's worker.
#[must_use]
pub fn start(
    settings: &MqttSettings,
    topics: &Topics,
    said: &Arc<Said>,
    supervisor: &Supervisor,
) -> Link {
    let link = Link::new(settings.queue, topics);
    let (settings, stop, said) = (settings.clone(), supervisor.stop().clone(), said.clone());
    let worker = link.clone();
    supervisor
        .run("mqtt", move || talk(worker.clone(), settings.clone(), said.clone(), stop.clone()));
    link
}

async fn talk(
    link: Link,
    settings: MqttSettings,
    said: Arc<Said>,
    stop: Stop,
) -> Result<(), Failure> {
    let mut options = MqttOptions::new(
        settings.client_id(link.topics().device()),
        settings.host.clone(),
        settings.port,
    );
    options
        .set_keep_alive(settings.keep_alive)
        .set_max_packet_size(PACKET_MAX_BYTES, PACKET_MAX_BYTES)
        .set_inflight(INFLIGHT)
        .set_last_will(LastWill::new(
            link.topics().status(),
            said.status(wire::StatusWord::Offline),
            QoS::AtLeastOnce,
            true,
        ));
    if let Some((user, password)) = settings.login()? {
        options.set_credentials(user, password);
    }
    let (client, events) = AsyncClient::new(options, REQUESTS);
    let state = Connection::default();
    let mut polling = std::pin::pin!(poll(events, &link, &settings, &state, &stop));
    tokio::select! {
        published = publish(&link, &client, &said, &state, settings.qos()) => {
            // What is left to do is to send the goodbye, to a broker that may hang.
            drop(tokio::time::timeout(GOODBYE, polling).await);
            if stop.said() { Ok(()) } else { published }
        }
        // Told to stop, and no broker: nobody will come any more to whom anything could be said.
        () = &mut polling => Ok(()),
    }
}

/// What the half that polls tells the half that publishes.
#[derive(Debug, Default)]
struct Connection {
    /// Counts the messages that were handed to the library and that the broker did not acknowledge yet.
    open: tokio::sync::watch::Sender<u64>,
}

impl Connection {
    /// A message that is to be acknowledged is about to be handed to the library.
    fn sends(&self) {
        self.open.send_modify(|open| *open += 1);
    }

    /// One was acknowledged.
    fn acknowledged(&self) {
        self.open.send_modify(|open| *open = open.saturating_sub(1));
    }

    /// Resolves once all were. A connection that is closed with acknowledgements unread is reset, and what the
    /// broker had not read yet is lost with it.
    async fn all_acknowledged(&self) {
        // The sender lives as long as we do.
        drop(self.open.subscribe().wait_for(|open| *open == 0).await);
    }
}

/// Keeps the connection, with pauses between attempts, until we said goodbye or stopped without one.
async fn poll(
    mut events: EventLoop,
    link: &Link,
    settings: &MqttSettings,
    state: &Connection,
    stop: &Stop,
) {
    let (mut pause, mut complained) = (Pause::default(), String::new());
    let mut since = std::time::Instant::now();
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                tracing::info!(broker = %settings.address(), "connected to the broker");
                complained.clear();
                since = std::time::Instant::now();
                link.set_up(true);
            }
            Ok(Event::Incoming(Packet::PubAck(_))) => state.acknowledged(),
            Ok(Event::Incoming(Packet::Publish(message))) => link.heard(&Heard {
                topic: message.topic,
                payload: message.payload,
                retained: message.retain,
            }),
            Ok(Event::Outgoing(Outgoing::Disconnect)) => return,
            Ok(_) => {}
            Err(error) => {
                let was_up = link.is_up();
                link.set_up(false);
                if stop.said() {
                    return;
                }
                let advice = advice(&error, settings);
                // The same complaint again is no news: one line an outage, not one a reconnect.
                if advice != complained {
                    tracing::warn!(broker = %settings.address(), error = advice, "no broker; trying on");
                    complained = advice;
                }
                let ran = if was_up { since.elapsed() } else { Duration::ZERO };
                let wait = jittered(pause.after(ran));
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = stop.heard() => return,
                }
            }
        }
    }
}

/// Half to the whole of `pause`, so that a fleet does not return to its broker in step.
fn jittered(pause: Duration) -> Duration {
    let random =
        std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), 0);
    let per_mille = u32::try_from(random % 501).unwrap_or(500);
    pause / 2 + pause / 1000 * per_mille
}

/// Publishes what is retained at every connection, and the queue while there is one; says goodbye at the end.
async fn publish(
    link: &Link,
    client: &AsyncClient,
    said: &Said,
    state: &Connection,
    qos: QoS,
) -> Result<(), Failure> {
    let mut reached = link.connected();
    let mut greeted = 0;
    let mut filters = Vec::new();
    loop {
        let now = *reached.borrow_and_update();
        if now.up && now.count != greeted {
            greeted = now.count;
            filters.clear();
            state.sends();
            let online = said.status(wire::StatusWord::Online);
            client
                .publish(link.topics().status(), QoS::AtLeastOnce, true, online)
                .await
                .map_err(gone)?;
            catch_up(link, client, state, &mut filters).await?;
        }
        tokio::select! {
            changed = reached.changed() => {
                if changed.is_err() { return Ok(()); }
            }
            () = link.news(), if link.is_up() => catch_up(link, client, state, &mut filters).await?,
            record = link.outbox().next(), if link.is_up() => {
                state.sends();
                let (topic, body) = (record.topic, record.body);
                let sent = client.publish_bytes(topic, QoS::AtLeastOnce, false, body);
                sent.await.map_err(gone)?;
            }
            popped = link.queue().pop(), if link.is_up() || link.queue().is_closed() => {
                let Some(mut record) = popped else { break };
                if link.is_up() {
                    let (topic, body) = (record.topic.to_string(), std::mem::take(&mut record.body));
                    if qos == QoS::AtLeastOnce {
                        state.sends();
                    }
                    client.publish(topic, qos, false, body).await.map_err(gone)?;
                }
                link.queue().recycle(record);
            }
        }
    }
    if link.is_up() {
        let goodbye = async {
            state.sends();
            client
                .publish(
                    link.topics().status(),
                    QoS::AtLeastOnce,
                    true,
                    said.status(wire::StatusWord::Offline),
                )
                .await?;
            state.all_acknowledged().await;
            client.disconnect().await
        };
        drop(tokio::time::timeout(GOODBYE, goodbye).await);
    }
    Ok(())
}

/// Sends what is retained and subscribes to what is listened to, as far as this connection's broker was not told.
async fn catch_up(
    link: &Link,
    client: &AsyncClient,
    state: &Connection,
    subscribed: &mut Vec<String>,
) -> Result<(), Failure> {
    while let Some(next) = link.next_retained() {
        state.sends();
        let (topic, body) = (next.topic.clone(), next.body);
        client.publish_bytes(topic, QoS::AtLeastOnce, true, body).await.map_err(gone)?;
        link.has_retained(&next.topic, next.version);
    }
    for filter in link.filters() {
        if !subscribed.contains(&filter) {
            client.subscribe(&filter, QoS::AtLeastOnce).await.map_err(gone)?;
            subscribed.push(filter);
        }
    }
    Ok(())
}

fn gone(error: rumqttc::ClientError) -> Failure {
    Failure::retry("the connection's other half ended", error)
}

/// What went wrong, and what to do where that is known.
fn advice(error: &ConnectionError, settings: &MqttSettings) -> String {
    let what = report::chain(error);
    let todo = match error {
        ConnectionError::ConnectionRefused(
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized,
        ) => "the broker refuses the login: check `mqtt.username` and `mqtt.password_file`",
        ConnectionError::ConnectionRefused(ConnectReturnCode::BadClientId) => {
            "the broker refuses the client id: check `mqtt.client_id`"
        }
        ConnectionError::Io(io) if io.kind() == std::io::ErrorKind::ConnectionRefused => {
            "nothing listens there: is the broker running, and the port right?"
        }
        ConnectionError::NetworkTimeout => "the broker does not answer",
        _ => return format!("{what} ({})", settings.address()),
    };
    format!("{what}: {todo}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jittered_pause_is_half_to_whole() {
        for _ in 0..1000 {
            let pause = jittered(Duration::from_secs(10));
            assert!(
                (Duration::from_secs(5)..=Duration::from_secs(10)).contains(&pause),
                "{pause:?}"
            );
        }
    }
}
