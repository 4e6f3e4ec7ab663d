//! Attestation certificates: the requirements of W3C WebAuthn section 8.2.1.

use x509_parser::der_parser::asn1_rs::{Oid, oid};
use x509_parser::der_parser::parse_der;
use x509_parser::prelude::{FromDer, X509Certificate, X509Name, X509Version};
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::domain::key::{Algorithm, PublicKey};
use crate::domain::text::excerpt;

use super::attestors::Aaguid;
use super::cose;
use super::fault::Fault;

const UNIT: &str = "Authenticator Attestation";

/// `id-fido-gen-ce-aaguid`: the model that the certificate was made for.
fn model_extension() -> Oid<'static> {
    oid!(1.3.6.1.4.1.45724.1.1.4)
}

/// The requirements of section 8.2.1 on the certificate of an authenticator that says that it is of
/// `model`, and the key that the attestation must be signed with.
///
/// A subject is compared by text: whether it is a `UTF8String` or a `PrintableString` proves
/// nothing, and products differ.
///
/// # Errors
/// [`Fault::Certificate`] or [`Fault::PublicKey`].
pub(super) fn key_of(der: &[u8], model: &Aaguid) -> Result<PublicKey, Fault> {
    let certificate = match X509Certificate::from_der(der) {
        Ok(([], certificate)) => certificate,
        Ok((rest, _)) => {
            let found = rest.len();
            return refuse(format!("found {found} bytes after it; expected none"));
        }
        Err(refused) => return refuse(format!("found {refused}; expected X.509 in DER")),
    };
    if certificate.version() != X509Version::V3 {
        let found = certificate.version();
        return refuse(format!("found version {found}; expected V3"));
    }
    subject(certificate.subject())?;
    if certificate.extensions_map().is_err() {
        return refuse("found an extension twice; expected each once".to_owned());
    }
    match certificate.basic_constraints() {
        Ok(Some(constraints)) if !constraints.value.ca => {}
        Ok(None) => return refuse("found no basic constraints; expected CA false".to_owned()),
        _ => return refuse("found basic constraints of a CA; expected CA false".to_owned()),
    }
    model_matches(&certificate, model)?;
    public_key(certificate.public_key())
}

fn refuse<T>(detail: String) -> Result<T, Fault> {
    Err(Fault::Certificate(detail))
}

/// Country, organisation, unit and name, each once.
fn subject(name: &X509Name<'_>) -> Result<(), Fault> {
    let country = sole("C", name.iter_country().map(|part| part.as_str().ok()))?;
    if country.len() != 2 || !country.chars().all(|c| c.is_ascii_uppercase()) {
        let found = excerpt(country);
        return refuse(format!("found the country {found}; expected an ISO 3166 code"));
    }
    sole("O", name.iter_organization().map(|part| part.as_str().ok()))?;
    sole("CN", name.iter_common_name().map(|part| part.as_str().ok()))?;
    let unit = sole("OU", name.iter_organizational_unit().map(|part| part.as_str().ok()))?;
    if unit != UNIT {
        let found = excerpt(unit);
        return refuse(format!("found the unit {found}; expected \"{UNIT}\""));
    }
    Ok(())
}

fn sole<'a>(
    part: &str,
    mut values: impl Iterator<Item = Option<&'a str>>,
) -> Result<&'a str, Fault> {
    match (values.next(), values.next()) {
        (Some(Some(text)), None) if !text.is_empty() => Ok(text),
        _ => refuse(format!("found no {part} in its subject, or several; expected one text")),
    }
}

/// The extension is there where one root serves several models; it must name this one, in the 16
/// bytes of an inner OCTET STRING, and must not be critical.
fn model_matches(certificate: &X509Certificate<'_>, model: &Aaguid) -> Result<(), Fault> {
    let Ok(Some(extension)) = certificate.get_extension_unique(&model_extension()) else {
        return Ok(());
    };
    if extension.critical {
        return refuse("found a critical model extension; expected it not to be".to_owned());
    }
    let inner = match parse_der(extension.value) {
        Ok(([], object)) => object.as_slice().ok().map(<[u8]>::to_vec),
        _ => None,
    };
    match inner.and_then(|bytes| bytes.try_into().ok()).map(Aaguid::from_bytes) {
        Some(found) if found == *model => Ok(()),
        Some(found) => {
            refuse(format!("found model {found}; expected {model}, as in the authenticator data"))
        }
        None => refuse("found no 16 bytes in its model extension; expected an AAGUID".to_owned()),
    }
}

/// P-256 or Ed25519: what attestations of the algorithms that are accepted are signed with.
fn public_key(found: &SubjectPublicKeyInfo<'_>) -> Result<PublicKey, Fault> {
    let curve = found.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
    let algorithm = found.algorithm.algorithm.to_id_string();
    let curve = curve.map(|curve| curve.to_id_string());
    let algorithm = match (algorithm.as_str(), curve.as_deref()) {
        ("1.2.840.10045.2.1", Some("1.2.840.10045.3.1.7")) => Algorithm::Es256,
        ("1.3.101.112", None) if found.algorithm.parameters.is_none() => Algorithm::EdDsa,
        (other, _) => {
            return refuse(format!("found a key of {other}; expected P-256 or Ed25519"));
        }
    };
    cose::strong(algorithm, &found.subject_public_key.data)
}
