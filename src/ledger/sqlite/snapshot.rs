//! A consistent look at the rows that a question names, on a read-only connection.

use rusqlite::Connection;

use crate::domain::counter::{Counter, CounterId};
use crate::domain::ledger::WorkingSet;
use crate::domain::payment::Payment;
use crate::domain::policy::Policy;
use crate::domain::time::Timestamp;

use super::{StoreError, counters, payments};

/// The rows that the judgement of a new payment names.
pub(crate) fn of_payment(
    connection: &Connection,
    now: Timestamp,
    policy: &Policy,
    payment: &Payment,
) -> Result<WorkingSet, StoreError> {
    let transaction = connection.unchecked_transaction()?;
    let mut working = WorkingSet::default();
    payments::load_claim(&transaction, payment, &mut working)?;
    let id = CounterId::of_key(payment.key());
    if policy.keys.contains_key(&id.key) {
        let (counter, _) = counters::load(&transaction, now, &id, &policy.spans_of(&id))?;
        working.counters.insert(id, counter);
    }
    match working.advance(now).first() {
        None => Ok(working),
        Some(key) => Err(StoreError::Row(format!("the sums of key {key} contradict its slots"))),
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
