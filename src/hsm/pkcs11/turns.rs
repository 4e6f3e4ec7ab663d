//! One call at a time, on tokens that do not bear two, in the order in which they were wanted.
//!
//! Not a mutex: that goes to whoever asks at the right moment, and a worker that has just made one
//! signature and wants the next is there before anybody who sleeps.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Shared by everybody who calls into one token.
#[derive(Clone)]
pub(super) struct Turns(Option<Arc<Line>>);

#[derive(Default)]
struct Line {
    numbers: Mutex<Numbers>,
    moved: Condvar,
}

/// Numbers as they are drawn at a counter.
#[derive(Default)]
struct Numbers {
    drawn: u64,
    served: u64,
}

impl Turns {
    /// Turns that are taken, or none.
    pub(super) fn new(are_taken: bool) -> Self {
        Self(are_taken.then(Arc::default))
    }

    /// Waits for everybody who came before; the turn ends when what is returned is dropped.
    pub(super) fn take(&self) -> Option<Turn<'_>> {
        let line = self.0.as_deref()?;
        let mut numbers = line.lock();
        let ours = numbers.drawn;
        numbers.drawn = ours.wrapping_add(1);
        while numbers.served != ours {
            numbers = line.moved.wait(numbers).unwrap_or_else(PoisonError::into_inner);
        }
        Some(Turn(line))
    }
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, Numbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to call into the token.
pub(super) struct Turn<'a>(&'a Line);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut numbers = self.0.lock();
        numbers.served = numbers.served.wrapping_add(1);
        drop(numbers);
        self.0.moved.notify_all();
    }
}
