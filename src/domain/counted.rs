//! What is counted: which axes of which keys. Once counted, always counted: a policy that stops
//! asking and asks again later finds sums without a gap.

use std::collections::BTreeSet;

use super::counter::{Axis, CounterId, Parties, Scope};
use super::key::KeyId;

/// The axes that the ledger counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted(BTreeSet<(Scope, Axis)>);

impl Counted {
    /// These axes.
    pub fn new(axes: impl IntoIterator<Item = (Scope, Axis)>) -> Self {
        Self(axes.into_iter().collect())
    }

    /// Those of `needed` that are not counted yet.
    pub fn missing(&self, needed: &BTreeSet<(Scope, Axis)>) -> Vec<(Scope, Axis)> {
        needed.difference(&self.0).cloned().collect()
    }

    /// The counters that a payment of a key moves.
    pub fn counters_of<'a>(
        &'a self,
        key: &'a KeyId,
        parties: &'a Parties<'a>,
    ) -> impl Iterator<Item = CounterId> + 'a {
        let of_key = self.0.iter().filter(|(scope, _)| scope.includes(key));
        of_key.filter_map(|(scope, axis)| CounterId::of(scope, *axis, parties))
    }
}
