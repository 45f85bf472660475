//! What was heard, as the types of `wire`, and nothing but those.
//!
//! A payload is parsed and written again: where the two texts differ, the daemon says something that `wire`
//! does not know, or leaves something out.

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use wire::topic::Topics;
use wire::{Info, Observation, Status, StatusWord};

use crate::{Listener, Message, places};

/// `body` as a `T`, and as nothing but a `T`.
///
/// # Errors
/// It is something else, less or more.
pub fn exactly<'a, T: Deserialize<'a> + Serialize>(body: &'a [u8]) -> Result<T> {
    let text = std::str::from_utf8(body).context("a payload is no UTF-8")?;
    let value: T = serde_json::from_str(text).with_context(|| format!("in the payload {text}"))?;
    let again = serde_json::to_string(&value)?;
    ensure!(again == text, "a payload says something else than it should:\n{text}\n{again}");
    Ok(value)
}

/// An observation.
///
/// # Errors
/// `body` is none.
pub fn observation(body: &[u8]) -> Result<Observation<'_>> {
    let seen: Observation<'_> = exactly(body)?;
    ensure!(seen.envelope.schema == "vedette/observation/1", "{}", seen.envelope.schema);
    Ok(seen)
}

/// What was heard of `pipeline`, in the order in which it was heard; the retained excepted.
///
/// # Errors
/// One of them is no observation, or one of another pipeline.
pub fn observations<'a>(
    messages: &'a [Message],
    topics: &Topics,
    pipeline: &str,
) -> Result<Vec<Observation<'a>>> {
    let topic = topics.observation(pipeline);
    let own = messages.iter().filter(|message| message.topic == topic);
    let seen: Vec<Observation<'_>> =
        own.map(|message| observation(&message.body)).collect::<Result<_>>()?;
    for one in &seen {
        ensure!(one.pipeline == pipeline, "`{}` on the topic of `{pipeline}`", one.pipeline);
    }
    Ok(seen)
}

/// That `seen` has every observation of its pipeline from the first on, once and in order.
///
/// # Errors
/// Says where it does not.
pub fn unbroken(seen: &[Observation<'_>]) -> Result<()> {
    let numbers: Vec<u64> = seen.iter().map(|one| one.envelope.seq).collect();
    for (place, pair) in numbers.windows(2).enumerate() {
        ensure!(pair[1] == pair[0] + 1, "seq {} follows {} at {place}", pair[1], pair[0]);
    }
    ensure!(
        numbers.first().is_none_or(|first| *first == 1),
        "begins with seq {:?}",
        numbers.first()
    );
    Ok(())
}

/// That no frame of the source is missing in `seen`. An emulated daemon is too slow for cameras: what is missing there
/// was replaced by a newer frame, and counted.
///
/// # Errors
/// Says where one is.
pub fn every_frame(seen: &[Observation<'_>]) -> Result<()> {
    for pair in seen.windows(2) {
        let (before, after) = (pair[0].frame, pair[1].frame);
        let dropped = after.dropped.checked_sub(before.dropped).context("a drop was taken back")?;
        let next = before.seq + 1 + dropped;
        ensure!(after.seq == next, "frame {} follows {}", after.seq, before.seq);
        ensure!(dropped == 0 || places::slower() > 1, "frame {} was dropped", before.seq + 1);
    }
    Ok(())
}

/// The words of `status` in the order in which they were heard.
///
/// # Errors
/// One of them is no status.
pub fn statuses(messages: &[Message], topics: &Topics) -> Result<Vec<StatusWord>> {
    let own = messages.iter().filter(|message| message.topic == topics.status());
    own.map(|message| {
        let status: Status<'_> = exactly(&message.body)?;
        ensure!(status.envelope.schema == "vedette/status/1", "{}", status.envelope.schema);
        Ok(status.status)
    })
    .collect()
}

/// The last `info` that was heard, if any.
///
/// # Errors
/// It is no info.
pub fn info<'a>(messages: &'a [Message], topics: &Topics) -> Result<Option<Info<'a>>> {
    let last = messages.iter().rev().find(|message| message.topic == topics.info());
    let Some(message) = last else { return Ok(None) };
    let info: Info<'_> = exactly(&message.body)?;
    ensure!(info.envelope.schema == "vedette/info/1", "{}", info.envelope.schema);
    Ok(Some(info))
}

impl Listener {
    /// Waits until the device's status, as the broker would tell it to whoever asks, is `word`.
    ///
    /// # Errors
    /// It did not become that in time.
    pub fn wait_status(
        &self,
        topics: &Topics,
        word: StatusWord,
        limit: std::time::Duration,
    ) -> Result<()> {
        self.wait(&format!("status {word:?}"), limit, |messages| {
            let words = statuses(messages, topics).ok()?;
            (words.last() == Some(&word)).then_some(())
        })
    }
}
