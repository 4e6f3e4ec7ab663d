//! The writer: gathers commands, decides them in order, commits, answers.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::domain::counter::Miscount;
use crate::domain::credit::{ClockFault, credit};
use crate::domain::leaf::{Event, Leaf};
use crate::domain::ledger::{
    PaymentRecord, Posting, Reservation, Resumption, WorkingSet, post, reserve, resume, void,
};
use crate::domain::policy::Policy;
use crate::domain::time::Timestamp;

use super::health::Health;
use super::outcomes::Outcomes;
use super::sqlite::{Names, Store, StoreError, StoredCheckpoint};
use super::{Command, LedgerFailure, Reply, Telling};

/// Most commands in one commit.
const BATCH_MAX: usize = 256;
/// Pause before a broken store is opened again.
const REOPEN_PAUSE: Duration = Duration::from_millis(250);

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

/// What a batch changes: the rows of the rules, and the checkpoints and deliveries beside them.
#[derive(Default)]
struct Batch {
    working: WorkingSet,
    checkpoints: Vec<StoredCheckpoint>,
    tellings: Vec<Telling>,
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
            match self.decide_and_commit(batch) {
                Ok(decided) => {
                    decided.into_iter().for_each(|decided| self.answer(decided));
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
        let (now, mark) = match credit(self.store.mark(), &self.clock.read()) {
            Ok(credited) => credited,
            Err(fault) => {
                self.note_clock(&fault);
                let failure = LedgerFailure::Clock(fault.to_string());
                let broken = Broken { failure, waits_for_a_person: false };
                return Err(self.broken(broken, batch.into_iter(), Command::fail));
            }
        };
        let shortage = match self.store.keep_room(size.saturating_add(self.due.len())) {
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
        let decide = |command| decide(now, &self.policy, &mut changes, command);
        let decided: Vec<Decided> = loaded.into_iter().filter_map(decide).collect();
        // While room is short only outcomes are worth a record: it would use up what is kept back.
        let unrecorded = shortage.is_some() && !decided.iter().any(Decided::is_outcome);
        let ended = match unrecorded {
            true => self.store.end_unchanged(),
            false => self.store.tell(&changes.tellings).and_then(|()| {
                self.store.commit(mark, &self.policy, changes.working, &changes.checkpoints)
            }),
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
            let found = self.store.load(now, &self.policy, &command.names(), working);
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
        Command::Tell(telling, reply) => {
            changes.tellings.push(*telling);
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
            Self::Record(..) | Self::Checkpoint(..) | Self::Tell(..) | Self::Probe(_) => {
                Names::Nothing
            }
        }
    }

    /// Whether it asks for more than to be told, or to have an outcome recorded: what a disk
    /// without room refuses.
    fn opens_more(&self, working: &WorkingSet) -> bool {
        match self {
            Self::Reserve(asked, _) => {
                working.payment_of(&asked.caller, &asked.idempotency_key).is_none()
            }
            Self::Post(..) | Self::Void(..) => false,
            _ => true,
        }
    }

    fn fail(self, failure: &LedgerFailure) {
        let failure = failure.clone();
        match self {
            Self::Reserve(_, reply) => drop(reply.send(Err(failure))),
            Self::Post(_, reply) => drop(reply.send(Err(failure))),
            Self::Resume(_, _, reply) => drop(reply.send(Err(failure))),
            Self::Void(_, _, reply) => drop(reply.send(Err(failure))),
            Self::Record(_, reply)
            | Self::Checkpoint(_, reply)
            | Self::Tell(_, reply)
            | Self::Probe(reply) => drop(reply.send(Err(failure))),
        }
    }
}

impl Decided {
    fn is_outcome(&self) -> bool {
        matches!(self, Self::Post(..) | Self::Void(..))
    }

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
