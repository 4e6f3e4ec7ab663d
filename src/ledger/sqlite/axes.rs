//! Which axes are counted, and counting one that is new from the payments on record.
//!
//! A policy never sees a sum that misses a payment: an axis is counted before the first policy that
//! needs it is in force, and from then on for good.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, params};

use crate::domain::counted::Counted;
use crate::domain::counter::{Axis, CounterId, Scope, Spend};
use crate::domain::ledger::{PaymentRecord, State};
use crate::domain::time::{Slot, SlotWidth};

use super::super::OpenError;
use super::{Store, StoreError, closing, counters, merger, payments};

/// Payments that are added up in one commit.
const CHUNK: usize = 10_000;

/// The axes that the ledger counts.
pub(super) fn counted(connection: &Connection) -> Result<Counted, StoreError> {
    let mut statement = connection.prepare_cached("SELECT scope, axis FROM counted")?;
    let mut rows = statement.query([])?;
    let mut axes = Vec::new();
    while let Some(row) = rows.next()? {
        let (scope, axis): (String, String) = (row.get(0)?, row.get(1)?);
        let known = Scope::from_name(&scope).zip(Axis::parse("axis", &axis).ok());
        axes.push(known.ok_or_else(|| StoreError::Row(format!("unknown axis {scope} {axis}")))?);
    }
    Ok(Counted::new(axes))
}

/// What a payment on record adds to one counter.
#[derive(Default)]
struct Share {
    pending: Spend,
    posted: Spend,
    slots: HashMap<Slot, Spend>,
}

impl Store {
    /// Counts every axis in `needed` that is not counted yet from the payments on record.
    /// `progress` is told how many were read. Broken off, it starts over the next time.
    ///
    /// # Errors
    /// [`OpenError::NotALedger`] if a payment cannot be read, [`OpenError::Sqlite`].
    pub fn count_axes(
        &mut self,
        needed: &BTreeSet<(Scope, Axis)>,
        progress: impl Fn(u64),
    ) -> Result<(), OpenError> {
        let missing = self.counted.missing(needed);
        if missing.is_empty() {
            return Ok(());
        }
        let path = self.path.clone();
        let told = |refused: StoreError| match refused {
            StoreError::Sqlite(source) => OpenError::Sqlite { path: path.clone(), source },
            other => OpenError::NotALedger { path: path.clone(), found: other.to_string() },
        };
        let connection = self.connection.as_mut().ok_or_else(|| told(StoreError::Closed))?;
        count(connection, &missing, progress).map_err(&told)?;
        self.counted = counted(connection).map_err(told)?.into();
        Ok(())
    }
}

fn count(
    connection: &mut Connection,
    missing: &[(Scope, Axis)],
    progress: impl Fn(u64),
) -> Result<(), StoreError> {
    for (scope, axis) in missing {
        forget(connection, scope, *axis)?;
    }
    let axes = Counted::new(missing.iter().cloned());
    count_closed(connection, missing)?;
    let (mut after, mut read) = (0, 0_u64);
    loop {
        let chunk = payments::history(connection, after, CHUNK)?;
        let Some((last, _)) = chunk.last() else { break };
        after = *last;
        read = read.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        let transaction = connection.transaction()?;
        for (id, share) in shares(&axes, chunk.into_iter().map(|(_, record)| record))? {
            counters::add(&transaction, &id, share.pending, share.posted, share.slots)?;
        }
        transaction.commit()?;
        merger::merge(connection)?;
        progress(read);
    }
    let transaction = connection.transaction()?;
    for (scope, axis) in missing {
        let insert = "INSERT INTO counted (scope, axis) VALUES (?1, ?2)";
        transaction.execute(insert, params![scope.to_string(), axis.name()])?;
    }
    Ok(transaction.commit()?)
}

/// Counts the payments whose rows are gone.
fn count_closed(connection: &mut Connection, missing: &[(Scope, Axis)]) -> Result<(), StoreError> {
    let transaction = connection.transaction()?;
    for (scope, axis) in missing {
        closing::past(&transaction, scope, *axis, |id, slot, spend| {
            counters::add(&transaction, id, Spend::default(), spend, [(slot, spend)])
        })?;
    }
    Ok(transaction.commit()?)
}

/// Removes what an earlier attempt that was broken off has counted.
fn forget(connection: &Connection, scope: &Scope, axis: Axis) -> Result<(), StoreError> {
    for table in ["spend", "running_sum"] {
        let delete = format!(
            "DELETE FROM {table} WHERE counter IN \
             (SELECT id FROM counter WHERE scope = ?1 AND axis = ?2)"
        );
        connection.execute(&delete, params![scope.to_string(), axis.name()])?;
    }
    let delete = "DELETE FROM counter WHERE scope = ?1 AND axis = ?2";
    connection.execute(delete, params![scope.to_string(), axis.name()])?;
    Ok(())
}

fn shares(
    axes: &Counted,
    records: impl Iterator<Item = PaymentRecord>,
) -> Result<HashMap<CounterId, Share>, StoreError> {
    let miscount = |_| StoreError::Row("sums exceed 64 bits".to_owned());
    let mut shares: HashMap<CounterId, Share> = HashMap::new();
    for record in records {
        let spend = record.spend();
        for id in axes.counters_of(record.payment.key(), &record.parties()) {
            let share = shares.entry(id).or_default();
            match &record.state {
                State::Waiting { .. } | State::Authorised { .. } => {
                    share.pending = share.pending.plus(spend).map_err(miscount)?;
                }
                State::Posted { posted_at, .. } => {
                    share.posted = share.posted.plus(spend).map_err(miscount)?;
                    let slot = SlotWidth::Quarter.slot_at(*posted_at);
                    let counted = share.slots.entry(slot).or_default();
                    *counted = counted.plus(spend).map_err(miscount)?;
                }
                State::Denied(_) | State::Voided { .. } => {}
            }
        }
    }
    Ok(shares)
}
