//! `countersign limits`: how the limits of a key stand, in bars.

use clap::Args;
use serde_json::Value;

use super::Caller;
use super::client::Daemon;
use super::output::{Exit, Failure, Output};

/// Width of a bar, in characters.
const BAR_WIDTH: usize = 24;

/// Show how limits stand.
#[derive(Debug, Args)]
pub(super) struct Limits {
    /// Name of the key; all keys of ours if it is left out.
    key: Option<String>,
    /// A debtor of ours, for limits per debtor.
    #[arg(long, value_name = "ID")]
    debtor: Option<String>,
    /// A creditor account such as iban:ES9121000418450200051332, for limits per creditor.
    #[arg(long, value_name = "ACCOUNT")]
    creditor: Option<String>,
    #[command(flatten)]
    caller: Caller,
}

pub(super) fn run(limits: &Limits, output: &Output) -> Result<Exit, Failure> {
    let daemon = Daemon::load(&limits.caller.client)?;
    let keys = match &limits.key {
        Some(key) => vec![key.clone()],
        None => {
            let answer = daemon.get("/v1/keys")?;
            let keys = answer.body["keys"].as_array().cloned().unwrap_or_default();
            let settlement = keys.iter().filter(|key| key["purpose"] == "settlement");
            settlement.filter_map(|key| Some(key["id"].as_str()?.to_owned())).collect()
        }
    };
    let query = query(limits);
    let mut answers = Vec::new();
    for key in keys {
        let plain = key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !plain {
            return Err(Failure::refused(format!("found {key:?}; expected the name of a key")));
        }
        let answer = daemon.get(&format!("/v1/keys/{key}/limits{query}"))?;
        if answer.status != 200 {
            return Err(Failure { message: answer.problem(), exit: answer.exit() });
        }
        answers.push(answer.body);
    }
    output.show(&answers, |answers| {
        answers.iter().map(|answer| table(answer, output)).collect::<Vec<_>>().join("\n\n")
    })?;
    Ok(Exit::Done)
}

/// The query that names debtor and creditor, percent-encoded (RFC 3986 section 2.1).
fn query(limits: &Limits) -> String {
    let encoded = |text: &str| -> String {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        text.bytes()
            .map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
            .collect()
    };
    let named = [("debtor", &limits.debtor), ("creditor", &limits.creditor)];
    let named = named.into_iter().filter_map(|(name, value)| {
        value.as_ref().map(|value| format!("{name}={}", encoded(value)))
    });
    let query = named.collect::<Vec<_>>().join("&");
    if query.is_empty() { query } else { format!("?{query}") }
}

fn table(answer: &Value, output: &Output) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let heading = format!(
        "{}  {}  {}",
        output.strong(&text(&answer["key"])),
        text(&answer["currency"]),
        output.faint(&format!("as of {}", text(&answer["as_of"])))
    );
    if answer["unlimited"] == Value::Bool(true) {
        return format!("{heading}\n  {}", output.warning("unlimited, says the policy"));
    }
    let limits = answer["limits"].as_array().cloned().unwrap_or_default();
    let header =
        ["limit", "per", "window", "used", "", "posted", "pending", "free", "of", "next release"];
    let mut rows = vec![header.map(str::to_owned)];
    let mut bars = vec![String::new()];
    for limit in &limits {
        let share = share(limit);
        let unit = if limit["measure"] == "count" { " payments" } else { "" };
        let shown = if limit["posted"].is_null() {
            Shown::NobodyNamed
        } else if limit["window"] == "payment" {
            Shown::EachPayment
        } else {
            Shown::Share(share)
        };
        let used = match shown {
            Shown::Share(share) => format!("{:>3} %", share / 10),
            Shown::EachPayment | Shown::NobodyNamed => String::new(),
        };
        rows.push([
            text(&limit["name"]),
            text(&limit["per"]).replace('_', " "),
            text(&limit["window"]),
            used,
            String::new(),
            text(&limit["posted"]),
            text(&limit["pending"]),
            text(&limit["free"]),
            format!("{}{unit}", text(&limit["cap"])),
            text(&limit["next_release"]).split('.').next().unwrap_or_default().replace('T', " "),
        ]);
        bars.push(bar(&shown, output));
    }
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let lines = rows.iter().zip(&bars).enumerate().map(|(index, (row, bar))| {
        let cells =
            row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
                4 if index == 0 => " ".repeat(BAR_WIDTH),
                4 => bar.clone(),
                0..=2 | 8 | 9 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
        let line = cells.collect::<Vec<_>>().join("  ");
        let line = format!("  {}", line.trim_end());
        if index == 0 { output.faint(&line) } else { line }
    });
    format!("{heading}\n{}", lines.collect::<Vec<_>>().join("\n"))
}

/// Used share of the cap, in thousandths.
fn share(limit: &Value) -> u64 {
    let number = |name: &str| -> u128 {
        let digits = limit[name].as_str().unwrap_or_default().replace('.', "");
        digits.parse().unwrap_or(0)
    };
    let used = number("posted") + number("pending");
    let share = (used * 1000).checked_div(number("cap")).unwrap_or(1000);
    u64::try_from(share).unwrap_or(1000).min(1000)
}

/// What stands in the place of a bar.
enum Shown {
    /// The used share of the cap, in thousandths.
    Share(u64),
    /// Nothing is added up.
    EachPayment,
    /// It depends on whom one asks for.
    NobodyNamed,
}

fn bar(shown: &Shown, output: &Output) -> String {
    let share = match shown {
        Shown::EachPayment => {
            return output.faint(&format!("{:<BAR_WIDTH$}", "each payment by itself"));
        }
        Shown::NobodyNamed => {
            return output.faint(&format!("{:<BAR_WIDTH$}", "say of whom: --debtor …"));
        }
        Shown::Share(share) => *share,
    };
    let eighths = usize::try_from(share).unwrap_or(1000) * BAR_WIDTH * 8 / 1000;
    // Something used is never shown as nothing.
    let eighths = if share > 0 { eighths.max(1) } else { 0 };
    let parts = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let full = "█".repeat(eighths / 8);
    let part = parts.get(eighths % 8).copied().unwrap_or_default();
    let rest = BAR_WIDTH - eighths.div_ceil(8);
    let bar = format!("{full}{part}");
    let bar = match share {
        0..700 => output.good(&bar),
        700..900 => output.warning(&bar),
        _ => output.bad(&bar),
    };
    format!("{bar}{}", output.faint(&"░".repeat(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_its_bars_tell_the_share() {
        let answer = serde_json::json!({
            "key": "settlement-eur", "currency": "EUR", "as_of": "2026-12-01T12:00:00.000Z",
            "unlimited": false,
            "limits": [
                { "name": "single", "window": "payment", "measure": "amount", "cap": "25.00",
                  "posted": "0.00", "pending": "0.00", "free": "25.00" },
                { "name": "day", "window": "1d", "measure": "amount", "cap": "250.00",
                  "posted": "125.00", "pending": "0.00", "free": "125.00",
                  "next_release": "2026-12-02T12:15:00.000Z" },
                { "name": "rate", "window": "1m", "measure": "count", "cap": "600",
                  "posted": "599", "pending": "1", "free": "0" },
            ],
        });
        let shown = table(&answer, &Output::new(true));
        assert!(shown.contains("████████████░░░░░░░░░░░░"), "{shown}");
        assert!(shown.contains("████████████████████████"), "{shown}");
        assert!(shown.contains("600 payments") && shown.contains("2026-12-02 12:15:00"), "{shown}");
        assert!(shown.contains("each payment by itself"), "{shown}");
    }
}
