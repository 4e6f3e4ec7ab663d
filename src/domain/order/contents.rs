//! What an order says, read back from its bytes.

use serde::Deserialize;

use super::{ORDER_SCHEMA, Order, OrderTerms};
use crate::domain::payment::{AccountFields, Payment, PaymentFields, PaymentId};
use crate::domain::time::Timestamp;

/// The payment that an order embeds, and when it was accepted and lapses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderContents {
    /// Identifier of the payment.
    pub id: PaymentId,
    /// What was asked.
    pub payment: Payment,
    /// Who issued it.
    pub issuer: String,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When it lapses.
    pub expires_at: Timestamp,
}

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

impl Order {
    /// Reads the bytes. They must be, byte for byte, what the same terms would make today: bytes
    /// that somebody else wrote are nobody's order.
    ///
    /// # Errors
    /// What was found instead.
    pub fn contents(&self) -> Result<OrderContents, String> {
        let stored: StoredOrder =
            serde_json::from_slice(self.as_bytes()).map_err(|e| e.to_string())?;
        let instant = |text: &str| Timestamp::parse("order", text).map_err(|e| e.to_string());
        let id = PaymentId::parse("payment_id", &stored.payment_id).map_err(|e| e.to_string())?;
        let (accepted_at, expires_at) =
            (instant(&stored.accepted_at)?, instant(&stored.expires_at)?);
        let terms = OrderTerms {
            id,
            issuer: &stored.issuer,
            accepted_at,
            expires_at,
            policy_version: &stored.policy.version,
            policy_rule: &stored.policy.rule,
        };
        let payment = stored.payment.parse()?;
        if stored.schema != ORDER_SCHEMA || Order::new(&payment, &terms) != *self {
            return Err(format!("the order of payment {id} is not one of ours"));
        }
        Ok(OrderContents { id, payment, issuer: stored.issuer, accepted_at, expires_at })
    }
}

impl Payment {
    /// Reads the canonical form that [`Payment::to_canonical`] writes.
    ///
    /// # Errors
    /// What was found instead.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, String> {
        let stored: StoredPayment = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        stored.parse()
    }
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
