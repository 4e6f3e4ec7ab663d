//! What people are asked and what they give, on its way to the writer.

use crate::domain::key::Kid;
use crate::domain::ledger::{Authorisation, NotTaken, StatementRequest, Taken, VerifiedEvidence};
use crate::domain::payment::PaymentId;

use super::{Command, Issued, Ledger, LedgerFailure};

impl Ledger {
    /// Issues a statement for an approver to sign.
    ///
    /// # Errors
    /// [`LedgerFailure`].
    pub async fn issue(&self, request: StatementRequest) -> Result<Issued, LedgerFailure> {
        self.ask(|reply| Command::Issue(Box::new(request), reply)).await
    }

    /// Takes evidence that was verified; a rejection voids the payment in the same commit.
    ///
    /// # Errors
    /// [`LedgerFailure`].
    pub async fn approve(
        &self,
        evidence: VerifiedEvidence,
    ) -> Result<Result<Taken, NotTaken>, LedgerFailure> {
        self.ask(|reply| Command::Approve(Box::new(evidence), reply)).await
    }

    /// Authorises a payment that waited, by evidence that was read from the ledger and verified
    /// again.
    ///
    /// # Errors
    /// [`LedgerFailure`].
    pub async fn authorise(
        &self,
        id: PaymentId,
        verified: Vec<VerifiedEvidence>,
        kid: Kid,
    ) -> Result<Authorisation, LedgerFailure> {
        self.ask(|reply| Command::Authorise(id, verified, kid, reply)).await
    }
}
