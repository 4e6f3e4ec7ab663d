//! A payment of the ledger, against the leaves that it says to have.

use super::{Fault, Finding};
use crate::domain::authorization::Attempt;
use crate::domain::leaf::Leaf;
use crate::domain::ledger::{PaymentRecord, State};
use crate::log::entry::{Entry, Kind};

/// The leaves that stand where a payment says; `None` where the log has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeavesOf {
    /// At the position of the first decision.
    pub decision: Option<Leaf>,
    /// At the position of the outcome, if the payment has one.
    pub outcome: Option<Leaf>,
}

/// Whether a payment of the ledger has its leaves in a log of `size` leaves, with everything that
/// they say and every digest, byte for byte. An outcome beyond that is not looked at.
///
/// # Errors
/// [`Fault`]: the first leaf that is not what the row gives.
pub fn agrees(record: &PaymentRecord, leaves: &LeavesOf, size: u64) -> Result<(), Fault> {
    let expected = decided(record).map(|earlier| Leaf::of_payment(&earlier));
    match (&expected, &leaves.decision) {
        (Some(expected), found) => same(record, "decision", record.leaf, expected, found)?,
        (None, found) => accepts(record, found)?,
    }
    let is_settled = matches!(record.state, State::Posted { .. } | State::Voided { .. });
    match record.outcome_leaf {
        Some(position) if position >= size => Ok(()),
        Some(position) if is_settled => {
            let expected = Leaf::of_payment(record);
            same(record, "outcome", position, &expected, &leaves.outcome)
        }
        None if !is_settled => Ok(()),
        found => Err(Fault::of_log(Finding::LedgerState {
            payment: record.id,
            is_settled,
            found: found.map_or("no leaf of an outcome".to_owned(), |at| format!("leaf {at}")),
        })),
    }
}

/// The payment as it was when it was decided upon; `None` if its row no longer tells.
fn decided(record: &PaymentRecord) -> Option<PaymentRecord> {
    let state = match &record.state {
        State::Denied(_) | State::Authorised { .. } => return Some(record.clone()),
        State::Posted { kid, signing_input, .. } => State::Authorised {
            attempt: Attempt::FIRST,
            kid: kid.clone(),
            signing_input: signing_input.clone(),
        },
        State::Voided { .. } => return None,
    };
    Some(PaymentRecord { state, ..record.clone() })
}

fn same(
    record: &PaymentRecord,
    what: &'static str,
    position: u64,
    expected: &Leaf,
    found: &Option<Leaf>,
) -> Result<(), Fault> {
    if found.as_ref() == Some(expected) {
        return Ok(());
    }
    let found = told(found);
    let expected = expected.as_str().to_owned();
    let finding = Finding::Ledger { payment: record.id, what, found, expected };
    Err(Fault::at(position, finding))
}

/// A voided payment keeps no order in memory; what else its leaf says is compared.
fn accepts(record: &PaymentRecord, found: &Option<Leaf>) -> Result<(), Fault> {
    let payment = &record.payment;
    let account = payment.creditor().account().to_string();
    let digest = |name: &str, value: &str| Some(record.salt.digest(name, value.as_bytes()));
    let debtor = payment.debtor().and_then(|debtor| digest("debtor", debtor.as_str()));
    let amount = payment.currency().decimal(payment.amount().minor_units());
    let expected = [
        ("payment", Some(record.id.to_string())),
        ("caller", Some(record.caller.to_string())),
        ("key", Some(payment.key().to_string())),
        ("amount", Some(amount)),
        ("currency", Some(payment.currency().to_string())),
        ("at", Some(record.accepted_at.to_string())),
        ("creditor_account", digest("creditor_account", &account)),
        ("end_to_end_id", digest("end_to_end_id", payment.end_to_end_id().as_str())),
        ("debtor", debtor),
    ];
    let entry = found.as_ref().and_then(|text| Entry::parse(text.as_str().as_bytes()).ok());
    let agrees = entry.is_some_and(|entry| {
        let says =
            |(member, value): &(&str, Option<String>)| entry.text(member) == value.as_deref();
        entry.kind() == Kind::Accepted && expected.iter().all(says)
    });
    if agrees {
        return Ok(());
    }
    let found = told(found);
    let expected = "that it accepts this payment, with the digests of its row".to_owned();
    let finding = Finding::Ledger { payment: record.id, what: "decision", found, expected };
    Err(Fault::at(record.leaf, finding))
}

fn told(found: &Option<Leaf>) -> String {
    found.as_ref().map_or("is not there".to_owned(), |leaf| format!("says {}", leaf.as_str()))
}
