//! What the writer tells of itself while it works.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::domain::credit::Mark;

/// Whether the writer can write, for readiness; and how much it has written.
pub(super) struct Health {
    trouble: Mutex<Option<String>>,
    mark: Mutex<Mark>,
    log_size: watch::Sender<u64>,
    batches: AtomicU64,
    commands: AtomicU64,
}

impl Health {
    pub(super) fn new(mark: Mark, log_size: u64) -> Self {
        Self {
            trouble: Mutex::new(None),
            mark: Mutex::new(mark),
            log_size: watch::Sender::new(log_size),
            batches: AtomicU64::new(0),
            commands: AtomicU64::new(0),
        }
    }

    pub(super) fn mark(&self) -> Mark {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn log_size(&self) -> u64 {
        *self.log_size.borrow()
    }

    pub(super) fn growth(&self) -> watch::Receiver<u64> {
        self.log_size.subscribe()
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn work_done(&self) -> (u64, u64) {
        (self.batches.load(Ordering::Relaxed), self.commands.load(Ordering::Relaxed))
    }

    /// A batch of so many commands is durable.
    pub(super) fn committed(&self, mark: Mark, log_size: u64, commands: usize) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.commands.fetch_add(u64::try_from(commands).unwrap_or(u64::MAX), Ordering::Relaxed);
        *self.mark.lock().unwrap_or_else(PoisonError::into_inner) = mark;
        self.log_size.send_replace(log_size);
    }

    pub(super) fn set(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}
