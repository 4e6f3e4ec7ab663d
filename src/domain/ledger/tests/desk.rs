//! A ledger without a back end, for the tests of its rules.

use super::*;

/// A ledger without a back end: the working set is all there is.
pub(super) struct Desk {
    pub(super) policy: Policy,
    pub(super) people: Circle,
    pub(super) working: WorkingSet,
    /// Every axis that was ever counted.
    counted: BTreeSet<(Scope, Axis)>,
    /// Payments that were decided upon.
    pub(super) ids: Vec<PaymentId>,
    pub(super) drawn: u128,
}

impl Desk {
    pub(super) fn new() -> Self {
        Self::with(policy())
    }

    pub(super) fn with(policy: Policy) -> Self {
        let counted = policy.needs();
        let mut working = WorkingSet::default();
        working.counted = Arc::new(Counted::new(counted.iter().cloned()));
        Self { policy, people: Circle::default(), working, counted, ids: Vec::new(), drawn: 0 }
    }

    /// What a back end would do: load the counters that a payment moves.
    pub(super) fn load(&mut self, who: &CallerId, payment: &Payment, now: Timestamp) {
        let namespace = self.policy.namespace_of(who);
        let payer = payment
            .debtor()
            .map(|debtor| PayerId { namespace: namespace.clone(), debtor: debtor.clone() });
        let standing = payer.map(|payer| self.people.payer(&payer, now));
        let known = standing == Some(PayerStanding::Enrolled);
        let parties = Parties::of(who, &namespace, payment, known);
        for id in Arc::clone(&self.working.counted).counters_of(payment.key(), &parties) {
            let spans = self.policy.spans_of(&id);
            self.working.counters.entry(id).or_insert_with(|| Counter::empty(spans, now));
        }
    }

    /// What a back end does when another policy is loaded: axes that are new are counted from the
    /// payments on record, the others go on.
    pub(super) fn recount(&mut self, now: Timestamp) {
        let new: Vec<(Scope, Axis)> = self.working.counted.missing(&self.policy.needs());
        let all = self.policy.needs().into_iter().chain(self.counted.iter().cloned());
        self.counted = all.collect();
        self.working.counted = Arc::new(Counted::new(self.counted.iter().cloned()));
        let fresh = Counted::new(new);
        for id in &self.ids {
            let record = Arc::clone(self.working.payment(*id).unwrap());
            for id in fresh.counters_of(record.payment.key(), &record.parties()) {
                let empty = || Counter::empty([], now);
                let counter = self.working.counters.entry(id).or_insert_with(empty);
                match &record.state {
                    State::Waiting { .. } | State::Authorised { .. } => {
                        counter.hold(record.spend()).unwrap();
                    }
                    State::Posted { posted_at, .. } => {
                        counter.hold(record.spend()).unwrap();
                        counter.post(record.spend(), *posted_at).unwrap();
                    }
                    State::Denied(_) | State::Voided { .. } => {}
                }
            }
        }
        for (id, counter) in &mut self.working.counters {
            *counter = counter.reloaded(&self.policy.spans_of(id), now);
        }
    }

    pub(super) fn submit_as(
        &mut self,
        who: &str,
        id: &str,
        payment: Payment,
        now: Timestamp,
    ) -> Reservation {
        self.drawn += 1;
        let submission = Submission {
            caller: caller(who),
            idempotency_key: IdempotencyKey::parse("id", id).unwrap(),
            payment,
            fresh_id: PaymentId::from_bytes(self.drawn.to_be_bytes()),
            salt: crate::domain::leaf::Salt::from_bytes([7; 16]),
            issuer: "https://pay.example".to_owned(),
            signing_kid: Some(kid()),
        };
        self.load(&submission.caller, &submission.payment, now);
        assert_eq!(self.working.advance(now), []);
        let decided =
            reserve(now, &self.policy, &self.people, &mut self.working, submission).unwrap();
        if let Reservation::Denied(record)
        | Reservation::Waiting(record)
        | Reservation::Authorised(record, _) = &decided
        {
            self.ids.push(record.id);
        }
        decided
    }

    pub(super) fn submit(&mut self, id: &str, amount: &str) -> Reservation {
        self.submit_as("shop", id, payment(|p| p.amount = amount.to_owned()), at(0))
    }

    pub(super) fn authorised(&mut self, id: &str, amount: &str) -> SigningAuthorization {
        match self.submit(id, amount) {
            Reservation::Authorised(_, authorization) => authorization,
            other => panic!("expected an authorization, found {other:?}"),
        }
    }

    pub(super) fn counter(&self) -> &Counter {
        &self.working.counters[&CounterId::of_key(&key("settlement-eur"))]
    }
}
