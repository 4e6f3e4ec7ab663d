//! A file of what was executed: plain lines, CSV or JSON lines, with payment ids or JWS.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use data_encoding::BASE64URL_NOPAD;
use serde_json::Value;

use crate::domain::payment::PaymentId;
use crate::domain::text::excerpt;

use super::super::output::Failure;

/// Most bytes of a file: some millions of JWS.
const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024;
/// Names of columns that are found without being told.
const COLUMNS: [&str; 4] = ["payment", "payment_id", "id", "jws"];
/// What may stand between two cells.
const SEPARATORS: [char; 3] = [',', ';', '\t'];

/// One line that names a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Counted from 1.
    pub(super) number: u64,
    /// The JWS, where the file has it.
    pub(super) jws: Option<String>,
}

/// What was executed.
#[derive(Debug, Default)]
pub(super) struct Executed(BTreeMap<PaymentId, Vec<Line>>);

impl Executed {
    /// Whether a payment is in the file.
    pub(super) fn names(&self, id: PaymentId) -> bool {
        self.0.contains_key(&id)
    }

    /// The payments, each with the lines that name it.
    pub(super) fn payments(&self) -> impl Iterator<Item = (PaymentId, &[Line])> {
        self.0.iter().map(|(id, lines)| (*id, lines.as_slice()))
    }

    /// How many payments the lines name.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
}

/// Reads a file, or standard input.
pub(super) fn load(path: &Path, column: Option<&str>) -> Result<Executed, Failure> {
    let failed = |e| Failure::broken(format!("cannot read {}: {e}", path.display()));
    let mut text = String::new();
    match path.as_os_str() == "-" {
        true => std::io::stdin().take(FILE_BYTES_MAX).read_to_string(&mut text),
        false => std::fs::File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text)),
    }
    .map_err(failed)?;
    parse(&text, column)
        .map_err(|refused| Failure::refused(format!("{}, {refused}", path.display())))
}

/// Reads the text of a file. The message of a refusal starts with the line.
pub(super) fn parse(text: &str, column: Option<&str>) -> Result<Executed, String> {
    // A spreadsheet may have put a byte order mark before it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let mut lines = lines.peekable();
    let Some((_, first)) = lines.peek().copied() else {
        return Err("line 1: found nothing; expected payment ids or JWS".to_owned());
    };
    let mut executed = Executed::default();
    if first.trim_start().starts_with('{') {
        for (number, line) in lines {
            executed.take(number, &of_object(number, line, column)?)?;
        }
        return Ok(executed);
    }
    let place = place(first, column)?;
    if place.has_header {
        lines.next();
    }
    for (number, line) in lines {
        let cells = cells(number, line, place.separator)?;
        let cell = cells.get(place.column).map(String::as_str).unwrap_or_default();
        executed.take(number, cell.trim())?;
    }
    Ok(executed)
}

impl Executed {
    fn take(&mut self, number: u64, value: &str) -> Result<(), String> {
        let (id, jws) = match value.contains('.') {
            true => (payment_of_jws(number, value)?, Some(value.to_owned())),
            false => (identifier(number, value)?, None),
        };
        self.0.entry(id).or_default().push(Line { number, jws });
        Ok(())
    }
}

fn identifier(number: u64, value: &str) -> Result<PaymentId, String> {
    PaymentId::parse("payment", value).map_err(|_| {
        format!(
            "line {number}: found {}; expected a payment id of 32 lower-case hexadecimal digits, \
             or a compact JWS",
            excerpt(value)
        )
    })
}

/// The payment that a JWS is about. Whether it was signed is seen from the record.
fn payment_of_jws(number: u64, jws: &str) -> Result<PaymentId, String> {
    let payload = || {
        let payload = BASE64URL_NOPAD.decode(jws.split('.').nth(1)?.as_bytes()).ok()?;
        let order: Value = serde_json::from_slice(&payload).ok()?;
        Some(order.get("payment_id")?.as_str()?.to_owned())
    };
    let refused = || {
        format!(
            "line {number}: found {}, whose payload names no payment; expected a JWS of ours",
            excerpt(jws)
        )
    };
    identifier(number, &payload().ok_or_else(refused)?)
}

fn of_object(number: u64, line: &str, column: Option<&str>) -> Result<String, String> {
    let object: Value = serde_json::from_str(line)
        .map_err(|e| format!("line {number}: {e}; expected one JSON object a line"))?;
    let names = column.map_or(COLUMNS.to_vec(), |column| vec![column]);
    let found = names.iter().find_map(|name| object.get(name)?.as_str());
    found.map(str::to_owned).ok_or_else(|| {
        format!("line {number}: expected a member {} that is a text", names.join(" or "))
    })
}

/// Where in a line the value stands.
struct Place {
    separator: char,
    column: usize,
    has_header: bool,
}

/// Looks at the first line: a header if it has the name of a column.
fn place(first: &str, column: Option<&str>) -> Result<Place, String> {
    let names = column.map_or(COLUMNS.to_vec(), |column| vec![column]);
    for separator in SEPARATORS {
        let header = cells(1, first, separator)?;
        // In the order of the names: a column called payment goes before one called id.
        let position = |name: &&str| header.iter().position(|cell| cell.trim() == *name);
        if let Some(column) = names.iter().find_map(position) {
            return Ok(Place { separator, column, has_header: true });
        }
    }
    match column {
        Some(column) => Err(format!("line 1: expected a header with the column {column}")),
        None if first.contains(SEPARATORS) => Err(format!(
            "line 1: found several columns and none called {}; name one with --column",
            COLUMNS.join(", ")
        )),
        None => Ok(Place { separator: ',', column: 0, has_header: false }),
    }
}

/// The cells of a line of CSV (RFC 4180). A cell does not go on in the next line.
fn cells(number: u64, line: &str, separator: char) -> Result<Vec<String>, String> {
    let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.next_if_eq(&'"').is_some() => cell.push('"'),
            '"' => quoted = !quoted,
            c if c == separator && !quoted => cells.push(std::mem::take(&mut cell)),
            c => cell.push(c),
        }
    }
    if quoted {
        return Err(format!("line {number}: found a quote that does not end in this line"));
    }
    cells.push(cell);
    Ok(cells)
}
