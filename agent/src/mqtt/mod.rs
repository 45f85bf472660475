//! The connection to the broker: the one file that knows `rumqttc`.
//!
//! Offline is normal: the daemon is never slower or different without a broker, it only counts what did not fit
//! into the queue. Reconnects are paced here, since the library has no pause of its own. What must arrive even
//! over a restart of the broker is the outbox's work, which is not built yet: until then an observation that was
//! handed to the library and not acknowledged when the connection broke is sent again by the library, and lost
//! where the broker lost its session.

mod settings;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, LastWill, MqttOptions,
    Outgoing, Packet, QoS,
};
use wire::topic::Topics;

pub use settings::MqttSettings;

use crate::pipeline::sink::Queue;
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

/// Most topics that are listened to: a few for each model.
const TOPICS_MAX: usize = 1024;

/// A topic and what is to stand on it.
type Retained = (String, Vec<u8>);

/// A topic and who is woken by a message on it.
type Call = (String, Arc<tokio::sync::Notify>);

/// The data path's end of the connection.
#[derive(Debug, Clone)]
pub struct Link {
    queue: Arc<Queue>,
    topics: Topics,
    retained: Arc<Mutex<Vec<Retained>>>,
    calls: Arc<Mutex<Vec<Call>>>,
    news: Arc<tokio::sync::Notify>,
}

impl Link {
    /// What is to be published, oldest first.
    #[must_use]
    pub fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// The device's topics.
    #[must_use]
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// Publishes `body` on `topic`, retained, now and after every reconnect.
    pub fn retain(&self, topic: &str, body: Vec<u8>) {
        let mut retained = self.retained.lock().unwrap_or_else(PoisonError::into_inner);
        match retained.iter_mut().find(|(known, _)| known == topic) {
            Some((_, old)) => *old = body,
            None => retained.push((topic.to_owned(), body)),
        }
        drop(retained);
        self.news.notify_one();
    }

    /// What wakes on every message on `topic`, whatever it says. Retained messages do not count: they were said
    /// before, and would wake every device at every reconnect.
    #[must_use]
    pub fn on(&self, topic: &str) -> Arc<tokio::sync::Notify> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bell)) = calls.iter().find(|(known, _)| known == topic) {
            return bell.clone();
        }
        let bell = Arc::<tokio::sync::Notify>::default();
        if calls.len() < TOPICS_MAX {
            calls.push((topic.to_owned(), bell.clone()));
        }
        drop(calls);
        self.news.notify_one();
        bell
    }

    fn called(&self, topic: &str) {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bell)) = calls.iter().find(|(known, _)| known == topic) {
            bell.notify_one();
        }
    }

    fn listened_to(&self) -> Vec<String> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.iter().map(|(topic, _)| topic.clone()).collect()
    }

    fn retained(&self) -> Vec<Retained> {
        self.retained.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Starts the connection's worker.
#[must_use]
pub fn start(
    settings: &MqttSettings,
    topics: &Topics,
    said: &Arc<Said>,
    supervisor: &Supervisor,
) -> Link {
    let link = Link {
        queue: Arc::new(Queue::new(settings.queue)),
        topics: topics.clone(),
        retained: Arc::default(),
        calls: Arc::default(),
        news: Arc::default(),
    };
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
        settings.client_id(link.topics.device()),
        settings.host.clone(),
        settings.port,
    );
    options
        .set_keep_alive(settings.keep_alive)
        .set_max_packet_size(PACKET_MAX_BYTES, PACKET_MAX_BYTES)
        .set_inflight(INFLIGHT)
        .set_last_will(LastWill::new(
            link.topics.status(),
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
    /// Counts the connections made; odd while there is one.
    turn: tokio::sync::watch::Sender<u64>,
    /// Counts the messages that were handed to the library and that the broker did not acknowledge yet.
    open: tokio::sync::watch::Sender<u64>,
}

impl Connection {
    fn is_up(&self) -> bool {
        !self.turn.borrow().is_multiple_of(2)
    }

    fn set(&self, up: bool) {
        self.turn.send_if_modified(|turn| {
            let change = turn.is_multiple_of(2) == up;
            *turn += u64::from(change);
            change
        });
    }

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
                state.set(true);
            }
            Ok(Event::Incoming(Packet::PubAck(_))) => state.acknowledged(),
            Ok(Event::Incoming(Packet::Publish(message))) if !message.retain => {
                link.called(&message.topic);
            }
            Ok(Event::Outgoing(Outgoing::Disconnect)) => return,
            Ok(_) => {}
            Err(error) => {
                let was_up = state.is_up();
                state.set(false);
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
    let mut turns = state.turn.subscribe();
    let mut greeted = 0;
    loop {
        let turn = *turns.borrow_and_update();
        if state.is_up() && turn != greeted {
            greeted = turn;
            greet(link, client, said, state).await?;
        }
        tokio::select! {
            changed = turns.changed() => {
                if changed.is_err() { return Ok(()); }
            }
            () = link.news.notified(), if state.is_up() => greet(link, client, said, state).await?,
            popped = link.queue.pop(), if state.is_up() || link.queue.is_closed() => {
                let Some(mut record) = popped else { break };
                if state.is_up() {
                    let (topic, body) = (record.topic.to_string(), std::mem::take(&mut record.body));
                    if qos == QoS::AtLeastOnce {
                        state.sends();
                    }
                    client.publish(topic, qos, false, body).await.map_err(gone)?;
                }
                link.queue.recycle(record);
            }
        }
    }
    if state.is_up() {
        let goodbye = async {
            state.sends();
            client
                .publish(
                    link.topics.status(),
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

async fn greet(
    link: &Link,
    client: &AsyncClient,
    said: &Said,
    state: &Connection,
) -> Result<(), Failure> {
    let online = (link.topics.status(), said.status(wire::StatusWord::Online));
    for (topic, body) in std::iter::once(online).chain(link.retained()) {
        state.sends();
        client.publish(topic, QoS::AtLeastOnce, true, body).await.map_err(gone)?;
    }
    for topic in link.listened_to() {
        client.subscribe(topic, QoS::AtLeastOnce).await.map_err(gone)?;
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

    #[test]
    fn a_connection_that_is_told_twice_that_it_is_up_has_one_turn() {
        let state = Connection::default();
        for (up, turn) in [(false, 0), (true, 1), (true, 1), (false, 2), (true, 3)] {
            state.set(up);
            assert_eq!((state.is_up(), *state.turn.borrow()), (up, turn));
        }
    }
}
