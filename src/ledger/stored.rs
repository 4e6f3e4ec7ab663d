//! Rows in, domain types out: the JSON forms that the ledger keeps.

use serde::Deserialize;

use crate::domain::key::Kid;
use crate::domain::order::{ORDER_SCHEMA, Order, OrderTerms, SigningInput};
use crate::domain::payment::{AccountFields, Payment, PaymentFields, PaymentId};
use crate::domain::time::Timestamp;

/// The canonical payment as [`Payment::to_canonical`] writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredPayment {
    key: String,
    amount: String,
    currency: String,
    creditor: StoredCreditor,
    debtor: Option<StoredDebtor>,
    end_to_end_id: String,
    remittance_information: Option<String>,
    expires_at: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredCreditor {
    name: String,
    account: StoredAccount,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredAccount {
    iban: Option<String>,
    other: Option<StoredOther>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredOther {
    scheme: String,
    id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredDebtor {
    id: String,
}

/// An order of the first schema.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredOrder {
    schema: String,
    payment_id: String,
    issuer: String,
    accepted_at: String,
    expires_at: String,
    payment: StoredPayment,
    policy: StoredRule,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredRule {
    version: String,
    rule: String,
}

/// The part of a protected header that is not known otherwise.
#[derive(Deserialize)]
struct StoredHeader {
    signed_at: String,
}

/// Reads the payment that an order embeds. The order must be, byte for byte, what the same terms
/// would make today: bytes that were put into the ledger by somebody else are not signed again.
pub(super) fn payment_of_order(id: PaymentId, order: &Order) -> Result<Payment, String> {
    let stored: StoredOrder =
        serde_json::from_slice(order.as_bytes()).map_err(|e| e.to_string())?;
    let instant = |text: &str| Timestamp::parse("order", text).map_err(|e| e.to_string());
    let terms = OrderTerms {
        id,
        issuer: &stored.issuer,
        accepted_at: instant(&stored.accepted_at)?,
        expires_at: instant(&stored.expires_at)?,
        policy_version: &stored.policy.version,
        policy_rule: &stored.policy.rule,
    };
    let payment = stored.payment.parse()?;
    let ours = stored.schema == ORDER_SCHEMA
        && stored.payment_id == id.to_string()
        && Order::new(&payment, &terms) == *order;
    ours.then_some(payment).ok_or_else(|| format!("the order of payment {id} is not one of ours"))
}

/// Puts order and header together, if the header is the one that freezing makes.
pub(super) fn signing_input(
    order: Order,
    protected: String,
    kid: &Kid,
) -> Result<SigningInput, String> {
    let header: StoredHeader = serde_json::from_str(&protected).map_err(|e| e.to_string())?;
    let signed_at = Timestamp::parse("signed_at", &header.signed_at).map_err(|e| e.to_string())?;
    let frozen = SigningInput::freeze(order, kid, signed_at);
    match frozen.protected() == protected {
        true => Ok(frozen),
        false => Err("the protected header of a payment is not one of ours".to_owned()),
    }
}

/// Reads a payment that was denied and has no order.
pub(super) fn payment_of_request(bytes: &[u8]) -> Result<Payment, String> {
    let stored: StoredPayment = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    stored.parse()
}

impl StoredPayment {
    fn parse(self) -> Result<Payment, String> {
        let fields = PaymentFields {
            key: self.key,
            amount: self.amount,
            currency: self.currency,
            creditor_name: self.creditor.name,
            creditor_account: AccountFields {
                iban: self.creditor.account.iban,
                other: self.creditor.account.other.map(|other| (other.scheme, other.id)),
            },
            debtor_id: self.debtor.map(|debtor| debtor.id),
            end_to_end_id: self.end_to_end_id,
            remittance_information: self.remittance_information,
            expires_at: self.expires_at,
        };
        Payment::parse(&fields).map_err(|refused| refused.to_string())
    }
}
