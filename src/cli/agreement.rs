//! Deployment and policy have two owners; before anything starts they must agree.

use crate::config::Problems;
use crate::config::deployment::Deployment;
use crate::domain::policy::Policy;

/// Everything in which the two files disagree.
pub(super) fn check(deployment: &Deployment, policy: &Policy) -> Problems {
    let mut problems = Problems::default();
    for (id, key) in &policy.keys {
        match deployment.keys.get(id) {
            None => problems.note(
                format!("keys.{id}"),
                "the policy has it, the deployment does not; say there on which token it lies",
            ),
            Some(binding) if binding.thumbprint.is_none() => problems.note(
                format!("keys.{id}.thumbprint"),
                format!(
                    "missing; `countersign keys generate {id}` makes the key and prints it, \
                     `countersign keys list` prints that of a key that is there"
                ),
            ),
            Some(_) => {}
        }
        if key.callers.is_empty() && key.currency.is_some() {
            problems.note(format!("keys.{id}.callers"), "found none; nobody could use the key");
        }
    }
    for id in deployment.keys.keys().filter(|id| !policy.keys.contains_key(id)) {
        problems.note(
            format!("keys.{id}"),
            "the deployment has this key, the policy does not; say there what it is for",
        );
    }
    problems
}
