//! Callers: gateways and other programs, known by their client certificates.

use std::fmt;

use super::text::{Malformed, excerpt, identifier};

/// Longest idempotency key, in characters.
pub const IDEMPOTENCY_KEY_CHARS_MAX: usize = 128;

/// The name of a caller in the policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallerId(String);

impl CallerId {
    /// A name of 1 to 64 lower-case letters, digits, hyphens and underscores.
    ///
    /// # Errors
    /// [`Malformed`] with rule `empty`, `length` or `characters`.
    pub fn parse(field: &str, text: &str) -> Result<Self, Malformed> {
        let allowed = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_');
        identifier(field, text, 64, allowed, "lower-case letters, digits, - and _").map(Self)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CallerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whose debtors a caller names: its own, or those that several callers share.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(String);

impl Namespace {
    /// A name of 1 to 64 lower-case letters, digits, hyphens and underscores.
    ///
    /// # Errors
    /// [`Malformed`] with rule `empty`, `length` or `characters`.
    pub fn parse(field: &str, text: &str) -> Result<Self, Malformed> {
        CallerId::parse(field, text).map(|name| Self(name.0))
    }

    /// The namespace that a caller has by itself.
    pub fn of(caller: &CallerId) -> Self {
        Self(caller.0.clone())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a client certificate must show to be a certain caller. Compared exactly, never by prefix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum CertificateIdentity {
    /// A URI in the subject alternative name (RFC 5280 section 4.2.1.6).
    Uri(String),
    /// SHA-256 of the certificate's DER.
    Fingerprint([u8; 32]),
}

impl CertificateIdentity {
    /// Reads `uri:…` or `sha256:` and 64 hexadecimal digits (colons between bytes allowed).
    ///
    /// # Errors
    /// [`Malformed`] with rule `certificate`.
    pub fn parse(field: &str, text: &str) -> Result<Self, Malformed> {
        let refuse = || {
            let detail = format!(
                "found {}; expected \"uri:\" and a URI of the subject alternative name, or \
                 \"sha256:\" and the 64 hexadecimal digits of the certificate's fingerprint",
                excerpt(text)
            );
            Malformed::new(field, "certificate", detail)
        };
        if let Some(uri) = text.strip_prefix("uri:") {
            let plain = uri.contains(':') && uri.bytes().all(|b| b.is_ascii_graphic());
            return plain.then(|| Self::Uri(uri.to_owned())).ok_or_else(refuse);
        }
        let hex = text.strip_prefix("sha256:").ok_or_else(refuse)?.replace(':', "");
        hex_32(&hex).map(Self::Fingerprint).ok_or_else(refuse)
    }
}

impl fmt::Display for CertificateIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uri(uri) => write!(f, "uri:{uri}"),
            Self::Fingerprint(digest) => {
                f.write_str("sha256:")?;
                digest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

fn hex_32(text: &str) -> Option<[u8; 32]> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    let bytes: Option<Vec<u8>> = digits?
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => u8::try_from(high.checked_mul(16)?.checked_add(*low)?).ok(),
            _ => None,
        })
        .collect();
    bytes?.try_into().ok()
}

/// The name that a caller gives to one payment, so that a retry is recognised (P4).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Reads the value of the `Idempotency-Key` header: 1 to 128 letters, digits and `- _ . : /`,
    /// bare or as the quoted string of RFC 8941 that the IETF draft asks for; both are one key.
    ///
    /// # Errors
    /// [`Malformed`] with rule `empty`, `length` or `characters`.
    pub fn parse(field: &str, text: &str) -> Result<Self, Malformed> {
        let unquoted = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text);
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
        let expected = "letters, digits and - _ . : /, bare or in double quotes";
        identifier(field, unquoted, IDEMPOTENCY_KEY_CHARS_MAX, allowed, expected).map(Self)
    }

    /// The key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificate_identities_are_exact() {
        let hex = "ab".repeat(32);
        let uri = CertificateIdentity::parse("c", "uri:spiffe://shop.example/gateway").unwrap();
        assert_eq!(uri.to_string(), "uri:spiffe://shop.example/gateway");
        let plain = CertificateIdentity::parse("c", &format!("sha256:{hex}")).unwrap();
        let colons = vec!["AB"; 32].join(":");
        assert_eq!(CertificateIdentity::parse("c", &format!("sha256:{colons}")).unwrap(), plain);
        for text in ["", "uri:", "uri:gateway", "uri:a:b c", "sha256:", "sha256:ab", "cn:gateway"] {
            let refused = CertificateIdentity::parse("c", text).unwrap_err();
            assert_eq!(refused.rule, "certificate", "{text}");
        }
    }

    #[test]
    fn idempotency_keys_are_bare_or_quoted() {
        let bare = IdempotencyKey::parse("k", "INV-2026/1").unwrap();
        assert_eq!(IdempotencyKey::parse("k", "\"INV-2026/1\"").unwrap(), bare);
        let long = "x".repeat(129);
        for (text, rule) in [
            ("", "empty"),
            ("\"\"", "empty"),
            (&long, "length"),
            ("\"a", "characters"),
            ("a b", "characters"),
            ("a\\", "characters"),
            ("ü", "characters"),
        ] {
            assert_eq!(IdempotencyKey::parse("k", text).unwrap_err().rule, rule, "{text}");
        }
    }
}
