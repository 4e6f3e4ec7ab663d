//! The ledger against its log: every payment has its leaves and every such leaf its payment, and
//! the sums that limits are compared with are those that the leaves give.

use std::ops::ControlFlow;

use crate::domain::counter::Spend;
use crate::domain::money::Currency;
use crate::domain::payment::PaymentId;
use crate::ledger::reader::{PaymentWithLeaves, Reader, Spent, Standing};
use crate::log::entry::Kind;
use crate::log::verify::{LeavesOf, Summary, Sums, agrees};

use super::super::super::output::{Failure, Output};
use super::super::source::{Source, read, unread};
use super::fault;

mod stubs;

/// Payments that are read at a time.
const CHUNK: usize = 2_000;

/// What agrees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Agreed {
    /// Payments with all their leaves.
    pub(super) payments: u64,
    /// Payments that have given up their rows.
    pub(super) closed: u64,
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
    let mut comparison = Comparison {
        size: standing.leaves,
        agreed: Agreed::default(),
        seen: vec![false; usize::try_from(standing.leaves).map_err(Failure::broken)?],
    };
    let decisions = count(log, [Kind::Accepted, Kind::Denied]);
    let outcomes = count(log, [Kind::Signed, Kind::Voided]);
    comparison.rows(reader, decisions, output)?;
    // After the rows: what is erased meanwhile is found here, and known to have been seen there.
    stubs::compare(reader, log, &mut comparison)?;
    let mut agreed = comparison.agreed;
    // Every payment has leaves of its own: equal numbers leave none over.
    if (agreed.payments + agreed.closed, agreed.outcomes) != (decisions, outcomes) {
        return Err(left_over(source, standing.leaves, &agreed, decisions, outcomes));
    }
    for spent in &standing.spent {
        sums_agree(spent, log)?;
    }
    agreed.sums = standing.spent.len();
    Ok(agreed)
}

/// Rows and stubs against the log, as of one instant.
struct Comparison {
    /// Leaves at that instant.
    size: u64,
    agreed: Agreed,
    /// Decisions that some row or stub has.
    seen: Vec<bool>,
}

impl Comparison {
    fn rows(&mut self, reader: &Reader, decisions: u64, output: &Output) -> Result<(), Failure> {
        let mut after = 0;
        loop {
            output.bar(self.agreed.payments, decisions, "payments compared");
            let chunk = reader.history_with_leaves(after, CHUNK).map_err(unread)?;
            let later = |found: &PaymentWithLeaves| found.record.leaf >= self.size;
            // Whoever pays meanwhile must not keep an audit from its end.
            if chunk.iter().all(later) {
                return Ok(());
            }
            for PaymentWithLeaves { row, record, decision, outcome } in chunk {
                after = row;
                if record.leaf >= self.size {
                    continue;
                }
                let leaves = LeavesOf { decision, outcome };
                agrees(&record, &leaves, self.size).map_err(|e| fault(&e))?;
                self.agreed.payments += u64::from(self.sees(record.leaf));
                self.counts_outcome(record.outcome_leaf);
            }
        }
    }

    /// Whether nobody has had this decision before.
    fn sees(&mut self, leaf: u64) -> bool {
        let place = usize::try_from(leaf).ok().and_then(|leaf| self.seen.get_mut(leaf));
        place.is_some_and(|seen| !std::mem::replace(seen, true))
    }

    fn counts_outcome(&mut self, outcome: Option<u64>) {
        self.agreed.outcomes += u64::from(outcome.is_some_and(|leaf| leaf < self.size));
    }
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
        let (id, kind) = (of.id, entry.kind());
        told = match places(source, id)? {
            None => Some(format!(
                "leaf {position}: payment {id} is {kind} here, but the ledger has no such payment: \
                 its row was deleted"
            )),
            Some(places) if place(places, kind) == Some(position) => None,
            Some(places) => Some(format!(
                "leaf {position}: payment {id} is {kind} here, but its row in the ledger {}; \
                 expected this position: the row was changed",
                place(places, kind).map_or("knows of no such leaf".to_owned(), |place| {
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
            agreed.payments + agreed.closed,
            agreed.outcomes,
            decisions,
            outcomes
        )),
    }
}

/// Where the row of a payment, or its stub, says that decision and outcome stand.
fn places(source: &Source, id: PaymentId) -> Result<Option<(u64, Option<u64>)>, Failure> {
    if let Some(row) = source.row(id)? {
        return Ok(Some((row.leaf, row.outcome_leaf)));
    }
    let Some(reader) = source.reader() else { return Ok(None) };
    let stub = reader.stub(id).map_err(unread)?;
    Ok(stub.map(|stub| (stub.leaf, stub.outcome_leaf)))
}

/// Where that of this kind stands.
fn place((decision, outcome): (u64, Option<u64>), kind: Kind) -> Option<u64> {
    if kind.is_outcome() { outcome } else { Some(decision) }
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
