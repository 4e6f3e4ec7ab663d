//! A comparison in words.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::domain::money::Currency;

use super::super::output::Output;
use super::comparison::{Comparison, Signed};
use super::executed::Executed;

/// Payments of each kind that are told one by one; --json tells all.
const TOLD_MAX: usize = 20;

pub(super) fn json(found: &Comparison) -> Value {
    let matched = found.matched.iter().map(|(code, (count, sum))| {
        let (payments, amount) = (count.to_string(), decimal(code, *sum));
        json!({ "currency": code, "payments": payments, "amount": amount })
    });
    json!({
        "executed_never_signed": found.never_signed,
        "executed_repeatedly": found.repeated,
        "signed_never_executed": found.never_executed,
        "matched": matched.collect::<Vec<_>>(),
        "signatures_compared": found.signatures_compared,
        "signatures_gone": found.closed.to_string(),
    })
}

pub(super) fn text(found: &Comparison, executed: &Executed, output: &Output) -> String {
    let mut lines = Vec::new();
    if !found.never_signed.is_empty() {
        let count = payments(found.never_signed.len());
        lines.push(format!("{}  {count} executed and never signed here", output.bad("alarm")));
        let each = found.never_signed.iter();
        some(&mut lines, output, each, |unsigned| {
            format!("line {:<6}  {}  {}", unsigned.line, unsigned.payment, unsigned.why)
        });
        lines.push(
            "  If the rail checks signatures, the key was used elsewhere: freeze it, and find out \
             where."
                .to_owned(),
        );
    }
    if !found.repeated.is_empty() {
        let count = payments(found.repeated.len());
        lines.push(format!("{}  {count} executed more than once", output.warning("twice")));
        some(&mut lines, output, found.repeated.iter(), |repeated| {
            let numbers: Vec<String> = repeated.lines.iter().map(u64::to_string).collect();
            format!("lines {}  {}", numbers.join(", "), repeated.payment)
        });
    }
    if !found.never_executed.is_empty() {
        let (count, sums) = (payments(found.never_executed.len()), sums(&found.never_executed));
        lines.push(format!(
            "{}  {count} signed and not executed, {sums}",
            output.warning("missing")
        ));
        some(&mut lines, output, found.never_executed.iter(), |signed| {
            let Signed { payment, signed_at, key, amount, currency, .. } = signed;
            format!("{payment}  {amount:>12} {currency}  {key}  {signed_at}")
        });
    }
    let count: u64 = found.matched.values().map(|(count, _)| count).sum();
    let sums =
        found.matched.iter().map(|(code, (_, sum))| format!("{} {code}", decimal(code, *sum)));
    let sums = sums.collect::<Vec<_>>().join(", ");
    let sums = if sums.is_empty() { sums } else { format!(", {sums}") };
    let executed = payments(executed.count());
    let well = output.good("signed");
    lines.push(format!("{well}  {count} of the {executed} executed{sums}"));
    if !found.signatures_compared {
        lines.push(
            output.faint("  an export holds no signatures: those in the file were not compared"),
        );
    }
    if found.closed > 0 {
        lines.push(output.faint(&format!(
            "  {} signatures were not compared: those payments were erased or archived",
            found.closed
        )));
    }
    lines.join("\n")
}

fn some<T>(
    lines: &mut Vec<String>,
    output: &Output,
    all: impl ExactSizeIterator<Item = T>,
    line: impl Fn(T) -> String,
) {
    let more = all.len().saturating_sub(TOLD_MAX);
    lines.extend(all.take(TOLD_MAX).map(|each| format!("  {}", line(each))));
    if more > 0 {
        lines.push(output.faint(&format!("  and {more} more; --json tells all")));
    }
}

fn payments(count: usize) -> String {
    if count == 1 { "1 payment".to_owned() } else { format!("{count} payments") }
}

/// The sums of payments, by currency.
fn sums(signed: &[Signed]) -> String {
    let mut sums: BTreeMap<&str, u128> = BTreeMap::new();
    for Signed { amount, currency, .. } in signed {
        let digits: u128 = amount.replace('.', "").parse().unwrap_or(0);
        *sums.entry(currency).or_default() += digits;
    }
    let told = sums.into_iter().map(|(code, sum)| format!("{} {code}", decimal(code, sum)));
    told.collect::<Vec<_>>().join(", ")
}

/// Minor units in the scale of a currency.
fn decimal(code: &str, minor_units: u128) -> String {
    let currency = Currency::parse("currency", code).ok().zip(u64::try_from(minor_units).ok());
    match currency {
        Some((currency, minor_units)) => currency.decimal(minor_units),
        None => format!("{minor_units} minor units"),
    }
}
