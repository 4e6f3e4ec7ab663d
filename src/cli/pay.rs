//! `countersign pay` and `payment show`: a gateway's work by hand.

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::http::wire::{Account, Creditor, Debtor, OtherAccount, PaymentRequest};

use super::Caller;
use super::client::{Answer, Daemon};
use super::output::{Exit, Failure, Output};

/// Have a payment signed.
#[derive(Debug, Args)]
pub(super) struct Pay {
    #[command(flatten)]
    caller: Caller,
    /// Name of the settlement key.
    #[arg(long)]
    key: String,
    /// Decimal amount in the currency's own scale, such as 12.34.
    #[arg(long)]
    amount: String,
    /// ISO 4217 code.
    #[arg(long)]
    currency: String,
    /// Name of the creditor.
    #[arg(long, value_name = "NAME")]
    creditor_name: String,
    /// Account of the creditor.
    #[arg(long, required_unless_present = "account", conflicts_with = "account")]
    iban: Option<String>,
    /// Account of the creditor without IBAN: ach, sort_code or merchant, a colon, and the id.
    #[arg(long, value_name = "SCHEME:ID")]
    account: Option<String>,
    /// Who pays, in the caller's namespace.
    #[arg(long, value_name = "ID")]
    debtor: Option<String>,
    /// Reference that is unique per key and creditor account; NOTPROVIDED for none.
    #[arg(long, value_name = "ID")]
    end_to_end_id: String,
    /// Free text for the creditor.
    #[arg(long, value_name = "TEXT")]
    remittance_information: Option<String>,
    /// When the payment lapses unless it is signed, RFC 3339 in UTC.
    #[arg(long, value_name = "INSTANT")]
    expires_at: Option<String>,
    /// Our name for the payment, so that a retry is recognised; drawn and printed if left out.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Tell what would happen, and spend nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum PaymentCommand {
    /// Show what has become of a payment.
    Show {
        /// Identifier, 32 hexadecimal digits.
        id: String,
        /// Longest wait for the outcome, such as 30s.
        #[arg(long)]
        wait: Option<String>,
        #[command(flatten)]
        caller: Caller,
    },
}

pub(super) fn run(pay: &Pay, output: &Output) -> Result<Exit, Failure> {
    let daemon = Daemon::load(&pay.caller.client)?;
    let body = serde_json::to_value(request(pay)?).map_err(Failure::broken)?;
    if pay.dry_run {
        let answer = daemon.post("/v1/payments/dry-run", None, &body)?;
        output.show(&answer.body, |_| told_dry_run(&answer, output))?;
        let denied = answer.status == 200 && answer.body["would_sign"] != Value::Bool(true);
        return Ok(if denied { Exit::Denied } else { answer.exit() });
    }
    let key = match &pay.idempotency_key {
        Some(key) => key.clone(),
        None => drawn()?,
    };
    let answer = daemon.post("/v1/payments", Some(&key), &body).map_err(|failure| {
        // Without the key a retry would be another payment.
        let message = format!("{}; retry with --idempotency-key {key}", failure.message);
        Failure { message, ..failure }
    })?;
    output.show(&answer.body, |_| told(&answer, Some(&key), output))?;
    Ok(answer.exit())
}

pub(super) fn look_up(command: &PaymentCommand, output: &Output) -> Result<Exit, Failure> {
    let PaymentCommand::Show { id, wait, caller } = command;
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric());
    if !plain(id) || !wait.as_deref().is_none_or(plain) {
        return Err(Failure::refused("expected an id of hexadecimal digits and a wait like 30s"));
    }
    let query = wait.as_ref().map(|wait| format!("?wait={wait}")).unwrap_or_default();
    let answer = Daemon::load(&caller.client)?.get(&format!("/v1/payments/{id}{query}"))?;
    output.show(&answer.body, |_| told(&answer, None, output))?;
    Ok(match answer.text("/state") {
        "denied" | "voided" => Exit::Denied,
        "signing" | "in_doubt" => Exit::Pending,
        _ => answer.exit(),
    })
}

fn request(pay: &Pay) -> Result<PaymentRequest, Failure> {
    let other = match &pay.account {
        None => None,
        Some(text) => match text.split_once(':') {
            Some((scheme, id)) => {
                Some(OtherAccount { scheme: scheme.to_owned(), id: id.to_owned() })
            }
            None => {
                let message =
                    format!("found --account {text}; expected a scheme, a colon and an id");
                return Err(Failure::refused(message));
            }
        },
    };
    Ok(PaymentRequest {
        key: pay.key.clone(),
        amount: pay.amount.clone(),
        currency: pay.currency.clone(),
        creditor: Creditor {
            name: pay.creditor_name.clone(),
            account: Account { iban: pay.iban.clone(), other },
        },
        debtor: pay.debtor.clone().map(|id| Debtor { id }),
        end_to_end_id: pay.end_to_end_id.clone(),
        remittance_information: pay.remittance_information.clone(),
        expires_at: pay.expires_at.clone(),
    })
}

fn drawn() -> Result<String, Failure> {
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random).map_err(Failure::broken)?;
    Ok(format!("cli-{:032x}", u128::from_be_bytes(random)))
}

/// An answer about a payment, for people.
fn told(answer: &Answer, idempotency_key: Option<&str>, output: &Output) -> String {
    let payment = |pointer: &str| answer.text(&format!("/payment/{pointer}")).to_owned();
    let state = match answer.text("/state") {
        "signed" => output.good("signed"),
        "signing" => output.warning("signing"),
        "in_doubt" => output.warning("in doubt"),
        "denied" => output.bad("denied"),
        "voided" => output.bad("voided"),
        _ => match answer.exit() {
            Exit::Denied => output.bad("denied"),
            _ => output.bad("refused"),
        },
    };
    let mut lines = match answer.text("/id") {
        "" => vec![format!("{state}  {}", answer.problem())],
        _ if answer.text("/payment/amount").is_empty() => vec![format!(
            "{state}  {} {}, and its row is gone",
            output.strong(answer.text("/amount")),
            answer.text("/currency"),
        )],
        _ => vec![format!(
            "{state}  {} {} to {} ({})",
            output.strong(&payment("amount")),
            payment("currency"),
            payment("creditor/name"),
            payment("end_to_end_id"),
        )],
    };
    let id = match answer.text("/id") {
        "" => answer.text("/payment_id"),
        id => id,
    };
    let denial = answer.text("/denial/detail");
    let jws = answer.text("/jws");
    for (name, value) in [
        ("why", denial),
        ("payment", id),
        ("idempotency key", idempotency_key.unwrap_or_default()),
        ("key version", answer.text("/kid")),
        ("recorded", answer.text("/outcome_at")),
        ("denied by", answer.text("/denied_by")),
        ("erased", answer.text("/erased_at")),
        ("archived", answer.text("/archived_at")),
        ("archive", answer.text("/archive")),
        ("jws", jws),
    ] {
        if !value.is_empty() {
            lines.push(format!("  {}  {value}", output.faint(&format!("{name:<15}"))));
        }
    }
    lines.join("\n")
}

fn told_dry_run(answer: &Answer, output: &Output) -> String {
    if answer.status != 200 {
        return format!("{}  {}", output.bad("refused"), answer.problem());
    }
    let mut lines = match answer.body["would_sign"] == Value::Bool(true) {
        true => vec![format!("{}; nothing was spent", output.good("would be signed"))],
        false => {
            vec![format!("{}: {}", output.bad("would be denied"), answer.text("/denial/detail"))]
        }
    };
    for check in answer.body["checks"].as_array().into_iter().flatten() {
        let name = check["name"].as_str().unwrap_or_default();
        let mark = match check["passed"] == Value::Bool(true) {
            true => output.good("passed"),
            false => output.bad("failed"),
        };
        lines.push(format!("  {mark}  {name}"));
    }
    lines.join("\n")
}
