//! Clears what an earlier configuration of this device left on the broker: what is retained stays there until it is
//! cleared, and says for ever how something is that is no longer there.

use std::collections::BTreeSet;
use std::time::Duration;

use super::link::Link;
use crate::supervisor::Supervisor;

/// How long the broker has to tell what it still has, once there is one.
const LOOK: Duration = Duration::from_secs(30);

/// Clears what the broker has on topics that `filter` matches, those in `kept` aside: once, at the first connection.
pub fn sweep(link: &Link, filter: &str, kept: BTreeSet<String>, supervisor: &Supervisor) {
    let (link, filter, stop) = (link.clone(), filter.to_owned(), supervisor.stop().clone());
    supervisor.run("sweep", move || {
        let (link, kept, stop) = (link.clone(), kept.clone(), stop.clone());
        let mut heard = link.listen(&filter);
        async move {
            let mut connected = link.connected();
            tokio::select! {
                () = stop.heard() => return Ok(()),
                reached = connected.wait_for(|reached| reached.up) => {
                    if reached.is_err() { return Ok(()); }
                }
            }
            let until = tokio::time::Instant::now() + LOOK;
            loop {
                let message = tokio::select! {
                    () = stop.heard() => return Ok(()),
                    () = tokio::time::sleep_until(until) => return Ok(()),
                    message = heard.recv() => message,
                };
                let Some(message) = message else { return Ok(()) };
                if message.retained && !message.payload.is_empty() && !kept.contains(&message.topic)
                {
                    tracing::info!(topic = message.topic, "what is no longer there is cleared");
                    link.forget(&message.topic);
                }
            }
        }
    });
}
