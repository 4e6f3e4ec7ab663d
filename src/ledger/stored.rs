//! Rows in, domain types out: the JSON forms that the ledger keeps.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::domain::key::Kid;
use crate::domain::order::{Order, SigningInput};
use crate::domain::payment::{Payment, PaymentId};
use crate::domain::statement::StatementDigest;
use crate::domain::time::Timestamp;

/// The part of a protected header that is not known otherwise.
#[derive(Deserialize)]
struct StoredHeader {
    signed_at: String,
    approvals: Vec<String>,
}

/// Reads the payment that an order embeds. Bytes that were put into the ledger by somebody else are
/// not signed again.
pub(super) fn payment_of_order(id: PaymentId, order: &Order) -> Result<Payment, String> {
    let contents = order.contents()?;
    let ours = contents.id == id;
    ours.then_some(contents.payment)
        .ok_or_else(|| format!("the order of payment {id} is that of {}", contents.id))
}

/// Puts order and header together, if the header is the one that freezing makes.
pub(super) fn signing_input(
    order: Order,
    protected: String,
    kid: &Kid,
) -> Result<SigningInput, String> {
    let header: StoredHeader = serde_json::from_str(&protected).map_err(|e| e.to_string())?;
    let signed_at = Timestamp::parse("signed_at", &header.signed_at).map_err(|e| e.to_string())?;
    let approvals = header.approvals.iter().map(|text| StatementDigest::parse("approvals", text));
    let approvals = approvals.collect::<Result<BTreeSet<_>, _>>().map_err(|e| e.to_string())?;
    let frozen = SigningInput::freeze_approved(order, kid, signed_at, &approvals);
    match frozen.protected() == protected {
        true => Ok(frozen),
        false => Err("the protected header of a payment is not one of ours".to_owned()),
    }
}

/// Reads a payment that was denied and has no order.
pub(super) fn payment_of_request(bytes: &[u8]) -> Result<Payment, String> {
    Payment::from_canonical(bytes)
}
