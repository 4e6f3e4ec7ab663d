//! Who waits for the outcome of which payment.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::domain::payment::PaymentId;

/// Waiters by payment. An entry lives as long as somebody waits.
#[derive(Default)]
pub(super) struct Outcomes {
    waiting: Mutex<HashMap<PaymentId, (Arc<Notify>, usize)>>,
}

impl Outcomes {
    pub(super) fn subscribe(self: &Arc<Self>, id: PaymentId) -> Outcome {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (notify, count) = waiting.entry(id).or_default();
        *count += 1;
        let notified = Arc::clone(notify);
        Outcome { id, notified: Box::pin(notified.notified_owned()), outcomes: Arc::clone(self) }
    }

    /// Wakes everybody who waits for a payment that has become final.
    pub(super) fn announce(&self, id: PaymentId) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((notify, _)) = waiting.get(&id) {
            notify.notify_waiters();
        }
    }
}

/// Resolves when the payment is final. Registered from the moment of subscription.
pub struct Outcome {
    id: PaymentId,
    notified: std::pin::Pin<Box<tokio::sync::futures::OwnedNotified>>,
    outcomes: Arc<Outcomes>,
}

impl Outcome {
    /// Waits.
    pub async fn settled(&mut self) {
        self.notified.as_mut().await;
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        let mut waiting = self.outcomes.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, count)) = waiting.get_mut(&self.id) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                waiting.remove(&self.id);
            }
        }
    }
}
