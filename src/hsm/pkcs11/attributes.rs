//! What a private key must and must not allow (P5, P6), attribute by attribute.

use cryptoki::error::Error;
use cryptoki::object::{Attribute, AttributeType, ObjectHandle};
use cryptoki::session::Session;

use crate::domain::key::Algorithm;
use crate::hsm::token::{KeyReference, TokenError};

use super::{curve, fault};

/// Demands on a private key, in the order in which a refusal names them.
const DEMANDS: [(AttributeType, &str, bool); 11] = [
    (AttributeType::Token, "CKA_TOKEN", true),
    (AttributeType::Private, "CKA_PRIVATE", true),
    (AttributeType::Sensitive, "CKA_SENSITIVE", true),
    (AttributeType::Extractable, "CKA_EXTRACTABLE", false),
    (AttributeType::Local, "CKA_LOCAL", true),
    (AttributeType::AlwaysSensitive, "CKA_ALWAYS_SENSITIVE", true),
    (AttributeType::NeverExtractable, "CKA_NEVER_EXTRACTABLE", true),
    (AttributeType::Sign, "CKA_SIGN", true),
    (AttributeType::Derive, "CKA_DERIVE", false),
    (AttributeType::Unwrap, "CKA_UNWRAP", false),
    (AttributeType::Decrypt, "CKA_DECRYPT", false),
];

/// Checks every demand; an attribute that the token does not tell is a failure.
pub(super) fn check(
    session: &Session,
    handle: ObjectHandle,
    key: &KeyReference,
) -> Result<(), TokenError> {
    for (kind, name, expected) in DEMANDS {
        if kind == AttributeType::Decrypt && key.waive_decrypt {
            continue;
        }
        let found = boolean(session, handle, kind)?;
        if found != Some(expected) {
            return Err(refuse(key, name, told(found), &told(Some(expected))));
        }
    }
    // Absent is false here, as the specification has it; true would ask for a login before each
    // signature, which the released cryptoki cannot do.
    let always_authenticate = boolean(session, handle, AttributeType::AlwaysAuthenticate)?;
    if always_authenticate == Some(true) {
        return Err(refuse(key, "CKA_ALWAYS_AUTHENTICATE", told(Some(true)), "false"));
    }
    check_curve(session, handle, key)
}

fn check_curve(
    session: &Session,
    handle: ObjectHandle,
    key: &KeyReference,
) -> Result<(), TokenError> {
    let forms = curve::parameters(key.algorithm);
    let found = match single(session, handle, AttributeType::EcParams)? {
        Some(Attribute::EcParams(found)) if forms.contains(&found.as_slice()) => return Ok(()),
        Some(Attribute::EcParams(other)) => super::session::hexadecimal(&other),
        _ => told(None),
    };
    let forms: Vec<String> = forms.iter().map(|form| super::session::hexadecimal(form)).collect();
    let name = match key.algorithm {
        Algorithm::Es256 => "P-256",
        Algorithm::EdDsa => "edwards25519",
    };
    Err(refuse(key, "CKA_EC_PARAMS", found, &format!("{name}, {}", forms.join(" or "))))
}

/// One attribute (`C_GetAttributeValue`), alone: asked for together, cryptoki silently leaves out
/// what a token does not have. `None` if the token does not tell it or tells nonsense.
pub(super) fn single(
    session: &Session,
    handle: ObjectHandle,
    kind: AttributeType,
) -> Result<Option<Attribute>, TokenError> {
    match session.get_attributes(handle, &[kind]) {
        Ok(told) => Ok(told.into_iter().find(|attribute| attribute.attribute_type() == kind)),
        Err(refused @ Error::Pkcs11(..)) => Err(fault::call("C_GetAttributeValue", &refused)),
        Err(_not_of_its_type) => Ok(None),
    }
}

fn boolean(
    session: &Session,
    handle: ObjectHandle,
    kind: AttributeType,
) -> Result<Option<bool>, TokenError> {
    Ok(single(session, handle, kind)?.and_then(|attribute| match attribute {
        Attribute::Token(value)
        | Attribute::Private(value)
        | Attribute::Sensitive(value)
        | Attribute::Extractable(value)
        | Attribute::Local(value)
        | Attribute::AlwaysSensitive(value)
        | Attribute::NeverExtractable(value)
        | Attribute::Sign(value)
        | Attribute::Derive(value)
        | Attribute::Unwrap(value)
        | Attribute::Decrypt(value)
        | Attribute::AlwaysAuthenticate(value) => Some(value),
        _ => None,
    }))
}

fn told(value: Option<bool>) -> String {
    value.map_or_else(|| "absent".to_owned(), |value| value.to_string())
}

fn refuse(
    key: &KeyReference,
    attribute: &'static str,
    found: String,
    expected: &str,
) -> TokenError {
    TokenError::Attribute { key: key.id.clone(), attribute, found, expected: expected.to_owned() }
}
