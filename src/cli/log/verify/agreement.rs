//! The ledger against its log: every payment has its leaves and every such leaf its payment, and
//! the sums that limits are compared with are those that the leaves give.

use std::ops::ControlFlow;

use crate::domain::counter::Spend;
use crate::domain::ledger::PaymentRecord;
use crate::domain::money::Currency;
use crate::ledger::reader::{PaymentWithLeaves, Reader, Spent, Standing};
use crate::log::entry::Kind;
use crate::log::verify::{LeavesOf, Summary, Sums, agrees};

use super::super::super::output::{Failure, Output};
use super::super::source::{Source, read};
use super::fault;

/// Payments that are read at a time.
const CHUNK: usize = 2_000;

/// What agrees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Agreed {
    /// Payments with all their leaves.
    pub(super) payments: u64,
    /// Outcomes among those leaves.
    pub(super) outcomes: u64,
    /// Keys whose lifetime sums are those of the log.
    pub(super) sums: usize,
}

/// Compares the ledger with a log that holds by itself, both as of one instant: what a running
/// daemon has decided since then is not looked at.
pub(super) fn agree(
    reader: &Reader,
    source: &Source,
    standing: &Standing,
    log: &Summary,
    output: &Output,
) -> Result<Agreed, Failure> {
    let (mut agreed, mut after) = (Agreed::default(), 0);
    let decisions = count(log, [Kind::Accepted, Kind::Denied]);
    let outcomes = count(log, [Kind::Signed, Kind::Voided]);
    loop {
        output.bar(agreed.payments, decisions, "payments compared");
        let chunk = reader.history_with_leaves(after, CHUNK).map_err(Failure::broken)?;
        let later = |found: &PaymentWithLeaves| found.record.leaf >= standing.leaves;
        // Whoever pays meanwhile must not keep an audit from its end.
        if chunk.iter().all(later) {
            break;
        }
        for PaymentWithLeaves { row, record, decision, outcome } in chunk {
            after = row;
            if record.leaf >= standing.leaves {
                continue;
            }
            let leaves = LeavesOf { decision, outcome };
            agrees(&record, &leaves, standing.leaves).map_err(|e| fault(&e))?;
            agreed.payments += 1;
            agreed.outcomes += u64::from(record.outcome_leaf.is_some_and(|p| p < standing.leaves));
        }
    }
    // Identifiers are unique and every payment has its own leaves: equal numbers leave none over.
    if (agreed.payments, agreed.outcomes) != (decisions, outcomes) {
        return Err(left_over(source, standing.leaves, &agreed, decisions, outcomes));
    }
    for spent in &standing.spent {
        sums_agree(spent, log)?;
    }
    agreed.sums = standing.spent.len();
    Ok(agreed)
}

fn count<const N: usize>(log: &Summary, kinds: [Kind; N]) -> u64 {
    kinds.iter().filter_map(|kind| log.kinds.get(kind)).sum()
}

/// The first leaf whose payment is not in the ledger, or does not know of it.
fn left_over(
    source: &Source,
    size: u64,
    agreed: &Agreed,
    decisions: u64,
    outcomes: u64,
) -> Failure {
    let mut told = None;
    let walked = source.walk(0, size, |position, text| {
        let entry = read(position, text)?;
        let Some(of) = entry.payment() else { return Ok(ControlFlow::Continue(())) };
        let row = source.row(of.id)?;
        let (id, kind) = (of.id, entry.kind());
        told = match row {
            None => Some(format!(
                "leaf {position}: payment {id} is {kind} here, but the ledger has no such payment: \
                 its row was deleted"
            )),
            Some(row) if place(&row, kind) == Some(position) => None,
            Some(row) => Some(format!(
                "leaf {position}: payment {id} is {kind} here, but its row in the ledger {}; \
                 expected this position: the row was changed",
                place(&row, kind).map_or("knows of no such leaf".to_owned(), |place| {
                    format!("says that this stands at {place}")
                })
            )),
        };
        Ok(if told.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    });
    match (walked, told) {
        (Err(failed), _) => failed,
        (_, Some(told)) => Failure::alarm(format!("ledger and log do not agree: {told}")),
        (_, None) => Failure::alarm(format!(
            "ledger and log do not agree: the ledger has {} payments and {} outcomes, the log {} \
             and {}; expected the same",
            agreed.payments, agreed.outcomes, decisions, outcomes
        )),
    }
}

/// Where a payment says that its leaf of this kind stands.
fn place(row: &PaymentRecord, kind: Kind) -> Option<u64> {
    if kind.is_outcome() { row.outcome_leaf } else { Some(row.leaf) }
}

fn sums_agree(spent: &Spent, log: &Summary) -> Result<(), Failure> {
    let of_key = log.sums.iter().find(|((key, _), _)| key == spent.key.as_str());
    let (currency, sums) = match of_key {
        Some(((_, currency), sums)) => (Some(*currency), *sums),
        None => (None, Sums::default()),
    };
    let posted = Spend { amount: sums.signed_amount, count: sums.signed };
    let pending = Spend { amount: sums.open_amount, count: sums.open };
    for (what, found, expected) in
        [("signed", spent.posted, posted), ("open", spent.pending, pending)]
    {
        if found != expected {
            return Err(Failure::alarm(format!(
                "ledger and log do not agree: the ledger counts {} as {what} with key {}; expected \
                 {}, which the leaves give: what limits are compared with was changed",
                worth(found, currency),
                spent.key,
                worth(expected, currency)
            )));
        }
    }
    Ok(())
}

fn worth(spend: Spend, currency: Option<Currency>) -> String {
    let amount = match currency {
        Some(currency) => format!("{} {currency}", currency.decimal(spend.amount)),
        None => format!("{} minor units", spend.amount),
    };
    format!("{amount} in {} payments", spend.count)
}
