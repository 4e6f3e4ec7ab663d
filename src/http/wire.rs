//! What travels: JSON in, JSON out. Names follow ISO 20022 in snake case, amounts are texts.
//!
//! Nothing in here is trusted: [`PaymentRequest`] holds texts until
//! [`Payment::parse`](crate::domain::payment::Payment::parse) has read them.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::domain::ledger::{PaymentRecord, State};
use crate::domain::party;
use crate::domain::payment::{AccountFields, Payment, PaymentFields};
use crate::domain::time::Timestamp;

/// A payment to be signed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PaymentRequest {
    /// Name of the settlement key that is to sign.
    #[schema(example = "settlement-eur")]
    pub key: String,
    /// Decimal string in the currency's own scale, above zero.
    #[schema(example = "12.34")]
    pub amount: String,
    /// ISO 4217 code; it must be the key's.
    #[schema(example = "EUR")]
    pub currency: String,
    /// Who is paid.
    pub creditor: Creditor,
    /// Who pays, as the caller claims it.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub debtor: Option<Debtor>,
    /// Reference from debtor to creditor, 1 to 35 characters; unique per key and creditor account.
    #[schema(example = "INV-2026-000123")]
    pub end_to_end_id: String,
    /// Free text for the creditor, 1 to 140 characters.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "2 x croissant")]
    pub remittance_information: Option<String>,
    /// When the payment lapses unless it is signed, RFC 3339 in UTC.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "2026-12-01T12:00:00Z")]
    pub expires_at: Option<String>,
}

/// Who is paid: a name for people, an account for machines.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Creditor {
    /// 1 to 140 readable characters.
    #[schema(example = "Bakery Sol")]
    pub name: String,
    /// Exactly one of `iban` and `other`.
    pub account: Account,
}

/// An account: exactly one of the two.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// An IBAN, electronic or printed.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "ES9121000418450200051332")]
    pub iban: Option<String>,
    /// An account without IBAN.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub other: Option<OtherAccount>,
}

/// An account of another scheme.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OtherAccount {
    /// `ach`, `sort_code` or `merchant`.
    #[schema(example = "merchant")]
    pub scheme: String,
    /// The account in that scheme.
    #[schema(example = "BAKERY-SOL-7")]
    pub id: String,
}

/// Who pays.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Debtor {
    /// 1 to 64 letters, digits and `. _ : @ + -`, in the caller's own namespace.
    #[schema(example = "user-4711")]
    pub id: String,
}

/// An optional member is left out or has a value; `null` would be a second way to leave it out.
fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

impl From<PaymentRequest> for PaymentFields {
    fn from(request: PaymentRequest) -> Self {
        let account = request.creditor.account;
        Self {
            key: request.key,
            amount: request.amount,
            currency: request.currency,
            creditor_name: request.creditor.name,
            creditor_account: AccountFields {
                iban: account.iban,
                other: account.other.map(|other| (other.scheme, other.id)),
            },
            debtor_id: request.debtor.map(|debtor| debtor.id),
            end_to_end_id: request.end_to_end_id,
            remittance_information: request.remittance_information,
            expires_at: request.expires_at,
        }
    }
}

impl From<&Payment> for PaymentRequest {
    fn from(payment: &Payment) -> Self {
        let account = match payment.creditor().account() {
            party::Account::Iban(iban) => Account { iban: Some(iban.clone()), other: None },
            party::Account::Other { scheme, id } => {
                let other = OtherAccount { scheme: scheme.name().to_owned(), id: id.clone() };
                Account { iban: None, other: Some(other) }
            }
        };
        Self {
            key: payment.key().to_string(),
            amount: payment.currency().decimal(payment.amount().minor_units()),
            currency: payment.currency().to_string(),
            creditor: Creditor { name: payment.creditor().name().to_owned(), account },
            debtor: payment.debtor().map(|id| Debtor { id: id.as_str().to_owned() }),
            end_to_end_id: payment.end_to_end_id().to_string(),
            remittance_information: payment.remittance_information().map(str::to_owned),
            expires_at: payment.expires_at().map(|at| at.to_string()),
        }
    }
}

/// What has become of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentState {
    /// Signed; the signature is on the record. Final.
    Signed,
    /// Held, and waits for people.
    AwaitingApproval,
    /// Admitted and held; its signature is not on the record yet.
    Signing,
    /// It lapsed before a signature was on the record. It counts until an officer voids it, and is
    /// not signed any more.
    InDoubt,
    /// Policy or limits said no. Final.
    Denied,
    /// Given up before it was signed. Final.
    Voided,
}

/// A payment and what has become of it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PaymentAnswer {
    /// Identifier, 32 hexadecimal digits.
    #[schema(example = "0b54b9a0a46c4e2e8a4b1b4a0e5f9c11")]
    pub id: String,
    /// What has become of it.
    pub state: PaymentState,
    /// The payment in canonical form.
    pub payment: PaymentRequest,
    /// When it was first decided upon, RFC 3339.
    pub accepted_at: String,
    /// When it lapses unless it is signed, RFC 3339.
    pub expires_at: String,
    /// Compact JWS (RFC 7515) whose payload is the order; once signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub jws: Option<String>,
    /// RFC 7638 thumbprint of the key version that signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub kid: Option<String>,
    /// When the outcome was recorded, RFC 3339; once signed or voided.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub outcome_at: Option<String>,
    /// Whom it waits for, or waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub approval: Option<super::approval::ApprovalAnswer>,
    /// Why it was voided: `officer`, `cancelled`, `rejected`, `expired` or `policy_changed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub void_reason: Option<String>,
    /// Why it was denied.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub denial: Option<super::denial::DenialAnswer>,
}

impl PaymentAnswer {
    /// What a record says at an instant. A signature that may not leave yet is still to come.
    pub(super) fn new(record: &PaymentRecord, now: Timestamp, released: bool) -> Self {
        let mut answer = Self {
            id: record.id.to_string(),
            state: PaymentState::Signing,
            payment: PaymentRequest::from(&record.payment),
            accepted_at: record.accepted_at.to_string(),
            expires_at: record.expires_at.to_string(),
            jws: record.compact_jws().filter(|_| released),
            kid: None,
            outcome_at: None,
            approval: record.wait.as_deref().map(super::approval::ApprovalAnswer::of_wait),
            void_reason: None,
            denial: None,
        };
        match &record.state {
            State::Waiting { .. } => answer.state = PaymentState::AwaitingApproval,
            State::Authorised { kid, .. } => {
                answer.kid = Some(kid.to_string());
                if record.expires_at <= now {
                    answer.state = PaymentState::InDoubt;
                }
            }
            State::Posted { kid, .. } if !released => answer.kid = Some(kid.to_string()),
            State::Posted { kid, posted_at, .. } => {
                answer.state = PaymentState::Signed;
                answer.kid = Some(kid.to_string());
                answer.outcome_at = Some(posted_at.to_string());
            }
            State::Denied(denial) => {
                answer.state = PaymentState::Denied;
                let currency = record.payment.currency();
                answer.denial = Some(super::denial::DenialAnswer::new(denial, currency));
            }
            State::Voided { voided_at, reason } => {
                answer.state = PaymentState::Voided;
                answer.void_reason = Some(reason.name().to_owned());
                answer.outcome_at = Some(voided_at.to_string());
            }
        }
        answer
    }
}
