//! What an audit compares: the log, the payments and the sums, as the file has them.

use rusqlite::{Connection, params};

use crate::domain::counter::{Axis, Scope, Span, Spend};
use crate::domain::key::KeyId;
use crate::domain::leaf::Leaf;
use crate::domain::ledger::PaymentRecord;

use super::leaves::StoredCheckpoint;
use super::{StoreError, leaves, payments};

/// The log and the lifetime sums at one instant: both change in the same commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Number of leaves.
    pub leaves: u64,
    /// Checkpoints, oldest first.
    pub checkpoints: Vec<StoredCheckpoint>,
    /// Keys whose lifetime is counted.
    pub spent: Vec<Spent>,
}

/// What a key has spent since it was first used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spent {
    /// Name of the key.
    pub key: KeyId,
    /// Posted for good.
    pub posted: Spend,
    /// Held by payments without an outcome.
    pub pending: Spend,
}

/// A payment and what the log has where the payment says that its leaves are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentWithLeaves {
    /// Row, to go on after.
    pub row: i64,
    /// The payment.
    pub record: PaymentRecord,
    /// At the position of the first decision.
    pub decision: Option<Leaf>,
    /// At the position of the outcome.
    pub outcome: Option<Leaf>,
}

/// Reads everything in one transaction, so that no commit comes between.
pub(crate) fn standing(connection: &Connection) -> Result<Standing, StoreError> {
    let transaction = connection.unchecked_transaction()?;
    let mut checkpoints = leaves::checkpoints(&transaction, u32::MAX)?;
    checkpoints.reverse();
    let (leaves, spent) = (leaves::size(&transaction)?, spent(&transaction)?);
    Ok(Standing { leaves, checkpoints, spent })
}

fn spent(connection: &Connection) -> Result<Vec<Spent>, StoreError> {
    // A key that is counted and has no rows has spent nothing.
    let select = "SELECT counted.scope, coalesce(posted_amount, 0), coalesce(posted_count, 0), \
                  coalesce(pending_amount, 0), coalesce(pending_count, 0) FROM counted \
                  LEFT JOIN counter USING (scope, axis) \
                  LEFT JOIN running_sum ON running_sum.counter = counter.id AND span = ?2 \
                  WHERE axis = ?1 ORDER BY counted.scope";
    let mut statement = connection.prepare_cached(select)?;
    let mut rows = statement.query(params![Axis::Key.name(), Span::Lifetime.name()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let sum = |amount, count| -> Result<Spend, StoreError> {
            let (amount, count) = (leaves::position(amount)?, leaves::position(count)?);
            Ok(Spend { amount, count })
        };
        let scope: String = row.get(0)?;
        let posted = sum(row.get(1)?, row.get(2)?)?;
        let pending = sum(row.get(3)?, row.get(4)?)?;
        if let Some(Scope::Key(key)) = Scope::from_name(&scope) {
            found.push(Spent { key, posted, pending });
        }
    }
    Ok(found)
}

pub(crate) fn history_with_leaves(
    connection: &Connection,
    after: i64,
    most: usize,
) -> Result<Vec<PaymentWithLeaves>, StoreError> {
    let select = format!(
        "SELECT payment.rowid AS row, decision.body AS decision_body, \
         outcome.body AS outcome_body, {} FROM payment \
         LEFT JOIN leaf AS decision ON decision.position = payment.leaf \
         LEFT JOIN leaf AS outcome ON outcome.position = payment.outcome_leaf \
         WHERE payment.rowid > ?1 ORDER BY payment.rowid LIMIT ?2",
        payments::COLUMNS
    );
    let mut statement = connection.prepare_cached(&select)?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut rows = statement.query([after, most])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let leaf = |body: Option<String>| body.map(Leaf::from_stored);
        found.push(PaymentWithLeaves {
            row: row.get("row")?,
            record: payments::record(row)?,
            decision: leaf(row.get("decision_body")?),
            outcome: leaf(row.get("outcome_body")?),
        });
    }
    Ok(found)
}
