//! Payments that wait for people, and what people said.

use crate::domain::credential::CredentialId;
use crate::domain::ledger::StatementRow;
use crate::domain::payment::PaymentId;
use crate::domain::statement::StatementDigest;
use crate::domain::subject::Subject;
use crate::domain::time::Timestamp;

use super::super::sqlite::{StoreError, open, statements};
use super::{Due, Reader};

impl Reader {
    /// Payments that wait and about which something is to be done now, at most `most`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn due_waiting(
        &self,
        now: Timestamp,
        most: u32,
    ) -> Result<Vec<(PaymentId, Due)>, StoreError> {
        self.with(|connection| open::due(connection, now, most))
    }

    /// Every statement about a subject, with the evidence given for it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn statements(
        &self,
        subject: Subject,
    ) -> Result<Vec<(StatementDigest, StatementRow)>, StoreError> {
        self.with(|connection| statements::on(connection, subject))
    }

    /// The signature counter of a credential, as it was last told; `None` if it was never used.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn counter_of(&self, credential: &CredentialId) -> Result<Option<u32>, StoreError> {
        self.with(|connection| statements::counter(connection, credential))
    }
}
