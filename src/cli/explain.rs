//! `countersign policy explain`: which check decides a payment now.

use std::io::Read;
use std::path::Path;

use crate::clock::Clock;
use crate::config::deployment::Deployment;
use crate::config::policy as policy_file;
use crate::domain::caller::CallerId;
use crate::domain::denial::Denial;
use crate::domain::ledger::{Check, checks};
use crate::domain::money::Currency;
use crate::domain::payment::{Payment, PaymentFields};
use crate::http::problem::DenialAnswer;
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
    let working = reader.working_set(now, &policy, &caller, &payment).map_err(Failure::broken)?;
    let checks = checks(now, &policy, &working, &caller, &payment).map_err(Failure::broken)?;
    let denial = checks.iter().find_map(|check| check.answer.as_ref().err());
    let explained = serde_json::json!({
        "decision": if denial.is_some() { "denied" } else { "signed" },
        "policy_version": policy.version,
        "checks": checks.iter().map(|check| serde_json::json!({
            "name": check.name, "passed": check.answer.is_ok(),
        })).collect::<Vec<_>>(),
        "denial": denial.map(|denial| DenialAnswer::new(denial, payment.currency())),
    });
    output.show(&explained, |_| told(&checks, denial, payment.currency(), output))?;
    Ok(if denial.is_some() { Exit::Denied } else { Exit::Done })
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

fn told(checks: &[Check], denial: Option<&Denial>, currency: Currency, output: &Output) -> String {
    let mut lines: Vec<String> = checks
        .iter()
        .map(|check| match &check.answer {
            Ok(()) => format!("  {}  {}", output.good("passed"), check.name),
            Err(_) => format!("  {}  {}", output.bad("failed"), check.name),
        })
        .collect();
    lines.push(match denial {
        None => output.good("would be signed by tier zero: nobody is asked"),
        Some(denial) => {
            let told = DenialAnswer::new(denial, currency);
            format!("{} by {}: {}", output.bad("would be denied"), told.rule, told.detail)
        }
    });
    lines.join("\n")
}
