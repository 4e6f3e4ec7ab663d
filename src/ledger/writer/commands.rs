//! What the writer is asked, and what it answers once that is committed.

use std::sync::Arc;

use crate::domain::counter::Miscount;
use crate::domain::leaf::Leaf;
use crate::domain::ledger::{
    Authorisation, NotTaken, PaymentRecord, Posting, Reservation, Resumption, Taken, WorkingSet,
    approve, authorise, issue, post, reserve, resume, void,
};
use crate::domain::subject::Subject;
use crate::domain::time::Timestamp;

use super::super::outcomes::Outcomes;
use super::super::sqlite::{Names, Registry};
use super::super::{Command, Issued, LedgerFailure, Reply};
use super::Batch;

/// What was decided, kept back until the commit.
pub(super) enum Decided {
    Reserve(Reply<Reservation>, Box<Reservation>),
    Post(Reply<Posting>, Posting),
    Resume(Reply<Resumption>, Resumption),
    Void(Reply<Option<Arc<PaymentRecord>>>, Option<Arc<PaymentRecord>>),
    Issue(Reply<Issued>, Box<Issued>),
    Approve(Reply<Result<Taken, NotTaken>>, Result<Taken, NotTaken>),
    Authorise(Reply<Authorisation>, Box<Authorisation>),
    Done(Reply<()>),
}

/// Decides one command; `None` if that failed, which only this command is told.
pub(super) fn decide(
    now: Timestamp,
    registry: Registry<'_>,
    changes: &mut Batch,
    command: Command,
) -> Option<Decided> {
    let (working, Registry { policy, people }) = (&mut changes.working, registry);
    match command {
        Command::Reserve(submission, reply) => {
            kept(reply, reserve(now, policy, people, working, *submission), |reply, answer| {
                Decided::Reserve(reply, Box::new(answer))
            })
        }
        Command::Post(signed, reply) => kept(reply, post(now, working, &signed), Decided::Post),
        Command::Resume(id, kid, reply) => {
            Some(Decided::Resume(reply, resume(now, working, id, &kid)))
        }
        Command::Void(id, reason, reply) => {
            kept(reply, void(now, working, id, reason), Decided::Void)
        }
        Command::Issue(request, reply) => {
            let issued = issue(now, policy, people, working, &request);
            Some(Decided::Issue(reply, Box::new(issued)))
        }
        Command::Approve(given, reply) => {
            kept(reply, approve(now, policy, people, working, *given), Decided::Approve)
        }
        Command::Authorise(id, verified, kid, reply) => {
            let decided = authorise(now, policy, people, working, id, &verified, &kid);
            kept(reply, decided, |reply, answer| Decided::Authorise(reply, Box::new(answer)))
        }
        Command::Record(event, reply) => {
            working.append(Leaf::of_event(now, &event));
            Some(Decided::Done(reply))
        }
        Command::Checkpoint(checkpoint, reply) => {
            changes.checkpoints.push(*checkpoint);
            Some(Decided::Done(reply))
        }
        Command::Erase(erasure, reply) => {
            let event = erasure.event();
            let leaf = event.map(|event| working.append(Leaf::of_event(now, &event)));
            changes.erasures.push((leaf.unwrap_or_default(), *erasure));
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
    pub(super) fn names(&self) -> Names<'_> {
        match self {
            Self::Reserve(submission, _) => Names::Submission(submission),
            Self::Post(signed, _) => Names::Payment(signed.payment()),
            Self::Resume(id, ..) | Self::Void(id, ..) => Names::Payment(*id),
            Self::Issue(request, _) => Names::Subject(request.subject),
            Self::Approve(given, _) => Names::Evidence(given),
            Self::Authorise(id, ..) => Names::Subject(Subject::Payment(*id)),
            Self::Record(..) | Self::Checkpoint(..) | Self::Erase(..) => Names::Nothing,
            Self::Tell(..) | Self::Probe(_) => Names::Nothing,
        }
    }

    /// How many records it may make, by the room that it takes.
    pub(super) fn records(&self) -> usize {
        match self {
            Self::Erase(erasure, _) => erasure.payments.len().max(1),
            _ => 1,
        }
    }

    /// Whether it asks for more than to be told, or to have an outcome recorded: what a disk
    /// without room refuses.
    pub(super) fn opens_more(&self, working: &WorkingSet) -> bool {
        match self {
            Self::Reserve(asked, _) => {
                working.payment_of(&asked.caller, &asked.idempotency_key).is_none()
            }
            Self::Post(..) | Self::Void(..) => false,
            _ => true,
        }
    }

    pub(super) fn fail(self, failure: &LedgerFailure) {
        let failure = failure.clone();
        match self {
            Self::Reserve(_, reply) => drop(reply.send(Err(failure))),
            Self::Post(_, reply) => drop(reply.send(Err(failure))),
            Self::Resume(_, _, reply) => drop(reply.send(Err(failure))),
            Self::Void(_, _, reply) => drop(reply.send(Err(failure))),
            Self::Issue(_, reply) => drop(reply.send(Err(failure))),
            Self::Approve(_, reply) => drop(reply.send(Err(failure))),
            Self::Authorise(_, _, _, reply) => drop(reply.send(Err(failure))),
            Self::Record(_, reply)
            | Self::Checkpoint(_, reply)
            | Self::Erase(_, reply)
            | Self::Tell(_, reply)
            | Self::Probe(reply) => drop(reply.send(Err(failure))),
        }
    }
}

impl Decided {
    /// Tells whoever asked, and those who wait for an outcome.
    pub(super) fn answer(self, outcomes: &Outcomes) {
        // A caller that is gone does not mind; what was decided is on the record.
        match self {
            Self::Reserve(reply, answer) => drop(reply.send(Ok(*answer))),
            Self::Resume(reply, answer) => drop(reply.send(Ok(answer))),
            Self::Issue(reply, answer) => drop(reply.send(Ok(*answer))),
            Self::Done(reply) => drop(reply.send(Ok(()))),
            Self::Post(reply, answer) => {
                if let Posting::Posted(record) = &answer {
                    outcomes.announce(record.id);
                }
                drop(reply.send(Ok(answer)));
            }
            Self::Void(reply, answer) => {
                if let Some(record) = &answer {
                    outcomes.announce(record.id);
                }
                drop(reply.send(Ok(answer)));
            }
            Self::Approve(reply, answer) => {
                if let Ok(Taken::Rejected(record)) = &answer {
                    outcomes.announce(record.id);
                }
                drop(reply.send(Ok(answer)));
            }
            Self::Authorise(reply, answer) => {
                if let Authorisation::Voided(record) = &*answer {
                    outcomes.announce(record.id);
                }
                drop(reply.send(Ok(*answer)));
            }
        }
    }

    pub(super) fn is_outcome(&self) -> bool {
        matches!(self, Self::Post(..) | Self::Void(..))
    }

    pub(super) fn fail(self, failure: &LedgerFailure) {
        let failure = failure.clone();
        match self {
            Self::Reserve(reply, _) => drop(reply.send(Err(failure))),
            Self::Post(reply, _) => drop(reply.send(Err(failure))),
            Self::Resume(reply, _) => drop(reply.send(Err(failure))),
            Self::Void(reply, _) => drop(reply.send(Err(failure))),
            Self::Issue(reply, _) => drop(reply.send(Err(failure))),
            Self::Approve(reply, _) => drop(reply.send(Err(failure))),
            Self::Authorise(reply, _) => drop(reply.send(Err(failure))),
            Self::Done(reply) => drop(reply.send(Err(failure))),
        }
    }
}
