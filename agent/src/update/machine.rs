//! The machine of one slot: which phase follows which, and what is to be done in it. Pure.
//!
//! `machine.txt` beside this file is the whole table; a test holds every pair of phase and event to it, and what
//! is not in it must be refused. The worker writes the new phase down *before* it does the action, so that
//! after a power cut the journal is never behind what was begun; every action may be done twice.

use wire::Phase;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// A release is to be taken.
    Offered,
    /// All of its files are here, verified.
    Fetched,
    /// Its folder stands.
    Staged,
    /// It ran its golden samples well.
    Rehearsed,
    /// It ran well on live frames.
    Passed,
    /// It speaks.
    Committed,
    /// It went on well.
    Survived,
    /// It did not do well.
    Failed,
    /// The daemon began anew, with tries left.
    Restarted,
    /// The daemon began anew, and this was the last try.
    Exhausted,
    /// The operator of the fleet took it back, or the owner of the device does not want it.
    Halted,
    /// The owner of the device wants the one before.
    Ordered,
    /// The one before speaks.
    RolledBack,
    /// It is written down as refused.
    Refused,
    /// Nothing is left of it.
    Withdrawn,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Fetch and verify its files.
    Fetch,
    /// Put its folder together.
    Stage,
    /// Run its golden samples in a process of their own.
    Rehearse,
    /// Run it on live frames, unheard.
    Try,
    /// Let it speak.
    Commit,
    /// Watch it.
    Watch,
    /// Let the one before speak.
    RollBack,
    /// Write it down as refused.
    Refuse,
    /// Leave it.
    Withdraw,
    /// Clean up, and wait for the next.
    Rest,
}

/// An event that cannot happen in this phase: a bug in whoever says that it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{1:?} cannot happen while {0:?}")]
pub struct Unexpected(pub Phase, pub Event);

/// What follows `phase` when `event` happens, and what is then to be done.
///
/// # Errors
/// [`Unexpected`] where it cannot happen.
pub fn step(phase: Phase, event: Event) -> Result<(Phase, Action), Unexpected> {
    use Event as E;
    use Phase as P;
    Ok(match (phase, event) {
        (P::Idle, E::Offered) => (P::Fetching, Action::Fetch),
        (P::Fetching, E::Fetched) => (P::Staging, Action::Stage),
        (P::Staging, E::Staged) => (P::Rehearsing, Action::Rehearse),
        (P::Rehearsing, E::Rehearsed) => (P::Trialing, Action::Try),
        (P::Trialing, E::Passed) => (P::Committing, Action::Commit),
        (P::Committing, E::Committed) => (P::Probation, Action::Watch),
        (P::Probation, E::Survived) => (P::Idle, Action::Rest),

        (P::Fetching | P::Staging | P::Rehearsing, E::Failed) => (P::Refusing, Action::Refuse),
        (P::Trialing | P::Committing | P::Probation, E::Failed) => {
            (P::RollingBack, Action::RollBack)
        }
        (P::RollingBack, E::RolledBack) => (P::Refusing, Action::Refuse),
        (P::Refusing, E::Refused) => (P::Idle, Action::Rest),

        (P::Fetching | P::Staging | P::Rehearsing | P::Trialing, E::Halted) => {
            (P::Withdrawing, Action::Withdraw)
        }
        (P::Withdrawing, E::Withdrawn) => (P::Idle, Action::Rest),
        (P::Idle | P::Probation, E::Ordered) => (P::RollingBack, Action::RollBack),

        (P::Idle, E::Restarted) => (P::Idle, Action::Rest),
        (P::Fetching, E::Restarted) => (P::Fetching, Action::Fetch),
        (P::Staging, E::Restarted) => (P::Staging, Action::Stage),
        (P::Rehearsing | P::Trialing, E::Restarted) => (P::Rehearsing, Action::Rehearse),
        (P::Committing, E::Restarted) => (P::Committing, Action::Commit),
        (P::Probation, E::Restarted) => (P::Probation, Action::Watch),
        (P::RollingBack, E::Restarted) => (P::RollingBack, Action::RollBack),
        (P::Refusing, E::Restarted) => (P::Refusing, Action::Refuse),
        (P::Withdrawing, E::Restarted) => (P::Withdrawing, Action::Withdraw),
        (P::Rehearsing | P::Trialing | P::Committing | P::Probation, E::Exhausted) => {
            (P::RollingBack, Action::RollBack)
        }
        (phase, event) => return Err(Unexpected(phase, event)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = include_str!("machine.txt");
    const PHASES: [Phase; 10] = [
        Phase::Idle,
        Phase::Fetching,
        Phase::Staging,
        Phase::Rehearsing,
        Phase::Trialing,
        Phase::Committing,
        Phase::Probation,
        Phase::RollingBack,
        Phase::Refusing,
        Phase::Withdrawing,
    ];
    const EVENTS: [Event; 15] = [
        Event::Offered,
        Event::Fetched,
        Event::Staged,
        Event::Rehearsed,
        Event::Passed,
        Event::Committed,
        Event::Survived,
        Event::Failed,
        Event::Restarted,
        Event::Exhausted,
        Event::Halted,
        Event::Ordered,
        Event::RolledBack,
        Event::Refused,
        Event::Withdrawn,
    ];

    #[test]
    fn every_pair_of_phase_and_event_is_as_the_table_says() {
        let rows: Vec<Vec<&str>> = TABLE
            .lines()
            .filter(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty())
            .map(|line| line.split_whitespace().collect())
            .collect();
        let mut used = 0;
        for phase in PHASES {
            for event in EVENTS {
                let row = rows
                    .iter()
                    .find(|row| row[..2] == [format!("{phase:?}"), format!("{event:?}")]);
                let wanted = row.map(|row| (row[2].to_owned(), row[3].to_owned()));
                let found =
                    step(phase, event).ok().map(|(p, a)| (format!("{p:?}"), format!("{a:?}")));
                assert_eq!(found, wanted, "{phase:?} {event:?}");
                used += usize::from(row.is_some());
            }
        }
        assert_eq!(
            used,
            rows.len(),
            "a row that names no phase or event, or one that is there twice"
        );
    }
}
