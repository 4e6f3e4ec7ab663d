//! Payments whose rows are gone: what the log says of them, and what is left of each.

use std::collections::BTreeMap;

use super::{Fault, Finding, LeavesOf};
use crate::domain::leaf::Leaf;
use crate::domain::payment::PaymentId;
use crate::log::entry::{Entry, Kind};

/// What one leaf of kind `erased` or `archived` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// How many payments gave up their rows.
    pub payments: u64,
    /// The archive that they were moved to; `None` if they were erased.
    pub archive: Option<LoggedArchive>,
}

/// An archive as the log names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedArchive {
    /// Its number.
    pub number: u64,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

/// Closings by the position of their leaf.
pub type Closings = BTreeMap<u64, Closed>;

/// Takes a leaf, whatever it is about.
pub(super) fn take(closings: &mut Closings, position: u64, entry: &Entry<'_>) {
    // The schema has read the numbers before.
    let number = |name| entry.text(name).and_then(|text| text.parse().ok()).unwrap_or_default();
    let archive = match entry.kind() {
        Kind::Erased => None,
        Kind::Archived => Some(LoggedArchive {
            number: number("archive"),
            sha256: entry.text("sha256").unwrap_or_default().to_owned(),
        }),
        _ => return,
    };
    closings.insert(position, Closed { payments: number("payments"), archive });
}

/// Whether the leaves of a payment whose row is gone stand where its stub says, in a log of `size`
/// leaves.
///
/// # Errors
/// [`Fault`]: the first leaf that is about something else.
pub fn stub_agrees(
    payment: PaymentId,
    [decision, outcome]: [Option<u64>; 2],
    leaves: &LeavesOf,
    size: u64,
) -> Result<(), Fault> {
    for (what, position, leaf) in
        [("decision", decision, &leaves.decision), ("outcome", outcome, &leaves.outcome)]
    {
        let Some(position) = position.filter(|position| *position < size) else { continue };
        if let Some(found) = other_than(payment, what == "outcome", leaf.as_ref()) {
            let expected = format!("the {what} on this payment, whose row is closed");
            return Err(Fault::at(position, Finding::Ledger { payment, what, found, expected }));
        }
    }
    Ok(())
}

/// What a leaf says instead of what it should; `None` if it does.
fn other_than(payment: PaymentId, is_outcome: bool, leaf: Option<&Leaf>) -> Option<String> {
    let Some(leaf) = leaf else { return Some("is not there".to_owned()) };
    let entry = match Entry::parse(leaf.as_str().as_bytes()) {
        Ok(entry) => entry,
        Err(refused) => return Some(format!("cannot be read: {refused}")),
    };
    match entry.payment() {
        Some(of) if of.id == payment && entry.kind().is_outcome() == is_outcome => None,
        Some(of) => Some(format!("is of kind \"{}\" and about payment {}", entry.kind(), of.id)),
        None => Some(format!("is of kind \"{}\"", entry.kind())),
    }
}
