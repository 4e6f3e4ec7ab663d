//! What another policy would have said about payments on record.

use std::sync::Arc;

use crate::domain::caller::CallerId;
use crate::domain::counted::Counted;
use crate::domain::counter::{Counter, Miscount, Parties, Spend};
use crate::domain::denial::Denial;
use crate::domain::payment::{Payment, PaymentId};
use crate::domain::people::Nobody;
use crate::domain::policy::Policy;
use crate::domain::tier::Asks;
use crate::domain::time::Timestamp;

use super::judge::{Admission, Case, admission, claim_to_take};
use super::working_set::{ClaimHolder, WorkingSet};

/// A ledger in memory that starts empty and is told the payments in the order of their acceptance.
/// What it admits counts as posted at once.
pub struct Replay<'a> {
    policy: &'a Policy,
    working: WorkingSet,
    seen: u128,
}

impl<'a> Replay<'a> {
    /// A replay under this policy.
    pub fn new(policy: &'a Policy) -> Self {
        let mut working = WorkingSet::default();
        working.counted = Arc::new(Counted::new(policy.needs()));
        Self { policy, working, seen: 0 }
    }

    /// What the policy says about the next payment, accepted at `now`. Nobody is in the registry of
    /// a replay: whoever a tier asks for is taken to approve, and the payer to touch.
    ///
    /// # Errors
    /// [`Miscount`] if a sum does not fit.
    pub fn next(
        &mut self,
        now: Timestamp,
        caller: &CallerId,
        payment: &Payment,
    ) -> Result<Result<Admission, Denial>, Miscount> {
        let namespace = self.policy.namespace_of(caller);
        let parties = Parties::of(caller, &namespace, payment, false);
        let counted = Arc::clone(&self.working.counted);
        for id in counted.counters_of(payment.key(), &parties) {
            let empty = || Counter::empty(self.policy.spans_of(&id), now);
            self.working.counters.entry(id.clone()).or_insert_with(empty).advance(now)?;
        }
        let (policy, people, working) = (self.policy, &Nobody, &self.working);
        let case = Case { now, policy, people, working, caller, payment, again: None };
        let admission = match admission(&case)? {
            Ok(admission) => admission,
            Err(denial) => return Ok(Err(denial)),
        };
        let touched = matches!(&admission.asks, Asks::People(demand) if demand.payer);
        if let Some(claim) = claim_to_take(&case) {
            self.seen = self.seen.saturating_add(1);
            let payment = PaymentId::from_bytes(self.seen.to_be_bytes());
            self.working.load_claim(claim, ClaimHolder { payment, accepted_at: now });
        }
        let spend = Spend::one(payment.amount().minor_units());
        self.working.change_counters(
            payment.key(),
            &parties,
            |counter| counter.can_hold(spend),
            |counter| counter.hold(spend).and_then(|()| counter.post(spend, now)),
        )?;
        if touched {
            self.working.touch(payment.key(), &parties);
        }
        Ok(Ok(admission))
    }
}
