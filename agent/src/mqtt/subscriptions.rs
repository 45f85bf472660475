//! What this connection is subscribed to, and which filter is not to be subscribed to for a while.
//!
//! A retained message larger than our packet limit ends the connection as soon as its topic is subscribed to,
//! and would do so for ever. So after such an end the filters are subscribed to one by one; where it comes again,
//! the last of them is left out for [`MUTED`], and everything else goes on.

use std::time::{Duration, Instant};

/// How long a filter that brings what we cannot take is left out.
const MUTED: Duration = Duration::from_secs(600);
/// How long a filter is watched before the next one follows, where one is suspected.
const WATCHED: Duration = Duration::from_secs(1);
/// From when on a connection with all its filters is above suspicion.
const TRUSTED: Duration = Duration::from_secs(60);

/// What is subscribed to.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    current: Vec<(String, Instant)>,
    muted: Vec<(String, Instant)>,
    suspicious: bool,
}

impl Subscriptions {
    /// A new connection: nothing is subscribed to yet.
    pub(super) fn begin(&mut self) {
        self.current.clear();
    }

    /// The next of `wanted` to be subscribed to at `now`, which then counts as such.
    pub(super) fn next(&mut self, wanted: &[String], now: Instant) -> Option<String> {
        self.muted.retain(|(_, at)| now.saturating_duration_since(*at) < MUTED);
        let last = self.current.last().map(|(_, at)| now.saturating_duration_since(*at));
        if self.suspicious && last.is_some_and(|since| since < WATCHED) {
            return None;
        }
        let known = |list: &[(String, Instant)], name| list.iter().any(|(known, _)| known == name);
        let next =
            wanted.iter().find(|name| !known(&self.current, *name) && !known(&self.muted, *name));
        match next {
            Some(name) => self.current.push((name.clone(), now)),
            None if last.is_some_and(|since| since >= TRUSTED) => self.suspicious = false,
            None => {}
        }
        next.cloned()
    }

    /// When [`Subscriptions::next`] may have more although nothing new is wanted.
    pub(super) fn again(&self) -> Option<Duration> {
        if self.suspicious { Some(WATCHED) } else { (!self.muted.is_empty()).then_some(MUTED) }
    }

    /// The connection ended by a message that is too large. The filter that is left out for it from now on.
    pub(super) fn too_large(&mut self, now: Instant) -> Option<String> {
        if !std::mem::replace(&mut self.suspicious, true) {
            return None;
        }
        let (name, _) = self.current.pop()?;
        self.muted.push((name.clone(), now));
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_that_brings_what_is_too_large_is_left_out_and_the_others_are_not() {
        let (mut subscriptions, mut now) = (Subscriptions::default(), Instant::now());
        let wanted = ["a", "bomb", "c"].map(str::to_owned);
        let drain = |subscriptions: &mut Subscriptions, now: Instant| -> Vec<String> {
            std::iter::from_fn(|| subscriptions.next(&wanted, now)).collect()
        };
        // At first all at once.
        assert_eq!(drain(&mut subscriptions, now), wanted);
        assert_eq!(subscriptions.too_large(now), None);
        // Then one by one.
        subscriptions.begin();
        assert_eq!(drain(&mut subscriptions, now), ["a"]);
        now += WATCHED;
        assert_eq!(drain(&mut subscriptions, now), ["bomb"]);
        assert_eq!(subscriptions.too_large(now).as_deref(), Some("bomb"));
        subscriptions.begin();
        assert_eq!(drain(&mut subscriptions, now), ["a"]);
        now += WATCHED;
        assert_eq!(drain(&mut subscriptions, now), ["c"]);
        now += WATCHED;
        assert_eq!(drain(&mut subscriptions, now), [""; 0]);
        // And after a while it gets another chance.
        now += MUTED;
        assert_eq!(drain(&mut subscriptions, now), ["bomb"]);
    }
}
