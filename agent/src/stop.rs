//! The word that ends everything, for threads and for futures alike.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// Says "stop" once, to every thread and future that holds a clone.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    said: AtomicBool,
    lock: Mutex<()>,
    wake: Condvar,
    notify: Notify,
}

impl Stop {
    /// Nothing was said yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says it. Everyone who waits wakes; whoever asks later hears it too.
    pub fn say(&self) {
        self.0.said.store(true, Ordering::SeqCst);
        let _held = self.0.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.wake.notify_all();
        self.0.notify.notify_waiters();
    }

    /// Whether it was said.
    #[must_use]
    pub fn said(&self) -> bool {
        self.0.said.load(Ordering::SeqCst)
    }

    /// Blocks this thread for `time`, less where it is said before. True where it was said.
    #[must_use]
    pub fn wait(&self, time: Duration) -> bool {
        let held = self.0.lock.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.0.wake.wait_timeout_while(held, time, |()| !self.said()));
        self.said()
    }

    /// Resolves once it was said.
    pub async fn heard(&self) {
        loop {
            let woken = self.0.notify.notified();
            if self.said() {
                return;
            }
            woken.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_said_before_the_wait_is_heard() {
        let stop = Stop::new();
        assert!(!stop.wait(Duration::ZERO));
        stop.clone().say();
        assert!(stop.wait(Duration::from_secs(3600)));
    }

    #[tokio::test]
    async fn a_future_that_waits_is_woken() {
        let stop = Stop::new();
        let other = stop.clone();
        let heard = tokio::join!(stop.heard(), async move { other.say() });
        assert_eq!(heard, ((), ()));
    }
}
