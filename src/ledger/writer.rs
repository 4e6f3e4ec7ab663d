//! The writer: gathers commands, decides them in order, commits, answers.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::domain::credit::{ClockFault, credit};
use crate::domain::leaf::{Event, Leaf};
use crate::domain::ledger::{Erasure, WorkingSet};
use crate::domain::time::Timestamp;

use super::health::Health;
use super::outcomes::Outcomes;
use super::sqlite::{Registry, Store, StoreError, StoredCheckpoint};
use super::{Command, LedgerFailure, Rules, Telling};

mod commands;

use commands::{Decided, decide};

/// Most commands in one commit.
const BATCH_MAX: usize = 256;
/// Pause before a broken store is opened again.
const REOPEN_PAUSE: Duration = Duration::from_millis(250);

pub(super) struct Writer {
    store: Store,
    rules: Rules,
    clock: Clock,
    commands: mpsc::Receiver<Command>,
    outcomes: Arc<Outcomes>,
    health: Arc<Health>,
    /// Events that the next commit puts on the log, before its decisions.
    due: Vec<Event>,
}

/// What a batch changes: the rows of the rules, and what goes beside them: checkpoints, deliveries,
/// and payments that are erased, with the position of the leaf that says so.
#[derive(Default)]
struct Batch {
    working: WorkingSet,
    checkpoints: Vec<StoredCheckpoint>,
    erasures: Vec<(u64, Erasure)>,
    tellings: Vec<Telling>,
}

impl Writer {
    pub(super) fn new(
        store: Store,
        rules: Rules,
        clock: Clock,
        commands: mpsc::Receiver<Command>,
        outcomes: Arc<Outcomes>,
        health: Arc<Health>,
        due: Vec<Event>,
    ) -> Self {
        Self { store, rules, clock, commands, outcomes, health, due }
    }

    /// Runs until every handle is gone, then closes the store cleanly.
    pub(super) fn run(mut self) {
        while let Some(first) = self.commands.blocking_recv() {
            let batch = self.gather(first);
            match self.decide_and_commit(batch) {
                Ok(decided) => {
                    decided.into_iter().for_each(|decided| decided.answer(&self.outcomes));
                    // Where the log has no room to grow, the main file has none to be merged into.
                    if self.health.trouble().is_none()
                        && let Err(refused) = self.store.tend()
                    {
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
        let size = batch.len();
        let records = batch.iter().map(Command::records).sum::<usize>();
        let (now, mark) = match credit(self.store.mark(), &self.clock.read()) {
            Ok(credited) => credited,
            Err(fault) => {
                self.note_clock(&fault);
                let failure = LedgerFailure::Clock(fault.to_string());
                let broken = Broken { failure, waits_for_a_person: false };
                return Err(self.broken(broken, batch.into_iter(), Command::fail));
            }
        };
        let shortage = match self.store.keep_room(records.saturating_add(self.due.len())) {
            Ok(()) => None,
            Err(short @ StoreError::NoRoom(_)) => Some(LedgerFailure::Storage(short.to_string())),
            Err(refused) => {
                return Err(self.broken(Broken::from(refused), batch.into_iter(), Command::fail));
            }
        };
        if let Some(shortage) = &shortage {
            self.tell(shortage);
        }
        let mut changes = Batch::default();
        changes.working.log_size = self.store.log_size();
        for event in &self.due {
            changes.working.append(Leaf::of_event(now, event));
        }
        let loaded = self.load(now, shortage.as_ref(), batch, &mut changes.working)?;
        for scope in changes.working.advance(now) {
            tracing::error!(%scope, "sums contradict their slots; what they count is not signed");
        }
        let registry = Registry { policy: &self.rules.policy, people: &*self.rules.people };
        let decide = |command| decide(now, registry, &mut changes, command);
        let decided: Vec<Decided> = loaded.into_iter().filter_map(decide).collect();
        // While room is short only outcomes are worth a record: it would use up what is kept back.
        let unrecorded = shortage.is_some() && !decided.iter().any(Decided::is_outcome);
        let ended = match unrecorded {
            true => self.store.end_unchanged(),
            false => {
                let Batch { working, checkpoints, erasures, tellings } = changes;
                let policy = &self.rules.policy;
                self.store.tell(&tellings).and_then(|()| {
                    self.store.commit(mark, policy, working, &checkpoints, &erasures)
                })
            }
        };
        if let Err(refused) = ended {
            return Err(self.broken(Broken::from(refused), decided.into_iter(), Decided::fail));
        }
        if !unrecorded {
            self.due.clear();
            self.health.committed(self.store.mark().clone(), self.store.log_size(), size);
        }
        self.health.set(shortage.map(|shortage| shortage.to_string()));
        Ok(decided)
    }

    /// Loads what each command of a batch names. Those that cannot be decided have been told.
    fn load(
        &mut self,
        now: Timestamp,
        shortage: Option<&LedgerFailure>,
        batch: Vec<Command>,
        working: &mut WorkingSet,
    ) -> Result<Vec<Command>, Broken> {
        let mut loaded = Vec::with_capacity(batch.len());
        let mut batch = batch.into_iter();
        while let Some(command) = batch.next() {
            let registry = Registry { policy: &self.rules.policy, people: &*self.rules.people };
            let found = self.store.load(now, registry, &command.names(), working);
            match (found, shortage) {
                (Ok(()), Some(short)) if command.opens_more(working) => command.fail(short),
                (Ok(()), _) => loaded.push(command),
                // A row that cannot be read concerns those who name it and nobody else.
                (Err(refused @ StoreError::Row(_)), _) => {
                    tracing::error!(%refused, "a request names a row that cannot be read");
                    command.fail(&LedgerFailure::Storage(refused.to_string()));
                }
                (Err(refused), _) => {
                    let all = loaded.into_iter().chain([command]).chain(batch);
                    return Err(self.broken(Broken::from(refused), all, Command::fail));
                }
            }
        }
        Ok(loaded)
    }

    /// Tells the world that no payment is admitted, before those who asked are told.
    fn tell(&self, shortage: &LedgerFailure) {
        let told = Some(shortage.to_string());
        if self.health.trouble() != told {
            tracing::error!(%shortage, "no payment is admitted until the disk has room");
            self.health.set(told);
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
