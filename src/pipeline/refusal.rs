//! Why a request got no decision. None of these uses up an idempotency key.

use crate::domain::counter::Miscount;
use crate::domain::payment::PaymentId;
use crate::hsm::Unavailable;
use crate::ledger::LedgerFailure;
use crate::ledger::sqlite::StoreError;

use super::remains::Remains;

/// A refusal that is no decision: the request contradicts an earlier one, or we failed.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The idempotency key belongs to another payment.
    #[error("the idempotency key belongs to payment {payment}, which has another {field}")]
    Conflict {
        /// That payment.
        payment: PaymentId,
        /// The first field that differs.
        field: &'static str,
    },
    /// The idempotency key was used by a payment whose row is gone.
    #[error("the idempotency key belongs to payment {}, whose row is gone", .0.id)]
    Closed(Box<Remains>),
    /// No token can take a signature.
    #[error(transparent)]
    Token(#[from] Unavailable),
    /// The ledger did not take the request.
    #[error(transparent)]
    Ledger(#[from] LedgerFailure),
    /// The ledger cannot be read.
    #[error("the ledger cannot be read: {0}")]
    Read(#[from] StoreError),
    /// The counters contradict themselves.
    #[error(transparent)]
    Miscount(#[from] Miscount),
    /// The system gave no random bytes.
    #[error("the system gave no random bytes: {0}")]
    Randomness(String),
    /// Signing was stopped until a person has looked.
    #[error("nothing is signed until a person has looked: {0}")]
    Halted(std::sync::Arc<str>),
    /// The work was broken off; a retry under the same idempotency key finds out more.
    #[error("the request was broken off inside; retry it under the same idempotency key")]
    Abandoned,
}

impl Refusal {
    /// Whether there is simply too much to do, so that coming back soon helps.
    pub fn is_overload(&self) -> bool {
        matches!(
            self,
            Self::Token(Unavailable::Overloaded) | Self::Ledger(LedgerFailure::Overloaded)
        )
    }
}
