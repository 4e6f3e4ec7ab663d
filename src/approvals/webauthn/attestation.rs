//! Attestation statements: "none" and "packed" (W3C WebAuthn sections 8.7 and 8.2).
//!
//! The other formats are those of platforms (TPM, Android, Apple) and of U2F keys, which cannot
//! verify a user; browsers replace all of them by "none" where no attestation is asked for.

use rustls::pki_types::CertificateDer;

use crate::domain::text::excerpt;
use crate::domain::time::Timestamp;

use super::attestors::Attestors;
use super::authenticator_data::AttestedCredential;
use super::cbor::{self, Cbor};
use super::certificate;
use super::cose;
use super::credential::Attestation;
use super::fault::Fault;

/// Certificates in a statement, at most.
const CHAIN_MAX: usize = 4;

/// An attestation object, read (section 6.5.4).
pub(super) struct AttestationObject<'a> {
    pub(super) authenticator_data: &'a [u8],
    format: &'a str,
    statement: Cbor<'a>,
}

impl<'a> AttestationObject<'a> {
    /// Reads all of the bytes: a map of exactly `fmt`, `attStmt` and `authData`.
    ///
    /// # Errors
    /// [`Fault::Cbor`].
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let refuse = |fault| Fault::Cbor { place: "attestationObject", fault };
        let value = cbor::read_all(bytes).map_err(refuse)?;
        match value.members(["fmt", "attStmt", "authData"]) {
            Some([Cbor::Text(format), statement, Cbor::Bytes(authenticator_data)]) => {
                Ok(Self { authenticator_data, format, statement: statement.clone() })
            }
            _ => {
                let expected = "found other members; expected fmt, attStmt and authData";
                Err(refuse(expected.to_owned()))
            }
        }
    }

    /// Judges the statement (section 7.1 steps 21 to 24). A statement must be sound even where
    /// nothing is demanded; what it proves counts only with `attestors`.
    ///
    /// # Errors
    /// The first check that fails.
    pub(super) fn judge(
        &self,
        credential: &AttestedCredential<'_>,
        client_data_hash: &[u8; 32],
        attestors: Option<&Attestors>,
        now: Timestamp,
    ) -> Result<Attestation, Fault> {
        let signed = [self.authenticator_data, client_data_hash].concat();
        let (chain, found) = match self.format {
            "none" if self.statement == Cbor::Map(Vec::new()) => (None, "none"),
            "none" => return refuse("found members; expected none in format \"none\"".to_owned()),
            "packed" => {
                (packed(&self.statement, credential, &signed)?, "one that it made by itself")
            }
            other => return Err(Fault::Format { found: excerpt(other) }),
        };
        match (attestors, chain) {
            (None, _) => Ok(Attestation::None),
            (Some(_), None) => Err(Fault::NotAttested { found }),
            (Some(attestors), Some(chain)) => {
                let root = attestors.root_of(&credential.aaguid, &chain, now)?;
                Ok(Attestation::Attested { aaguid: credential.aaguid, root })
            }
        }
    }
}

fn refuse<T>(detail: String) -> Result<T, Fault> {
    Err(Fault::Statement(detail))
}

/// Section 8.2, "Verification procedure"; the chain, unless it is self attestation.
fn packed<'a>(
    statement: &Cbor<'a>,
    credential: &AttestedCredential<'_>,
    signed: &[u8],
) -> Result<Option<Vec<CertificateDer<'a>>>, Fault> {
    if let Some([Cbor::Integer(alg), Cbor::Bytes(signature)]) = statement.members(["alg", "sig"]) {
        let expected = cose::number(credential.key.algorithm());
        if *alg != expected {
            return refuse(format!("found alg {alg}; expected {expected}, as of the credential"));
        }
        cose::signed(&credential.key, signed, signature)?;
        return Ok(None);
    }
    let members = statement.members(["alg", "sig", "x5c"]);
    let Some([Cbor::Integer(alg), Cbor::Bytes(signature), Cbor::List(x5c)]) = members else {
        return refuse("found other members; expected alg, sig and perhaps x5c".to_owned());
    };
    let chain: Option<Vec<&[u8]>> = x5c.iter().map(Cbor::bytes).collect();
    let chain = chain.filter(|chain| chain.len() <= CHAIN_MAX).unwrap_or_default();
    let Some(first) = chain.first() else {
        return refuse(format!("found no x5c; expected 1 to {CHAIN_MAX} certificates"));
    };
    let key = certificate::key_of(first, &credential.aaguid)?;
    let expected = cose::number(key.algorithm());
    if *alg != expected {
        return refuse(format!("found alg {alg}; expected {expected}, as of the certificate"));
    }
    cose::signed(&key, signed, signature)?;
    Ok(Some(chain.into_iter().map(CertificateDer::from).collect()))
}
