//! Payments that wait for people: until they are approved, rejected, cancelled or too late.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::caller::CallerId;
use crate::domain::ledger::{PaymentRecord, State, VoidReason};
use crate::domain::payment::PaymentId;
use crate::ledger::reader::Due;

use super::{Pipeline, Refusal};

/// Pause between looks at what waits.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Most payments that a look takes up.
const DUE_MAX: u32 = 256;

/// What became of the wish to take a payment back.
#[derive(Debug)]
pub enum Cancelled {
    /// It was voided.
    Done(Arc<PaymentRecord>),
    /// It is final, or a signature may be under way.
    TooLate(Arc<PaymentRecord>),
}

impl Pipeline {
    /// Voids what waited too long, for as long as it is polled.
    pub async fn tend_waiting(&self) {
        loop {
            let now = self.now();
            let found = self.read(move |parts| parts.reader.due_waiting(now, DUE_MAX)).await;
            for (payment, due) in found.unwrap_or_default() {
                match due {
                    Due::Expired => self.expire(payment).await,
                    Due::Approved => {}
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn expire(&self, payment: PaymentId) {
        match self.ledger().void(payment, VoidReason::Expired).await {
            Ok(_) => tracing::info!(%payment, "nobody approved the payment in time; it is voided"),
            Err(refused) => tracing::warn!(%payment, %refused, "a payment is not voided yet"),
        }
    }

    /// Takes back a payment of a caller that waits for people. `None` if the caller has no such
    /// payment.
    ///
    /// # Errors
    /// [`Refusal`] if the ledger does not answer.
    pub async fn cancel(
        &self,
        caller: &CallerId,
        id: PaymentId,
    ) -> Result<Option<Cancelled>, Refusal> {
        let found = self.payment(caller, id, Duration::ZERO).await?;
        let Some(record) = found else { return Ok(None) };
        match self.ledger().void(id, VoidReason::Cancelled).await? {
            Some(voided) => Ok(Some(Cancelled::Done(voided))),
            None => {
                let newer = self.payment(caller, id, Duration::ZERO).await?;
                Ok(Some(Cancelled::TooLate(newer.unwrap_or(record))))
            }
        }
    }

    /// Whether a payment waits for people.
    pub fn waits(record: &PaymentRecord) -> bool {
        matches!(record.state, State::Waiting { .. })
    }
}
