//! Answers about payments whose rows are gone.

use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::log::entry::Kind;
use crate::pipeline::remains::{Remains, Row};

use super::problem::Problem;
use super::wire::{PaymentAnswer, PaymentState};

/// A payment: whole, or what is left of it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum LookUpAnswer {
    /// It has its row.
    Whole(Box<PaymentAnswer>),
    /// Its row was erased or archived.
    Remains(Box<RemainsAnswer>),
}

/// What is left of a payment after its names, accounts and signature were erased or moved to an
/// archive. Its leaves stay in the log, and receipts that others hold go on proving it.
#[derive(Debug, Serialize, ToSchema)]
pub struct RemainsAnswer {
    /// Identifier, 32 hexadecimal digits.
    #[schema(example = "0b54b9a0a46c4e2e8a4b1b4a0e5f9c11")]
    pub id: String,
    /// What became of it: `signed`, `denied` or `voided`.
    pub state: PaymentState,
    /// Name of the settlement key.
    pub key: String,
    /// Decimal string in the currency's own scale.
    pub amount: String,
    /// ISO 4217 code.
    pub currency: String,
    /// When it was decided upon, RFC 3339.
    pub accepted_at: String,
    /// When it would have lapsed, RFC 3339.
    pub expires_at: String,
    /// RFC 7638 thumbprint of the key version that signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub kid: Option<String>,
    /// When the outcome was recorded, RFC 3339; if it was signed or voided.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub outcome_at: Option<String>,
    /// The rule that denied it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub denied_by: Option<String>,
    /// When it was erased, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub erased_at: Option<String>,
    /// When it was moved to an archive, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub archived_at: Option<String>,
    /// Number of that archive; the operator has the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub archive: Option<String>,
}

impl From<Remains> for RemainsAnswer {
    fn from(remains: Remains) -> Self {
        let (erased_at, archived_at, archive) = match remains.row {
            Row::Erased { at } => (Some(at), None, None),
            Row::Archived { at, archive } => (None, Some(at), Some(archive)),
        };
        Self {
            id: remains.id.to_string(),
            state: match remains.state {
                Kind::Denied => PaymentState::Denied,
                Kind::Voided => PaymentState::Voided,
                _ => PaymentState::Signed,
            },
            key: remains.key,
            amount: remains.amount,
            currency: remains.currency,
            accepted_at: remains.accepted_at,
            expires_at: remains.expires_at,
            kid: remains.kid,
            outcome_at: remains.outcome_at,
            denied_by: remains.rule,
            erased_at,
            archived_at,
            archive,
        }
    }
}

impl Problem {
    /// What is asked for went with the row of the payment.
    pub(super) fn gone(remains: &Remains) -> Self {
        let (id, state) = (remains.id, remains.state);
        let (rule, title, detail) = match &remains.row {
            Row::Erased { at } => (
                "payment_erased",
                "The payment was erased",
                format!(
                    "payment {id} was {state} and erased at {at}: its signature and its names are \
                     gone, and nothing is signed again under its idempotency key; a new payment \
                     needs a new key"
                ),
            ),
            Row::Archived { at, archive } => (
                "payment_archived",
                "The payment was archived",
                format!(
                    "payment {id} was {state} and moved to archive {archive} at {at}: ask the \
                     operator, who has the file with its signature; nothing is signed again under \
                     its idempotency key, and a new payment needs a new key"
                ),
            ),
        };
        Self::new(StatusCode::GONE, rule, title, detail).about(id)
    }
}
