//! The writer: gathers commands, decides them in order, commits, answers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::domain::counter::Miscount;
use crate::domain::ledger::{
    PaymentRecord, Posting, Reservation, Resumption, State, WorkingSet, post, reserve, resume, void,
};
use crate::domain::policy::Policy;
use crate::domain::time::Timestamp;

use super::outcomes::Outcomes;
use super::sqlite::{Names, Store, StoreError};
use super::{Command, LedgerFailure, Reply};

/// Most commands in one commit.
const BATCH_MAX: usize = 256;
/// How far the clock may fall behind the newest record without stopping, in milliseconds.
const STEP_BACK_MS_MAX: i64 = 2_000;
/// Pause before a broken store is opened again.
const REOPEN_PAUSE: Duration = Duration::from_millis(250);

/// Whether the writer can write, for readiness; and how much it has written.
#[derive(Default)]
pub(super) struct Health {
    trouble: Mutex<Option<String>>,
    batches: AtomicU64,
    commands: AtomicU64,
}

impl Health {
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn work_done(&self) -> (u64, u64) {
        (self.batches.load(Ordering::Relaxed), self.commands.load(Ordering::Relaxed))
    }

    fn set(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

pub(super) struct Writer {
    store: Store,
    policy: Arc<Policy>,
    clock: Clock,
    commands: mpsc::Receiver<Command>,
    outcomes: Arc<Outcomes>,
    health: Arc<Health>,
}

/// What was decided, kept back until the commit.
enum Decided {
    Reserve(Reply<Reservation>, Reservation),
    Post(Reply<Posting>, Posting),
    Resume(Reply<Resumption>, Resumption),
    Void(Reply<Option<Box<PaymentRecord>>>, Option<Box<PaymentRecord>>),
    Probe(Reply<()>),
}

impl Writer {
    pub(super) fn new(
        store: Store,
        policy: Arc<Policy>,
        clock: Clock,
        commands: mpsc::Receiver<Command>,
        outcomes: Arc<Outcomes>,
        health: Arc<Health>,
    ) -> Self {
        Self { store, policy, clock, commands, outcomes, health }
    }

    /// Runs until every handle is gone, then closes the store cleanly.
    pub(super) fn run(mut self) {
        while let Some(first) = self.commands.blocking_recv() {
            let batch = self.gather(first);
            let size = u64::try_from(batch.len()).unwrap_or(u64::MAX);
            let mut replies = Vec::with_capacity(batch.len());
            match self.decide_and_commit(batch, &mut replies) {
                Ok(()) => {
                    self.health.batches.fetch_add(1, Ordering::Relaxed);
                    self.health.commands.fetch_add(size, Ordering::Relaxed);
                    self.health.set(None);
                    replies.into_iter().for_each(|decided| self.answer(decided));
                }
                Err(failure) => {
                    tracing::error!(%failure, "a batch was not committed");
                    self.health.set(Some(failure.to_string()));
                    replies.into_iter().for_each(|decided| decided.fail(&failure));
                    self.recover(&failure);
                }
            }
        }
        if let Err(refused) = self.store.close() {
            tracing::error!(%refused, "the ledger was not closed cleanly; its log is kept");
        }
    }

    fn gather(&mut self, first: Command) -> Vec<Command> {
        let mut batch = vec![first];
        while batch.len() < BATCH_MAX
            && let Ok(next) = self.commands.try_recv()
        {
            batch.push(next);
        }
        batch
    }

    fn decide_and_commit(
        &mut self,
        batch: Vec<Command>,
        replies: &mut Vec<Decided>,
    ) -> Result<(), LedgerFailure> {
        let loaded = self.now().and_then(|now| {
            let names = batch.iter().map(Command::names).collect::<Vec<_>>();
            Ok((now, self.store.load(now, &self.policy, &names).map_err(storage)?))
        });
        let (now, mut working) = match loaded {
            Ok(loaded) => loaded,
            Err(failure) => {
                batch.into_iter().for_each(|command| command.fail(&failure));
                return Err(failure);
            }
        };
        working.advance(now).map_err(miscount)?;
        for command in batch {
            replies.push(decide(now, &self.policy, &mut working, command).map_err(miscount)?);
        }
        self.store.commit(now, &self.policy, working).map_err(storage)
    }

    /// The clock, held to the newest record. A small step back is bridged, a larger one stops
    /// signing until the clock has caught up: windows must not open twice.
    fn now(&self) -> Result<Timestamp, LedgerFailure> {
        let (wall, newest) = (self.clock.now(), self.store.newest());
        if newest.unix_ms().saturating_sub(wall.unix_ms()) > STEP_BACK_MS_MAX {
            return Err(LedgerFailure::Clock(format!(
                "the clock says {wall}, but the ledger has recorded {newest}; signing stops until \
                 the clock is right again"
            )));
        }
        Ok(wall.max(newest))
    }

    fn answer(&self, decided: Decided) {
        // A caller that is gone does not mind; what was decided is on the record.
        match decided {
            Decided::Reserve(reply, answer) => drop(reply.send(Ok(answer))),
            Decided::Resume(reply, answer) => drop(reply.send(Ok(answer))),
            Decided::Probe(reply) => drop(reply.send(Ok(()))),
            Decided::Post(reply, answer) => {
                if let Posting::Posted(record) = &answer {
                    self.outcomes.announce(record.id);
                }
                drop(reply.send(Ok(answer)));
            }
            Decided::Void(reply, answer) => {
                if let Some(record) = &answer {
                    self.outcomes.announce(record.id);
                }
                drop(reply.send(Ok(answer)));
            }
        }
    }

    /// After a failed write nothing is retried on the old handle: the store is opened again and
    /// all memory of it rebuilt. Until that works every command is refused.
    fn recover(&mut self, failure: &LedgerFailure) {
        if matches!(failure, LedgerFailure::Clock(_)) {
            return;
        }
        while let Err(refused) = self.store.reopen() {
            self.health.set(Some(refused.to_string()));
            std::thread::sleep(REOPEN_PAUSE);
            while let Ok(command) = self.commands.try_recv() {
                command.fail(&LedgerFailure::Storage(refused.to_string()));
            }
            if self.commands.is_closed() && self.commands.is_empty() {
                return;
            }
        }
    }
}

fn decide(
    now: Timestamp,
    policy: &Policy,
    working: &mut WorkingSet,
    command: Command,
) -> Result<Decided, Miscount> {
    Ok(match command {
        Command::Reserve(submission, reply) => {
            Decided::Reserve(reply, reserve(now, policy, working, *submission)?)
        }
        Command::Post(signed, reply) => Decided::Post(reply, post(now, working, &signed)?),
        Command::Resume(id, kid, reply) => Decided::Resume(reply, resume(now, working, id, &kid)),
        Command::Void(id, reason, reply) => Decided::Void(reply, void(now, working, id, reason)?),
        Command::Probe(reply) => Decided::Probe(reply),
    })
}

fn storage(refused: StoreError) -> LedgerFailure {
    LedgerFailure::Storage(refused.to_string())
}

fn miscount(refused: Miscount) -> LedgerFailure {
    LedgerFailure::Storage(refused.to_string())
}

impl Command {
    fn names(&self) -> Names<'_> {
        match self {
            Self::Reserve(submission, _) => Names::Submission(submission),
            Self::Post(signed, _) => Names::Payment(signed.payment()),
            Self::Resume(id, ..) | Self::Void(id, ..) => Names::Payment(*id),
            Self::Probe(_) => Names::Nothing,
        }
    }

    fn fail(self, failure: &LedgerFailure) {
        let failure = failure.clone();
        match self {
            Self::Reserve(_, reply) => drop(reply.send(Err(failure))),
            Self::Post(_, reply) => drop(reply.send(Err(failure))),
            Self::Resume(_, _, reply) => drop(reply.send(Err(failure))),
            Self::Void(_, _, reply) => drop(reply.send(Err(failure))),
            Self::Probe(reply) => drop(reply.send(Err(failure))),
        }
    }
}

impl Decided {
    fn fail(self, failure: &LedgerFailure) {
        let failure = failure.clone();
        match self {
            Self::Reserve(reply, _) => drop(reply.send(Err(failure))),
            Self::Post(reply, _) => drop(reply.send(Err(failure))),
            Self::Resume(reply, _) => drop(reply.send(Err(failure))),
            Self::Void(reply, _) => drop(reply.send(Err(failure))),
            Self::Probe(reply) => drop(reply.send(Err(failure))),
        }
    }
}

/// Whether a record still has its hold.
pub(super) fn is_open(record: &PaymentRecord) -> bool {
    matches!(record.state, State::Authorised { .. })
}
