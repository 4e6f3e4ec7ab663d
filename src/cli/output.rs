//! What commands print, and what they end with.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

/// Width of a bar of progress, in characters.
const PROGRESS_WIDTH: usize = 24;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// It did what it was asked.
    Done = 0,
    /// Something is broken.
    Failed = 1,
    /// Policy or limits said no.
    Denied = 3,
    /// The request is malformed, unknown or contradicts an earlier one.
    Refused = 4,
    /// Not now.
    Unavailable = 5,
    /// Admitted, not signed yet.
    Pending = 6,
    /// The record was changed, or does not know what was executed.
    Alarm = 7,
    /// The record is sound, but what was executed is not what it says.
    Differs = 8,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        let code: u8 = match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Denied => 3,
            Exit::Refused => 4,
            Exit::Unavailable => 5,
            Exit::Pending => 6,
            Exit::Alarm => 7,
            Exit::Differs => 8,
        };
        Self::from(code)
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) message: String,
    pub(super) exit: Exit,
}

impl Failure {
    /// Something is broken; the message says what to mend.
    pub(super) fn broken(message: impl Display) -> Self {
        Self { message: message.to_string(), exit: Exit::Failed }
    }

    /// What was asked for cannot be.
    pub(super) fn refused(message: impl Display) -> Self {
        Self { message: message.to_string(), exit: Exit::Refused }
    }

    /// The record was changed, or does not know what was executed.
    pub(super) fn alarm(message: impl Display) -> Self {
        Self { message: message.to_string(), exit: Exit::Alarm }
    }
}

/// Standard output, as text or JSON.
pub(super) struct Output {
    json: bool,
    colour: bool,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty());
        Self { json, colour: !json && !plain && std::io::stdout().is_terminal() }
    }

    /// Whether scripts read this.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Prints a line. Whoever has closed the pipe does not want it any more.
    pub(super) fn line(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        drop(writeln!(out, "{text}").and_then(|()| out.flush()));
    }

    /// Prints a line of many, without a pause after each. Whether anybody reads on.
    pub(super) fn stream(&self, text: &str) -> bool {
        writeln!(std::io::stdout().lock(), "{text}").is_ok()
    }

    /// Hands out what was streamed. Whether anybody reads on.
    pub(super) fn flush(&self) -> bool {
        std::io::stdout().lock().flush().is_ok()
    }

    /// Tells on a terminal how far long work has come, as a bar over the line before.
    pub(super) fn bar(&self, done: u64, total: u64, unit: &str) {
        let share = u128::from(done) * 1000 / u128::from(total.max(1));
        let share = usize::try_from(share).unwrap_or(1000).min(1000);
        let full = PROGRESS_WIDTH * share / 1000;
        let bar = format!("{}{}", "█".repeat(full), "░".repeat(PROGRESS_WIDTH - full));
        let (done, total) = (grouped(done), grouped(total));
        self.progress(&format!("{bar} {:>3} %  {done} of {total} {unit}", share / 10));
    }

    /// Takes the line about progress away.
    pub(super) fn progress_is_over(&self) {
        let mut err = std::io::stderr().lock();
        if err.is_terminal() {
            drop(write!(err, "\r\x1b[K").and_then(|()| err.flush()));
        }
    }

    /// Tells on a terminal how far long work has come, over the line before.
    pub(super) fn progress(&self, text: &str) {
        let mut err = std::io::stderr().lock();
        if err.is_terminal() {
            drop(write!(err, "\r{text}\x1b[K").and_then(|()| err.flush()));
        }
    }

    /// Prints a value for scripts, or what `text` makes of it for people.
    pub(super) fn show<T: serde::Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        let shown = match self.json {
            true => serde_json::to_string_pretty(value).map_err(Failure::broken)?,
            false => text(value),
        };
        self.line(&shown);
        Ok(())
    }

    /// Tells a failure: on standard error for people, on standard output for scripts.
    pub(super) fn failure(&self, failure: &Failure) {
        if self.json {
            self.line(&serde_json::json!({ "error": failure.message }).to_string());
        } else {
            drop(writeln!(std::io::stderr(), "countersign: {}", failure.message));
        }
    }

    pub(super) fn good(&self, text: &str) -> String {
        self.painted("32", text)
    }

    pub(super) fn warning(&self, text: &str) -> String {
        self.painted("33", text)
    }

    pub(super) fn bad(&self, text: &str) -> String {
        self.painted("31", text)
    }

    pub(super) fn strong(&self, text: &str) -> String {
        self.painted("1", text)
    }

    pub(super) fn faint(&self, text: &str) -> String {
        self.painted("2", text)
    }

    fn painted(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A number with commas between thousands, for people.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A decimal amount with commas between thousands, for people.
pub(super) fn grouped_amount(decimal: &str) -> String {
    let (whole, fraction) = match decimal.split_once('.') {
        Some((whole, fraction)) => (whole, format!(".{fraction}")),
        None => (decimal, String::new()),
    };
    match whole.parse() {
        Ok(number) => format!("{}{fraction}", grouped(number)),
        Err(_) => decimal.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, told) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), told);
        }
        assert_eq!(grouped_amount("1234567.89"), "1,234,567.89");
        assert_eq!(grouped_amount("1500"), "1,500");
    }
}
