//! One payment as the ledger keeps it.

use crate::domain::authorization::Attempt;
use crate::domain::caller::{CallerId, IdempotencyKey, Namespace};
use crate::domain::counter::{Parties, Spend};
use crate::domain::denial::Denial;
use crate::domain::key::{Kid, Signature};
use crate::domain::leaf::Salt;
use crate::domain::order::SigningInput;
use crate::domain::payment::{Payment, PaymentId};
use crate::domain::time::Timestamp;

/// A payment with everything that was decided about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentRecord {
    /// Identifier, drawn when it was accepted or denied.
    pub id: PaymentId,
    /// Who asked.
    pub caller: CallerId,
    /// The caller's name for it.
    pub idempotency_key: IdempotencyKey,
    /// Whose debtors the caller named at that time.
    pub namespace: Namespace,
    /// What was asked.
    pub payment: Payment,
    /// When it was decided upon for the first time.
    pub accepted_at: Timestamp,
    /// When it lapses.
    pub expires_at: Timestamp,
    /// What hides its personal fields in the log.
    pub salt: Salt,
    /// Position in the log of the first decision on it.
    pub leaf: u64,
    /// Position in the log of its outcome, once it is posted or voided.
    pub outcome_leaf: Option<u64>,
    /// What became of it.
    pub state: State,
}

/// What became of a payment. Payments that wait for people will be a variant of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Policy or limits said no. Final.
    Denied(Denial),
    /// May be signed; until the outcome is on the record it is *in doubt* and counts as held.
    Authorised {
        /// The attempt in force; results of others are dropped.
        attempt: Attempt,
        /// The key version that signs.
        kid: Kid,
        /// The frozen bytes.
        signing_input: SigningInput,
    },
    /// Signed, and the signature is on the record. Final.
    Posted {
        /// The key version that signed.
        kid: Kid,
        /// The frozen bytes.
        signing_input: SigningInput,
        /// The signature that every retry gets.
        signature: Signature,
        /// When the outcome was recorded; the payment counts from here.
        posted_at: Timestamp,
    },
    /// Given up before a signature was on the record. Final.
    Voided {
        /// Why.
        reason: VoidReason,
        /// When.
        voided_at: Timestamp,
    },
}

/// Why a payment was voided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VoidReason {
    /// An officer gave it up.
    Officer,
}

impl VoidReason {
    /// The word that the ledger keeps.
    pub fn name(self) -> &'static str {
        match self {
            Self::Officer => "officer",
        }
    }

    /// Reads the word that the ledger keeps.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Officer].into_iter().find(|reason| reason.name() == name)
    }
}

impl PaymentRecord {
    /// What the payment spends.
    pub fn spend(&self) -> Spend {
        Spend::one(self.payment.amount().minor_units())
    }

    /// Who takes part in it.
    pub fn parties(&self) -> Parties<'_> {
        Parties::of(&self.caller, &self.namespace, &self.payment)
    }

    /// Whether nothing about it will change any more.
    pub fn is_final(&self) -> bool {
        !matches!(self.state, State::Authorised { .. })
    }

    /// The compact JWS, once the signature is on the record.
    pub fn compact_jws(&self) -> Option<String> {
        match &self.state {
            State::Posted { signing_input, signature, .. } => {
                Some(signing_input.to_compact_jws(signature))
            }
            _ => None,
        }
    }
}
