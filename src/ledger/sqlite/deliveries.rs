//! Rows of deliveries: how far each route was told, and what it gave up.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::domain::notification::{EventId, EventKind};
use crate::domain::payment::PaymentId;
use crate::domain::time::Timestamp;

use super::leaves::{position, stored_position};
use super::{Store, StoreError, begin};

/// How far a route was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Its name.
    pub route: String,
    /// Position of the first leaf that may still have to be told.
    pub next: u64,
    /// Attempts that failed at the event that comes next.
    pub attempts: u32,
    /// When it is tried again at the earliest.
    pub due_at: Timestamp,
    /// What the last of them ended with.
    pub failure: Option<String>,
}

/// An event that a route gave up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The route.
    pub route: String,
    /// The event.
    pub event: EventId,
    /// What it tells.
    pub kind: EventKind,
    /// When it was given up.
    pub died_at: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
    /// What the last attempt ended with.
    pub reason: String,
    /// Whether somebody asked for one more attempt.
    pub again: bool,
}

/// Dead letters of a route: one, or all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letters {
    /// The route.
    pub route: String,
    /// Position of the leaf; `None` for all.
    pub position: Option<u64>,
}

/// A change of what was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Telling {
    /// A route has come so far.
    Came(Progress),
    /// A route gave an event up and goes on.
    Died(DeadLetter, Progress),
    /// Dead letters are to be tried once more.
    TryAgain(Letters),
    /// Dead letters are wanted no more, or were delivered after all.
    Drop(Letters),
}

impl Store {
    /// Takes changes of what was told into the transaction of a batch.
    pub(in crate::ledger) fn tell(&mut self, tellings: &[Telling]) -> Result<(), StoreError> {
        if tellings.is_empty() {
            return Ok(());
        }
        let connection = self.connection()?;
        begin(connection)?;
        tellings.iter().try_for_each(|telling| store(connection, telling))
    }
}

fn store(connection: &Connection, telling: &Telling) -> Result<(), StoreError> {
    match telling {
        Telling::Came(progress) => store_progress(connection, progress),
        Telling::Died(letter, progress) => {
            store_letter(connection, letter)?;
            store_progress(connection, progress)
        }
        Telling::TryAgain(letters) => {
            let update = "UPDATE dead_letter SET again = 1 \
                          WHERE route = ?1 AND (?2 IS NULL OR position = ?2)";
            change(connection, update, letters)
        }
        Telling::Drop(letters) => {
            let delete = "DELETE FROM dead_letter \
                          WHERE route = ?1 AND (?2 IS NULL OR position = ?2)";
            change(connection, delete, letters)
        }
    }
}

fn store_progress(connection: &Connection, progress: &Progress) -> Result<(), StoreError> {
    let upsert = "INSERT INTO told (route, next, attempts, due_at, failure) \
                  VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET next = excluded.next, \
                  attempts = excluded.attempts, due_at = excluded.due_at, \
                  failure = excluded.failure";
    connection.prepare_cached(upsert)?.execute(params![
        progress.route,
        stored_position(progress.next)?,
        progress.attempts,
        progress.due_at.unix_ms(),
        progress.failure,
    ])?;
    Ok(())
}

fn store_letter(connection: &Connection, letter: &DeadLetter) -> Result<(), StoreError> {
    let upsert = "INSERT INTO dead_letter (route, position, payment, kind, died_at, attempts, \
                  reason, again) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
                  ON CONFLICT DO UPDATE SET died_at = excluded.died_at, \
                  attempts = excluded.attempts, reason = excluded.reason, again = excluded.again";
    connection.prepare_cached(upsert)?.execute(params![
        letter.route,
        stored_position(letter.event.position)?,
        letter.event.payment.to_bytes().as_slice(),
        letter.kind.name(),
        letter.died_at.unix_ms(),
        letter.attempts,
        letter.reason,
        letter.again,
    ])?;
    Ok(())
}

fn change(connection: &Connection, statement: &str, letters: &Letters) -> Result<(), StoreError> {
    let position = letters.position.map(stored_position).transpose()?;
    connection.prepare_cached(statement)?.execute(params![letters.route, position])?;
    Ok(())
}

/// How far every route was told, also those that are configured no more.
pub(crate) fn progress(connection: &Connection) -> Result<Vec<Progress>, StoreError> {
    let select = "SELECT route, next, attempts, due_at, failure FROM told ORDER BY route";
    let mut statement = connection.prepare_cached(select)?;
    let mut rows = statement.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(Progress {
            route: row.get(0)?,
            next: position(row.get(1)?)?,
            attempts: row.get(2)?,
            due_at: Timestamp::from_unix_ms(row.get(3)?),
            failure: row.get(4)?,
        });
    }
    Ok(all)
}

/// Dead letters in the order of routes and events, at most so many.
pub(crate) fn dead_letters(
    connection: &Connection,
    most: u32,
) -> Result<Vec<DeadLetter>, StoreError> {
    let select = format!("SELECT {COLUMNS} FROM dead_letter ORDER BY route, position LIMIT ?1");
    let mut statement = connection.prepare_cached(&select)?;
    let mut rows = statement.query([most])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(letter(row)?);
    }
    Ok(all)
}

/// A dead letter of a route, by the position of its leaf.
pub(crate) fn dead_letter(
    connection: &Connection,
    route: &str,
    position: u64,
) -> Result<Option<DeadLetter>, StoreError> {
    let select = format!("SELECT {COLUMNS} FROM dead_letter WHERE route = ?1 AND position = ?2");
    let named = params![route, stored_position(position)?];
    let found = connection.prepare_cached(&select)?.query_row(named, |row| Ok(letter(row)));
    found.optional()?.transpose()
}

/// The oldest dead letter of a route that is to be tried once more.
pub(crate) fn to_try_again(
    connection: &Connection,
    route: &str,
) -> Result<Option<DeadLetter>, StoreError> {
    let select = format!(
        "SELECT {COLUMNS} FROM dead_letter WHERE route = ?1 AND again = 1 ORDER BY position LIMIT 1"
    );
    let found = connection.prepare_cached(&select)?.query_row([route], |row| Ok(letter(row)));
    found.optional()?.transpose()
}

/// How many dead letters a route has.
pub(crate) fn count_dead(connection: &Connection, route: &str) -> Result<u64, StoreError> {
    let select = "SELECT count(*) FROM dead_letter WHERE route = ?1";
    position(connection.prepare_cached(select)?.query_row([route], |row| row.get(0))?)
}

const COLUMNS: &str = "route, position, payment, kind, died_at, attempts, reason, again";

fn letter(row: &Row<'_>) -> Result<DeadLetter, StoreError> {
    let kind: String = row.get(3)?;
    Ok(DeadLetter {
        route: row.get(0)?,
        event: EventId {
            position: position(row.get(1)?)?,
            payment: PaymentId::from_bytes(row.get(2)?),
        },
        kind: EventKind::parse("kind", &kind).map_err(|e| StoreError::Row(e.to_string()))?,
        died_at: Timestamp::from_unix_ms(row.get(4)?),
        attempts: row.get(5)?,
        reason: row.get(6)?,
        again: row.get(7)?,
    })
}
