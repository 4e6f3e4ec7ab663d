//! Statements: what a person's hardware signs.
//!
//! A statement is canonical JSON. It names its subject by identifier and digest, repeats for people
//! what the subject says, and carries a nonce of the daemon's, so that every one is signed once.

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::canonical::Value;
use super::party::{Account, Creditor};
use super::payment::Payment;
use super::person::Approver;
use super::subject::Subject;
use super::text::{Malformed, excerpt};
use super::time::Timestamp;

/// Schema of statements, its first version; with a zero byte behind it the domain tag of the digest.
pub const STATEMENT_SCHEMA: &str = "countersign/statement/1";

/// What somebody says about a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It shall be done.
    Approve,
    /// It shall not. Final.
    Reject,
}

impl Verdict {
    /// The word on the record.
    pub fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
        }
    }

    /// Reads the word on the record.
    ///
    /// # Errors
    /// [`Malformed`] with rule `verdict`.
    pub fn parse(field: &str, name: &str) -> Result<Self, Malformed> {
        [Self::Approve, Self::Reject].into_iter().find(|verdict| verdict.name() == name).ok_or_else(
            || {
                let detail = format!("found {}; expected approve or reject", excerpt(name));
                Malformed::new(field, "verdict", detail)
            },
        )
    }
}

/// What a subject says, for the eyes of whoever signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Facts {
    /// A payment.
    Payment {
        /// The key that is to sign it.
        key: String,
        /// Amount, a decimal text.
        amount: String,
        /// Currency code.
        currency: String,
        /// Name of the creditor.
        creditor_name: String,
        /// Canonical account of the creditor.
        creditor_account: String,
    },
    /// A governed change, in one sentence.
    Operation(String),
}

impl Facts {
    /// What a payment says.
    pub fn of_payment(payment: &Payment) -> Self {
        let creditor: &Creditor = payment.creditor();
        let account: &Account = creditor.account();
        Self::Payment {
            key: payment.key().to_string(),
            amount: payment.currency().decimal(payment.amount().minor_units()),
            currency: payment.currency().code().to_owned(),
            creditor_name: creditor.name().to_owned(),
            creditor_account: account.to_string(),
        }
    }
}

/// A statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// What it is about.
    pub subject: Subject,
    /// SHA-256 of the subject's own bytes: the order, or the operation.
    pub subject_digest: [u8; 32],
    /// What those bytes say.
    pub facts: Facts,
    /// The tier that asks for it; the operation's name for operations.
    pub tier: String,
    /// Version of the policy that asks for it.
    pub policy_version: String,
    /// Who makes it.
    pub approver: Approver,
    /// What it says.
    pub verdict: Verdict,
    /// 256 random bits of the daemon.
    pub nonce: [u8; 32],
    /// From when on it counts for nothing.
    pub expires_at: Timestamp,
}

/// SHA-256 of the schema's name, a zero byte and a statement's bytes: what hardware signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatementDigest([u8; 32]);

impl StatementDigest {
    /// A digest as the ledger kept it.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads base64url without padding.
    ///
    /// # Errors
    /// [`Malformed`] with rule `digest`.
    pub fn parse(field: &str, text: &str) -> Result<Self, Malformed> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok();
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or_else(|| {
            let detail = format!("found {}; expected 32 bytes in base64url", excerpt(text));
            Malformed::new(field, "digest", detail)
        })
    }
}

impl std::fmt::Display for StatementDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}

impl Statement {
    /// The bytes: RFC 8785 canonical JSON of texts only.
    pub fn to_bytes(&self) -> Vec<u8> {
        let text = |text: &str| Some(Value::text(text));
        let facts = match &self.facts {
            Facts::Payment { key, amount, currency, creditor_name, creditor_account } => {
                Value::object([
                    ("key", text(key)),
                    ("amount", text(amount)),
                    ("currency", text(currency)),
                    ("creditor_name", text(creditor_name)),
                    ("creditor_account", text(creditor_account)),
                ])
            }
            Facts::Operation(what) => Value::object([("operation", text(what))]),
        };
        let statement = Value::object([
            ("schema", text(STATEMENT_SCHEMA)),
            ("subject", Some(Value::text(self.subject))),
            ("subject_digest", text(&BASE64URL_NOPAD.encode(&self.subject_digest))),
            ("facts", Some(facts)),
            ("tier", text(&self.tier)),
            ("policy_version", text(&self.policy_version)),
            ("approver", Some(Value::text(&self.approver))),
            ("verdict", text(self.verdict.name())),
            ("nonce", text(&BASE64URL_NOPAD.encode(&self.nonce))),
            ("expires_at", Some(Value::text(self.expires_at))),
        ]);
        statement.to_canonical().into_bytes()
    }

    /// What hardware signs.
    pub fn digest(&self) -> StatementDigest {
        let mut hash = Sha256::new();
        hash.update(STATEMENT_SCHEMA.as_bytes());
        hash.update([0]);
        hash.update(self.to_bytes());
        StatementDigest(hash.finalize().into())
    }

    /// Reads the bytes. They must be, byte for byte, what the same statement would be today.
    ///
    /// # Errors
    /// What was found instead.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let stored: Stored = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        let statement = stored.parse().map_err(|e| e.to_string())?;
        match statement.to_bytes() == bytes {
            true => Ok(statement),
            false => Err("the bytes are not the canonical ones of a statement".to_owned()),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    schema: String,
    subject: String,
    subject_digest: String,
    facts: StoredFacts,
    tier: String,
    policy_version: String,
    approver: String,
    verdict: String,
    nonce: String,
    expires_at: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, untagged)]
enum StoredFacts {
    Payment {
        key: String,
        amount: String,
        currency: String,
        creditor_name: String,
        creditor_account: String,
    },
    Operation {
        operation: String,
    },
}

impl Stored {
    fn parse(self) -> Result<Statement, Malformed> {
        if self.schema != STATEMENT_SCHEMA {
            let detail = format!("found {}; expected {STATEMENT_SCHEMA}", excerpt(&self.schema));
            return Err(Malformed::new("schema", "schema", detail));
        }
        let facts = match self.facts {
            StoredFacts::Payment { key, amount, currency, creditor_name, creditor_account } => {
                Facts::Payment { key, amount, currency, creditor_name, creditor_account }
            }
            StoredFacts::Operation { operation } => Facts::Operation(operation),
        };
        let digest = |field: &str, text: &str| StatementDigest::parse(field, text).map(|d| d.0);
        Ok(Statement {
            subject: Subject::parse("subject", &self.subject)?,
            subject_digest: digest("subject_digest", &self.subject_digest)?,
            facts,
            tier: self.tier,
            policy_version: self.policy_version,
            approver: Approver::parse("approver", &self.approver)?,
            verdict: Verdict::parse("verdict", &self.verdict)?,
            nonce: digest("nonce", &self.nonce)?,
            expires_at: Timestamp::parse("expires_at", &self.expires_at)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::payment::PaymentId;

    fn statement() -> Statement {
        Statement {
            subject: Subject::Payment(PaymentId::from_bytes([7; 16])),
            subject_digest: [1; 32],
            facts: Facts::Payment {
                key: "settlement-eur".to_owned(),
                amount: "12.34".to_owned(),
                currency: "EUR".to_owned(),
                creditor_name: "Bakery \"Sol\"".to_owned(),
                creditor_account: "iban:ES9121000418450200051332".to_owned(),
            },
            tier: "touch".to_owned(),
            policy_version: "sha256:00".to_owned(),
            approver: Approver::parse("", "person:ana").unwrap(),
            verdict: Verdict::Approve,
            nonce: [2; 32],
            expires_at: Timestamp::from_unix_ms(1_800_000_000_000),
        }
    }

    #[test]
    fn a_statement_is_read_back_from_its_bytes() {
        let operation = Statement {
            facts: Facts::Operation("ana joins treasury".to_owned()),
            subject: Subject::parse("", &format!("operation:{}", PaymentId::from_bytes([1; 16])))
                .unwrap(),
            ..statement()
        };
        for statement in [statement(), operation] {
            assert_eq!(Statement::from_bytes(&statement.to_bytes()).unwrap(), statement);
        }
    }

    #[test]
    fn every_field_is_in_the_digest() {
        let one = statement();
        let other = PaymentId::from_bytes([8; 16]);
        for changed in [
            Statement { subject: Subject::Payment(other), ..one.clone() },
            Statement { subject_digest: [3; 32], ..one.clone() },
            Statement { facts: Facts::Operation("x".to_owned()), ..one.clone() },
            Statement { tier: "two".to_owned(), ..one.clone() },
            Statement { policy_version: "sha256:01".to_owned(), ..one.clone() },
            Statement { approver: Approver::parse("", "person:bo").unwrap(), ..one.clone() },
            Statement { verdict: Verdict::Reject, ..one.clone() },
            Statement { nonce: [4; 32], ..one.clone() },
            Statement { expires_at: Timestamp::from_unix_ms(0), ..one.clone() },
        ] {
            assert_ne!(changed.digest(), one.digest(), "{changed:?}");
        }
    }

    #[test]
    fn bytes_that_are_not_canonical_are_nobodys_statement() {
        let text = String::from_utf8(statement().to_bytes()).unwrap();
        for (from, to) in [
            ("{\"approver\"", "{ \"approver\""),
            ("\"touch\"", "\"to\\u0075ch\""),
            ("statement/1", "statement/2"),
            ("\"approve\"", "\"maybe\""),
            ("\"tier\"", "\"tiers\""),
        ] {
            assert!(text.contains(from), "{from}");
            assert!(Statement::from_bytes(text.replacen(from, to, 1).as_bytes()).is_err(), "{to}");
        }
    }
}
