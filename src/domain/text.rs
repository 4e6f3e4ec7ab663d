//! Text that people will read before they approve: what it may contain, and how a refusal of a
//! field is told.
//!
//! The rules are about deception, not taste: two payments that look the same must be the same.
//! So invisible and direction-changing characters are refused, and so is text that is not in
//! Unicode Normalization Form C (UAX #15).

use std::fmt;

use unicode_normalization::is_nfc;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// Longest excerpt of a refused value that a message repeats, in characters.
const EXCERPT_CHARS_MAX: usize = 40;

/// Why a field of a request was refused: which field, by which rule, what was found and expected.
///
/// This is a *refusal of malformed input*, not a decision: it leaves no trace in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// Path of the field in the request, such as `creditor.account.iban`.
    pub field: String,
    /// Stable identifier of the violated rule, such as `checksum`.
    pub rule: &'static str,
    /// One sentence that says what was found and what was expected.
    pub detail: String,
}

impl Malformed {
    /// A refusal of `field` by `rule`; `detail` says what was found and expected.
    pub fn new(field: &str, rule: &'static str, detail: impl Into<String>) -> Self {
        Self { field: field.to_owned(), rule, detail: detail.into() }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.field, self.detail, self.rule)
    }
}

impl std::error::Error for Malformed {}

/// Checks free text that people read: 1 to `chars_max` characters, NFC, nothing invisible.
///
/// # Errors
/// [`Malformed`] with rule `empty`, `length`, `control`, `invisible`, `normalization` or
/// `white_space`, in this order.
pub fn readable(field: &str, value: &str, chars_max: usize) -> Result<String, Malformed> {
    bounded(field, value, chars_max)?;
    if let Some(found) = value.chars().find(|c| is_control(*c)) {
        let detail = format!("found the control character {}; remove it", code_point(found));
        return Err(Malformed::new(field, "control", detail));
    }
    if let Some(found) = value.chars().find(|c| is_invisible(*c)) {
        let detail = format!(
            "found {}, which is invisible or changes the reading direction; remove it",
            code_point(found)
        );
        return Err(Malformed::new(field, "invisible", detail));
    }
    if !is_nfc(value) {
        let detail = "found text that is not in Unicode normalization form C; normalize it to NFC";
        return Err(Malformed::new(field, "normalization", detail));
    }
    if value.trim() != value {
        let detail = format!("found leading or trailing white space in {}", excerpt(value));
        return Err(Malformed::new(field, "white_space", detail));
    }
    Ok(value.to_owned())
}

/// Checks an identifier: 1 to `chars_max` characters, each accepted by `allowed`.
///
/// # Errors
/// [`Malformed`] with rule `empty`, `length` or `characters`; `expected` describes the set.
pub fn identifier(
    field: &str,
    value: &str,
    chars_max: usize,
    allowed: impl Fn(char) -> bool,
    expected: &str,
) -> Result<String, Malformed> {
    bounded(field, value, chars_max)?;
    match value.chars().find(|c| !allowed(*c)) {
        None => Ok(value.to_owned()),
        Some(found) => {
            let detail =
                format!("found {} in {}; expected {expected}", code_point(found), excerpt(value));
            Err(Malformed::new(field, "characters", detail))
        }
    }
}

/// The value in quotes, escaped and cut to a length that is safe to print.
pub fn excerpt(value: &str) -> String {
    let mut cut: String = value.chars().take(EXCERPT_CHARS_MAX).collect();
    if cut.len() < value.len() {
        cut.push('…');
    }
    format!("\"{}\"", cut.escape_debug())
}

fn bounded(field: &str, value: &str, chars_max: usize) -> Result<(), Malformed> {
    if value.is_empty() {
        let detail = format!("found an empty text; expected 1 to {chars_max} characters");
        return Err(Malformed::new(field, "empty", detail));
    }
    let found = value.chars().count();
    if found > chars_max {
        let detail = format!("found {found} characters; expected at most {chars_max}");
        return Err(Malformed::new(field, "length", detail));
    }
    Ok(())
}

fn code_point(c: char) -> String {
    format!("U+{:04X}", u32::from(c))
}

fn is_control(c: char) -> bool {
    matches!(
        c.general_category(),
        GeneralCategory::Control
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
            | GeneralCategory::PrivateUse
            | GeneralCategory::Unassigned
            | GeneralCategory::Surrogate
    )
}

/// Format characters (bidirectional controls, zero-width joiners, tags) and the letters and marks
/// that Unicode declares default-ignorable (`DerivedCoreProperties.txt`) or that draw as blank.
fn is_invisible(c: char) -> bool {
    c.general_category() == GeneralCategory::Format
        || matches!(c,
            '\u{034F}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}'
            | '\u{2800}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FFA0}'
            | '\u{E0100}'..='\u{E01EF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readable_text_is_refused_by_the_first_rule_it_breaks() {
        for (value, rule) in [
            ("", "empty"),
            ("12345678901", "length"),
            ("a\0b", "control"),
            ("a\nb", "control"),
            ("a\u{85}b", "control"),
            ("a\u{2028}b", "control"),
            ("a\u{E000}b", "control"),
            ("a\u{202E}b", "invisible"),
            ("a\u{2066}b", "invisible"),
            ("a\u{200B}b", "invisible"),
            ("a\u{200D}b", "invisible"),
            ("a\u{FEFF}b", "invisible"),
            ("a\u{AD}b", "invisible"),
            ("a\u{3164}b", "invisible"),
            ("a\u{FE0F}b", "invisible"),
            ("a\u{E0041}b", "invisible"),
            ("cafe\u{301}", "normalization"),
            ("\u{212B}", "normalization"),
            (" a", "white_space"),
            ("a\u{A0}", "white_space"),
        ] {
            let refused = readable("name", value, 10).unwrap_err();
            assert_eq!(refused.rule, rule, "for {value:?}: {refused}");
        }
    }

    #[test]
    fn readable_text_of_any_script_passes() {
        for value in ["Bakery Sol", "Café", "Пекарня", "パン屋", "مخبز", "🥐 x 2", "O'Neil & Söhne"]
        {
            assert_eq!(readable("name", value, 140).unwrap(), value);
        }
    }

    #[test]
    fn a_refusal_repeats_hostile_text_escaped_and_cut() {
        let shown = excerpt(&format!("\u{202E}{}", "x".repeat(500)));
        assert!(shown.starts_with("\"\\u{202e}x") && shown.chars().count() < 60, "{shown}");
    }
}
