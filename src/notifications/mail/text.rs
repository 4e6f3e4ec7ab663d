//! What mails say: one function per notice, amounts and creditors in words, a code to compare, a
//! link, and never a secret.
//!
//! The link only leads to a page: whoever reads somebody else's mail can do nothing with it.

use std::fmt;

use crate::domain::notification::target::Target;
use crate::domain::notification::{Event, EventKind};
use crate::domain::payment::Payment;
use crate::domain::time::Timestamp;

/// Longest line that others had a say in, in characters.
const LINE_CHARS_MAX: usize = 200;

/// A single line without control characters, whatever it was made from. A subject is one, so that
/// nothing in a payment can start another header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line(String);

impl Line {
    /// The text on one line: control characters and line separators become spaces, and what is too
    /// long is cut.
    pub fn of(text: &str) -> Self {
        let one_line = |c: char| match c {
            '\u{2028}' | '\u{2029}' => ' ',
            c if c.is_control() => ' ',
            c => c,
        };
        Self(text.chars().take(LINE_CHARS_MAX).map(one_line).collect())
    }

    /// The line.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A mail without its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The subject.
    pub subject: Line,
    /// Plain text.
    pub body: String,
}

/// What somebody is told. The set is closed.
#[derive(Debug, Clone, Copy)]
pub enum Notice<'a> {
    /// Something happened to a payment of a caller whom the reader looks after.
    Happened(&'a Event),
    /// A payment waits for the reader's approval.
    ApprovalWanted {
        /// The payment.
        payment: &'a Payment,
        /// Who has asked for it.
        asked_by: &'a str,
        /// The words that the page, the token's owner and this mail show for the order.
        code: &'a str,
        /// Until when it may be approved.
        until: Timestamp,
        /// The page where it is approved or rejected.
        link: &'a Target,
    },
    /// A payment was signed that the reader approved, or that was made in their name.
    SignedForYou {
        /// The payment.
        payment: &'a Payment,
        /// The words that were compared when it was approved.
        code: &'a str,
        /// When.
        at: Timestamp,
        /// The page that says "that was not me".
        not_me: &'a Target,
    },
}

impl Notice<'_> {
    /// The mail.
    pub fn to_text(&self) -> Text {
        match self {
            Self::Happened(event) => happened(event),
            Self::ApprovalWanted { payment, asked_by, code, until, link } => {
                let subject = format!("Approve {}?", summary(payment));
                let lines = [
                    ("Asked by", Line::of(asked_by)),
                    ("Code", Line::of(code)),
                    ("Until", Line::of(&until.to_string())),
                    ("Look here", Line::of(link.as_str())),
                ];
                let advice = "Compare amount, creditor and code with what the page shows before \
                              you touch your token.\nIf you do not expect this payment, \
                              reject it there.";
                text(&subject, payment, lines, advice)
            }
            Self::SignedForYou { payment, code, at, not_me } => {
                let subject = format!("Signed: {}", summary(payment));
                let lines = [
                    ("Signed at", Line::of(&at.to_string())),
                    ("Code", Line::of(code)),
                    ("Not you?", Line::of(not_me.as_str())),
                ];
                let advice = "If that was you, there is nothing to do. If it was not, say so on \
                              that page at once.";
                text(&subject, payment, lines, advice)
            }
        }
    }
}

fn happened(event: &Event) -> Text {
    let payment = &event.payment().payment;
    let word = match event.kind() {
        EventKind::Signed => "Signed",
        EventKind::AwaitingApproval => "Waits for approval",
        EventKind::Denied => "Denied",
        EventKind::Voided => "Voided",
    };
    let lines = [
        ("At", Line::of(&event.at().to_string())),
        ("Caller", Line::of(event.payment().caller.as_str())),
        ("Payment", Line::of(&event.payment().id.to_string())),
        ("Event", Line::of(&event.id().to_string())),
    ];
    let advice = "This mail is for your information. What holds is the record: look the payment up \
                  by its id.";
    text(&format!("{word}: {}", summary(payment)), payment, lines, advice)
}

fn amount(payment: &Payment) -> String {
    let amount = payment.currency().decimal(payment.amount().minor_units());
    format!("{amount} {}", payment.currency())
}

fn summary(payment: &Payment) -> String {
    format!("{} to {}", amount(payment), payment.creditor().name())
}

fn text<const N: usize>(
    subject: &str,
    payment: &Payment,
    lines: [(&str, Line); N],
    advice: &str,
) -> Text {
    let creditor = payment.creditor();
    let of_payment = [
        ("Amount", Line::of(&amount(payment))),
        ("Creditor", Line::of(creditor.name())),
        ("Account", Line::of(&creditor.account().to_string())),
        ("Reference", Line::of(payment.end_to_end_id().as_str())),
    ];
    let told = of_payment.iter().chain(&lines);
    let told: String = told.map(|(name, line)| format!("{name:<10}  {line}\n")).collect();
    Text { subject: Line::of(subject), body: format!("{told}\n{advice}\n") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::notification::tests::{denied, signed};

    #[test]
    fn a_line_is_one_line_whatever_it_was_made_from() {
        for (text, line) in [
            ("Bakery Sol", "Bakery Sol"),
            ("a\r\nBcc: everybody@example.com", "a  Bcc: everybody@example.com"),
            ("a\u{0}b\u{7f}c\u{85}d\u{2028}e\u{2029}f", "a b c d e f"),
            ("Bäckerei Gärtner", "Bäckerei Gärtner"),
        ] {
            assert_eq!(Line::of(text).as_str(), line);
        }
        assert_eq!(Line::of(&"ä".repeat(300)).as_str().chars().count(), LINE_CHARS_MAX);
    }

    #[test]
    fn a_mail_says_what_its_reader_decides_by() {
        let event = signed(7);
        let payment = &event.payment().payment;
        let link = Target::parse("link", "https://pay.example/p/1").unwrap();
        let at = Timestamp::from_unix_ms(1_700_000_000_000);
        let code = "apple river stone cloud fox";
        let wanted =
            Notice::ApprovalWanted { payment, asked_by: "shop", code, until: at, link: &link };
        let not_me = Notice::SignedForYou { payment, code, at, not_me: &link };
        for (notice, subject, lines) in [
            (
                wanted,
                "Approve 12.30 EUR to Bakery Sol?",
                &["Code        apple", "Look here   https"][..],
            ),
            (
                not_me,
                "Signed: 12.30 EUR to Bakery Sol",
                &["Code        apple", "Not you?    https"],
            ),
            (Notice::Happened(&event), "Signed: 12.30 EUR to Bakery Sol", &["Caller      shop"]),
            (Notice::Happened(&denied(7)), "Denied: 12.30 EUR to Bakery Sol", &["Event       7-"]),
        ] {
            let Text { subject: found, body } = notice.to_text();
            assert_eq!(found.as_str(), subject);
            let always =
                ["Amount      12.30 EUR\n", "Creditor    Bakery Sol\n", "Account     iban:ES91"];
            for line in always.iter().chain(lines) {
                assert!(body.contains(line), "{body} lacks {line}");
            }
        }
    }
}
