//! A second thread that helps with short pieces of work on borrowed data.
//!
//! A run on the processor keeps several cores busy; what is done between two runs has one, while the others idle.
//! Spawning a thread for each piece would cost more than it saves, and allocate. This one sleeps on a futex and
//! joins in when it wakes; where it wakes too late, the first thread has done all of it alone and waited for
//! nobody.
//!
//! **Invariant:** no borrowed data is used after [`Second::share`] has returned or panicked. It holds because the
//! second thread takes the work and says that it is busy under the same lock under which the first one takes it
//! back, and because the first one then waits until it is not (`nobody_works_after_it_was_shared`).

#![expect(unsafe_code, reason = "work that borrows goes to a thread that lives longer")]

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// A thread that helps. Ends when dropped.
pub struct Second {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    offered: Option<Work>,
    busy: bool,
    panicked: bool,
    ended: bool,
}

/// Borrowed work whose lifetime [`Second::share`] stands for.
#[derive(Clone, Copy)]
struct Work(*const (dyn Fn() + Sync));

// SAFETY: what it points to may be called from any thread (`Sync`), and lives as long as it is offered or busy.
unsafe impl Send for Work {}

impl fmt::Debug for Second {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Second").finish_non_exhaustive()
    }
}

impl Second {
    /// Starts one.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn start(name: &str) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let its = shared.clone();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || its.help())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Calls `work` here and, if it wakes in time, once on the second thread too: `work` must end where nothing is
    /// left to do. Returns when every call has. Allocates nothing.
    ///
    /// # Panics
    /// Where a call panics, on either thread.
    #[expect(clippy::panic, reason = "a panic there is a panic here")]
    pub fn share(&mut self, work: &(dyn Fn() + Sync)) {
        let work_there: *const (dyn Fn() + Sync + '_) = work;
        // SAFETY: only the lifetime changes; `Back` ends the use of it before this function's borrow ends.
        let work_there = unsafe {
            std::mem::transmute::<*const (dyn Fn() + Sync + '_), *const (dyn Fn() + Sync)>(
                work_there,
            )
        };
        self.shared.lock().offered = Some(Work(work_there));
        self.shared.changed.notify_all();
        let back = Back(&self.shared);
        work();
        drop(back);
        if std::mem::take(&mut self.shared.lock().panicked) {
            panic!("the second thread panicked");
        }
    }
}

/// Takes the work back, by whatever way the first thread is done with it.
struct Back<'a>(&'a Shared);

impl Drop for Back<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.offered = None;
        while state.busy {
            state = self.0.wait(state);
        }
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // It catches every panic.
            drop(thread.join());
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// The second thread.
    fn help(&self) {
        let mut state = self.lock();
        loop {
            if state.ended {
                return;
            }
            let Some(Work(work)) = state.offered.take() else {
                state = self.wait(state);
                continue;
            };
            state.busy = true;
            drop(state);
            // SAFETY: it was offered, and `busy` was set under the lock: `share` has not returned, nor does it
            // before `busy` is unset.
            let helped = catch_unwind(AssertUnwindSafe(|| unsafe { (*work)() }));
            state = self.lock();
            state.panicked |= helped.is_err();
            state.busy = false;
            self.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn nobody_works_after_it_was_shared() {
        let mut second = Second::start("second").unwrap();
        let mut helped = 0;
        for round in 0..2000 {
            let (left, callers) = (AtomicUsize::new(40), AtomicUsize::new(0));
            let mut done: Vec<Mutex<u8>> = Vec::new();
            done.resize_with(40, Mutex::default);
            second.share(&|| {
                callers.fetch_add(1, Ordering::SeqCst);
                while let Ok(before) =
                    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                        left.checked_sub(1)
                    })
                {
                    *done[before - 1].lock().unwrap() += 1;
                    if round % 4 == 0 {
                        std::thread::yield_now();
                    }
                }
            });
            assert!(done.into_iter().all(|done| done.into_inner().unwrap() == 1), "{round}");
            helped += callers.into_inner() - 1;
        }
        assert!(helped > 0, "it never woke in time");
    }

    #[test]
    fn a_panic_on_either_thread_is_one_here_and_the_next_work_is_done() {
        let mut second = Second::start("second").unwrap();
        let first = std::thread::current().id();
        for there in [true, false] {
            let joined = AtomicUsize::new(0);
            let work = || {
                let here = std::thread::current().id() == first;
                joined.fetch_add(1, Ordering::SeqCst);
                // Both are in it before one leaves it.
                while joined.load(Ordering::SeqCst) < 2 {
                    std::thread::yield_now();
                }
                assert!(here == there, "this one panics");
            };
            assert!(catch_unwind(AssertUnwindSafe(|| second.share(&work))).is_err());
            let done = AtomicUsize::new(0);
            second.share(&|| {
                done.fetch_add(1, Ordering::SeqCst);
            });
            assert!(done.into_inner() > 0);
        }
    }
}
