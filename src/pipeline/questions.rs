//! Questions that spend nothing: what would happen, and how limits stand.

use crate::domain::caller::CallerId;
use crate::domain::counter::{Counter, Parties};
use crate::domain::ledger::{Explanation, explain};
use crate::domain::limits::{Limit, Standing, Window};
use crate::domain::party::{Account, DebtorId};
use crate::domain::payment::Payment;
use crate::domain::people::PayerStanding;
use crate::domain::person::PayerId;
use crate::domain::time::Timestamp;

use super::{Pipeline, Refusal};

impl Pipeline {
    /// Everything that would be looked at if a payment were asked for now. Spends nothing.
    ///
    /// # Errors
    /// [`Refusal`] if the ledger cannot be read.
    pub async fn dry_run(
        &self,
        caller: &CallerId,
        payment: Payment,
    ) -> Result<Explanation, Refusal> {
        let (caller, now) = (caller.clone(), self.now());
        let judged = self.read(move |parts| {
            let (policy, people) = (&parts.policy, &*parts.people);
            let working = parts.reader.working_set(now, policy, people, &caller, &payment)?;
            Ok(explain(now, policy, people, &working, &caller, &payment))
        });
        judged.await?.map_err(Refusal::from)
    }

    /// How limits stand for a caller, and for a debtor and a creditor if any are named; `None` for
    /// limits that are about one who is not.
    ///
    /// # Errors
    /// [`Refusal`] if the ledger cannot be read.
    pub async fn standings(
        &self,
        caller: &CallerId,
        limits: Vec<Limit>,
        debtor: Option<DebtorId>,
        creditor: Option<Account>,
    ) -> Result<(Vec<(Limit, Option<Standing>)>, Timestamp), Refusal> {
        let (caller, now) = (caller.clone(), self.now());
        let read = self.read(move |parts| {
            let namespace = parts.policy.namespace_of(&caller);
            let standing = debtor.clone().map(|debtor| {
                let payer = PayerId { namespace: namespace.clone(), debtor };
                parts.people.payer(&payer, now)
            });
            let known = standing == Some(PayerStanding::Enrolled);
            let (caller, namespace) = (&caller, &namespace);
            let (debtor, creditor) = (debtor.as_ref(), creditor.as_ref());
            let parties = Parties { caller, namespace, debtor, creditor, known };
            let mut standings = Vec::with_capacity(limits.len());
            for limit in limits {
                let standing = match (limit.window, limit.counter(&parties)) {
                    (Window::PerPayment, _) => Some(limit.standing(&Counter::default())),
                    (Window::Sum(_), None) => None,
                    (Window::Sum(_), Some(id)) => {
                        let counter = parts.reader.counter(now, &parts.policy, &id)?;
                        Some(limit.standing(&counter))
                    }
                };
                standings.push((limit, standing));
            }
            Ok(standings)
        });
        Ok((read.await?, now))
    }
}
