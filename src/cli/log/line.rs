//! A leaf in one line: of a table, of CSV, of JSON lines.

use clap::ValueEnum;

use crate::log::entry::{Entry, Kind};

use super::super::output::{Failure, Output};

/// Leaves from which the widths of the columns are taken.
const MEASURED: usize = 500;
/// Version of a policy that is told, in characters.
const VERSION_CHARS: usize = 12;
const COLUMNS: usize = 9;
const HEADER: [&str; COLUMNS] =
    ["leaf", "time", "decision", "amount", "", "key", "caller", "payment", "detail"];
const CSV_HEADER: &str = "position,at,kind,amount,currency,key,caller,payment,detail";

/// How leaves are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Table,
    /// A JSON object a line: the position, and the leaf as it stands in the log.
    Jsonl,
    /// RFC 4180, with a header.
    Csv,
}

/// Prints leaves as they come.
pub(super) struct Printer<'a> {
    format: Format,
    output: &'a Output,
    /// Lines of a table whose widths are not known yet.
    held: Vec<(Kind, [String; COLUMNS])>,
    widths: Option<[usize; COLUMNS]>,
    printed: u64,
}

impl<'a> Printer<'a> {
    pub(super) fn new(format: Format, output: &'a Output) -> Self {
        Self { format, output, held: Vec::new(), widths: None, printed: 0 }
    }

    /// How many leaves it was given.
    pub(super) fn printed(&self) -> u64 {
        self.printed
    }

    /// Prints a leaf. Whether anybody reads on.
    pub(super) fn leaf(
        &mut self,
        position: u64,
        text: &str,
        entry: &Entry<'_>,
    ) -> Result<bool, Failure> {
        self.printed += 1;
        match self.format {
            Format::Jsonl => {
                let position = position.to_string();
                // The leaf is JSON already, and stays byte for byte what it is.
                Ok(self.output.stream(&format!(r#"{{"position":"{position}","leaf":{text}}}"#)))
            }
            Format::Csv => {
                let cells = cells_of(position, entry, false).map(|cell| quoted(&cell));
                let header = self.printed > 1 || self.output.stream(CSV_HEADER);
                Ok(header && self.output.stream(&cells.join(",")))
            }
            Format::Table => {
                self.held.push((entry.kind(), cells_of(position, entry, true)));
                let enough = self.widths.is_some() || self.held.len() >= MEASURED;
                Ok(if enough { self.print_held() } else { true })
            }
        }
    }

    /// Prints what was held back. Whether anybody reads on.
    pub(super) fn flush(&mut self) -> bool {
        if self.format == Format::Csv && self.printed == 0 {
            return self.output.stream(CSV_HEADER) && self.output.flush();
        }
        self.print_held() && self.output.flush()
    }

    fn print_held(&mut self) -> bool {
        if self.held.is_empty() {
            return true;
        }
        let widths = match self.widths {
            Some(widths) => widths,
            None => {
                let mut widths = HEADER.map(str::len);
                for (_, cells) in &self.held {
                    for (width, cell) in widths.iter_mut().zip(cells) {
                        *width = (*width).max(cell.chars().count());
                    }
                }
                self.widths = Some(widths);
                let header = self.output.faint(&self.row(HEADER.map(str::to_owned), &widths, None));
                if !self.output.stream(&header) {
                    return false;
                }
                widths
            }
        };
        let held = std::mem::take(&mut self.held);
        held.into_iter().all(|(kind, cells)| {
            let row = self.row(cells, &widths, Some(kind));
            self.output.stream(&row)
        })
    }

    fn row(
        &self,
        cells: [String; COLUMNS],
        widths: &[usize; COLUMNS],
        kind: Option<Kind>,
    ) -> String {
        let cells = cells.iter().zip(widths).enumerate().map(|(column, (cell, &width))| {
            let padded = match column {
                0 | 3 => format!("{cell:>width$}"),
                _ => format!("{cell:<width$}"),
            };
            match (column, kind) {
                (2, Some(kind)) => painted(kind, &padded, self.output),
                (0 | 1 | 7, Some(_)) => self.output.faint(&padded),
                _ => padded,
            }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    }
}

fn painted(kind: Kind, text: &str, output: &Output) -> String {
    match kind {
        Kind::Signed | Kind::Approved => output.good(text),
        Kind::Denied | Kind::Rejected => output.bad(text),
        Kind::Voided
        | Kind::ClockRefused
        | Kind::TokenDown
        | Kind::AnchorGone
        | Kind::WitnessContradicts
        | Kind::Unserved => output.warning(text),
        Kind::Accepted | Kind::Waiting | Kind::Authorised => text.to_owned(),
        Kind::Started | Kind::Stopped | Kind::TokenUp | Kind::Erased | Kind::Archived => {
            text.to_owned()
        }
    }
}

/// The cells of a leaf.
pub(super) fn cells_of(position: u64, entry: &Entry<'_>, for_people: bool) -> [String; COLUMNS] {
    let text = |name| entry.text(name).unwrap_or_default().to_owned();
    let at = entry.at().to_string();
    let at = if for_people { at.replace('T', " ").replace('Z', "") } else { at };
    [
        position.to_string(),
        at,
        entry.kind().to_string(),
        text("amount"),
        text("currency"),
        text("key"),
        text("caller"),
        text("payment"),
        detail(entry),
    ]
}

/// What a leaf says beyond what all leaves of payments say.
fn detail(entry: &Entry<'_>) -> String {
    let text = |name| entry.text(name).unwrap_or_default();
    match entry.kind() {
        Kind::Accepted | Kind::Authorised | Kind::Signed | Kind::Stopped => String::new(),
        Kind::Approved | Kind::Rejected => String::new(),
        Kind::Denied => denied(entry),
        Kind::Waiting => format!("{}: {}", text("tier"), asked(entry)),
        Kind::Voided if text("reason") == "officer" => "by officer".to_owned(),
        Kind::Voided => text("reason").to_owned(),
        Kind::Started => {
            let policy: String = text("policy").chars().take(VERSION_CHARS).collect();
            let (release, leaves) = (text("release"), text("leaves"));
            format!("release {release}, policy {policy}, found {leaves} leaves")
        }
        Kind::ClockRefused => text("reason").to_owned(),
        Kind::WitnessContradicts => format!("{}: {}", text("witness"), text("reason")),
        Kind::TokenDown => format!("{}: {}", text("token"), text("reason")),
        Kind::TokenUp | Kind::AnchorGone => text("token").to_owned(),
        Kind::Erased => format!("{} payments final before {}", text("payments"), text("before")),
        Kind::Archived => {
            let (payments, before) = (text("payments"), text("before"));
            format!("{payments} payments final before {before}, archive {}", text("archive"))
        }
        Kind::Unserved => {
            let counts = entry.object("refusals").iter();
            counts.map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
        }
    }
}

/// Whom a payment waits for: `payer treasury:2`.
fn asked(entry: &Entry<'_>) -> String {
    let payer = entry.text_in("demand", "payer").map(|_| "payer");
    let groups = entry.text_in("demand", "groups").filter(|groups| !groups.is_empty());
    payer.into_iter().chain(groups).collect::<Vec<_>>().join(" ")
}

/// The rule, and the number that people ask for first.
fn denied(entry: &Entry<'_>) -> String {
    let of = |name| entry.text_in("denial", name);
    let rule = of("rule").unwrap_or_default();
    if let (Some(limit), Some(per), Some(_)) = (of("limit"), of("per"), of("cap")) {
        let (used, cap) = (measured(entry, &["posted", "pending"]), measured(entry, &["cap"]));
        return format!("{rule}: {limit} per {per}, {used} used of {cap}");
    }
    let number = ["earlier_payment", "until", "latest", "expected", "purpose", "decided_at"]
        .into_iter()
        .find_map(|name| Some((name, of(name)?)));
    match number {
        Some((name, number)) => format!("{rule}: {} {number}", name.replace('_', " ")),
        None => rule.to_owned(),
    }
}

/// The sum of numbers of a limit: amounts in the scale of the currency, counts as they are.
fn measured(entry: &Entry<'_>, names: &[&str]) -> String {
    let number = |name: &&str| entry.text_in("denial", name)?.parse::<u64>().ok();
    let sum = names.iter().filter_map(number).fold(0, u64::saturating_add);
    match (entry.text_in("denial", "measure"), entry.payment()) {
        (Some("amount"), Some(of)) => of.currency.decimal(sum),
        _ => sum.to_string(),
    }
}

/// A field of RFC 4180: in quotes where it must be.
fn quoted(cell: &str) -> String {
    match cell.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.to_owned(),
    }
}
