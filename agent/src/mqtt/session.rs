//! One connection to one broker, from its first packet to its end.
//!
//! Each has a client of its own: what was under way in the last one is the outbox's to send again, and nothing
//! is sent twice by the library as well. Two halves run beside each other: one hears, and must never be held
//! up; one speaks. A third watches that what was said is acknowledged.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rumqttc::{
    AsyncClient, ClientError, ConnectionError, Event, EventLoop, LastWill, MqttOptions, Outgoing,
    Packet, QoS, Transport,
};
use tokio::sync::Notify;
use wire::StatusWord;

use super::address::{Address, Carrier};
use super::link::{Heard, Link};
use super::settings::MqttSettings;
use super::subscriptions::Subscriptions;
use super::tls;
use super::window::{Sent, Window};
use crate::outbox::{Class, Taken};
use crate::said::Said;
use crate::stop::Stop;
use crate::supervisor::Failure;

/// Largest packet either way. The library's own 10 KiB loses a larger message with the connection; ours are
/// under 8 KiB, and a picture fits.
const PACKET_MAX_BYTES: usize = 256 << 10;
/// Requests between us and the library: the outbox's window and a few of what is retained.
const REQUESTS: usize = 32;
/// Messages without an acknowledgement at one time, retained ones included.
const INFLIGHT: u16 = 100;
/// How long making a connection may take, TLS included.
const CONNECT_S: u64 = 10;
/// How long what is left may take to be sent once nothing more comes.
const FLUSH: Duration = Duration::from_millis(700);
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_millis(800);

/// What a connection is made with.
#[derive(Debug)]
pub(super) struct Terms<'a> {
    pub(super) link: &'a Link,
    pub(super) settings: &'a MqttSettings,
    pub(super) broker: &'a Address,
    pub(super) said: &'a Said,
    pub(super) stop: &'a Stop,
}

/// How a connection ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// We said goodbye, or were told to stop before there was one.
    Told,
    /// It was never made.
    Refused(ConnectionError),
    /// It could not even be tried: a file is missing or unusable.
    Unable(Failure),
    /// It was lost. `progress`: the broker had acknowledged something.
    Lost {
        /// Why.
        error: ConnectionError,
        /// Whether the broker had acknowledged something.
        progress: bool,
    },
    /// The broker is there and acknowledges nothing. `progress` as above.
    Silent {
        /// Whether it had acknowledged something before.
        progress: bool,
    },
}

/// Makes a connection and holds it until it ends.
pub(super) async fn hold(terms: &Terms<'_>, subscriptions: &mut Subscriptions) -> Ended {
    let id = terms.settings.client_id(terms.link.topics().device());
    let mut options = match options(terms.settings, terms.broker, id) {
        Ok(options) => options,
        Err(failure) => return Ended::Unable(failure),
    };
    options.set_last_will(LastWill::new(
        terms.link.topics().status(),
        terms.said.status(StatusWord::Offline),
        QoS::AtLeastOnce,
        true,
    ));
    let (client, mut events) = AsyncClient::new(options, REQUESTS);
    impatient(&mut events);
    let first = tokio::select! {
        first = events.poll() => first,
        () = terms.stop.heard() => return Ended::Told,
    };
    if let Err(error) = first {
        return Ended::Refused(error);
    }
    tracing::info!(broker = %terms.broker, "connected to the broker");
    terms.link.set_up(true);
    subscriptions.begin();
    let session = Session {
        terms,
        client,
        window: Mutex::default(),
        progress: Mutex::default(),
        settled: Notify::new(),
    };
    let ended = session.run(&mut events, subscriptions).await;
    terms.link.set_up(false);
    terms.link.outbox().unsend();
    ended
}

/// No connection waits for more bytes, and none for ever to be made.
pub(super) fn impatient(events: &mut EventLoop) {
    events.network_options.set_tcp_nodelay(true);
    events.network_options.set_connection_timeout(CONNECT_S);
}

/// What a connection to `broker` under the name `id` is made with.
pub(super) fn options(
    settings: &MqttSettings,
    broker: &Address,
    id: String,
) -> Result<MqttOptions, Failure> {
    let host = match broker.carrier {
        Carrier::Ws | Carrier::Wss => broker.url(),
        Carrier::Tcp | Carrier::Tls if broker.host.contains(':') => format!("[{}]", broker.host),
        Carrier::Tcp | Carrier::Tls => broker.host.clone(),
    };
    let mut options = MqttOptions::new(id, host, broker.port);
    options.set_transport(match broker.carrier {
        Carrier::Tcp => Transport::Tcp,
        Carrier::Ws => Transport::Ws,
        Carrier::Tls => Transport::Tls(tls::configuration(settings)?),
        Carrier::Wss => Transport::Wss(tls::configuration(settings)?),
    });
    options
        .set_keep_alive(settings.keep_alive)
        .set_max_packet_size(PACKET_MAX_BYTES, PACKET_MAX_BYTES)
        .set_inflight(INFLIGHT);
    if let Some((user, password)) = settings.login()? {
        options.set_credentials(user, password);
    }
    Ok(options)
}

struct Session<'a> {
    terms: &'a Terms<'a>,
    client: AsyncClient,
    window: Mutex<Window>,
    progress: Mutex<bool>,
    /// Rung at each acknowledgement.
    settled: Notify,
}

impl Session<'_> {
    async fn run(&self, events: &mut EventLoop, subscriptions: &mut Subscriptions) -> Ended {
        let mut hearing = std::pin::pin!(self.hear(events));
        let lost = |error| Ended::Lost { error, progress: self.progressed() };
        tokio::select! {
            heard = &mut hearing => return heard.map_or_else(lost, |()| Ended::Told),
            () = self.unacknowledged() => return Ended::Silent { progress: self.progressed() },
            // Its only error is that the half that hears has ended, and that says more.
            _ = self.speak(subscriptions) => {}
        }
        // What is left to do is to send the goodbye, to a broker that may hang.
        drop(tokio::time::timeout(GOODBYE, async { tokio::join!(hearing, self.goodbye()) }).await);
        Ended::Told
    }

    async fn hear(&self, events: &mut EventLoop) -> Result<(), ConnectionError> {
        loop {
            match events.poll().await? {
                Event::Outgoing(Outgoing::Publish(id)) => {
                    let done = lock(&self.window).written(id);
                    self.settle(done);
                }
                Event::Incoming(Packet::PubAck(ack)) => {
                    let done = lock(&self.window).acknowledged(ack.pkid);
                    *lock(&self.progress) = true;
                    self.settle(done);
                }
                Event::Incoming(Packet::Publish(message)) => self.terms.link.heard(&Heard {
                    topic: message.topic,
                    payload: message.payload,
                    retained: message.retain,
                }),
                Event::Outgoing(Outgoing::Disconnect) => return Ok(()),
                _ => {}
            }
        }
    }

    fn settle(&self, done: Option<Sent>) {
        match done {
            Some(Sent::Record(id)) => self.terms.link.outbox().acknowledged(id),
            Some(Sent::Retained(topic, version)) => self.terms.link.has_retained(&topic, version),
            Some(Sent::Status) => {}
            None => return,
        }
        self.settled.notify_one();
    }

    fn progressed(&self) -> bool {
        *lock(&self.progress)
    }

    /// Resolves once something waits for its acknowledgement for too long: twice the time in which the broker
    /// must prove that it is there.
    async fn unacknowledged(&self) {
        let limit = self.terms.settings.keep_alive * 2;
        loop {
            tokio::time::sleep(limit / 8).await;
            if lock(&self.window).is_overdue(limit, Instant::now()) {
                return;
            }
        }
    }

    /// Says what there is to say, until nothing more comes.
    async fn speak(&self, subscriptions: &mut Subscriptions) -> Result<(), ClientError> {
        let link = self.terms.link;
        // First: whoever hears that we are online may ask at once, and is heard.
        self.subscribe(subscriptions).await?;
        self.status(StatusWord::Online).await?;
        let mut end: Option<Instant> = None;
        let mut news = true;
        loop {
            if std::mem::take(&mut news) {
                self.catch_up(subscriptions).await?;
            }
            while let Some(taken) = link.outbox().next() {
                self.record(taken).await?;
            }
            if end.is_some_and(|end| link.outbox().is_empty() || Instant::now() >= end) {
                return Ok(());
            }
            let again = subscriptions.again();
            tokio::select! {
                () = link.outbox().ready() => {}
                () = link.news() => news = true,
                () = tokio::time::sleep(again.unwrap_or_default()), if again.is_some() => news = true,
                () = link.drained(), if end.is_none() => end = Some(Instant::now() + FLUSH),
                () = tokio::time::sleep_until(end.unwrap_or_else(Instant::now).into()), if end.is_some() => {}
            }
        }
    }

    /// Sends what is retained and subscribes to what is listened to, as far as this broker was not told.
    async fn catch_up(&self, subscriptions: &mut Subscriptions) -> Result<(), ClientError> {
        let link = self.terms.link;
        while let Some(next) = link.next_retained() {
            self.hand(Sent::Retained(next.topic.clone(), next.version));
            self.client.publish_bytes(next.topic, QoS::AtLeastOnce, true, next.body).await?;
        }
        self.subscribe(subscriptions).await
    }

    async fn subscribe(&self, subscriptions: &mut Subscriptions) -> Result<(), ClientError> {
        let filters = self.terms.link.filters();
        while let Some(filter) = subscriptions.next(&filters, Instant::now()) {
            self.client.subscribe(filter, QoS::AtLeastOnce).await?;
        }
        Ok(())
    }

    async fn record(&self, taken: Taken) -> Result<(), ClientError> {
        let Taken { record, replay } = taken;
        let topic = String::from_utf8_lossy(&record.topic);
        let topic =
            if replay { self.terms.link.topics().replay(&topic) } else { topic.into_owned() };
        let qos = match record.id.class {
            Class::Observation => self.terms.settings.qos(),
            _ => QoS::AtLeastOnce,
        };
        self.hand(Sent::Record(record.id));
        self.client.publish_bytes(topic.as_str(), qos, false, record.body.clone()).await?;
        // An alarm that waited, perhaps since an earlier run, is no news of how things are.
        if record.id.class == Class::Alarm {
            self.terms.link.overtook(&topic, &record.body);
        }
        Ok(())
    }

    async fn status(&self, word: StatusWord) -> Result<(), ClientError> {
        self.hand(Sent::Status);
        let (topic, body) = (self.terms.link.topics().status(), self.terms.said.status(word));
        self.client.publish(topic, QoS::AtLeastOnce, true, body).await
    }

    /// Says that we leave, and leaves once the broker has everything: a connection that is closed with
    /// acknowledgements unread is reset, and what the broker had not read yet is lost with it.
    async fn goodbye(&self) -> Result<(), ClientError> {
        self.status(StatusWord::Offline).await?;
        while !lock(&self.window).is_empty() {
            self.settled.notified().await;
        }
        self.client.disconnect().await
    }

    fn hand(&self, sent: Sent) {
        lock(&self.window).hand(sent, Instant::now());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
