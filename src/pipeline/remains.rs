//! What can still be told of a payment whose row is gone: what its leaves say.

use crate::domain::caller::CallerId;
use crate::domain::ledger::ClosedPayment;
use crate::domain::payment::PaymentId;
use crate::ledger::sqlite::StoreError;
use crate::log::entry::{Entry, Kind};

use super::{Pipeline, Refusal};

/// What is left of a payment. Texts are those of its leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remains {
    /// Identifier.
    pub id: PaymentId,
    /// Who asked.
    pub caller: String,
    /// What became of it: `denied`, `signed` or `voided`.
    pub state: Kind,
    /// The key.
    pub key: String,
    /// Decimal, in the scale of the currency.
    pub amount: String,
    /// ISO 4217 code.
    pub currency: String,
    /// When it was decided upon.
    pub accepted_at: String,
    /// When it would have lapsed.
    pub expires_at: String,
    /// The key version that signed it.
    pub kid: Option<String>,
    /// When its outcome was recorded.
    pub outcome_at: Option<String>,
    /// The rule that denied it.
    pub rule: Option<String>,
    /// Where its row is.
    pub row: Row,
}

/// What became of the row of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// It was erased.
    Erased {
        /// When.
        at: String,
    },
    /// It was moved to an archive.
    Archived {
        /// When.
        at: String,
        /// Number of the archive.
        archive: String,
    },
}

impl Remains {
    /// Reads the leaves of a payment.
    ///
    /// # Errors
    /// [`StoreError::Row`] if one of them is not about it.
    pub(super) fn of(closed: &ClosedPayment) -> Result<Self, StoreError> {
        let wrong = || StoreError::Row(format!("the leaves of payment {} are others", closed.id));
        let decision = Entry::parse(closed.decision.as_str().as_bytes()).map_err(|_| wrong())?;
        let outcome = closed.outcome.as_ref().map(|leaf| Entry::parse(leaf.as_str().as_bytes()));
        let outcome = outcome.transpose().map_err(|_| wrong())?;
        let closing = Entry::parse(closed.closing.as_str().as_bytes()).map_err(|_| wrong())?;
        let about = |entry: &Entry<'_>| entry.payment().is_some_and(|of| of.id == closed.id);
        if !about(&decision) || !outcome.as_ref().is_none_or(about) {
            return Err(wrong());
        }
        let text = |name| decision.text(name).unwrap_or_default().to_owned();
        let at = closing.at().to_string();
        let row = match closing.kind() {
            Kind::Erased => Row::Erased { at },
            Kind::Archived => {
                let archive = closing.text("archive").unwrap_or_default().to_owned();
                Row::Archived { at, archive }
            }
            _ => return Err(wrong()),
        };
        Ok(Self {
            id: closed.id,
            caller: text("caller"),
            state: outcome.as_ref().map_or(decision.kind(), Entry::kind),
            key: text("key"),
            amount: text("amount"),
            currency: text("currency"),
            accepted_at: text("at"),
            expires_at: text("expires_at"),
            kid: outcome.as_ref().and_then(|outcome| outcome.text("kid")).map(str::to_owned),
            outcome_at: outcome.as_ref().map(|outcome| outcome.at().to_string()),
            rule: decision.text_in("denial", "rule").map(str::to_owned),
            row,
        })
    }
}

impl Pipeline {
    /// What is left of a payment of a caller whose row is gone; `None` if there is no such payment,
    /// or it still has its row.
    ///
    /// # Errors
    /// [`Refusal`] if the ledger cannot be read.
    pub async fn remains(
        &self,
        caller: &CallerId,
        id: PaymentId,
    ) -> Result<Option<Remains>, Refusal> {
        let closed = self.read(move |parts| parts.reader.closed(id)).await?;
        let remains = closed.as_ref().map(Remains::of).transpose()?;
        Ok(remains.filter(|remains| remains.caller == caller.as_str()))
    }
}
