//! The writer: gathers commands, decides them in order, commits, answers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::domain::counter::Miscount;
use crate::domain::credit::{ClockFault, Mark, credit};
use crate::domain::leaf::{Event, Leaf};
use crate::domain::ledger::{
    PaymentRecord, Posting, Reservation, Resumption, WorkingSet, post, reserve, resume, void,
};
use crate::domain::policy::Policy;
use crate::domain::time::Timestamp;

use super::outcomes::Outcomes;
use super::sqlite::{Names, Store, StoreError, StoredCheckpoint};
use super::{Command, LedgerFailure, Reply};

/// Most commands in one commit.
const BATCH_MAX: usize = 256;
/// Pause before a broken store is opened again.
const REOPEN_PAUSE: Duration = Duration::from_millis(250);

/// Whether the writer can write, for readiness; and how much it has written.
pub(super) struct Health {
    trouble: Mutex<Option<String>>,
    mark: Mutex<Mark>,
    log_size: AtomicU64,
    batches: AtomicU64,
    commands: AtomicU64,
}

impl Health {
    pub(super) fn new(mark: Mark, log_size: u64) -> Self {
        Self {
            trouble: Mutex::new(None),
            mark: Mutex::new(mark),
            log_size: AtomicU64::new(log_size),
            batches: AtomicU64::new(0),
            commands: AtomicU64::new(0),
        }
    }

    pub(super) fn mark(&self) -> Mark {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn log_size(&self) -> u64 {
        self.log_size.load(Ordering::Acquire)
    }

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
    /// Events that the next commit puts on the log, before its decisions.
    due: Vec<Event>,
}

/// What was decided, kept back until the commit.
enum Decided {
    Reserve(Reply<Reservation>, Reservation),
    Post(Reply<Posting>, Posting),
    Resume(Reply<Resumption>, Resumption),
    Void(Reply<Option<Arc<PaymentRecord>>>, Option<Arc<PaymentRecord>>),
    Done(Reply<()>),
}

/// What a batch changes: the rows of the rules, and the checkpoints that go beside them.
#[derive(Default)]
struct Batch {
    working: WorkingSet,
    checkpoints: Vec<StoredCheckpoint>,
}

impl Writer {
    pub(super) fn new(
        store: Store,
        policy: Arc<Policy>,
        clock: Clock,
        commands: mpsc::Receiver<Command>,
        outcomes: Arc<Outcomes>,
        health: Arc<Health>,
        due: Vec<Event>,
    ) -> Self {
        Self { store, policy, clock, commands, outcomes, health, due }
    }

    /// Runs until every handle is gone, then closes the store cleanly.
    pub(super) fn run(mut self) {
        while let Some(first) = self.commands.blocking_recv() {
            let batch = self.gather(first);
            let size = u64::try_from(batch.len()).unwrap_or(u64::MAX);
            match self.decide_and_commit(batch) {
                Ok(decided) => {
                    self.health.batches.fetch_add(1, Ordering::Relaxed);
                    self.health.commands.fetch_add(size, Ordering::Relaxed);
                    self.health.set(None);
                    decided.into_iter().for_each(|decided| self.answer(decided));
                    if let Err(refused) = self.store.tend() {
                        let broken = Broken::from(refused);
                        tracing::error!(failure = %broken.failure, "the log was not merged");
                        self.health.set(Some(broken.failure.to_string()));
                        self.recover(&broken.failure);
                    }
                }
                Err(Broken { failure, waits_for_a_person }) => {
                    tracing::error!(%failure, "a batch was not committed");
                    match waits_for_a_person {
                        true => return self.refuse_everything(&failure),
                        false => self.recover(&failure),
                    }
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

    /// Decides a batch and makes it durable. On failure everybody in it has been told.
    fn decide_and_commit(&mut self, batch: Vec<Command>) -> Result<Vec<Decided>, Broken> {
        let (now, mark) = match credit(self.store.mark(), &self.clock.read()) {
            Ok(credited) => credited,
            Err(fault) => {
                self.note_clock(&fault);
                let failure = LedgerFailure::Clock(fault.to_string());
                let broken = Broken { failure, waits_for_a_person: false };
                return Err(self.broken(broken, batch.into_iter(), Command::fail));
            }
        };
        let mut changes = Batch::default();
        let mut loaded = Vec::with_capacity(batch.len());
        let mut batch = batch.into_iter();
        changes.working.log_size = self.store.log_size();
        for event in &self.due {
            changes.working.append(Leaf::of_event(now, event));
        }
        while let Some(command) = batch.next() {
            match self.store.load(now, &self.policy, &command.names(), &mut changes.working) {
                Ok(()) => loaded.push(command),
                // A row that cannot be read concerns those who name it and nobody else.
                Err(refused @ StoreError::Row(_)) => {
                    tracing::error!(%refused, "a request names a row that cannot be read");
                    command.fail(&LedgerFailure::Storage(refused.to_string()));
                }
                Err(refused) => {
                    let all = loaded.into_iter().chain([command]).chain(batch);
                    return Err(self.broken(Broken::from(refused), all, Command::fail));
                }
            }
        }
        for scope in changes.working.advance(now) {
            tracing::error!(%scope, "sums contradict their slots; what they count is not signed");
        }
        let decide = |command| decide(now, &self.policy, &mut changes, command);
        let decided: Vec<Decided> = loaded.into_iter().filter_map(decide).collect();
        match self.store.commit(mark, &self.policy, changes.working, &changes.checkpoints) {
            Ok(()) => {
                self.due.clear();
                let committed = self.store.mark().clone();
                self.health.log_size.store(self.store.log_size(), Ordering::Release);
                *self.health.mark.lock().unwrap_or_else(PoisonError::into_inner) = committed;
                Ok(decided)
            }
            Err(refused) => {
                Err(self.broken(Broken::from(refused), decided.into_iter(), Decided::fail))
            }
        }
    }

    /// Once for each time that the clock is not believed, however long that takes.
    fn note_clock(&mut self, fault: &ClockFault) {
        if !self.due.iter().any(|event| matches!(event, Event::ClockRefused { .. })) {
            self.due.push(Event::ClockRefused { reason: fault.to_string() });
        }
    }

    /// Tells the world before those who asked: whoever is refused finds the reason in readiness.
    fn broken<T>(
        &self,
        broken: Broken,
        asked: impl Iterator<Item = T>,
        fail: impl Fn(T, &LedgerFailure),
    ) -> Broken {
        self.health.set(Some(broken.failure.to_string()));
        asked.for_each(|one| fail(one, &broken.failure));
        broken
    }

    fn answer(&self, decided: Decided) {
        // A caller that is gone does not mind; what was decided is on the record.
        match decided {
            Decided::Reserve(reply, answer) => drop(reply.send(Ok(answer))),
            Decided::Resume(reply, answer) => drop(reply.send(Ok(answer))),
            Decided::Done(reply) => drop(reply.send(Ok(()))),
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

    /// Until a person has looked and started the daemon again.
    fn refuse_everything(mut self, failure: &LedgerFailure) {
        while let Some(command) = self.commands.blocking_recv() {
            command.fail(failure);
        }
    }
}

/// Why a batch was not committed.
struct Broken {
    failure: LedgerFailure,
    waits_for_a_person: bool,
}

impl From<StoreError> for Broken {
    fn from(refused: StoreError) -> Self {
        // Somebody else writes the ledger, or memory is faulty: neither mends itself.
        let waits_for_a_person = matches!(refused, StoreError::Disagreement(_));
        Self { failure: LedgerFailure::Storage(refused.to_string()), waits_for_a_person }
    }
}

/// Decides one command; `None` if that failed, which only this command is told.
fn decide(
    now: Timestamp,
    policy: &Policy,
    changes: &mut Batch,
    command: Command,
) -> Option<Decided> {
    let working = &mut changes.working;
    match command {
        Command::Reserve(submission, reply) => {
            kept(reply, reserve(now, policy, working, *submission), Decided::Reserve)
        }
        Command::Post(signed, reply) => kept(reply, post(now, working, &signed), Decided::Post),
        Command::Resume(id, kid, reply) => {
            Some(Decided::Resume(reply, resume(now, working, id, &kid)))
        }
        Command::Void(id, reason, reply) => {
            kept(reply, void(now, working, id, reason), Decided::Void)
        }
        Command::Record(event, reply) => {
            working.append(Leaf::of_event(now, &event));
            Some(Decided::Done(reply))
        }
        Command::Checkpoint(checkpoint, reply) => {
            changes.checkpoints.push(*checkpoint);
            Some(Decided::Done(reply))
        }
        Command::Probe(reply) => Some(Decided::Done(reply)),
    }
}

fn kept<T>(
    reply: Reply<T>,
    answer: Result<T, Miscount>,
    decided: impl FnOnce(Reply<T>, T) -> Decided,
) -> Option<Decided> {
    match answer {
        Ok(answer) => Some(decided(reply, answer)),
        Err(refused) => {
            drop(reply.send(Err(LedgerFailure::Storage(refused.to_string()))));
            None
        }
    }
}

impl Command {
    fn names(&self) -> Names<'_> {
        match self {
            Self::Reserve(submission, _) => Names::Submission(submission),
            Self::Post(signed, _) => Names::Payment(signed.payment()),
            Self::Resume(id, ..) | Self::Void(id, ..) => Names::Payment(*id),
            Self::Record(..) | Self::Checkpoint(..) | Self::Probe(_) => Names::Nothing,
        }
    }

    fn fail(self, failure: &LedgerFailure) {
        let failure = failure.clone();
        match self {
            Self::Reserve(_, reply) => drop(reply.send(Err(failure))),
            Self::Post(_, reply) => drop(reply.send(Err(failure))),
            Self::Resume(_, _, reply) => drop(reply.send(Err(failure))),
            Self::Void(_, _, reply) => drop(reply.send(Err(failure))),
            Self::Record(_, reply) | Self::Checkpoint(_, reply) | Self::Probe(reply) => {
                drop(reply.send(Err(failure)));
            }
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
            Self::Done(reply) => drop(reply.send(Err(failure))),
        }
    }
}
