//! What a log that holds is told as.

use serde_json::{Value, json};

use crate::domain::money::Currency;
use crate::domain::time::Timestamp;
use crate::log::entry::Kind;
use crate::log::verify::{Cosigned, Summary, Sums};

use super::super::super::output::{Output, grouped, grouped_amount};
use super::agreement::Agreed;

/// For scripts. Numbers are texts, as everywhere.
pub(super) fn json(
    log: &Summary,
    cosigned: &[Cosigned],
    agreed: Option<&Agreed>,
    compared: u64,
) -> Value {
    let (erased, archived) = closed(log);
    let cosigned =
        cosigned.iter().map(|by| json!({ "witness": by.witness, "leaves": by.leaves.to_string() }));
    let kinds: serde_json::Map<_, _> = log
        .kinds
        .iter()
        .map(|(kind, count)| (kind.name().to_owned(), count.to_string().into()))
        .collect();
    let keys = log.sums.iter().map(|((key, currency), sums)| {
        json!({
            "key": key,
            "currency": currency.code(),
            "signed": sums.signed.to_string(),
            "signed_amount": currency.decimal(sums.signed_amount),
            "in_doubt": sums.open.to_string(),
            "in_doubt_amount": currency.decimal(sums.open_amount),
        })
    });
    json!({
        "holds": true,
        "origin": log.origin,
        "leaves": log.head.size.to_string(),
        "root": log.head.root.to_string(),
        "signed": log.signed.to_string(),
        "checkpoints": log.checkpoints.to_string(),
        "cosigned": cosigned.collect::<Vec<_>>(),
        "first_at": log.span.map(|(first, _)| first.to_string()),
        "last_at": log.span.map(|(_, last)| last.to_string()),
        "kinds": kinds,
        "erased": erased.to_string(),
        "archived": archived.to_string(),
        "archived_compared": compared.to_string(),
        "keys": keys.collect::<Vec<_>>(),
        "ledger": agreed.map(|agreed| json!({
            "payments": agreed.payments.to_string(),
            "closed": agreed.closed.to_string(),
            "outcomes": agreed.outcomes.to_string(),
            "sums": agreed.sums.to_string(),
        })),
    })
}

/// For people.
pub(super) fn text(
    log: &Summary,
    cosigned: &[Cosigned],
    agreed: Option<&Agreed>,
    compared: u64,
    output: &Output,
) -> String {
    let mut rows = vec![("leaves", leaves(log)), ("signed", signed(log, output))];
    rows.extend(
        cosigned
            .iter()
            .map(|by| ("cosigned", format!("{} leaves by {}", grouped(by.leaves), by.witness))),
    );
    rows.push(("root", log.head.root.to_string()));
    let counted = |kinds: &[Kind]| -> String {
        let counts = kinds.iter().filter_map(|kind| Some((kind, log.kinds.get(kind)?)));
        let told = counts
            .map(|(kind, count)| format!("{} {}", grouped(*count), kind.name().replace('_', " ")));
        told.collect::<Vec<_>>().join(", ")
    };
    let (payments, events): (Vec<Kind>, Vec<Kind>) =
        Kind::ALL.into_iter().partition(|kind| kind.is_of_payment());
    rows.push(("payments", counted(&payments)));
    rows.push(("events", counted(&events)));
    rows.extend(
        log.sums.iter().map(|((key, currency), sums)| ("key", of_key(key, *currency, sums))),
    );
    rows.push(("closed", of_closed(log, compared)));
    if let Some(agreed) = agreed {
        rows.push(("ledger", of_ledger(agreed)));
    }
    let rows = rows.into_iter().filter(|(_, value)| !value.is_empty());
    let rows =
        rows.map(|(name, value)| format!("  {}  {value}", output.faint(&format!("{name:<8}"))));
    let heading = format!("{}  {}", output.good("holds"), output.strong(&log.origin));
    [heading].into_iter().chain(rows).collect::<Vec<_>>().join("\n")
}

fn leaves(log: &Summary) -> String {
    let short = |at: Timestamp| at.to_string().chars().take(19).collect::<String>();
    let size = grouped(log.head.size);
    match log.span {
        Some((first, last)) => {
            format!("{size}  from {} to {}", short(first), short(last)).replace('T', " ")
        }
        None => size,
    }
}

fn signed(log: &Summary, output: &Output) -> String {
    let by = match log.checkpoints {
        1 => "1 checkpoint".to_owned(),
        many => format!("{} checkpoints", grouped(many)),
    };
    match log.head.size.saturating_sub(log.signed) {
        0 => format!("all of them, by {by}"),
        later => format!(
            "{} of them, by {by}; {}",
            grouped(log.signed),
            output.warning(&format!("the last {} not yet", grouped(later)))
        ),
    }
}

fn of_key(key: &str, currency: Currency, sums: &Sums) -> String {
    let amount = |minor_units| grouped_amount(&currency.decimal(minor_units));
    let signed = format!(
        "{key}  {} signed, {} {currency}",
        grouped(sums.signed),
        amount(sums.signed_amount)
    );
    match sums.open {
        0 => signed,
        open => {
            format!("{signed}; {} in doubt, {} {currency}", grouped(open), amount(sums.open_amount))
        }
    }
}

/// Payments that gave up their rows: how many were erased, how many archived.
fn closed(log: &Summary) -> (u64, u64) {
    let of = |is_archived| {
        let closings = log.closings.values().filter(move |c| c.archive.is_some() == is_archived);
        closings.map(|closed| closed.payments).fold(0, u64::saturating_add)
    };
    (of(false), of(true))
}

fn of_closed(log: &Summary, compared: u64) -> String {
    let (erased, archived) = closed(log);
    let erased = match erased {
        0 => String::new(),
        many => format!("{} erased: what their digests were made from is gone", grouped(many)),
    };
    let archived = match (archived, compared) {
        (0, _) => String::new(),
        (many, 0) => format!("{} archived, and no archive was given", grouped(many)),
        (many, some) => format!(
            "{} archived, of which {} have their leaves, byte for byte",
            grouped(many),
            grouped(some)
        ),
    };
    let told = [erased, archived].into_iter().filter(|told| !told.is_empty());
    told.collect::<Vec<_>>().join("; ")
}

fn of_ledger(agreed: &Agreed) -> String {
    let payments = match agreed.payments {
        1 => "1 payment has its".to_owned(),
        many => format!("{} payments have their", grouped(many)),
    };
    let sums = match agreed.sums {
        0 => String::new(),
        1 => "; the sums of 1 key are those of the log".to_owned(),
        many => format!(
            "; the sums of {} keys are those of the log",
            grouped(u64::try_from(many).unwrap_or(u64::MAX))
        ),
    };
    format!("{payments} leaves, byte for byte{sums}")
}
