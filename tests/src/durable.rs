//! A listener that a broker remembers: it misses nothing while the broker, or the connection to it, is away.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rumqttc::{Client, Connection, Event, MqttOptions, Outgoing, Packet, QoS};

use crate::PATIENCE;
use crate::places::patient;

/// Pause between two attempts to reach a broker that is away.
const PAUSE: Duration = Duration::from_millis(20);
/// Largest message heard.
const PACKET_MAX_BYTES: usize = 1 << 20;

/// What was heard, in its order: topic and body.
type Messages = Vec<(String, Vec<u8>)>;

/// Hears everything below `vedette/`, over every restart of a persistent broker.
pub struct Durable {
    client: Client,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    heard: Mutex<(bool, Messages)>,
    news: Condvar,
}

impl Durable {
    /// One at the broker on `port`, subscribed when this returns.
    ///
    /// # Errors
    /// The broker is not there.
    pub fn start(port: u16) -> Result<Self> {
        let mut options = MqttOptions::new("durable", "127.0.0.1", port);
        options.set_clean_session(false).set_max_packet_size(PACKET_MAX_BYTES, PACKET_MAX_BYTES);
        let (client, connection) = Client::new(options, 8);
        client.subscribe("vedette/#", QoS::AtLeastOnce).context("cannot subscribe")?;
        let shared = Arc::new(Shared::default());
        let filled = shared.clone();
        let thread = std::thread::spawn(move || filled.fill(connection));
        let listener = Self { client, shared, thread: Some(thread) };
        listener.wait_for("the subscription", PATIENCE, |(subscribed, _)| *subscribed)?;
        Ok(listener)
    }

    /// Waits until `level` is true of everything heard so far, and returns that.
    ///
    /// # Errors
    /// It did not become true in time.
    pub fn wait(
        &self,
        what: &str,
        limit: Duration,
        mut level: impl FnMut(&Messages) -> bool,
    ) -> Result<Messages> {
        self.wait_for(what, limit, |(_, messages)| level(messages))
    }

    fn wait_for(
        &self,
        what: &str,
        limit: Duration,
        mut level: impl FnMut(&(bool, Messages)) -> bool,
    ) -> Result<Messages> {
        let deadline = Instant::now() + patient(limit);
        let mut heard = self.shared.heard.lock().unwrap_or_else(PoisonError::into_inner);
        while !level(&heard) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("{what} did not come within {limit:?}; {} messages did", heard.1.len());
            }
            let waited = self.shared.news.wait_timeout(heard, left);
            heard = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(heard.1.clone())
    }
}

impl std::fmt::Debug for Durable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Durable").finish_non_exhaustive()
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        // Without a broker the request cannot be sent, and the thread is left to end with the process.
        if self.client.try_disconnect().is_ok()
            && let Some(thread) = self.thread.take().filter(JoinHandle::is_finished)
        {
            drop(thread.join());
        }
    }
}

impl Shared {
    fn fill(&self, mut connection: Connection) {
        loop {
            let event = match connection.recv() {
                Ok(Ok(Event::Outgoing(Outgoing::Disconnect))) | Err(_) => return,
                Ok(Ok(event)) => event,
                Ok(Err(_)) => {
                    std::thread::park_timeout(PAUSE);
                    continue;
                }
            };
            let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            match event {
                Event::Incoming(Packet::SubAck(_)) => heard.0 = true,
                Event::Incoming(Packet::Publish(publish)) => {
                    heard.1.push((publish.topic, publish.payload.to_vec()));
                }
                _ => continue,
            }
            drop(heard);
            self.news.notify_all();
        }
    }
}
