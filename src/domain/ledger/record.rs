//! One payment as the ledger keeps it.

use std::sync::Arc;

use crate::domain::authorization::Attempt;
use crate::domain::caller::{CallerId, IdempotencyKey, Namespace};
use crate::domain::counter::{Parties, Spend};
use crate::domain::denial::Denial;
use crate::domain::key::{Kid, Signature};
use crate::domain::leaf::Salt;
use crate::domain::order::{Order, SigningInput};
use crate::domain::payment::{Payment, PaymentId};
use crate::domain::person::PayerId;
use crate::domain::quorum::Demand;
use crate::domain::time::Timestamp;

use super::waiting::Hold;

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
    /// Whether its debtor was known when it was first decided upon: enrolled, and past the
    /// cooling-off. Others are added up together.
    pub known_debtor: bool,
    /// Whether the debtor has approved it in person; the sums since the last touch then start over.
    pub touched: bool,
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
    /// For whom it waits, or waited.
    pub wait: Option<Arc<Wait>>,
    /// What became of it.
    pub state: State,
}

/// What became of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Policy or limits said no. Final.
    Denied(Denial),
    /// Held, and waits for people.
    Waiting {
        /// Whether the quorum was met: it is to be authorised as soon as its token can sign.
        approved: bool,
    },
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

/// For whom a payment waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// The payment's own bytes, whose digest every statement names.
    pub order: Order,
    /// Version of the policy that admitted it.
    pub policy_version: String,
    /// Its tier in that policy.
    pub tier: String,
    /// What that tier asks for.
    pub demand: Demand,
    /// From when on it is too late.
    pub deadline: Timestamp,
}

/// Why a payment was voided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VoidReason {
    /// An officer gave it up.
    Officer,
    /// The caller took it back.
    Cancelled,
    /// Somebody whose approval was asked for said no.
    Rejected,
    /// The approvals did not arrive in time.
    Expired,
    /// Under the policy in force the approvals that it has are no longer enough.
    PolicyChanged,
}

impl VoidReason {
    /// All reasons.
    pub const ALL: [Self; 5] =
        [Self::Officer, Self::Cancelled, Self::Rejected, Self::Expired, Self::PolicyChanged];

    /// The word that the ledger keeps.
    pub fn name(self) -> &'static str {
        match self {
            Self::Officer => "officer",
            Self::Cancelled => "cancelled",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::PolicyChanged => "policy_changed",
        }
    }

    /// Reads the word that the ledger keeps.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

impl PaymentRecord {
    /// What the payment spends.
    pub fn spend(&self) -> Spend {
        Spend::one(self.payment.amount().minor_units())
    }

    /// Who takes part in it.
    pub fn parties(&self) -> Parties<'_> {
        Parties::of(&self.caller, &self.namespace, &self.payment, self.known_debtor)
    }

    /// Whether nothing about it will change any more.
    pub fn is_final(&self) -> bool {
        !matches!(self.state, State::Waiting { .. } | State::Authorised { .. })
    }

    /// The debtor as a person, if the payment names one.
    pub fn payer(&self) -> Option<PayerId> {
        let debtor = self.payment.debtor()?.clone();
        Some(PayerId { namespace: self.namespace.clone(), debtor })
    }

    /// What it holds of what may wait for people.
    pub fn hold(&self) -> Hold {
        Hold {
            key: self.payment.key().clone(),
            caller: self.caller.clone(),
            payer: self.payer(),
            amount: self.spend().amount,
        }
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
