//! What the service manager is told: ready, what is done just now, and "alive" only while both paths are.
//!
//! A process that runs is not a daemon that works. "Alive" is said only while every frame that waits for an engine
//! was taken in time, and the runtime of the update path did a job of each sort (a task, a blocking one) in time.
//! Otherwise nothing is said, and systemd ends the process and starts it again: the one cure that is left.
//!
//! **Invariant:** a daemon whose engine is stuck does not say that it is alive
//! (`tests/tests/service.rs`, `an_engine_that_is_stuck_ends_the_signs_of_life`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use crate::pipeline::latest::Desk;
use crate::stop::Stop;
use crate::supervisor::{Failure, Supervisor};

/// Signs of life in one period of the watchdog: one that is late does not end the process.
const SIGNS_A_PERIOD: u32 = 3;
/// How often the status is told where no watchdog sets the pace.
const PERIOD_DEFAULT: Duration = Duration::from_secs(30);
/// Longest status line, in characters: what `systemctl status` shows in one line.
const STATUS_MAX: usize = 200;

/// How often more time is asked for while an engine is opened or built, and how much.
const EXTEND_EVERY: Duration = Duration::from_secs(10);
/// Longest time that is asked for in all: the slowest engine that was heard of took ten minutes to build.
const OPENING_MAX: Duration = Duration::from_secs(3600);

/// Asks the service manager for more time, for as long as it lives: an engine may take minutes to build.
#[derive(Debug)]
pub struct Opening(Stop);

impl Opening {
    /// Begins to ask; says that `what` is being done.
    #[must_use]
    pub fn begin(what: &str) -> Self {
        status(what);
        let stop = Stop::new();
        let (heard, mut asked) = (stop.clone(), Duration::ZERO);
        let extend = u32::try_from((EXTEND_EVERY * 3).as_micros()).unwrap_or(u32::MAX);
        let ask = move || {
            while asked < OPENING_MAX {
                tell(&[NotifyState::ExtendTimeoutUsec(extend)]);
                if heard.wait(EXTEND_EVERY) {
                    return;
                }
                asked += EXTEND_EVERY;
            }
        };
        // Without the thread the manager's own limit holds, as it would without us.
        drop(std::thread::Builder::new().name("opening".to_owned()).spawn(ask));
        Self(stop)
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.say();
    }
}

/// Says what is being done, for `systemctl status`; nothing where no service manager listens.
pub fn status(text: &str) {
    let text: String = text.chars().take(STATUS_MAX).collect();
    tell(&[NotifyState::Status(&text)]);
}

/// What can fail for good was opened: dependants may start.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The daemon drains and ends.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// A service manager that does not listen is none: nobody else wants to know.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager was not told");
    }
}

/// Starts what gives the signs of life; `line` makes the status line.
pub fn start<L>(supervisor: &Supervisor, desks: Vec<Arc<Desk>>, line: L)
where
    L: Fn() -> String + Clone + Send + 'static,
{
    let stop = supervisor.stop().clone();
    supervisor.run("watchdog", move || live(desks.clone(), stop.clone(), line.clone()));
}

async fn live(
    desks: Vec<Arc<Desk>>,
    stop: Stop,
    line: impl Fn() -> String + Send + 'static,
) -> Result<(), Failure> {
    let watched = sd_notify::watchdog_enabled();
    let period = watched.unwrap_or(PERIOD_DEFAULT);
    let mut tick = tokio::time::interval(period / SIGNS_A_PERIOD);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut complained = false;
    loop {
        tokio::select! {
            () = stop.heard() => return Ok(()),
            _ = tick.tick() => {}
        }
        let now = Instant::now();
        let waits: Vec<Duration> = desks.iter().map(|desk| desk.waits(now)).collect();
        let verdict = judge(&waits, takes_jobs(period).await, period);
        match &verdict {
            Ok(()) if watched.is_some() => {
                tell(&[NotifyState::Watchdog, NotifyState::Status(&line())]);
            }
            Ok(()) => status(&line()),
            Err(why) => status(why),
        }
        // Once, not at every tick: the next line is systemd's.
        if let Err(why) = &verdict
            && !complained
        {
            tracing::error!(why, "no sign of life is given until this ends");
        }
        complained = verdict.is_err();
    }
}

/// Whether the runtime, which runs this task, does a blocking job within its share of `limit`.
async fn takes_jobs(limit: Duration) -> bool {
    let job = tokio::task::spawn_blocking(|| ());
    tokio::time::timeout(limit / SIGNS_A_PERIOD, job).await.is_ok()
}

/// Whether both paths made progress: how long frames wait for each engine, and whether the runtime takes jobs.
///
/// # Errors
/// Which path did not, in words.
fn judge(waits: &[Duration], takes_jobs: bool, limit: Duration) -> Result<(), String> {
    let longest = waits.iter().max().copied().unwrap_or_default();
    if longest >= limit {
        return Err(format!(
            "an engine is stuck: a frame waits for it since {} s",
            longest.as_secs()
        ));
    }
    if takes_jobs {
        Ok(())
    } else {
        Err("the update path is stuck: its runtime takes no more jobs".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn life_is_said_only_while_both_paths_make_progress() {
        let s = Duration::from_secs;
        for (waits, takes_jobs, alive) in [
            (vec![], true, true),
            (vec![s(0), s(29)], true, true),
            (vec![s(0), s(30)], true, false),
            (vec![s(0)], false, false),
        ] {
            let judged = judge(&waits, takes_jobs, s(30));
            assert_eq!(judged.is_ok(), alive, "{waits:?} {takes_jobs}: {judged:?}");
        }
    }
}
