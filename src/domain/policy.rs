//! The policy in force: who may have which key sign what, and how much.
//!
//! This is the checked form; reading the officer's file is the business of `config`.

use std::collections::{BTreeMap, BTreeSet};

use super::caller::{CallerId, CertificateIdentity};
use super::counter::{CounterId, Span};
use super::key::{KeyId, Purpose};
use super::limits::{Limit, Window};
use super::money::Currency;
use super::time::Duration;

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
    /// All must pass. Empty only where the policy says `unlimited`.
    pub limits: Vec<Limit>,
}

impl KeyPolicy {
    /// The spans over which the limits of this key add up.
    pub fn spans(&self) -> impl Iterator<Item = Span> + '_ {
        self.limits.iter().filter_map(|limit| match limit.window {
            Window::PerPayment => None,
            Window::Sum(span) => Some(span),
        })
    }
}

impl Policy {
    /// The caller whose certificate shows this identity.
    pub fn caller_with(&self, identity: &CertificateIdentity) -> Option<&CallerId> {
        let of = |(_, caller): &(&CallerId, &Caller)| caller.certificates.contains(identity);
        self.callers.iter().find(of).map(|(id, _)| id)
    }

    /// The keys that a caller may use, in alphabetical order.
    pub fn keys_of<'a>(
        &'a self,
        caller: &'a CallerId,
    ) -> impl Iterator<Item = (&'a KeyId, &'a KeyPolicy)> + 'a {
        self.keys.iter().filter(|(_, key)| key.callers.contains(caller))
    }

    /// The spans that a counter must keep.
    pub fn spans_of(&self, counter: &CounterId) -> Vec<Span> {
        self.keys.get(&counter.key).map(|key| key.spans().collect()).unwrap_or_default()
    }
}
