//! What leaves of each kind have: the reader's half of `countersign/leaf/1`.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};

use crate::domain::caller::CallerId;
use crate::domain::key::{KeyId, Kid};
use crate::domain::money::{Amount, Currency};
use crate::domain::payment::PaymentId;
use crate::domain::text::excerpt;
use crate::domain::time::Timestamp;

use super::{EntryError, Member, text_of};
use crate::log::checkpoint::decimal;

/// What was decided or happened. The set is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A payment may be signed; from here on it counts.
    Accepted,
    /// A payment was denied, by a rule and with its numbers.
    Denied,
    /// A payment waits for people; from here on it counts.
    Waiting,
    /// Evidence of an approval was taken.
    Approved,
    /// Evidence of a rejection was taken.
    Rejected,
    /// A payment that waited may be signed.
    Authorised,
    /// A payment that was accepted or authorised has been signed.
    Signed,
    /// A payment that counted was given up.
    Voided,
    /// The daemon is ready to decide.
    Started,
    /// The daemon was told to stop.
    Stopped,
    /// The clock was not believed for a while.
    ClockRefused,
    /// A token stopped answering.
    TokenDown,
    /// A token answers again.
    TokenUp,
    /// One of the two anchors of a token was not there at start, and was made anew.
    AnchorGone,
    /// A witness has seen another log under our name, or more of it.
    WitnessContradicts,
    /// Payments were erased.
    Erased,
    /// Payments were moved to an archive.
    Archived,
    /// What a caller was refused within a minute without a decision.
    Unserved,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 18] = [
        Self::Accepted,
        Self::Denied,
        Self::Waiting,
        Self::Approved,
        Self::Rejected,
        Self::Authorised,
        Self::Signed,
        Self::Voided,
        Self::Started,
        Self::Stopped,
        Self::ClockRefused,
        Self::TokenDown,
        Self::TokenUp,
        Self::AnchorGone,
        Self::WitnessContradicts,
        Self::Erased,
        Self::Archived,
        Self::Unserved,
    ];

    /// The name in leaves.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Denied => "denied",
            Self::Waiting => "waiting",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Authorised => "authorised",
            Self::Signed => "signed",
            Self::Voided => "voided",
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::ClockRefused => "clock_refused",
            Self::TokenDown => "token_down",
            Self::TokenUp => "token_up",
            Self::AnchorGone => "anchor_gone",
            Self::WitnessContradicts => "witness_contradicts",
            Self::Erased => "erased",
            Self::Archived => "archived",
            Self::Unserved => "unserved",
        }
    }

    /// Reads the name in leaves.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether leaves of this kind are about a payment.
    pub const fn is_of_payment(self) -> bool {
        match self {
            Self::Accepted | Self::Denied | Self::Waiting | Self::Approved => true,
            Self::Rejected | Self::Authorised | Self::Signed | Self::Voided => true,
            Self::Started | Self::Stopped | Self::ClockRefused | Self::TokenDown => false,
            Self::TokenUp | Self::AnchorGone | Self::Unserved => false,
            Self::WitnessContradicts | Self::Erased | Self::Archived => false,
        }
    }

    /// Whether leaves of this kind are the first about a payment.
    pub const fn is_first(self) -> bool {
        matches!(self, Self::Accepted | Self::Denied | Self::Waiting)
    }

    /// Whether leaves of this kind end a payment that was accepted or waited.
    pub const fn is_outcome(self) -> bool {
        matches!(self, Self::Signed | Self::Voided)
    }

    /// All names, for messages.
    pub(super) fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    fn members(self) -> [&'static [Shape]; 2] {
        match self {
            Self::Accepted => [ASKED, ACCEPTED],
            Self::Denied => [ASKED, DENIED],
            Self::Waiting => [ASKED, WAITING],
            Self::Approved | Self::Rejected => [OUTCOME, EVIDENCE],
            Self::Authorised => [OUTCOME, ACCEPTED],
            Self::Signed => [OUTCOME, SIGNED],
            Self::Voided => [OUTCOME, REASON],
            Self::Started => [STARTED, &[]],
            Self::Stopped => [&[], &[]],
            Self::ClockRefused => [REASON, &[]],
            Self::TokenDown => [TOKEN, REASON],
            Self::TokenUp | Self::AnchorGone => [TOKEN, &[]],
            Self::WitnessContradicts => [WITNESS, REASON],
            Self::Erased => [CLOSED, &[]],
            Self::Archived => [CLOSED, ARCHIVE],
            Self::Unserved => [UNSERVED, &[]],
        }
    }
}

/// What a member looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Instant,
    Payment,
    Name,
    Currency,
    Amount,
    Digest,
    Kid,
    Count,
    FileDigest,
    Denial,
    Counts,
    Texts,
}

struct Shape {
    name: &'static str,
    form: Form,
    needed: bool,
}

const fn needed(name: &'static str, form: Form) -> Shape {
    Shape { name, form, needed: true }
}

const fn optional(name: &'static str, form: Form) -> Shape {
    Shape { name, form, needed: false }
}

const HEAD: &[Shape] =
    &[needed("schema", Form::Text), needed("kind", Form::Text), needed("at", Form::Instant)];

const OUTCOME: &[Shape] = &[
    needed("payment", Form::Payment),
    needed("caller", Form::Name),
    needed("key", Form::Name),
    needed("currency", Form::Currency),
    needed("amount", Form::Amount),
];

const ASKED: &[Shape] = &[
    needed("payment", Form::Payment),
    needed("caller", Form::Name),
    needed("key", Form::Name),
    needed("currency", Form::Currency),
    needed("amount", Form::Amount),
    needed("namespace", Form::Name),
    needed("expires_at", Form::Instant),
    needed("idempotency_key", Form::Digest),
    needed("creditor_name", Form::Digest),
    needed("creditor_account", Form::Digest),
    optional("debtor", Form::Digest),
    needed("end_to_end_id", Form::Digest),
    optional("remittance_information", Form::Digest),
];

const ACCEPTED: &[Shape] = &[needed("kid", Form::Kid), needed("order", Form::Digest)];
const WAITING: &[Shape] = &[
    needed("order", Form::Digest),
    needed("policy", Form::Text),
    needed("tier", Form::Text),
    needed("demand", Form::Texts),
    needed("deadline", Form::Instant),
];
const EVIDENCE: &[Shape] = &[
    needed("approver", Form::Digest),
    needed("statement", Form::Digest),
    needed("evidence", Form::Digest),
];
const DENIED: &[Shape] = &[needed("denial", Form::Denial)];
const SIGNED: &[Shape] = &[needed("kid", Form::Kid), needed("jws", Form::Digest)];
const REASON: &[Shape] = &[needed("reason", Form::Text)];
const TOKEN: &[Shape] = &[needed("token", Form::Text)];
const WITNESS: &[Shape] = &[needed("witness", Form::Text)];
const STARTED: &[Shape] =
    &[needed("release", Form::Text), needed("policy", Form::Text), needed("leaves", Form::Count)];
const UNSERVED: &[Shape] = &[
    needed("caller", Form::Text),
    needed("minute", Form::Instant),
    needed("refusals", Form::Counts),
];

const CLOSED: &[Shape] = &[
    needed("payments", Form::Count),
    needed("before", Form::Instant),
    needed("first", Form::Count),
    needed("last", Form::Count),
];
const ARCHIVE: &[Shape] = &[needed("archive", Form::Count), needed("sha256", Form::FileDigest)];

/// Holds the members of a leaf to what its kind has.
pub(super) fn check(kind: Kind, members: &[(&str, Member<'_>)]) -> Result<(), EntryError> {
    let [first, second] = kind.members();
    let shapes = || HEAD.iter().chain(first).chain(second);
    if let Some((member, _)) =
        members.iter().find(|(name, _)| !shapes().any(|shape| shape.name == *name))
    {
        return Err(EntryError::Unknown { kind, member: excerpt(member) });
    }
    for Shape { name, form, needed } in shapes() {
        let found = members.iter().find(|(known, _)| known == name).map(|(_, member)| member);
        match found {
            None if *needed => return Err(EntryError::Missing { kind, member: name }),
            None => {}
            Some(member) if form.is_of(member, members) => {}
            Some(member) => {
                let found = match member {
                    Member::Text(text) => excerpt(text),
                    Member::Object(_) => "an object".to_owned(),
                };
                let expected = form.expected();
                return Err(EntryError::Form { member: name, found, expected });
            }
        }
    }
    Ok(())
}

impl Form {
    fn is_of(self, member: &Member<'_>, members: &[(&str, Member<'_>)]) -> bool {
        let text = match member {
            Member::Text(text) => text.as_ref(),
            Member::Object(inner) => {
                return match self {
                    Self::Denial => {
                        inner.iter().any(|(name, rule)| *name == "rule" && !rule.is_empty())
                    }
                    Self::Texts => true,
                    Self::Counts => inner.iter().all(|(_, count)| decimal(count).is_some()),
                    _ => false,
                };
            }
        };
        match self {
            Self::Text => true,
            Self::Instant => instant(text).is_some(),
            Self::Payment => PaymentId::parse("payment", text).is_ok(),
            // Callers, keys and namespaces are spelt alike.
            Self::Name => KeyId::parse("name", text).is_ok() && CallerId::parse("", text).is_ok(),
            Self::Currency => Currency::parse("currency", text).is_ok(),
            Self::Amount => {
                let currency = text_of(members, "currency").unwrap_or_default();
                let currency = Currency::parse("currency", currency);
                currency.and_then(|currency| Amount::parse("amount", text, currency)).is_ok()
            }
            Self::Digest => BASE64URL_NOPAD.decode(text.as_bytes()).is_ok_and(|d| d.len() == 32),
            Self::Kid => Kid::parse("kid", text).is_ok(),
            Self::Count => decimal(text).is_some(),
            Self::FileDigest => HEXLOWER.decode(text.as_bytes()).is_ok_and(|d| d.len() == 32),
            Self::Denial | Self::Counts | Self::Texts => false,
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Instant => "an instant in UTC with three decimals of a second",
            Self::Payment => "32 lower-case hexadecimal digits",
            Self::Name => "lower-case letters, digits, - and _, at most 64",
            Self::Currency => "an ISO 4217 code",
            Self::Amount => "a decimal amount above zero in the scale of its currency",
            Self::Digest => "32 bytes in base64url",
            Self::Kid => "an RFC 7638 thumbprint in base64url",
            Self::Count => "a decimal number",
            Self::FileDigest => "64 lower-case hexadecimal digits",
            Self::Denial => "an object with a rule",
            Self::Counts => "an object of decimal numbers",
            Self::Texts => "an object of texts",
        }
    }
}

/// An instant in the one spelling that leaves have.
pub(super) fn instant(text: &str) -> Option<Timestamp> {
    const SPELT: usize = "2026-12-01T12:00:00.000Z".len();
    Timestamp::parse("at", text).ok().filter(|_| text.len() == SPELT)
}
