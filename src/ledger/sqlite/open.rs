//! Payments that are not final: in doubt, or waiting for people.

use rusqlite::{Connection, params};

use crate::domain::key::Kid;
use crate::domain::ledger::Waiting;
use crate::domain::payment::PaymentId;
use crate::domain::time::Timestamp;

use super::StoreError;
use super::payments::{COLUMNS, record};

/// Identifiers of payments in doubt that a key version may still sign, oldest first.
pub(crate) fn in_doubt(
    connection: &Connection,
    now: Timestamp,
    kid: &Kid,
    most: u32,
) -> Result<Vec<PaymentId>, StoreError> {
    let select = "SELECT id FROM payment WHERE state = 'authorised' AND expires_at > ?1 \
                  AND kid = ?2 ORDER BY accepted_at LIMIT ?3";
    let mut statement = connection.prepare_cached(select)?;
    let ids = statement.query_map(params![now.unix_ms(), kid.as_str(), most], |row| {
        Ok(PaymentId::from_bytes(row.get(0)?))
    })?;
    Ok(ids.collect::<Result<_, _>>()?)
}

/// What waits for people.
pub(super) fn waiting(connection: &Connection) -> Result<Waiting, StoreError> {
    let select = format!("SELECT {COLUMNS} FROM payment WHERE state = 'waiting'");
    let mut statement = connection.prepare_cached(&select)?;
    let mut rows = statement.query([])?;
    let mut holds = Vec::new();
    while let Some(row) = rows.next()? {
        let record = record(row)?;
        holds.push((record.id, record.hold()));
    }
    Ok(Waiting::new(holds))
}

/// How many payments will have an outcome: those in doubt, and those that wait for people.
pub(super) fn count_open(connection: &Connection) -> Result<u32, StoreError> {
    let select = "SELECT (SELECT count(*) FROM payment WHERE state = 'authorised') \
                  + (SELECT count(*) FROM payment WHERE state = 'waiting')";
    Ok(connection.prepare_cached(select)?.query_row([], |row| row.get(0))?)
}

/// Payments that wait, the first deadline first: those whose quorum is met, and those that are too
/// late at an instant.
pub(crate) fn due(
    connection: &Connection,
    now: Timestamp,
    most: u32,
) -> Result<Vec<(PaymentId, Due)>, StoreError> {
    let select = "SELECT id, deadline <= ?1 FROM payment \
                  WHERE state = 'waiting' AND (deadline <= ?1 OR approved) \
                  ORDER BY deadline LIMIT ?2";
    let mut statement = connection.prepare_cached(select)?;
    let found = statement.query_map(params![now.unix_ms(), most], |row| {
        let due = if row.get(1)? { Due::Expired } else { Due::Approved };
        Ok((PaymentId::from_bytes(row.get(0)?), due))
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// What is to be done about a payment that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Its quorum is met: it is to be authorised.
    Approved,
    /// It is too late: it is to be voided.
    Expired,
}

/// How many payments are in doubt, whether they can still be signed or not.
pub(crate) fn count_in_doubt(connection: &Connection) -> Result<u32, StoreError> {
    let select = "SELECT count(*) FROM payment WHERE state = 'authorised'";
    Ok(connection.prepare_cached(select)?.query_row([], |row| row.get(0))?)
}
