//! Permission to sign one payment once.

use super::key::{KeyId, Kid, Signature};
use super::order::SigningInput;
use super::payment::PaymentId;

/// Number of an attempt to sign one payment, from 1. A result whose attempt is no longer the
/// current one is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attempt(u32);

impl Attempt {
    /// The first attempt.
    pub const FIRST: Self = Self(1);

    /// An attempt as the ledger kept it.
    pub fn from_stored(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    pub fn number(self) -> u32 {
        self.0
    }

    /// The attempt after this one; `None` after four thousand million.
    pub(in crate::domain) fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

/// Proof that a payment passed every check and that the ledger holds its signing input.
///
/// Its fields are private and only [`super::ledger`] makes one, as part of the change that records
/// the attempt; the ledger's writer hands it out after the commit. The HSM worker consumes it.
/// There is no other way to ask a token for a signature, so signing without the checks cannot be
/// written.
#[derive(Debug)]
#[must_use = "an authorization that is dropped leaves a payment in doubt"]
pub struct SigningAuthorization {
    payment: PaymentId,
    attempt: Attempt,
    key: KeyId,
    kid: Kid,
    signing_input: SigningInput,
}

impl SigningAuthorization {
    pub(in crate::domain) fn issue(
        payment: PaymentId,
        attempt: Attempt,
        key: KeyId,
        kid: Kid,
        signing_input: SigningInput,
    ) -> Self {
        Self { payment, attempt, key, kid, signing_input }
    }

    /// An authorization that no ledger issued, for the tests of those who consume one.
    #[cfg(test)]
    pub(crate) fn for_tests(
        payment: PaymentId,
        attempt: Attempt,
        key: KeyId,
        kid: Kid,
        signing_input: SigningInput,
    ) -> Self {
        Self::issue(payment, attempt, key, kid, signing_input)
    }

    /// The payment that may be signed.
    pub fn payment(&self) -> PaymentId {
        self.payment
    }

    /// The attempt that is allowed.
    pub fn attempt(&self) -> Attempt {
        self.attempt
    }

    /// The key that is to sign.
    pub fn key(&self) -> &KeyId {
        &self.key
    }

    /// The version of that key, to be compared with the one on the token.
    pub fn kid(&self) -> &Kid {
        &self.kid
    }

    /// The frozen bytes.
    pub fn signing_input(&self) -> &SigningInput {
        &self.signing_input
    }

    /// Redeems the authorization for a signature that the worker has verified in software against
    /// the pinned public key. The ledger takes nothing else as an outcome.
    pub fn fulfilled(self, signature: Signature) -> Signed {
        Signed { payment: self.payment, attempt: self.attempt, signature }
    }
}

/// The outcome of one attempt: a verified signature, not yet on the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signed {
    payment: PaymentId,
    attempt: Attempt,
    signature: Signature,
}

impl Signed {
    /// The payment that was signed.
    pub fn payment(&self) -> PaymentId {
        self.payment
    }

    /// The attempt that produced the signature.
    pub fn attempt(&self) -> Attempt {
        self.attempt
    }

    /// The signature.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }
}
