//! The policy in force: who may have which key sign what, and how much.
//!
//! This is the checked form; reading the officer's file is the business of `config`.

use std::collections::{BTreeMap, BTreeSet};

use super::caller::{CallerId, CertificateIdentity, Namespace};
use super::counter::{Axis, CounterId, Scope, Span};
use super::key::{KeyId, Purpose};
use super::limits::{Limit, Window};
use super::money::Currency;
use super::party::Account;
use super::person::PersonId;
use super::tier::Tiers;
use super::time::{Duration, Timestamp};

/// A checked policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// `sha256:` and the digest of the file's bytes, in hexadecimal.
    pub version: String,
    /// How long an end-to-end id stays taken.
    pub duplicate_window: Duration,
    /// Callers by name.
    pub callers: BTreeMap<CallerId, Caller>,
    /// Keys by name.
    pub keys: BTreeMap<KeyId, KeyPolicy>,
}

/// A caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Certificates that identify it; no two callers share one.
    pub certificates: BTreeSet<CertificateIdentity>,
    /// Whether it may repeat end-to-end ids.
    pub repeats_end_to_end_ids: bool,
    /// Whether it may see what happens to the payments of everybody.
    pub auditor: bool,
    /// Whose debtors it names.
    pub namespace: Namespace,
    /// People who run it: they do not approve what it asks for.
    pub operators: BTreeSet<PersonId>,
}

/// What the policy says about one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPolicy {
    /// What it is for.
    pub purpose: Purpose,
    /// The one currency that it signs; `None` for keys that sign no payments.
    pub currency: Option<Currency>,
    /// Who may use it.
    pub callers: BTreeSet<CallerId>,
    /// How long a payment may take to be signed, and the default of `expires_at`.
    pub validity: Duration,
    /// Minor units from which on a signature leaves only once a token remembers its leaf.
    pub anchored_from: Option<u64>,
    /// Who may be paid.
    pub creditors: Creditors,
    /// All must pass, the key's own first. Empty only where the policy says `unlimited`.
    pub limits: Vec<Limit>,
    /// Who must approve.
    pub tiers: Tiers,
    /// How much may wait for people.
    pub waiting: WaitingCaps,
}

/// Payments that wait for people hold room under the limits: no more than this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitingCaps {
    /// Most payments of one caller that wait at a time.
    pub per_caller: u32,
    /// Most payments of one debtor that wait at a time.
    pub per_debtor: u32,
    /// Most percent of a limit that the waiting payments of one caller, or of one debtor, hold
    /// together. One that waits alone may hold more.
    pub share_percent: u32,
}

impl Default for WaitingCaps {
    fn default() -> Self {
        Self { per_caller: 100, per_debtor: 3, share_percent: 25 }
    }
}

/// Who may be paid with a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Creditors {
    /// The only accounts that may be paid, with the instant at which each was first listed; `None`
    /// if all may be.
    pub allow: Option<BTreeMap<Account, Listed>>,
    /// Accounts that may not be paid.
    pub deny: BTreeSet<Account>,
    /// How long a newly listed account must wait.
    pub cooling_off: Option<Duration>,
}

/// When an account was first listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// The ledger saw it then.
    At(Timestamp),
    /// No ledger has seen the policy yet.
    Never,
}

impl KeyPolicy {
    /// Whether a limit or a tier is about debtors, so that every payment needs one.
    pub fn needs_debtor(&self) -> bool {
        self.limits.iter().any(|limit| limit.axis.needs_debtor()) || self.tiers.need_debtor()
    }
}

impl Policy {
    /// The caller whose certificate shows this identity.
    pub fn caller_with(&self, identity: &CertificateIdentity) -> Option<&CallerId> {
        let of = |(_, caller): &(&CallerId, &Caller)| caller.certificates.contains(identity);
        self.callers.iter().find(of).map(|(id, _)| id)
    }

    /// Whose debtors a caller names.
    pub fn namespace_of(&self, caller: &CallerId) -> Namespace {
        let known = self.callers.get(caller).map(|caller| caller.namespace.clone());
        known.unwrap_or_else(|| Namespace::of(caller))
    }

    /// The keys that a caller may use, in alphabetical order.
    pub fn keys_of<'a>(
        &'a self,
        caller: &'a CallerId,
    ) -> impl Iterator<Item = (&'a KeyId, &'a KeyPolicy)> + 'a {
        self.keys.iter().filter(|(_, key)| key.callers.contains(caller))
    }

    /// Everything that must be counted under this policy: the key axis of each key, and what its
    /// limits and tiers name.
    pub fn needs(&self) -> BTreeSet<(Scope, Axis)> {
        let keys = self.keys.keys().map(|key| (Scope::Key(key.clone()), Axis::Key));
        let sums = self.limits().chain(self.tier_sums());
        let sums = sums.filter(|sum| sum.window != Window::PerPayment);
        keys.chain(sums.map(|limit| (limit.scope.clone(), limit.axis))).collect()
    }

    /// The spans that a counter must keep.
    pub fn spans_of(&self, counter: &CounterId) -> Vec<Span> {
        let of_tiers = self.tier_sums();
        let of_tiers = of_tiers.filter(|s| s.axis == counter.axis && s.scope == counter.scope);
        let spans: BTreeSet<Span> = self
            .limits_on(counter)
            .chain(of_tiers)
            .filter_map(|limit| match limit.window {
                Window::PerPayment => None,
                Window::Sum(span) => Some(span),
            })
            .collect();
        spans.into_iter().collect()
    }

    /// The limits that read a counter; sums of tiers are none.
    pub fn limits_on<'a>(&'a self, counter: &'a CounterId) -> impl Iterator<Item = &'a Limit> + 'a {
        self.limits().filter(|limit| limit.axis == counter.axis && limit.scope == counter.scope)
    }

    fn limits(&self) -> impl Iterator<Item = &Limit> {
        self.keys.values().flat_map(|key| &key.limits)
    }

    fn tier_sums(&self) -> impl Iterator<Item = &Limit> {
        let tiers = self.keys.values().flat_map(|key| key.tiers.steps());
        tiers.flat_map(|tier| &tier.within)
    }
}
