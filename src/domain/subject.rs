//! Subjects: what people make statements about. Payments and operations share one mechanism.

use std::fmt;

use super::payment::PaymentId;
use super::text::{Malformed, excerpt};

/// Identifier of an operation: 128 random bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(PaymentId);

impl OperationId {
    /// An identifier from random bytes that the caller of this function drew.
    pub fn from_bytes(random: [u8; 16]) -> Self {
        Self(PaymentId::from_bytes(random))
    }

    /// The bytes.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_bytes()
    }

    /// Reads what an identifier displays.
    ///
    /// # Errors
    /// [`Malformed`], as [`PaymentId::parse`] has it.
    pub fn parse(field: &str, text: &str) -> Result<Self, Malformed> {
        PaymentId::parse(field, text).map(Self)
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a statement is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A payment that waits for people.
    Payment(PaymentId),
    /// A governed change.
    Operation(OperationId),
}

impl Subject {
    /// The kind's word on the record.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Payment(_) => "payment",
            Self::Operation(_) => "operation",
        }
    }

    /// The identifier within its kind.
    pub fn id(&self) -> String {
        match self {
            Self::Payment(id) => id.to_string(),
            Self::Operation(id) => id.to_string(),
        }
    }

    /// Reads what [`Subject`] displays.
    ///
    /// # Errors
    /// [`Malformed`] with rule `subject`, or those of the identifier.
    pub fn parse(field: &str, text: &str) -> Result<Self, Malformed> {
        match text.split_once(':') {
            Some(("payment", id)) => PaymentId::parse(field, id).map(Self::Payment),
            Some(("operation", id)) => OperationId::parse(field, id).map(Self::Operation),
            _ => {
                let detail = format!(
                    "found {}; expected payment: or operation: and an identifier",
                    excerpt(text)
                );
                Err(Malformed::new(field, "subject", detail))
            }
        }
    }
}

impl fmt::Display for Subject {
    /// `payment:…` or `operation:…`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind(), self.id())
    }
}
