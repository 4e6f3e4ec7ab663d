//! Whom to believe about hardware: pinned roots and the models that are allowed.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use data_encoding::HEXLOWER;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use sha2::{Digest, Sha256};
use webpki::{
    EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, anchor_from_trusted_cert,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::domain::text::{Malformed, excerpt};
use crate::domain::time::Timestamp;

use super::fault::Fault;

const ROOTS_MAX: usize = 64;

/// A model of authenticators: 128 bits, written as UUIDs are (W3C WebAuthn section 6.5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Aaguid([u8; 16]);

/// SHA-256 of the DER of a certificate, in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

impl Aaguid {
    /// Takes the 16 bytes that authenticator data holds.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Reads `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`, in lower case.
    ///
    /// # Errors
    /// [`Malformed`] with rule `aaguid`.
    pub fn parse(field: &str, text: &str) -> Result<Self, Malformed> {
        let bytes = HEXLOWER.decode(text.replace('-', "").as_bytes()).ok();
        let read = bytes.and_then(|bytes| bytes.try_into().ok()).map(Self);
        read.filter(|aaguid| aaguid.to_string() == text).ok_or_else(|| {
            let example = "2fc0579f-8113-47ea-b116-bb5a8db9202a";
            let detail = format!("found {}; expected an AAGUID such as {example}", excerpt(text));
            Malformed::new(field, "aaguid", detail)
        })
    }

    /// The 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Aaguid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let dash = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

impl Fingerprint {
    /// Reads 64 hexadecimal digits in lower case.
    ///
    /// # Errors
    /// [`Malformed`] with rule `fingerprint`.
    pub fn parse(field: &str, text: &str) -> Result<Self, Malformed> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok();
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or_else(|| {
            let found = excerpt(text);
            let detail = format!("found {found}; expected a SHA-256 of 64 hexadecimal digits");
            Malformed::new(field, "fingerprint", detail)
        })
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

/// The roots that are pinned and the models that are allowed. There is no "every model": a root of
/// a vendor signs for its weakest product too.
#[derive(Debug, Clone)]
pub struct Attestors {
    roots: Vec<(Fingerprint, CertificateDer<'static>)>,
    models: BTreeSet<Aaguid>,
}

impl Attestors {
    /// Reads the roots of PEM texts, 1 to 64 in all, and takes a list of models.
    ///
    /// # Errors
    /// [`Malformed`] with rule `pem`, `root`, `count` or `models`.
    pub fn parse(pems: &[impl AsRef<[u8]>], models: &[Aaguid]) -> Result<Self, Malformed> {
        let refuse = |rule, detail: String| Malformed::new("attestation_roots", rule, detail);
        let mut roots = Vec::new();
        for pem in pems {
            for found in CertificateDer::pem_slice_iter(pem.as_ref()) {
                let der = found.map_err(|refused| {
                    refuse("pem", format!("found {refused}; expected certificates in PEM"))
                })?;
                if let Some(found) = no_root(&der) {
                    return Err(refuse("root", format!("found {found}; expected a CA")));
                }
                roots.push((Fingerprint(Sha256::digest(&der).into()), der));
            }
        }
        if roots.is_empty() || roots.len() > ROOTS_MAX {
            let found = roots.len();
            return Err(refuse("count", format!("found {found} roots; expected 1 to {ROOTS_MAX}")));
        }
        // Authenticators without a model say zero: any number of products, none of them tested.
        if models.is_empty() || models.contains(&Aaguid([0; 16])) {
            let detail = "found no model, or the AAGUID of zeros; expected those that are allowed";
            return Err(Malformed::new("models", "models", detail));
        }
        Ok(Self { roots, models: models.iter().copied().collect() })
    }

    /// Whether this root is pinned and this model is allowed.
    pub fn trust(&self, model: &Aaguid, root: &Fingerprint) -> bool {
        self.models.contains(model) && self.roots.iter().any(|(pinned, _)| pinned == root)
    }

    /// The pinned root that a chain leads to, valid at `now` (section 7.1 step 24). `chain` is
    /// the attestation certificate and what it came with. Revocation is not looked at: one such
    /// certificate is in thousands of keys, and taking their model off the list is what acts.
    ///
    /// # Errors
    /// [`Fault::Model`] or [`Fault::Chain`].
    pub(super) fn root_of(
        &self,
        model: &Aaguid,
        chain: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<Fingerprint, Fault> {
        if !self.models.contains(model) {
            return Err(Fault::Model { found: model.to_string() });
        }
        let mut last = "no certificate".to_owned();
        for (fingerprint, root) in &self.roots {
            match leads_to(root, chain, now) {
                Ok(()) => return Ok(*fingerprint),
                Err(found) => last = found.to_string(),
            }
        }
        Err(Fault::Chain { found: last, pinned: self.roots.len() })
    }
}

fn leads_to(
    root: &CertificateDer<'_>,
    chain: &[CertificateDer<'_>],
    now: Timestamp,
) -> Result<(), webpki::Error> {
    let (leaf, intermediates) = chain.split_first().ok_or(webpki::Error::UnknownIssuer)?;
    let seconds = u64::try_from(now.unix_s()).map_err(|_| webpki::Error::InvalidCertValidity)?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let leaf = EndEntityCert::try_from(leaf)?;
    let anchors = [anchor_from_trusted_cert(root)?];
    let algorithms = webpki::ALL_VERIFICATION_ALGS;
    leaf.verify_for_usage(algorithms, &anchors, intermediates, now, AnyPurpose, None, None)?;
    Ok(())
}

/// Section 8.2.1 names no purpose that an attestation certificate has to have.
struct AnyPurpose;

impl ExtendedKeyUsageValidator for AnyPurpose {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}

/// Why a certificate is no root, if it is none.
fn no_root(der: &CertificateDer<'_>) -> Option<String> {
    let certificate = match X509Certificate::from_der(der) {
        Ok(([], certificate)) => certificate,
        Ok(_) => return Some("bytes after a certificate".to_owned()),
        Err(refused) => return Some(format!("no certificate ({refused})")),
    };
    if !certificate.is_ca() {
        return Some(format!("{}, which is no CA", excerpt(&certificate.subject().to_string())));
    }
    anchor_from_trusted_cert(der).err().map(|refused| refused.to_string())
}
