//! How a worker comes by its session, and what it does while it has none.

use std::time::Duration;

use crossbeam_channel::{after, select};

use crate::hsm::token::TokenError;

use super::inbox::{Next, Queue, Receivers};
use super::{Job, Worker};

/// First pause between attempts to open a session; each one is twice the last.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// How long to wait for another job to refuse; then it is waited for again.
const A_WHILE: Duration = Duration::from_secs(60);
/// Longest pause between attempts.
const PAUSE_MAX: Duration = Duration::from_secs(5);

impl Worker {
    /// Has a session in the end, however long it takes; `false` if the daemon stops before.
    pub(super) fn has_session(&mut self) -> bool {
        while self.session.is_none() || self.token.condemned() {
            if self.token.condemned() {
                self.close();
                // For good: only a restart after a person has acted changes that.
                self.refuse_all();
                return false;
            }
            if !self.pause.is_zero() && !self.wait() {
                return false;
            }
            if self.session.is_none() {
                self.pause = (self.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
                self.try_to_open();
            }
        }
        true
    }

    /// Opens a session; starts the module over before, if no session of it is open. Of several
    /// workers that find it so one does, the others come back later.
    fn try_to_open(&mut self) {
        let token = self.token.clone();
        let opened = if token.any_open() {
            self.open()
        } else if let Some(_turn) = token.take_turn() {
            // Another one may have had its turn just before.
            if token.any_open() { self.open() } else { self.start_over() }
        } else {
            return;
        };
        if let Err(refused) = opened {
            self.token.note(&refused);
        }
    }

    fn start_over(&mut self) -> Result<(), TokenError> {
        let call = self.token.begin_call(self.seat);
        self.module.reinitialise()?;
        drop(call);
        self.open()
    }

    /// Opens a session and compares its keys with the pinned ones: a handle can name another key
    /// after a reconnect.
    pub(super) fn open(&mut self) -> Result<(), TokenError> {
        let token = self.token.clone();
        let _call = token.begin_call(self.seat);
        let mut session = self.module.open()?;
        for (key, pinned) in &token.keys {
            let found = session.public_key(key)?;
            if found != pinned.public {
                return Err(TokenError::PinnedKeyMismatch {
                    key: key.clone(),
                    expected: pinned.public.kid().clone(),
                    found: found.kid().clone(),
                });
            }
        }
        self.session = Some(session);
        token.set_open(self.seat, true);
        Ok(())
    }

    /// Waits for the pause to pass. While no session of the token works, jobs are answered at
    /// once: their payments stay in doubt and are taken up again later.
    fn wait(&mut self) -> bool {
        let over = after(self.pause);
        loop {
            // Jobs are for the workers that have sessions, if there are any.
            let Receivers { audit, payments, notifications } =
                self.inbox.unless(self.token.usable());
            let (queue, job) = select! {
                recv(over) -> _ => return true,
                recv(self.closing) -> _ => {
                    if !self.token.usable() {
                        self.refuse_all();
                    }
                    return false;
                }
                recv(audit) -> job => (Queue::Audit, job),
                recv(payments) -> job => (Queue::Payments, job),
                recv(notifications) -> job => (Queue::Notifications, job),
            };
            match job {
                Err(_) if !self.inbox.close(queue) => return false,
                Err(_) => {}
                Ok(job) if self.token.usable() => {
                    self.join_in(job);
                    return true;
                }
                Ok(job) => self.refuse(job),
            }
        }
    }

    /// Another session has come back meanwhile, so this one may too.
    fn join_in(&mut self, job: Job) {
        match self.open() {
            Ok(()) => self.serve(job),
            Err(refused) => {
                self.token.note(&refused);
                self.refuse(job);
            }
        }
    }

    /// Refuses every job until the queues are closed.
    fn refuse_all(&mut self) {
        loop {
            match self.inbox.next(A_WHILE) {
                Next::Job(job) => self.refuse(job),
                Next::Nothing => {}
                Next::Closed => return,
            }
        }
    }
}
