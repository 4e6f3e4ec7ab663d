//! Tiers: who must approve a payment, by its amount and by what was spent since anybody looked.
//!
//! The tiers of a key are tried in order; the first that a payment fits is its own. A payment fits
//! a tier if it is no larger than `up_to` and if every sum that the tier names has room for it: a
//! payment that is split ends in the same tier as the whole.

use super::counter::{Counter, CounterId, Miscount, Parties, Spend};
use super::limits::{Breach, Limit};
use super::quorum::Demand;

/// Longest name of a tier, in characters.
pub const TIER_NAME_CHARS_MAX: usize = 64;

/// Who must approve the payments of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tiers {
    /// The policy says so in words: limits alone decide.
    Nobody,
    /// The first tier that fits. The last one fits everything.
    Stepped(Vec<Tier>),
}

/// One tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    /// Name in the policy; the order names it as the rule that admitted the payment.
    pub name: String,
    /// Most minor units of a payment; `None` for any amount.
    pub up_to: Option<u64>,
    /// Sums that must have room for the payment; a breach leads to the next tier.
    pub within: Vec<Limit>,
    /// What it asks for.
    pub asks: Asks,
}

/// What a tier asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asks {
    /// Nothing.
    Nobody,
    /// Approvals.
    People(Demand),
    /// The impossible: such payments are denied.
    Deny,
}

/// Why a payment does not fit a tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misfit {
    /// It is larger than that many minor units.
    Amount(u64),
    /// A sum has no room for it.
    Sum(Breach),
}

impl Tiers {
    /// The steps; none where nobody is asked.
    pub fn steps(&self) -> &[Tier] {
        match self {
            Self::Nobody => &[],
            Self::Stepped(tiers) => tiers,
        }
    }

    /// Whether a payment without a debtor cannot be placed in a tier.
    pub fn need_debtor(&self) -> bool {
        self.steps().iter().any(|tier| {
            tier.within.iter().any(|sum| sum.axis.needs_debtor())
                || matches!(&tier.asks, Asks::People(demand) if demand.payer)
        })
    }
}

impl Tier {
    /// Whether a payment fits, given the counters already advanced to now.
    ///
    /// # Errors
    /// The outer error is a fault of the ledger, the inner one why it does not fit.
    pub fn fits<'a>(
        &self,
        asked: Spend,
        parties: &Parties<'_>,
        counter: impl Fn(&CounterId) -> Option<&'a Counter>,
    ) -> Result<Result<(), Misfit>, Miscount> {
        if let Some(most) = self.up_to.filter(|most| asked.amount > *most) {
            return Ok(Err(Misfit::Amount(most)));
        }
        for sum in &self.within {
            // Sums over somebody who is not named, such as unknown debtors where this one is known.
            let Some(id) = sum.counter(parties) else { continue };
            if let Err(breach) = sum.admit(counter(&id).ok_or(Miscount)?, asked)? {
                return Ok(Err(Misfit::Sum(breach)));
            }
        }
        Ok(Ok(()))
    }
}

impl Asks {
    /// Whether whoever satisfies this satisfies the other too.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Nobody) | (Self::Deny, _) => true,
            (Self::Nobody, _) | (Self::People(_), Self::Deny) => false,
            (Self::People(this), Self::People(other)) => {
                let at_least = |(group, count): (_, &u32)| {
                    this.groups.get(group).is_some_and(|found| found >= count)
                };
                (this.payer || !other.payer)
                    && this.hardware >= other.hardware
                    && this.expiry <= other.expiry
                    && other.groups.iter().all(at_least)
            }
        }
    }
}
