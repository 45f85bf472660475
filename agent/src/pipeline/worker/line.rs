//! The line of jobs between two threads: all its memory from the start, and an end that both can see.
//!
//! A channel of the standard library allocates a thread's place to wait when it first waits, at whatever frame
//! that happens. Here a thread waits on a futex, and what is handed over lies in a ring that is as long as
//! there are jobs: `tests/allocations.rs` counts none.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::lock;

/// Hands things over in order, at most so many at a time.
#[derive(Debug)]
pub(super) struct Line<T> {
    state: Mutex<State<T>>,
    /// Rung when something was put in or taken out, or the line ended, while somebody waited for that.
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<T>,
    places: usize,
    /// Threads that wait, so that nobody rings for none: that would be a system call.
    sleepers: usize,
    ended: bool,
}

impl<T> Line<T> {
    /// A line of `places` places.
    pub(super) fn new(places: usize) -> Self {
        let waiting = VecDeque::with_capacity(places);
        let state = State { waiting, places, sleepers: 0, ended: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Puts `thing` at the end, where there is a place; gives it back where the line has ended.
    pub(super) fn put(&self, thing: T) -> Result<(), T> {
        let mut state = lock(&self.state);
        while !state.ended && state.waiting.len() >= state.places {
            state = self.sleep(state);
        }
        if state.ended {
            return Err(thing);
        }
        state.waiting.push_back(thing);
        let wake = state.sleepers > 0;
        drop(state);
        if wake {
            self.changed.notify_all();
        }
        Ok(())
    }

    /// Takes the first, waiting for one; `None` once the line has ended and is empty.
    pub(super) fn take(&self) -> Option<T> {
        let mut state = lock(&self.state);
        loop {
            if let Some(thing) = state.waiting.pop_front() {
                // Only who found no place may sleep now.
                let wake = state.sleepers > 0;
                drop(state);
                if wake {
                    self.changed.notify_all();
                }
                return Some(thing);
            }
            if state.ended {
                return None;
            }
            state = self.sleep(state);
        }
    }

    fn sleep<'a>(&self, mut state: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
        state.sleepers += 1;
        state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        state.sleepers -= 1;
        state
    }

    /// Whether nothing is put in any more.
    pub(super) fn has_ended(&self) -> bool {
        lock(&self.state).ended
    }

    /// Nothing is put in from now on; what waits is still taken.
    pub(super) fn end(&self) {
        lock(&self.state).ended = true;
        self.changed.notify_all();
    }
}

/// Ends lines when the thread that holds it does, by whatever way.
#[derive(Debug)]
pub(super) struct Ends<'a, T, const N: usize>(pub(super) [&'a Line<T>; N]);

impl<T, const N: usize> Drop for Ends<'_, T, N> {
    fn drop(&mut self) {
        self.0.iter().for_each(|line| line.end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_comes_out_in_order_and_the_end_after_it() {
        let line = Line::new(2);
        let seen = std::thread::scope(|scope| {
            scope.spawn(|| {
                let _end = Ends([&line]);
                (0..1000).for_each(|number| line.put(number).unwrap());
            });
            let mut seen = Vec::new();
            while let Some(number) = line.take() {
                seen.push(number);
            }
            seen
        });
        assert_eq!(seen, (0..1000).collect::<Vec<_>>());
        assert_eq!(line.put(7), Err(7));
    }

    #[test]
    fn who_waits_sees_the_end_though_the_other_panicked() {
        let (full, empty) = (Line::new(1), Line::<u8>::new(1));
        full.put(1).unwrap();
        let panicked = std::thread::scope(|scope| {
            let puts = scope.spawn(|| full.put(2));
            let takes = scope.spawn(|| empty.take());
            let ended = scope.spawn(|| {
                let _ends = Ends([&full, &empty]);
                panic!("a thread's own end");
            });
            assert_eq!((puts.join().unwrap(), takes.join().unwrap()), (Err(2), None));
            ended.join().is_err()
        });
        assert!(panicked);
        assert_eq!((full.take(), full.take()), (Some(1), None));
    }
}
