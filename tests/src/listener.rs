//! Hears everything that devices publish at one broker.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use rumqttc::{Client, Connection, Event, MqttOptions, Packet, QoS};

use crate::places::patient;
use crate::{Login, PATIENCE};

/// Everything that devices publish.
const FILTER: &str = "vedette/#";
/// Largest message heard: the library's own 10 KiB would end the connection at a larger one.
const PACKET_MAX_BYTES: usize = 1 << 20;
/// Most messages kept until they are taken: an hour of what the demonstration hears between two looks.
const MESSAGES_MAX: usize = 100_000;
/// Requests between us and the library: one subscription and one goodbye.
const REQUESTS: usize = 8;

/// One message.
#[derive(Debug, Clone)]
pub struct Message {
    /// Where it was published.
    pub topic: String,
    /// What it says.
    pub body: Vec<u8>,
    /// Whether the broker had kept it for us: it was said before we came.
    pub retained: bool,
    /// When it was heard.
    pub at: Instant,
}

/// Hears everything that devices publish at one broker.
pub struct Listener {
    client: Client,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    heard: Mutex<Heard>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct Heard {
    messages: Vec<Message>,
    subscribed: bool,
    lost: Option<String>,
}

impl Listener {
    /// One at the broker on `port` of 127.0.0.1, subscribed when this returns.
    ///
    /// # Errors
    /// The broker is not there, or refuses.
    pub fn start(port: u16, login: Option<&Login>) -> Result<Self> {
        Self::of(FILTER, port, login)
    }

    /// One that hears what `filter` matches instead.
    ///
    /// # Errors
    /// As [`Listener::start`].
    pub fn of(filter: &str, port: u16, login: Option<&Login>) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let id = format!("listener-{}-{number}", std::process::id());
        let mut options = MqttOptions::new(id, "127.0.0.1", port);
        options.set_max_packet_size(PACKET_MAX_BYTES, PACKET_MAX_BYTES);
        options.set_keep_alive(PATIENCE);
        if let Some(login) = login {
            options.set_credentials(&login.user, &login.password);
        }
        let (client, connection) = Client::new(options, REQUESTS);
        client.subscribe(filter, QoS::AtLeastOnce).context("cannot subscribe")?;
        let shared = Arc::new(Shared::default());
        let filled = shared.clone();
        let thread = std::thread::spawn(move || filled.fill(connection));
        let listener = Self { client, shared, thread: Some(thread) };
        listener.wait_for("the subscription", PATIENCE, |heard| heard.subscribed.then_some(()))?;
        Ok(listener)
    }

    /// Says `body` on `topic`.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn say(&self, topic: &str, body: impl AsRef<[u8]>) -> Result<()> {
        let body = body.as_ref();
        self.client.publish(topic, QoS::AtLeastOnce, false, body).context("cannot publish")
    }

    /// Leaves `body` on `topic` for whoever comes later.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn leave(&self, topic: &str, body: impl AsRef<[u8]>) -> Result<()> {
        let body = body.as_ref();
        self.client.publish(topic, QoS::AtLeastOnce, true, body).context("cannot publish")
    }

    /// Everything that was heard so far.
    #[must_use]
    pub fn heard(&self) -> Vec<Message> {
        self.shared.lock().messages.clone()
    }

    /// Everything that was heard so far, which is then forgotten.
    pub fn take(&self) -> Vec<Message> {
        std::mem::take(&mut self.shared.lock().messages)
    }

    /// Why nothing more will be heard, where that is so.
    #[must_use]
    pub fn lost(&self) -> Option<String> {
        self.shared.lock().lost.clone()
    }

    /// Waits until `level` finds what it looks for in everything heard so far, and returns that. `what` is what
    /// to call it when it does not come.
    ///
    /// # Errors
    /// It did not come in time, or the connection was lost; with what was heard instead.
    pub fn wait<T>(
        &self,
        what: &str,
        limit: Duration,
        mut level: impl FnMut(&[Message]) -> Option<T>,
    ) -> Result<T> {
        self.wait_for(what, limit, |heard| level(&heard.messages))
    }

    /// Waits until `topic` has `count` messages and returns them.
    ///
    /// # Errors
    /// As [`Listener::wait`].
    pub fn wait_count(&self, topic: &str, count: usize, limit: Duration) -> Result<Vec<Message>> {
        self.wait(&format!("{count} messages on `{topic}`"), limit, |messages| {
            let own = messages.iter().filter(|message| message.topic == topic);
            (own.clone().count() >= count).then(|| own.cloned().collect())
        })
    }

    fn wait_for<T>(
        &self,
        what: &str,
        limit: Duration,
        mut level: impl FnMut(&Heard) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + patient(limit);
        let mut heard = self.shared.lock();
        loop {
            if let Some(found) = level(&heard) {
                return Ok(found);
            }
            if let Some(lost) = &heard.lost {
                bail!("the broker was lost before {what} came ({lost}); {}", summary(&heard));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("{what} did not come within {limit:?}; {}", summary(&heard));
            }
            let waited = self.shared.news.wait_timeout(heard, left);
            heard = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").field("shared", &self.shared).finish_non_exhaustive()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Where the connection is lost the thread has ended already.
        drop(self.client.disconnect());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what comes, until the connection ends. It is not made again: a test that ends a broker starts
    /// another listener.
    fn fill(&self, mut connection: Connection) {
        let lost = loop {
            let event = match connection.recv() {
                Ok(Ok(event)) => event,
                Ok(Err(error)) => break anyhow!(error),
                Err(_) => break anyhow!("the connection was closed"),
            };
            let mut heard = self.lock();
            match event {
                Event::Incoming(Packet::SubAck(_)) => heard.subscribed = true,
                Event::Incoming(Packet::Publish(publish)) => {
                    if heard.messages.len() >= MESSAGES_MAX {
                        break anyhow!("more than {MESSAGES_MAX} messages were heard");
                    }
                    heard.messages.push(Message {
                        topic: publish.topic,
                        body: publish.payload.to_vec(),
                        retained: publish.retain,
                        at: Instant::now(),
                    });
                }
                _ => continue,
            }
            drop(heard);
            self.news.notify_all();
        };
        self.lock().lost = Some(format!("{lost:#}"));
        self.news.notify_all();
    }
}

/// How much was heard on each topic, for an error.
fn summary(heard: &Heard) -> String {
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    for message in &heard.messages {
        *counts.entry(&message.topic).or_default() += 1;
    }
    format!("heard so far: {counts:?}")
}
