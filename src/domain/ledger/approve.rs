//! Statements are issued, evidence for them is taken.

use std::sync::Arc;

use crate::domain::counter::Miscount;
use crate::domain::leaf::Leaf;
use crate::domain::people::People;
use crate::domain::person::Approver;
use crate::domain::policy::Policy;
use crate::domain::quorum::{Approval, Demand, Missing};
use crate::domain::statement::{Facts, Statement, StatementDigest, Verdict};
use crate::domain::subject::Subject;
use crate::domain::time::{Duration, Timestamp};

use super::evidence::{StatementRow, VerifiedEvidence};
use super::record::{PaymentRecord, State, VoidReason, Wait};
use super::settle::void;
use super::working_set::WorkingSet;

/// How long a statement may take to be signed.
const STATEMENT_VALIDITY: Duration = Duration::from_seconds(15 * 60);
/// Most statements of one person about one subject that are open at a time.
const OPEN_MAX: usize = 8;

/// Why a statement is not issued, or evidence not taken. Outwardly all say the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// No such statement was issued.
    #[error("no such statement was issued")]
    UnknownStatement,
    /// Evidence was given for it already.
    #[error("evidence was given for this statement already")]
    Replayed,
    /// It was signed too late.
    #[error("the statement expired at {0}")]
    StatementExpired(Timestamp),
    /// The subject waits for nobody: it is unknown, decided, or too late.
    #[error("{0} does not wait for anybody")]
    NotWaiting(Subject),
    /// Nobody asked for this approver.
    #[error("{0} is not asked: not in a group that is, or not the payer")]
    NotAsked(Approver),
    /// It is the maker, whose approval never counts.
    #[error("{0} runs the caller that asks, and does not approve for it")]
    Maker(Approver),
    /// The credential is unknown, removed, or does not count yet.
    #[error("the credential does not count, or not yet")]
    CredentialUnknown,
    /// The credential is somebody else's.
    #[error("the credential belongs to {found}, the statement was made for {expected}")]
    CredentialOfAnother {
        /// Whose it is.
        found: Approver,
        /// Whose it should be.
        expected: Approver,
    },
    /// This approver has said something about this subject already.
    #[error("{0} has given a verdict already")]
    GivenAlready(Approver),
    /// The authenticator's counter did not rise: there may be a copy of it.
    #[error("the signature counter is {found}, the last one was {last}")]
    CounterNotRisen {
        /// The counter that came with the evidence.
        found: u32,
        /// The last one that was seen.
        last: u32,
    },
    /// Too many statements of this approver about this subject are open.
    #[error("too many statements are open; use one of them or wait until they expire")]
    TooManyOpen,
}

/// What became of evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It counts; this is still missing. Nothing missing: the subject is to be authorised.
    Approved(Missing),
    /// The subject is rejected for good.
    Rejected(Arc<PaymentRecord>),
}

/// Issues a statement about a payment for an approver to sign. Its digest is what hardware signs.
///
/// # Errors
/// [`NotTaken`] if that approver's word would not count.
pub fn issue(
    now: Timestamp,
    policy: &Policy,
    people: &dyn People,
    working: &mut WorkingSet,
    request: &StatementRequest,
) -> Result<(StatementDigest, Statement), NotTaken> {
    let StatementRequest { subject, approver, verdict, nonce } = request;
    let (record, wait) = waiting(now, working, *subject)?;
    may_approve(policy, people, &record, &wait, approver)?;
    let of_approver = |row: &&StatementRow| row.statement.approver == *approver;
    let on_record = || working.statements_on(*subject).map(|(_, row)| row).filter(of_approver);
    if on_record().any(|row| row.evidence.is_some()) {
        return Err(NotTaken::GivenAlready(approver.clone()));
    }
    if on_record().filter(|row| row.statement.expires_at > now).count() >= OPEN_MAX {
        return Err(NotTaken::TooManyOpen);
    }
    let statement = Statement {
        subject: *subject,
        subject_digest: wait.order.digest(),
        facts: Facts::of_payment(&record.payment),
        tier: wait.tier.clone(),
        policy_version: wait.policy_version.clone(),
        approver: approver.clone(),
        verdict: *verdict,
        nonce: *nonce,
        expires_at: wait.deadline.min(now.plus(STATEMENT_VALIDITY)),
    };
    let digest = statement.digest();
    let row = StatementRow {
        subject: *subject,
        statement: statement.clone(),
        issued_at: now,
        evidence: None,
    };
    working.state(digest, row);
    Ok((digest, statement))
}

/// Who wants to say what about which subject.
#[derive(Debug, Clone)]
pub struct StatementRequest {
    /// About what.
    pub subject: Subject,
    /// Who.
    pub approver: Approver,
    /// What.
    pub verdict: Verdict,
    /// 256 random bits.
    pub nonce: [u8; 32],
}

/// Takes evidence for a statement, once. A rejection voids the payment in the same step.
///
/// # Errors
/// The outer error is a fault of the ledger, the inner one why the evidence does not count.
pub fn approve(
    now: Timestamp,
    policy: &Policy,
    people: &dyn People,
    working: &mut WorkingSet,
    given: VerifiedEvidence,
) -> Result<Result<Taken, NotTaken>, Miscount> {
    let judged = match judge(now, policy, people, working, &given) {
        Ok(judged) => judged,
        Err(refused) => return Ok(Err(refused)),
    };
    let Judged { row, record, wait } = judged;
    let (digest, verdict) = (given.statement(), row.statement.verdict);
    working.count_use(given.credential().clone(), given.counter());
    let mut evidence = given.into_evidence(now, 0);
    let approver = &row.statement.approver;
    evidence.leaf =
        working.append(Leaf::of_evidence(&record, &digest, verdict, &evidence, approver));
    working.state(digest, StatementRow { evidence: Some(evidence), ..row });
    if verdict == Verdict::Reject {
        let voided = void(now, working, record.id, VoidReason::Rejected)?.ok_or(Miscount)?;
        return Ok(Ok(Taken::Rejected(voided)));
    }
    let missing = missing(now, people, working, &record, &wait.demand);
    if missing.is_nothing() {
        let state = State::Waiting { approved: true };
        working.store(Arc::new(PaymentRecord { state, ..PaymentRecord::clone(&record) }));
    }
    Ok(Ok(Taken::Approved(missing)))
}

struct Judged {
    row: StatementRow,
    record: Arc<PaymentRecord>,
    wait: Arc<Wait>,
}

/// Every refusal, in order of precedence.
fn judge(
    now: Timestamp,
    policy: &Policy,
    people: &dyn People,
    working: &WorkingSet,
    given: &VerifiedEvidence,
) -> Result<Judged, NotTaken> {
    let row = working.statement(&given.statement()).ok_or(NotTaken::UnknownStatement)?.clone();
    if row.evidence.is_some() {
        return Err(NotTaken::Replayed);
    }
    if row.statement.expires_at <= now {
        return Err(NotTaken::StatementExpired(row.statement.expires_at));
    }
    let (record, wait) = waiting(now, working, row.subject)?;
    let approver = &row.statement.approver;
    may_approve(policy, people, &record, &wait, approver)?;
    let known = people.credential(given.credential(), now).ok_or(NotTaken::CredentialUnknown)?;
    if known.0 != *approver {
        return Err(NotTaken::CredentialOfAnother { found: known.0, expected: approver.clone() });
    }
    let given_already = working
        .statements_on(row.subject)
        .any(|(_, other)| other.evidence.is_some() && other.statement.approver == *approver);
    if given_already {
        return Err(NotTaken::GivenAlready(approver.clone()));
    }
    let last = working.uses.get(given.credential()).copied().unwrap_or_default();
    let found = given.counter();
    if (found != 0 || last != 0) && found <= last {
        return Err(NotTaken::CounterNotRisen { found, last });
    }
    Ok(Judged { row, record, wait })
}

/// The payment, if it waits and it is not too late.
fn waiting(
    now: Timestamp,
    working: &WorkingSet,
    subject: Subject,
) -> Result<(Arc<PaymentRecord>, Arc<Wait>), NotTaken> {
    let Subject::Payment(id) = subject else { return Err(NotTaken::NotWaiting(subject)) };
    let record = working.payment(id).ok_or(NotTaken::NotWaiting(subject))?;
    match (&record.state, &record.wait) {
        (State::Waiting { .. }, Some(wait)) if wait.deadline > now => {
            Ok((Arc::clone(record), Arc::clone(wait)))
        }
        _ => Err(NotTaken::NotWaiting(subject)),
    }
}

/// Whether an approver's word would count: asked for, and not the maker.
fn may_approve(
    policy: &Policy,
    people: &dyn People,
    record: &PaymentRecord,
    wait: &Wait,
    approver: &Approver,
) -> Result<(), NotTaken> {
    let asked = match approver {
        Approver::Payer(payer) => wait.demand.payer && record.payer().as_ref() == Some(payer),
        Approver::Person(person) => {
            let groups = people.groups_of(person);
            groups.iter().any(|group| wait.demand.groups.contains_key(group))
        }
    };
    if !asked {
        return Err(NotTaken::NotAsked(approver.clone()));
    }
    let caller = policy.callers.get(&record.caller);
    match approver {
        Approver::Person(person) if caller.is_some_and(|c| c.operators.contains(person)) => {
            Err(NotTaken::Maker(approver.clone()))
        }
        _ => Ok(()),
    }
}

/// What is missing beside the approvals on record, with groups and credentials as they are now.
fn missing(
    now: Timestamp,
    people: &dyn People,
    working: &WorkingSet,
    record: &PaymentRecord,
    demand: &Demand,
) -> Missing {
    let rows = working.statements_on(Subject::Payment(record.id));
    let given = rows.filter_map(|(_, row)| counted(now, people, row));
    demand.missing(&given.collect::<Vec<_>>())
}

/// An approval on record, if its credential still counts and is still that person's.
pub(super) fn counted(now: Timestamp, people: &dyn People, row: &StatementRow) -> Option<Approval> {
    let evidence = row.evidence.as_ref()?;
    if row.statement.verdict != Verdict::Approve {
        return None;
    }
    let (owner, credential) = people.credential(&evidence.credential, now)?;
    let approver = row.statement.approver.clone();
    if owner != approver {
        return None;
    }
    let groups = match &approver {
        Approver::Person(person) => people.groups_of(person),
        Approver::Payer(_) => Vec::new(),
    };
    Some(Approval { approver, groups, hardware: credential.hardware })
}
