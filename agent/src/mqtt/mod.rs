//! The connection to the broker: the one folder that knows `rumqttc`.
//!
//! Offline is normal: the daemon is never slower or different without a broker. What is to be published waits in
//! the outbox until the broker has acknowledged it; the library's own queue is only as long as what is under
//! way. Reconnects are paced here, since the library has no pause of its own, and go round the configured
//! brokers.

mod address;
mod advice;
mod filter;
mod link;
mod probe;
mod round;
mod secret;
mod session;
mod settings;
mod subscriptions;
mod sweep;
mod tls;
mod window;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rumqttc::{ConnectionError, StateError, mqttbytes};
use wire::topic::Topics;

pub use address::{Address, Carrier};
pub use link::{Heard, Link, Reached};
pub use probe::{ProbeError, probe};
pub use secret::Secret;
pub use settings::{MqttSettings, Username};
pub use sweep::sweep;

use round::Round;
use session::{Ended, Terms};
use subscriptions::Subscriptions;

use crate::outbox::{Class, Outbox};
use crate::report;
use crate::said::Said;
use crate::stop::Stop;
use crate::supervisor::{Failure, Supervisor};

/// Starts the connection's workers; what could not be sent is kept below `state`.
#[must_use]
pub fn start(
    settings: &MqttSettings,
    topics: &Topics,
    state: &Path,
    said: &Arc<Said>,
    supervisor: &Supervisor,
) -> Link {
    let outbox = Outbox::open(state, settings.limits);
    outbox.start(supervisor);
    let link = Link::new(settings.queue, topics, outbox);
    let emptied = link.clone();
    supervisor.sink("mqtt queue", link.queue(), move |_| empty(emptied.clone()));
    let (settings, stop, said) = (settings.clone(), supervisor.stop().clone(), said.clone());
    let worker = link.clone();
    supervisor
        .run("mqtt", move || talk(worker.clone(), settings.clone(), said.clone(), stop.clone()));
    link
}

/// Takes what the data path left into the outbox, so that the data path's queue is never full.
async fn empty(link: Link) -> Result<(), Failure> {
    while let Some(record) = link.queue().pop().await {
        let topic = bytes::Bytes::copy_from_slice(record.topic.as_bytes());
        let body = bytes::Bytes::copy_from_slice(&record.body);
        link.outbox().push(Class::Observation, topic, body);
        link.queue().recycle(record);
    }
    link.set_drained();
    Ok(())
}

/// Keeps a connection to one of the brokers, until we said goodbye or stopped without one.
async fn talk(
    link: Link,
    settings: MqttSettings,
    said: Arc<Said>,
    stop: Stop,
) -> Result<(), Failure> {
    // Where this is not the first time, the last one ended without a word.
    link.set_up(false);
    link.outbox().unsend();
    let mut round = Round::new(settings.brokers.len());
    let (mut subscriptions, mut complained) = (Subscriptions::default(), String::new());
    while !stop.said() {
        let Some(broker) = settings.brokers.get(round.current()) else { break };
        let terms = Terms { link: &link, settings: &settings, broker, said: &said, stop: &stop };
        let ended = session::hold(&terms, &mut subscriptions).await;
        let (advice, progress) = match &ended {
            Ended::Told => break,
            Ended::Refused(error) => (advice::advice(error, broker), false),
            Ended::Unable(failure) => (report::chain(failure), false),
            Ended::Lost { error, progress } => {
                complained.clear();
                (advice::advice(error, broker), *progress)
            }
            Ended::Silent { progress } => {
                complained.clear();
                (
                    "it acknowledges nothing: is it overloaded, or its disk full?".to_owned(),
                    *progress,
                )
            }
        };
        if stop.said() {
            break;
        }
        if let Ended::Lost { error, .. } = &ended {
            mute(error, &mut subscriptions);
        }
        // The same complaint again is no news: one line an outage, not one a reconnect.
        if advice != complained {
            tracing::warn!(broker = %broker, error = advice, "no broker; trying on");
            complained = advice;
        }
        tokio::select! {
            () = tokio::time::sleep(round.after(progress)) => {}
            () = stop.heard() => {}
        }
    }
    link.drained().await;
    link.outbox().end();
    Ok(())
}

/// Where a message was larger than we take: sees to it that its topic is not asked for again and again.
fn mute(error: &ConnectionError, subscriptions: &mut Subscriptions) {
    let ConnectionError::MqttState(StateError::Deserialization(
        mqttbytes::Error::PayloadSizeLimitExceeded(bytes),
    )) = error
    else {
        return;
    };
    if let Some(filter) = subscriptions.too_large(Instant::now()) {
        tracing::error!(
            filter,
            bytes,
            "a message on this topic is larger than we take: it is not listened to for ten minutes; \
             clear the topic (`mosquitto_pub -r -n`)"
        );
    }
}
