//! The door through which a running pipeline is asked for something: to pause, to take another threshold, to infer
//! less or by a lighter model, to show its next frame.
//!
//! Whoever asks changes an atomic or leaves a request; the pipeline's threads look at it once a frame and wait for
//! nobody. What is asked holds over a swap of the model, and until the daemon ends.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use wire::Detection;

use super::frame::Frame;
use crate::stop::Stop;

/// How often a paused pipeline looks whether it was resumed: soon enough for a person, too seldom to be seen as load.
const PAUSE_LOOK: Duration = Duration::from_millis(100);
/// Requests for a picture that wait at one time: each is a person who looks at a screen.
const PICTURES_MAX: usize = 8;

/// A frame and what was found in it.
#[derive(Debug)]
pub struct Shot {
    /// The frame, as the source gave it.
    pub frame: Frame,
    /// What the model found in it.
    pub detections: Vec<Detection>,
}

/// See the module.
#[derive(Debug)]
pub struct Door {
    paused: AtomicBool,
    /// The bits of the threshold; those of a NaN where the configured one holds.
    threshold: AtomicU32,
    /// The bits of the rate to keep to, in frames a second; those of a NaN where there is none.
    limit_hz: AtomicU64,
    /// Whether the lighter model is to infer its frames.
    lighter: AtomicBool,
    /// Whether anybody waits for a picture: all that a frame costs while nobody does.
    wanted: AtomicBool,
    waiting: Mutex<Vec<oneshot::Sender<Arc<Shot>>>>,
}

impl Default for Door {
    fn default() -> Self {
        Self {
            paused: AtomicBool::new(false),
            threshold: AtomicU32::new(f32::NAN.to_bits()),
            limit_hz: AtomicU64::new(f64::NAN.to_bits()),
            lighter: AtomicBool::new(false),
            wanted: AtomicBool::new(false),
            waiting: Mutex::default(),
        }
    }
}

impl Door {
    /// Pauses the pipeline, which closes its source, or opens it again.
    pub fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    /// Whether it is paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// Waits until it is not paused. False where `stop` was said before.
    pub(super) fn wait_resumed(&self, stop: &Stop) -> bool {
        while self.is_paused() {
            if stop.wait(PAUSE_LOOK) {
                return false;
            }
        }
        !stop.said()
    }

    /// Takes another threshold from the next frame on; `None`: the configured one.
    pub fn set_threshold(&self, threshold: Option<f32>) {
        self.threshold.store(threshold.unwrap_or(f32::NAN).to_bits(), Ordering::Relaxed);
    }

    /// The threshold that was asked for last, where it is not the configured one.
    #[must_use]
    pub fn threshold(&self) -> Option<f32> {
        let threshold = f32::from_bits(self.threshold.load(Ordering::Relaxed));
        (!threshold.is_nan()).then_some(threshold)
    }

    /// Infers at most so many frames a second from now on; `None`: as many as are worth it.
    pub fn set_limit_hz(&self, limit: Option<f64>) {
        self.limit_hz.store(limit.unwrap_or(f64::NAN).to_bits(), Ordering::Relaxed);
    }

    /// The rate to keep to, where there is one.
    #[must_use]
    pub fn limit_hz(&self) -> Option<f64> {
        let limit = f64::from_bits(self.limit_hz.load(Ordering::Relaxed));
        (!limit.is_nan()).then_some(limit)
    }

    /// Has the lighter model infer its frames from now on, where there is one, or the pipeline's own again.
    pub fn set_lighter(&self, lighter: bool) {
        self.lighter.store(lighter, Ordering::Relaxed);
    }

    /// Whether the lighter model is to infer its frames.
    #[must_use]
    pub fn is_lighter(&self) -> bool {
        self.lighter.load(Ordering::Relaxed)
    }

    /// Whether anybody waits for a picture: the next frame is worth a run then, whatever it shows.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// The next frame that is understood, with what was found in it. `None` where too many wait for one already.
    #[must_use]
    pub fn picture(&self) -> Option<oneshot::Receiver<Arc<Shot>>> {
        let (shown, shot) = oneshot::channel();
        let mut waiting = self.waiting();
        waiting.retain(|other| !other.is_closed());
        if waiting.len() >= PICTURES_MAX {
            return None;
        }
        waiting.push(shown);
        self.wanted.store(true, Ordering::Release);
        Some(shot)
    }

    /// A copy of `frame` where somebody waits for one; whoever takes it shows it.
    pub(super) fn wanted(&self, frame: &Frame) -> Option<Frame> {
        if !self.wanted.load(Ordering::Acquire) {
            return None;
        }
        let mut copy = Frame::default();
        copy.copy_from(frame);
        Some(copy)
    }

    /// Shows a frame to everybody who waits for one.
    pub(crate) fn show(&self, frame: Frame, detections: &[Detection]) {
        let shot = Arc::new(Shot { frame, detections: detections.to_vec() });
        let mut waiting = self.waiting();
        self.wanted.store(false, Ordering::Release);
        for shown in waiting.drain(..) {
            // Who waited no longer needs none.
            drop(shown.send(shot.clone()));
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<oneshot::Sender<Arc<Shot>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_the_configured_one_until_another_is_asked_for_and_again_after() {
        let door = Door::default();
        for asked in [None, Some(0.0), Some(0.7), None] {
            door.set_threshold(asked);
            assert_eq!(door.threshold(), asked);
        }
    }

    #[test]
    fn a_frame_is_copied_only_while_somebody_waits_and_everybody_sees_it() {
        let (door, frame) = (Door::default(), Frame { seq: 7, ..Frame::default() });
        assert!(door.wanted(&frame).is_none());
        let mut waiting: Vec<_> = (0..PICTURES_MAX).map(|_| door.picture().unwrap()).collect();
        assert!(door.picture().is_none(), "there is a bound");
        door.show(door.wanted(&frame).unwrap(), &[]);
        for shot in &mut waiting {
            assert_eq!(shot.try_recv().unwrap().frame.seq, 7);
        }
        assert!(door.wanted(&frame).is_none());
        assert!(door.picture().is_some());
    }

    #[test]
    fn a_paused_pipeline_that_is_told_to_stop_does_not_wait_to_be_resumed() {
        let (door, stop) = (Door::default(), Stop::new());
        assert!(door.wait_resumed(&stop));
        door.set_paused(true);
        stop.say();
        assert!(!door.wait_resumed(&stop));
    }
}
