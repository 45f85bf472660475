//! One slot's record, and how it changes: the machine's step together with what the step does to the record. Pure.
//!
//! The record that comes back is written down before its action is done. So the tries are counted *before* the
//! model is loaded, the commit is *in* the write that enters its phase, and a refusal is in the record before
//! anything else is done about it: `tests/update_simulation.rs` takes thousands of unlucky devices through it.

use serde::{Deserialize, Serialize};
use wire::{Phase, Refusal, ReleaseRef};

use super::machine::{Action, Event, Unexpected, step};

/// Loads of a model that may end badly before it is refused. After one, a tenth of the devices with a shaky power
/// supply would refuse a good model; after three, one in a hundred.
pub const TRIES: u32 = 3;

/// Steps of one deployment, the download's not counted, before it is ended whatever it does: Mender's number.
pub const STEPS_MAX: u32 = 28;

/// A release that is or was committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// Which.
    pub release: ReleaseRef,
    /// Nothing below this counter is returned to.
    pub min_counter: u64,
}

/// A release that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offered {
    /// Which.
    pub installed: Installed,
    /// Loads that are left.
    pub tries_left: u32,
    /// Steps so far.
    pub steps: u32,
    /// Whether it was committed.
    pub committed: bool,
    /// Whether the owner of the device brought it: then the fleet's operator does not take it back.
    #[serde(default)]
    pub by_hand: bool,
    /// Where and why it failed.
    pub failed: Option<(Phase, String)>,
}

/// Everything that is known of one slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRecord {
    /// Its name.
    pub slot: String,
    /// What is being done.
    pub phase: Phase,
    /// What is committed; `None`: the configured folder.
    pub good: Option<Installed>,
    /// What was committed before.
    pub previous: Option<Installed>,
    /// Whether there is something to return to: `previous`, or the configured folder where that is `None`.
    pub returnable: bool,
    /// What is under way.
    pub offered: Option<Offered>,
    /// The last release that was refused.
    pub refused: Option<Refusal>,
    /// Highest counter that was ever committed: nothing up to it is taken from the network again.
    pub floor: u64,
    /// Highest `min_counter` that was ever committed.
    pub min_counter: u64,
}

/// What the owner's order to go back comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The one before returns, and what is under way is left for it.
    GoBack,
    /// What is under way is left, and what is installed stays.
    Leave,
}

/// An event, with what is to be known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// A release is to be taken.
    Offered(Installed),
    /// One that the owner brought.
    Brought(Installed),
    /// The release did not do well.
    Failed(String),
    /// The daemon began anew.
    Restarted,
    /// The owner wants the one before.
    Ordered,
    /// One that needs no words.
    Plain(Event),
}

impl SlotRecord {
    /// A slot that never took a release.
    #[must_use]
    pub fn new(slot: &str) -> Self {
        Self {
            slot: slot.to_owned(),
            phase: Phase::Idle,
            good: None,
            previous: None,
            returnable: false,
            offered: None,
            refused: None,
            floor: 0,
            min_counter: 0,
        }
    }

    /// The counter of what would be returned to; `None` where nothing may be.
    #[must_use]
    pub fn way_back(&self) -> Option<u64> {
        let counter = self.previous.as_ref().map_or(0, |previous| previous.release.counter);
        (self.returnable && counter >= self.min_counter).then_some(counter)
    }

    /// Whether what is under way may still be left as if it had never been offered.
    #[must_use]
    pub fn may_be_left(&self) -> bool {
        matches!(self.phase, Phase::Fetching | Phase::Staging | Phase::Rehearsing | Phase::Trialing)
    }

    /// What the owner's order to go back comes to; `to` is the version that is wanted, `None` whatever it is.
    ///
    /// # Errors
    /// There is no such way, in words.
    pub fn order(&self, to: Option<&str>) -> Result<Order, String> {
        let installed = self.good.as_ref().map(|good| good.release.version.as_str());
        match self.back_to(to) {
            Ok(()) => Ok(Order::GoBack),
            Err(_) if self.may_be_left() && (to.is_none() || to == installed) => Ok(Order::Leave),
            Err(why) => Err(why),
        }
    }

    fn back_to(&self, to: Option<&str>) -> Result<(), String> {
        let Some(good) = &self.good else {
            return Err("it runs the configured folder: there is nothing before it".to_owned());
        };
        let before = self.previous.as_ref();
        let version = before.map_or("the configured folder", |before| &before.release.version);
        if !self.returnable {
            return Err("what was before is gone: only one release is kept".to_owned());
        }
        if self.way_back().is_none() {
            return Err(format!(
                "{} does not allow to return to {version}: it is below the signed minimum {}",
                good.release.version, self.min_counter
            ));
        }
        match to {
            Some(to) if to != version => {
                Err(format!("there is no version {to} to go back to; there is {version}"))
            }
            _ => Ok(()),
        }
    }

    /// The record after `happened`, and what is then to be done.
    ///
    /// # Errors
    /// [`Unexpected`] where it cannot happen now.
    pub fn walk(&self, happened: Happened) -> Result<(Self, Action), Unexpected> {
        let mut next = self.clone();
        let event = next.note(happened)?;
        let (phase, action) = step(self.phase, event)?;
        next.phase = phase;
        let speaks = matches!(phase, Phase::Committing | Phase::Probation);
        if phase == Phase::Rehearsing || (speaks && event == Event::Restarted) {
            // Before the model is loaded: a crash, a hang or a power cut counts.
            if let Some(offered) = &mut next.offered {
                offered.tries_left = offered.tries_left.saturating_sub(1);
            }
        }
        match (self.phase, phase) {
            (Phase::Trialing, Phase::Committing) => next.commit(),
            (from, Phase::RollingBack) if from != Phase::RollingBack => next.go_back(),
            (from, Phase::Refusing) if from != Phase::Refusing => next.refuse(),
            (Phase::Idle, Phase::Fetching) => {}
            (_, Phase::Idle) => next.offered = None,
            _ => {}
        }
        Ok((next, action))
    }

    /// What `happened` is to the machine, with its words kept.
    fn note(&mut self, happened: Happened) -> Result<Event, Unexpected> {
        let phase = self.phase;
        let by_hand = matches!(happened, Happened::Brought(_));
        let begun = |installed, tries_left, committed| {
            Some(Offered { installed, tries_left, steps: 0, committed, by_hand, failed: None })
        };
        let event = match happened {
            Happened::Offered(installed) | Happened::Brought(installed) => {
                if phase == Phase::Idle {
                    self.offered = begun(installed, TRIES, false);
                }
                Event::Offered
            }
            Happened::Failed(reason) => {
                self.fail(reason);
                Event::Failed
            }
            Happened::Ordered => {
                if phase == Phase::Idle {
                    let Some(installed) = self.good.clone() else {
                        return Err(Unexpected(phase, Event::Ordered));
                    };
                    self.offered = begun(installed, 0, true);
                }
                self.fail("the owner of the device went back".to_owned());
                Event::Ordered
            }
            Happened::Restarted => {
                let spent = self.offered.as_ref().is_some_and(|offered| offered.tries_left == 0);
                let loaded = matches!(
                    phase,
                    Phase::Rehearsing | Phase::Trialing | Phase::Committing | Phase::Probation
                );
                if loaded && spent {
                    self.fail(format!("the daemon or the device died {TRIES} times with it"));
                    Event::Exhausted
                } else {
                    Event::Restarted
                }
            }
            Happened::Plain(event) => event,
        };
        Ok(self.count(event))
    }

    /// Counts a step, and ends a deployment that goes round in circles.
    fn count(&mut self, event: Event) -> Event {
        let phase = self.phase;
        let counted = matches!(
            phase,
            Phase::Rehearsing | Phase::Trialing | Phase::Committing | Phase::Probation
        );
        let Some(offered) = self.offered.as_mut().filter(|_| counted) else { return event };
        offered.steps += 1;
        if offered.steps <= STEPS_MAX {
            return event;
        }
        self.fail(format!("it did not come to an end within {STEPS_MAX} steps"));
        Event::Failed
    }

    fn fail(&mut self, reason: String) {
        let phase = self.phase;
        if let Some(offered) = &mut self.offered {
            offered.failed.get_or_insert((phase, reason));
        }
    }

    fn commit(&mut self) {
        let Some(offered) = &mut self.offered else { return };
        offered.committed = true;
        let installed = offered.installed.clone();
        self.floor = self.floor.max(installed.release.counter);
        self.min_counter = self.min_counter.max(installed.min_counter);
        self.previous = self.good.replace(installed);
        self.returnable = true;
        self.refused = None;
    }

    fn go_back(&mut self) {
        if !self.offered.as_ref().is_some_and(|offered| offered.committed) {
            return;
        }
        if self.way_back().is_some() {
            self.good = self.previous.take();
            self.returnable = false;
        } else if let Some((_, reason)) =
            self.offered.as_mut().and_then(|offered| offered.failed.as_mut())
        {
            reason.push_str("; it stays nevertheless, since nothing may be returned to");
        }
    }

    fn refuse(&mut self) {
        if let Some(offered) = &self.offered {
            let unknown = || (self.phase, "no reason was given".to_owned());
            let (phase, reason) = offered.failed.clone().unwrap_or_else(unknown);
            let release = offered.installed.release.clone();
            self.refused = Some(Refusal { release, phase, reason });
        }
    }
}

#[cfg(test)]
mod tests;
