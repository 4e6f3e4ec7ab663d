//! Payments in the order of the log: decided once, settled once, and added up.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Finding;
use crate::domain::money::Currency;
use crate::domain::payment::PaymentId;
use crate::log::entry::{Entry, Kind, OfPayment};

/// What a key was asked for, in minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    /// Payments that were signed.
    pub signed: u64,
    /// What they are worth.
    pub signed_amount: u64,
    /// Payments that were accepted and have no outcome: they count as well.
    pub open: u64,
    /// What they are worth.
    pub open_amount: u64,
}

/// A payment that was accepted and has no outcome.
#[derive(Debug)]
struct Accepted {
    position: u64,
    caller: String,
    key: String,
    amount: u64,
    currency: Currency,
    /// The key version that may sign; none while it waits for people.
    kid: Option<String>,
}

/// What later leaves can contradict. Identifiers are kept as they are, 16 bytes each: an identifier
/// that was decided upon may never come back, however long ago that was.
#[derive(Debug, Default)]
pub(super) struct Payments {
    next: u64,
    open: HashMap<PaymentId, Accepted>,
    decided: HashSet<PaymentId>,
    sums: BTreeMap<(String, Currency), Sums>,
}

impl Payments {
    /// Takes the next leaf, whatever it is about.
    pub(super) fn take(&mut self, entry: &Entry<'_>) -> Result<(), Finding> {
        let position = self.next;
        self.next = self.next.saturating_add(1);
        let Some(payment) = entry.payment() else { return Ok(()) };
        let (id, kind) = (payment.id, entry.kind());
        if kind.is_outcome() {
            return self.settle(entry, &payment);
        }
        if !kind.is_first() {
            return self.go_on(entry, &payment);
        }
        if !self.decided.insert(id) {
            return Err(Finding::DecidedTwice { payment: id, kind });
        }
        if kind != Kind::Denied {
            self.accept(entry, &payment, position)?;
        }
        Ok(())
    }

    fn accept(
        &mut self,
        entry: &Entry<'_>,
        payment: &OfPayment<'_>,
        position: u64,
    ) -> Result<(), Finding> {
        let (key, amount) = (payment.key.to_owned(), payment.amount.minor_units());
        let sums = self.sums.entry((key.clone(), payment.currency)).or_default();
        let too_large = || Finding::SumTooLarge { key: key.clone() };
        // What is signed later moves from here to there: the sum of both must fit.
        let used = sums.signed_amount.checked_add(sums.open_amount);
        used.and_then(|used| used.checked_add(amount)).ok_or_else(too_large)?;
        sums.open = sums.open.saturating_add(1);
        sums.open_amount = sums.open_amount.saturating_add(amount);
        let accepted = Accepted {
            position,
            caller: payment.caller.to_owned(),
            key,
            amount,
            currency: payment.currency,
            kid: entry.text("kid").map(str::to_owned),
        };
        self.open.insert(payment.id, accepted);
        Ok(())
    }

    /// Evidence for a payment that waits, or that it may be signed.
    fn go_on(&mut self, entry: &Entry<'_>, payment: &OfPayment<'_>) -> Result<(), Finding> {
        let (id, kind) = (payment.id, entry.kind());
        let decided = self.decided.contains(&id);
        let Some(open) = self.open.get_mut(&id).filter(|open| open.kid.is_none()) else {
            return Err(match decided {
                true => Finding::SettledTwice { payment: id, kind },
                false => Finding::NotAccepted { payment: id, kind },
            });
        };
        open.is_same(payment)?;
        if kind == Kind::Authorised {
            open.kid = entry.text("kid").map(str::to_owned);
        }
        Ok(())
    }

    fn settle(&mut self, entry: &Entry<'_>, payment: &OfPayment<'_>) -> Result<(), Finding> {
        let (id, kind) = (payment.id, entry.kind());
        let Some(accepted) = self.open.remove(&id) else {
            return Err(match self.decided.contains(&id) {
                true => Finding::SettledTwice { payment: id, kind },
                false => Finding::NotAccepted { payment: id, kind },
            });
        };
        accepted.is_same(payment)?;
        let kid = accepted.kid.as_deref().unwrap_or("none: it waits for people");
        if kind == Kind::Signed {
            accepted.same(id, "kid", entry.text("kid").unwrap_or_default(), kid)?;
        }
        let amount = payment.amount.minor_units();
        let sums = self.sums.entry((accepted.key, accepted.currency)).or_default();
        sums.open = sums.open.saturating_sub(1);
        sums.open_amount = sums.open_amount.saturating_sub(amount);
        if kind == Kind::Signed {
            sums.signed = sums.signed.saturating_add(1);
            sums.signed_amount = sums.signed_amount.saturating_add(amount);
        }
        Ok(())
    }

    pub(super) fn into_sums(self) -> BTreeMap<(String, Currency), Sums> {
        self.sums
    }
}

impl Accepted {
    /// Whether a later leaf says the same about the payment.
    fn is_same(&self, payment: &OfPayment<'_>) -> Result<(), Finding> {
        let decimal = |minor_units| payment.currency.decimal(minor_units);
        self.same(payment.id, "caller", payment.caller, &self.caller)?;
        self.same(payment.id, "key", payment.key, &self.key)?;
        self.same(payment.id, "currency", payment.currency.code(), self.currency.code())?;
        let amount = payment.amount.minor_units();
        self.same(payment.id, "amount", &decimal(amount), &decimal(self.amount))
    }

    fn same(
        &self,
        payment: PaymentId,
        member: &'static str,
        found: &str,
        expected: &str,
    ) -> Result<(), Finding> {
        if found == expected {
            return Ok(());
        }
        let (found, expected) = (found.to_owned(), expected.to_owned());
        Err(Finding::OutcomeDiffers { payment, member, found, expected, accepted: self.position })
    }
}
