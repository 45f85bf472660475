//! A thread of an engine's own, for runs that are replayed as CUDA graphs.
//!
//! The library keeps graphs by thread: to any thread but the one that recorded a graph it is not there, and is
//! recorded anew at that thread's next runs, in the midst of others (seen with ONNX Runtime 1.31: frames were lost
//! after a swap, since a model is opened on another thread than its frames run on). So one thread records and runs.
#![expect(
    unsafe_code,
    reason = "a borrowed closure is lent to another thread, which is waited for"
)]

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::failure::Failure;

/// What a caller wants done.
type Work<'a> = dyn FnMut() -> Result<(), Failure> + Send + 'a;

/// Work that its caller keeps alive while it waits.
struct Lent(*mut Work<'static>);

// SAFETY: the work may be done on another thread; its caller waits meanwhile.
unsafe impl Send for Lent {}

#[derive(Default)]
enum Slot {
    #[default]
    Free,
    Asked(Lent),
    /// Being done.
    Taken,
    Done(Result<(), Failure>),
    Closed,
}

#[derive(Default)]
struct Desk {
    slot: Mutex<Slot>,
    changed: Condvar,
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, slot: MutexGuard<'a, Slot>) -> MutexGuard<'a, Slot> {
        self.changed.wait(slot).unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, mut slot: MutexGuard<'_, Slot>, next: Slot) {
        *slot = next;
        drop(slot);
        self.changed.notify_all();
    }
}

/// The thread. Ends when dropped.
pub(super) struct Replayer {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Replayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replayer").finish_non_exhaustive()
    }
}

impl Replayer {
    pub(super) fn start() -> Result<Self, Failure> {
        let desk = Arc::<Desk>::default();
        let theirs = desk.clone();
        let thread = std::thread::Builder::new().name("replay".to_owned());
        let thread = thread.spawn(move || serve(&theirs));
        let thread =
            thread.map_err(|error| Failure::new(format!("cannot start a thread: {error}")))?;
        Ok(Self { desk, thread: Some(thread) })
    }

    /// Has `work` done on the thread, after whatever others asked for. Allocates nothing.
    pub(super) fn run(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        let work: *mut Work<'_> = work;
        // SAFETY: only the lifetime changes. This returns when the work was done, and nothing has it after.
        let lent = Lent(unsafe { std::mem::transmute::<*mut Work<'_>, *mut Work<'static>>(work) });
        let mut slot = self.desk.lock();
        while !matches!(*slot, Slot::Free) {
            slot = self.desk.wait(slot);
        }
        self.desk.put(slot, Slot::Asked(lent));
        slot = self.desk.lock();
        // Nobody else asks before this one has its answer.
        while !matches!(*slot, Slot::Done(_)) {
            slot = self.desk.wait(slot);
        }
        let done = std::mem::replace(&mut *slot, Slot::Free);
        drop(slot);
        self.desk.changed.notify_all();
        match done {
            Slot::Done(result) => result,
            _ => Err(Failure::new("the replaying thread answered nothing")),
        }
    }
}

impl Drop for Replayer {
    fn drop(&mut self) {
        // Whoever waits for it borrows this: there is nobody.
        self.desk.put(self.desk.lock(), Slot::Closed);
        if let Some(thread) = self.thread.take() {
            // It catches what panics in it.
            drop(thread.join());
        }
    }
}

fn serve(desk: &Desk) {
    let mut slot = desk.lock();
    loop {
        match std::mem::replace(&mut *slot, Slot::Taken) {
            Slot::Asked(lent) => {
                drop(slot);
                // SAFETY: its caller keeps it alive and untouched until there is an answer.
                let work = unsafe { &mut *lent.0 };
                let done = catch_unwind(AssertUnwindSafe(work));
                let done = done.unwrap_or_else(|_| Err(Failure::new("a replayed run panicked")));
                desk.put(desk.lock(), Slot::Done(done));
                slot = desk.lock();
            }
            Slot::Closed => return,
            other => {
                *slot = other;
                slot = desk.wait(slot);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_done_on_one_thread_and_answered_to_who_asked() {
        let replayer = Replayer::start().unwrap();
        let by = Mutex::new(std::collections::HashSet::new());
        std::thread::scope(|scope| {
            for caller in 0..4 {
                let (replayer, by) = (&replayer, &by);
                scope.spawn(move || {
                    for turn in 0..200 {
                        let mut seen = 0;
                        let answer = replayer.run(&mut || {
                            seen = turn + 1;
                            by.lock().unwrap().insert(std::thread::current().id());
                            Err(Failure::new(format!("{caller} {turn}")))
                        });
                        assert_eq!(answer.unwrap_err().message(), format!("{caller} {turn}"));
                        assert_eq!(seen, turn + 1);
                    }
                });
            }
        });
        let by = by.into_inner().unwrap();
        assert!(by.len() == 1 && !by.contains(&std::thread::current().id()));
    }

    #[test]
    fn a_panic_is_a_failure_and_the_next_run_is_done() {
        let replayer = Replayer::start().unwrap();
        let mut work = || panic!("on purpose");
        assert!(replayer.run(&mut work).unwrap_err().message().contains("panicked"));
        assert!(replayer.run(&mut || Ok(())).is_ok());
    }
}
