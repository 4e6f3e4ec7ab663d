//! A consistent look at the rows that a question names, on a read-only connection.

use std::sync::Arc;

use rusqlite::Connection;

use crate::domain::caller::CallerId;
use crate::domain::counter::{Counter, CounterId, Parties};
use crate::domain::ledger::WorkingSet;
use crate::domain::payment::Payment;
use crate::domain::people::{PayerStanding, People};
use crate::domain::person::PayerId;
use crate::domain::policy::Policy;
use crate::domain::time::Timestamp;

use super::{StoreError, axes, counters, open, payments};

/// The rows that the judgement of a new payment names.
pub(crate) fn of_payment(
    connection: &Connection,
    now: Timestamp,
    policy: &Policy,
    people: &dyn People,
    caller: &CallerId,
    payment: &Payment,
) -> Result<WorkingSet, StoreError> {
    let transaction = connection.unchecked_transaction()?;
    let mut working = WorkingSet::default();
    payments::load_claim(&transaction, payment, &mut working)?;
    working.counted = Arc::new(axes::counted(&transaction)?);
    working.waiting = Arc::new(open::waiting(&transaction)?);
    let namespace = policy.namespace_of(caller);
    let debtor = payment.debtor().cloned();
    let payer = debtor.map(|debtor| PayerId { namespace: namespace.clone(), debtor });
    let standing = payer.map(|payer| people.payer(&payer, now));
    let known = standing == Some(PayerStanding::Enrolled);
    let parties = Parties::of(caller, &namespace, payment, known);
    for id in Arc::clone(&working.counted).counters_of(payment.key(), &parties) {
        let (counter, _) = counters::load(&transaction, now, &id, &policy.spans_of(&id))?;
        working.counters.insert(id, counter);
    }
    match working.advance(now).first() {
        None => Ok(working),
        Some(key) => Err(StoreError::Row(format!("the sums of {key} contradict its slots"))),
    }
}

/// One counter, moved to an instant.
pub(crate) fn counter(
    connection: &Connection,
    now: Timestamp,
    policy: &Policy,
    id: &CounterId,
) -> Result<Counter, StoreError> {
    let transaction = connection.unchecked_transaction()?;
    let (mut counter, _) = counters::load(&transaction, now, id, &policy.spans_of(id))?;
    counter.advance(now).map_err(|e| StoreError::Row(e.to_string()))?;
    Ok(counter)
}
