//! What waits for people holds room under the limits. It is capped, so that holds are no weapon.

use std::collections::BTreeMap;

use crate::domain::caller::CallerId;
use crate::domain::denial::Denial;
use crate::domain::key::KeyId;
use crate::domain::limits::{Limit, Measure, Window};
use crate::domain::payment::PaymentId;
use crate::domain::person::PayerId;
use crate::domain::policy::KeyPolicy;

/// The hold of a payment that waits for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The key that is to sign.
    pub key: KeyId,
    /// Who asked.
    pub caller: CallerId,
    /// In whose name.
    pub payer: Option<PayerId>,
    /// Minor units.
    pub amount: u64,
}

/// Everything that waits. Bounded by what policies allow to wait.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waiting(BTreeMap<PaymentId, Hold>);

impl Waiting {
    /// These holds.
    pub fn new(holds: impl IntoIterator<Item = (PaymentId, Hold)>) -> Self {
        Self(holds.into_iter().collect())
    }

    /// How many payments wait.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a payment waits.
    pub fn holds(&self, payment: PaymentId) -> bool {
        self.0.contains_key(&payment)
    }

    pub(super) fn insert(&mut self, payment: PaymentId, hold: Hold) {
        self.0.insert(payment, hold);
    }

    pub(super) fn remove(&mut self, payment: PaymentId) {
        self.0.remove(&payment);
    }

    /// Whether one more may wait: first by number, then by its share of each limit; the caller
    /// before the debtor.
    pub(super) fn admit(&self, policy: &KeyPolicy, more: &Hold) -> Result<(), Denial> {
        let caps = &policy.waiting;
        let of_caller = |hold: &&Hold| hold.caller == more.caller;
        let of_payer = |hold: &&Hold| hold.payer == more.payer;
        let payer = more.payer.is_some();
        let on_key = || self.0.values().filter(|hold| hold.key == more.key);
        number("caller", on_key().filter(of_caller).count(), caps.per_caller)?;
        if payer {
            number("debtor", on_key().filter(of_payer).count(), caps.per_debtor)?;
        }
        for limit in &policy.limits {
            let in_scope = || self.0.values().filter(|hold| limit.scope.includes(&hold.key));
            share("caller", limit, in_scope().filter(of_caller), more, caps.share_percent)?;
            if payer {
                share("debtor", limit, in_scope().filter(of_payer), more, caps.share_percent)?;
            }
        }
        Ok(())
    }
}

fn number(per: &str, found: usize, most: u32) -> Result<(), Denial> {
    let waiting = u32::try_from(found).unwrap_or(u32::MAX);
    match waiting < most {
        true => Ok(()),
        false => Err(Denial::TooManyWaiting { per: per.to_owned(), waiting, most }),
    }
}

/// One that waits alone may hold as much as the limit itself: a tier would be of no use whose
/// payments could never wait.
fn share<'a>(
    per: &str,
    limit: &Limit,
    others: impl Iterator<Item = &'a Hold>,
    more: &Hold,
    percent: u32,
) -> Result<(), Denial> {
    if limit.window == Window::PerPayment {
        return Ok(());
    }
    let measure = |hold: &Hold| match limit.measure {
        Measure::Amount => hold.amount,
        Measure::Count => 1,
    };
    let waiting = others.fold(0_u64, |sum, hold| sum.saturating_add(measure(hold)));
    // Widened, so that no product of a cap and a percentage overflows.
    let most = u128::from(limit.cap).saturating_mul(u128::from(percent)).div_euclid(100);
    let most = u64::try_from(most).unwrap_or(u64::MAX);
    if waiting == 0 || waiting.saturating_add(measure(more)) <= most {
        return Ok(());
    }
    Err(Denial::WaitingShare {
        per: per.to_owned(),
        limit: limit.name.clone(),
        measure: limit.measure,
        waiting,
        asked: measure(more),
        most,
    })
}
