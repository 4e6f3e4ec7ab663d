//! Deployment and policy have two owners; before anything starts they must agree.

use crate::config::Problems;
use crate::config::deployment::{Deployment, Keeping};
use crate::domain::key::{Algorithm, KeyId, Purpose};
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
        if let Some(binding) = deployment.keys.get(id) {
            check_algorithm(id, key.purpose, binding.algorithm, &mut problems);
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
    check_audit_key(deployment, policy, &mut problems);
    check_anchored(deployment, policy, &mut problems);
    check_keeping(&deployment.keeping, policy, &mut problems);
    check_notifications(deployment, policy, &mut problems);
    problems
}

/// What a key's purpose takes: orders are ES256 for every verifier there is, checkpoints are what
/// the token of the audit key can make.
fn check_algorithm(id: &KeyId, purpose: Purpose, found: Algorithm, problems: &mut Problems) {
    if (purpose, found) == (Purpose::Settlement, Algorithm::EdDsa) {
        problems.note(
            format!("keys.{id}.algorithm"),
            "found \"EdDSA\"; a settlement key signs orders, and these with \"ES256\" only",
        );
    }
}

/// Webhooks are signed by a key that signs nothing else, and told to callers that there are.
fn check_notifications(deployment: &Deployment, policy: &Policy, problems: &mut Problems) {
    let purpose = |key: &KeyId| policy.keys.get(key).map(|key| key.purpose);
    let key = deployment.notifications.key.as_ref();
    if let Some((key, other)) = key
        .and_then(|key| Some((key, purpose(key)?)))
        .filter(|(_, purpose)| *purpose != Purpose::Notification)
    {
        problems.note(
            "notifications.key",
            format!(
                "found \"{key}\", which the policy has for {}; expected a key with purpose = \
                 \"notification\": one key, one purpose",
                other.name()
            ),
        );
    }
    for route in &deployment.notifications.routes {
        if !policy.callers.contains_key(&route.caller) {
            problems.note(
                format!("notifications.to.{}.caller", route.name),
                format!("found \"{}\"; expected a caller of the policy", route.caller),
            );
        }
    }
}

/// A signature that waits to be covered needs a token that keeps anchors, or a witness.
fn check_anchored(deployment: &Deployment, policy: &Policy, problems: &mut Problems) {
    if deployment.tokens.values().any(|token| token.anchors) || !deployment.witnesses.is_empty() {
        return;
    }
    for (id, _) in policy.keys.iter().filter(|(_, key)| key.anchored_from.is_some()) {
        problems.note(
            format!("keys.{id}.anchored_from"),
            "no token of the deployment keeps anchors and there is no witness, so these payments \
             would wait for ever; let a token keep them, add a [[witness]], or remove this",
        );
    }
}

/// A row must stay as long as any limit looks back: what a new limit counts is made from rows.
fn check_keeping(keeping: &Keeping, policy: &Policy, problems: &mut Problems) {
    let limits = policy.keys.values().flat_map(|key| &key.limits);
    let windows = limits.filter_map(|limit| Some((limit.window.longest()?, limit)));
    let longest = windows.max_by_key(|(longest, _)| *longest);
    let Some((longest, limit)) = longest else { return };
    for (name, found) in
        [("retention", keeping.retention), ("archive_after", keeping.archive_after)]
    {
        if let Some(found) = found.filter(|found| *found < longest) {
            problems.note(
                format!("ledger.{name}"),
                format!(
                    "found {found}, but the limit \"{}\" looks back {longest}; expected at least \
                     that",
                    limit.name
                ),
            );
        }
    }
}

/// The key of `[audit]` signs the log and nothing else.
fn check_audit_key(deployment: &Deployment, policy: &Policy, problems: &mut Problems) {
    let audit = &deployment.audit.key;
    match policy.keys.get(audit).map(|key| key.purpose) {
        // That the policy lacks the key has been noted.
        None | Some(Purpose::Audit) => {}
        Some(other) => problems.note(
            "audit.key",
            format!(
                "found \"{audit}\", which the policy has for {}; expected a key with purpose = \
                 \"audit\": one key, one purpose",
                other.name()
            ),
        ),
    }
}
