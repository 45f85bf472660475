//! What is seen of a frame before any model: whether it is worth a run, and whether its camera is well.
//!
//! It stands before the mailbox, on the capture thread, so that what is not worth a run costs the engine nothing.
//! Where nothing asks for it, frames are not looked at.

mod gate;
mod luma;

use std::sync::Arc;
use std::time::Duration;

pub use self::gate::{Gate, GateSettings};
pub use self::luma::{CELLS, Eye, Luma, digest};
use super::door::Door;
use super::frame::Frame;
use super::health::Health;
use super::rules::{Rules, Seen};

/// How often the rules about the source look: what they wait for takes seconds, and a JPEG is decoded for it.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Looks at the frames of one pipeline.
#[derive(Debug)]
pub struct Lookout {
    gate: Gate,
    looks: bool,
    whole: bool,
    rules: Rules,
    looked: Option<Duration>,
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
            looks: settings.looks(),
            whole: settings.duplicates,
            gate: Gate::new(settings),
            rules,
            looked: None,
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
        // Whoever waits for a picture gets the next one.
        let passes = door.is_wanted() || !thinned;
        let luma =
            if asks || (self.looks && passes) { self.eye.look(frame, self.whole) } else { None };
        if let (true, Some(luma)) = (asks, &luma) {
            self.looked = Some(now);
            self.rules.look(&Seen::source(now, frame, luma));
        }
        if !passes {
            health.skipped(super::health::Skipped::Thinned);
            return false;
        }
        let Some(luma) = luma.filter(|_| self.looks) else { return true };
        if let Some(why) = self.gate.skips(now, &luma)
            && !door.is_wanted()
        {
            health.skipped(why);
            return false;
        }
        self.gate.inferred(now, &luma);
        true
    }
}
