//! What is seen of a frame before any model: whether it is worth a run, and whether its camera is well.
//!
//! It stands before the mailbox, on the capture thread, so that what is not worth a run costs the engine nothing.
//! Where nothing asks for it, frames are not looked at.

mod gate;
mod luma;

use std::sync::Arc;
use std::time::Duration;

use self::gate::Gate;
pub use self::gate::GateSettings;
pub use self::luma::{CELLS, Luma};
use self::luma::{Eye, digest};
use super::door::Door;
use super::frame::Frame;
use super::health::{Health, Skipped};
use super::rules::{Rules, Seen};

/// How often the rules about the source look: what they wait for takes seconds, and a JPEG is decoded for it.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How often at most a picture that somebody waits for makes a frame worth a run: who looks must not undo a rate that
/// was set for heat.
const SHOWN_EVERY: Duration = Duration::from_secs(1);

/// Looks at the frames of one pipeline.
#[derive(Debug)]
pub struct Lookout {
    gate: Gate,
    motion: bool,
    duplicates: bool,
    rules: Rules,
    looked: Option<Duration>,
    shown: Option<Duration>,
    eye: Eye,
    began: std::time::Instant,
}

impl Default for Lookout {
    /// Every frame is worth a run, and nobody asks how the camera is.
    fn default() -> Self {
        Self::new(GateSettings::default(), Rules::default())
    }
}

impl Lookout {
    /// Looks at frames as `settings` and the rules about the source say.
    #[must_use]
    pub fn new(settings: GateSettings, rules: Rules) -> Self {
        Self {
            motion: settings.motion.is_some(),
            duplicates: settings.duplicates,
            gate: Gate::new(settings),
            rules,
            looked: None,
            shown: None,
            eye: Eye::default(),
            began: std::time::Instant::now(),
        }
    }

    /// Whether `frame` is worth a run. What is not is counted.
    pub fn admits(&mut self, frame: &Frame, door: &Arc<Door>, health: &Health) -> bool {
        let now = frame.captured.saturating_duration_since(self.began);
        let thinned = self.gate.thins(now, door.limit_hz());
        let due = |looked: Duration| now.saturating_sub(looked) >= LOOK_EVERY;
        let asks = !self.rules.is_empty() && self.looked.is_none_or(due);
        // Whoever waits for a picture gets one.
        let wanted =
            door.is_wanted() && self.shown.is_none_or(|at| now.saturating_sub(at) >= SHOWN_EVERY);
        let passes = wanted || !thinned;
        let duplicates = self.duplicates && passes;
        // All bytes: in the dark the cells of two pictures may be the same, their noise never is.
        let tells_apart = (asks && self.rules.tells_apart()) || duplicates;
        let digest = tells_apart.then(|| digest(&frame.pixels));
        let again = duplicates && self.gate.repeats(digest);
        let luma = if asks || (self.motion && passes && !again) {
            self.eye.look(frame, digest)
        } else {
            None
        };
        if let (true, Some(luma)) = (asks, &luma) {
            self.looked = Some(now);
            self.rules.look(&Seen::source(now, frame, luma));
        }
        if !passes {
            health.skipped(Skipped::Thinned);
            return false;
        }
        let luma = luma.filter(|_| self.motion);
        let why = match (again, &luma) {
            (true, _) => Some(Skipped::Duplicate),
            (false, Some(luma)) => self.gate.still(now, luma),
            (false, None) => None,
        };
        if let Some(why) = why
            && !wanted
            && !health.retries()
        {
            health.skipped(why);
            return false;
        }
        self.gate.inferred(now, luma.as_ref(), digest);
        if wanted {
            self.shown = Some(now);
        }
        health.admitted(frame.seq);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::frame::PixelFormat;

    fn grey(at: Duration, began: std::time::Instant, bright: usize) -> Frame {
        let mut frame = Frame { captured: began + at, ..Frame::default() };
        let pixels = frame.reshape(PixelFormat::Grey, 640, 480).unwrap();
        pixels.fill(16);
        pixels[bright] = 17;
        frame
    }

    #[test]
    fn what_repeats_is_skipped_and_one_level_of_noise_is_another_picture() {
        let settings = GateSettings { duplicates: true, ..GateSettings::default() };
        let mut lookout = Lookout::new(settings, Rules::default());
        let (door, health) = (Arc::<Door>::default(), Health::default());
        let mut admitted = Vec::new();
        for (frame, bright) in [7, 7, 8, 8, 7].into_iter().enumerate() {
            let at = Duration::from_millis(100 * u64::try_from(frame).unwrap());
            admitted.push(lookout.admits(&grey(at, lookout.began, bright), &door, &health));
            // Nobody infers: that nothing new is seen does not make up for it.
            assert_eq!(health.looked_ago(), None);
        }
        assert_eq!(admitted, [true, false, true, false, true]);
        health.inferred(0, Duration::ZERO, 0);
        assert!(!lookout.admits(&grey(Duration::from_secs(1), lookout.began, 7), &door, &health));
        assert!(health.looked_ago().is_some());
        assert_eq!(health.counts().skipped, 3);
    }

    #[test]
    fn who_looks_does_not_undo_a_rate() {
        let settings = GateSettings { max_hz: Some(0.01), ..GateSettings::default() };
        let mut lookout = Lookout::new(settings, Rules::default());
        let (door, health) = (Arc::<Door>::default(), Health::default());
        let _waits = door.picture().unwrap();
        let admitted = (0..100_u64).filter(|frame| {
            let at = Duration::from_millis(100 * frame);
            lookout.admits(&grey(at, lookout.began, 0), &door, &health)
        });
        // Ten seconds: one of its own rate, and one a second because somebody waits.
        assert!((10..=11).contains(&admitted.count()));
    }
}
