//! `countersign policy explain`: which check decides a payment now.

use std::io::Read;
use std::path::Path;

use crate::clock::Clock;
use crate::config::deployment::Deployment;
use crate::config::policy as policy_file;
use crate::domain::caller::CallerId;
use crate::domain::ledger::{Explanation, explain};
use crate::domain::payment::{Payment, PaymentFields};
use crate::domain::people::Nobody;
use crate::http::dry_run::DryRunAnswer;
use crate::http::wire::PaymentRequest;
use crate::ledger::reader::Reader;
use crate::ledger::sqlite::Store;

use super::Deployed;
use super::output::{Exit, Failure, Output};

/// Largest payment file, in bytes.
const PAYMENT_BYTES_MAX: u64 = 64 * 1024;

pub(super) fn run(
    payment: &Path,
    caller: &str,
    deployed: &Deployed,
    output: &Output,
) -> Result<Exit, Failure> {
    let deployment = Deployment::load(&deployed.config).map_err(Failure::broken)?;
    let policy = policy_file::load(&deployment.policy).map_err(Failure::broken)?;
    let caller = CallerId::parse("caller", caller).map_err(Failure::refused)?;
    if !policy.callers.contains_key(&caller) {
        return Err(Failure::refused(format!("the policy has no caller \"{caller}\"")));
    }
    let payment = read_payment(payment)?;
    let ledger = deployment.ledger();
    Store::examine(&ledger, &deployment.issuer).map_err(Failure::broken)?;
    let reader = Reader::open(&ledger).map_err(Failure::broken)?;
    let now = Clock::system().now();
    let people = &Nobody;
    let working =
        reader.working_set(now, &policy, people, &caller, &payment).map_err(Failure::broken)?;
    let found = explain(now, &policy, people, &working, &caller, &payment);
    let found = found.map_err(Failure::broken)?;
    let answer = DryRunAnswer::new(&found, payment.currency());
    let explained = serde_json::json!({
        "decision": answer.decision,
        "policy_version": policy.version,
        "checks": answer.checks,
        "tier": answer.tier,
        "passed_over": answer.passed_over,
        "approvals": answer.approvals,
        "denial": answer.denial,
    });
    output.show(&explained, |_| told(&found, &answer, output))?;
    Ok(if answer.denial.is_some() { Exit::Denied } else { Exit::Done })
}

fn read_payment(path: &Path) -> Result<Payment, Failure> {
    let source = match path.to_str() {
        Some("-") => "standard input".to_owned(),
        _ => path.display().to_string(),
    };
    let unreadable =
        |refused: std::io::Error| Failure::refused(format!("cannot read {source}: {refused}"));
    let mut text = String::new();
    match path.to_str() {
        Some("-") => std::io::stdin().take(PAYMENT_BYTES_MAX).read_to_string(&mut text),
        _ => std::fs::File::open(path)
            .map_err(unreadable)?
            .take(PAYMENT_BYTES_MAX)
            .read_to_string(&mut text),
    }
    .map_err(unreadable)?;
    let request: PaymentRequest = serde_json::from_str(&text)
        .map_err(|refused| Failure::refused(format!("{source} is not a payment: {refused}")))?;
    Payment::parse(&PaymentFields::from(request)).map_err(Failure::refused)
}

fn told(found: &Explanation, answer: &DryRunAnswer, output: &Output) -> String {
    let mut lines: Vec<String> = found
        .checks
        .iter()
        .map(|check| match &check.answer {
            Ok(()) => format!("  {}  {}", output.good("passed"), check.name),
            Err(_) => format!("  {}  {}", output.bad("failed"), check.name),
        })
        .collect();
    for tier in &answer.passed_over {
        lines.push(format!("          not tier \"{}\": {}", tier.tier, tier.why));
    }
    lines.push(match (&answer.denial, &answer.tier, &answer.approvals) {
        (Some(denial), ..) => {
            format!("{} by {}: {}", output.bad("would be denied"), denial.rule, denial.detail)
        }
        (None, Some(tier), Some(asks)) => {
            format!("{} \"{tier}\": {}", output.warning("would wait in tier"), asks.in_words())
        }
        (None, tier, _) => {
            let tier = tier.as_deref().unwrap_or_default();
            output.good(&format!("would be signed under \"{tier}\": nobody is asked"))
        }
    });
    lines.join("\n")
}
