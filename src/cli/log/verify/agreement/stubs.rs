//! Payments that gave up their rows: each is one that a leaf says so of, and its leaves are there.

use std::collections::BTreeMap;

use crate::ledger::reader::Reader;
use crate::ledger::sqlite::Stub;
use crate::log::verify::{Closed, LeavesOf, Summary, stub_agrees};

use super::super::super::super::output::Failure;
use super::super::super::source::unread;
use super::{CHUNK, Comparison, fault};

pub(super) fn compare(
    reader: &Reader,
    log: &Summary,
    comparison: &mut Comparison,
) -> Result<(), Failure> {
    let mut closed: BTreeMap<u64, u64> = BTreeMap::new();
    let mut from = 0;
    loop {
        let chunk = reader.stubs(from, CHUNK).map_err(unread)?;
        let Some(last) = chunk.last() else { break };
        from = last.leaf.saturating_add(1);
        let size = comparison.size;
        for stub in chunk.into_iter().filter(|stub| stub.leaf < size) {
            let count = closed.entry(stub.closing).or_default();
            *count = count.saturating_add(1);
            take(stub, comparison)?;
        }
    }
    // Those that were closed meanwhile are the daemon's present business.
    closed.retain(|position, _| *position < comparison.size);
    let expected: BTreeMap<u64, u64> = log
        .closings
        .iter()
        .map(|(position, Closed { payments, .. })| (*position, *payments))
        .collect();
    let positions = closed.keys().chain(expected.keys());
    for position in positions {
        let (found, expected) = (closed.get(position), expected.get(position));
        if found != expected {
            let (found, expected) =
                (found.copied().unwrap_or_default(), expected.copied().unwrap_or_default());
            return Err(Failure::alarm(format!(
                "ledger and log do not agree: the rows of {found} payments are gone by leaf \
                 {position}; expected {expected}, which it says: rows or stubs were deleted or \
                 changed"
            )));
        }
    }
    Ok(())
}

fn take(stub: Stub, comparison: &mut Comparison) -> Result<(), Failure> {
    let Stub { id, leaf, outcome_leaf, closing, decision, outcome, .. } = stub;
    let leaves = LeavesOf { decision, outcome };
    stub_agrees(id, [Some(leaf), outcome_leaf], &leaves, comparison.size).map_err(|e| fault(&e))?;
    if comparison.sees(leaf) {
        comparison.agreed.closed += 1;
        comparison.counts_outcome(outcome_leaf);
        return Ok(());
    }
    // Its row was compared a moment ago, and it has been closed since.
    match closing >= comparison.size {
        true => Ok(()),
        false => Err(Failure::alarm(format!(
            "ledger and log do not agree: payment {id} is closed by leaf {closing}, but has its \
             row as well; expected one of the two: the ledger was changed"
        ))),
    }
}
