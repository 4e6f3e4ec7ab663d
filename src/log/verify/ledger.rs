//! A payment of the ledger, against the leaves that it says to have.

use super::{Fault, Finding};
use crate::domain::authorization::Attempt;
use crate::domain::leaf::Leaf;
use crate::domain::ledger::{PaymentRecord, State};
use crate::domain::text::excerpt;
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
        // Whatever came of it, its wait stands in the row.
        _ if record.wait.is_some() => State::Waiting { approved: false },
        State::Denied(_) | State::Authorised { .. } | State::Waiting { .. } => {
            return Some(record.clone());
        }
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
    let (found, expected) = difference(found, expected);
    Err(Fault::at(position, Finding::Ledger { payment: record.id, what, found, expected }))
}

/// What a leaf says and what its payment gives: the first member in which they differ.
fn difference(found: &Option<Leaf>, expected: &Leaf) -> (String, String) {
    let Some(found) = found else {
        return ("is not there".to_owned(), "one that says what its row gives".to_owned());
    };
    let entries = Entry::parse(found.as_str().as_bytes())
        .and_then(|found| Ok((found, Entry::parse(expected.as_str().as_bytes())?)));
    match entries.map(|(found, expected)| found.first_difference(&expected)) {
        Ok(Some((member, [found, expected]))) => {
            (format!("says {member} {found}"), format!("{expected}, which its row gives"))
        }
        Ok(None) => ("is written differently".to_owned(), "the canonical form".to_owned()),
        Err(refused) => (format!("cannot be read: {refused}"), "what its row gives".to_owned()),
    }
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
    let wrong = |found: String, expected: String| {
        let finding = Finding::Ledger { payment: record.id, what: "decision", found, expected };
        Err(Fault::at(record.leaf, finding))
    };
    let Some(leaf) = found else {
        return wrong("is not there".to_owned(), "one that accepts this payment".to_owned());
    };
    let entry = match Entry::parse(leaf.as_str().as_bytes()) {
        Ok(entry) => entry,
        Err(refused) => {
            return wrong(format!("cannot be read: {refused}"), "what its row gives".to_owned());
        }
    };
    if entry.kind() != Kind::Accepted {
        return wrong(format!("is of kind \"{}\"", entry.kind()), "\"accepted\"".to_owned());
    }
    for (member, expected) in expected {
        if entry.text(member) != expected.as_deref() {
            let found = excerpt(entry.text(member).unwrap_or_default());
            let expected = excerpt(&expected.unwrap_or_default());
            return wrong(
                format!("says {member} {found}"),
                format!("{expected}, which its row gives"),
            );
        }
    }
    Ok(())
}
