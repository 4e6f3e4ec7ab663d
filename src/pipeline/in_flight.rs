//! The payments that this process is signing right now, so that none is taken up twice.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::domain::payment::PaymentId;

/// Payments by identifier.
#[derive(Default)]
pub(super) struct InFlight {
    payments: Mutex<HashSet<PaymentId>>,
    emptied: Notify,
}

/// One payment in flight, until this is dropped.
pub(super) struct Entry {
    payment: PaymentId,
    of: Arc<InFlight>,
}

impl InFlight {
    /// Enters a payment that was just made up and cannot be there yet.
    pub(super) fn enter(self: &Arc<Self>, payment: PaymentId) -> Entry {
        self.lock().insert(payment);
        Entry { payment, of: Arc::clone(self) }
    }

    /// Enters a payment unless it is there already.
    pub(super) fn try_enter(self: &Arc<Self>, payment: PaymentId) -> Option<Entry> {
        self.lock().insert(payment).then(|| Entry { payment, of: Arc::clone(self) })
    }

    /// Resolves when there is none.
    pub(super) async fn empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.lock().is_empty() {
                return;
            }
            emptied.await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<PaymentId>> {
        self.payments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut payments = self.of.lock();
        payments.remove(&self.payment);
        if payments.is_empty() {
            self.of.emptied.notify_waiters();
        }
    }
}
