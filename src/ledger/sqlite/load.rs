//! The rows that a command names, loaded before it is decided.

use std::sync::Arc;

use crate::domain::counter::{CounterId, Parties};
use crate::domain::ledger::{Submission, VerifiedEvidence, WorkingSet};
use crate::domain::payment::PaymentId;
use crate::domain::people::{PayerStanding, People};
use crate::domain::person::PayerId;
use crate::domain::policy::Policy;
use crate::domain::subject::Subject;
use crate::domain::time::Timestamp;

use super::{Store, StoreError, begin, counters, payments, statements};

/// The rows that a command needs.
pub(in crate::ledger) enum Names<'a> {
    Submission(&'a Submission),
    Payment(PaymentId),
    /// A subject with its statements.
    Subject(Subject),
    Evidence(&'a VerifiedEvidence),
    Nothing,
}

/// What a command is decided by, beside the rows.
#[derive(Clone, Copy)]
pub(in crate::ledger) struct Registry<'a> {
    /// The policy in force.
    pub(in crate::ledger) policy: &'a Policy,
    /// Who is who.
    pub(in crate::ledger) people: &'a dyn People,
}

impl Store {
    /// Loads the rows that a command names and that are not in the set yet.
    pub(in crate::ledger) fn load(
        &mut self,
        now: Timestamp,
        registry: Registry<'_>,
        names: &Names<'_>,
        working: &mut WorkingSet,
    ) -> Result<(), StoreError> {
        working.counted = Arc::clone(&self.counted);
        working.waiting = Arc::clone(&self.waiting);
        begin(self.connection()?)?;
        let moved = match names {
            Names::Nothing => Vec::new(),
            Names::Submission(submission) => {
                self.load_submission(now, registry, submission, working)?
            }
            Names::Payment(id) => self.load_payment(*id, working)?,
            Names::Subject(subject) => self.load_subject(*subject, working)?,
            Names::Evidence(given) => self.load_evidence(given, working)?,
        };
        moved.into_iter().try_for_each(|id| self.load_counter(now, registry.policy, id, working))
    }

    fn load_submission(
        &mut self,
        now: Timestamp,
        registry: Registry<'_>,
        submission: &Submission,
        working: &mut WorkingSet,
    ) -> Result<Vec<CounterId>, StoreError> {
        payments::load_submission(self.connection()?, submission, working)?;
        let Submission { caller, payment, .. } = submission;
        let namespace = registry.policy.namespace_of(caller);
        let payer = payment
            .debtor()
            .map(|debtor| PayerId { namespace: namespace.clone(), debtor: debtor.clone() });
        let standing = payer.map(|payer| registry.people.payer(&payer, now));
        let known = standing == Some(PayerStanding::Enrolled);
        let parties = Parties::of(caller, &namespace, payment, known);
        Ok(self.counted.counters_of(payment.key(), &parties).collect())
    }

    fn load_payment(
        &mut self,
        id: PaymentId,
        working: &mut WorkingSet,
    ) -> Result<Vec<CounterId>, StoreError> {
        let known = working.payment(id).or_else(|| self.open.get(&id)).cloned();
        let record = match known {
            Some(record) => Some(record),
            None => payments::by_id(self.connection()?, id)?.map(Arc::new),
        };
        let Some(record) = record else { return Ok(Vec::new()) };
        let parties = record.parties();
        let moved = self.counted.counters_of(record.payment.key(), &parties).collect();
        working.load_payment(record);
        Ok(moved)
    }

    fn load_subject(
        &mut self,
        subject: Subject,
        working: &mut WorkingSet,
    ) -> Result<Vec<CounterId>, StoreError> {
        for (digest, row) in statements::on(self.connection()?, subject)? {
            working.load_statement(digest, row);
        }
        match subject {
            Subject::Payment(id) => self.load_payment(id, working),
            Subject::Operation(_) => Ok(Vec::new()),
        }
    }

    fn load_evidence(
        &mut self,
        given: &VerifiedEvidence,
        working: &mut WorkingSet,
    ) -> Result<Vec<CounterId>, StoreError> {
        let connection = self.connection()?;
        if !working.uses.contains_key(given.credential())
            && let Some(counter) = statements::counter(connection, given.credential())?
        {
            working.uses.insert(given.credential().clone(), counter);
        }
        match statements::subject_of(connection, &given.statement())? {
            Some(subject) => self.load_subject(subject, working),
            None => Ok(Vec::new()),
        }
    }

    fn load_counter(
        &mut self,
        now: Timestamp,
        policy: &Policy,
        id: CounterId,
        working: &mut WorkingSet,
    ) -> Result<(), StoreError> {
        if working.counters.contains_key(&id) {
            return Ok(());
        }
        let counter = match self.live.remove(&id) {
            Some(counter) => counter,
            None => {
                let spans = policy.spans_of(&id);
                let (counter, stored) = counters::load(self.connection()?, now, &id, &spans)?;
                self.stored.insert(id.clone(), stored);
                counter
            }
        };
        working.counters.insert(id, counter);
        Ok(())
    }
}
