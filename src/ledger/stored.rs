//! Rows in, domain types out: the JSON forms that the ledger keeps.

use serde::Deserialize;

use crate::domain::payment::{AccountFields, Payment, PaymentFields};

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

/// The part of an order that is needed to answer retries.
#[derive(Deserialize)]
struct StoredOrder {
    payment: StoredPayment,
}

/// Reads the payment that an order embeds.
pub(super) fn payment_of_order(bytes: &[u8]) -> Result<Payment, String> {
    let order: StoredOrder = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    order.payment.parse()
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
