//! Public keys of credentials (RFC 9053, in the form of W3C WebAuthn section 5.8.5 and 6.5.1.1),
//! and signatures by them.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey};

use crate::domain::key::{Algorithm, PublicKey};

use super::cbor::Cbor;
use super::fault::Fault;

/// The COSE number of an algorithm that credentials and attestations may use (RFC 9053 section 2).
pub(super) fn number(algorithm: Algorithm) -> i64 {
    match algorithm {
        Algorithm::Es256 => -7,
        Algorithm::EdDsa => -8,
    }
}

/// Reads a COSE key: exactly the parameters that its type needs, in CTAP2 order.
///
/// # Errors
/// [`Fault::PublicKey`].
pub(super) fn public_key(value: &Cbor<'_>) -> Result<PublicKey, Fault> {
    let refuse = |detail: String| Fault::PublicKey(detail);
    let Cbor::Map(pairs) = value else {
        return Err(refuse("found no CBOR map; expected a COSE key".to_owned()));
    };
    let member = |label| {
        let found = pairs.iter().find(|(key, _)| *key == Cbor::Integer(label));
        found.map(|(_, value)| value)
    };
    let (algorithm, parameters) = match (member(1), member(3), member(-1)) {
        (Some(Cbor::Integer(2)), Some(Cbor::Integer(-7)), Some(Cbor::Integer(1))) => {
            (Algorithm::Es256, 5)
        }
        (Some(Cbor::Integer(1)), Some(Cbor::Integer(-8)), Some(Cbor::Integer(6))) => {
            (Algorithm::EdDsa, 4)
        }
        (kty, alg, crv) => {
            let found = format!("kty {}, alg {}, crv {}", show(kty), show(alg), show(crv));
            let expected = "ES256 on P-256 (2, -7, 1) or EdDSA on Ed25519 (1, -8, 6)";
            return Err(refuse(format!("found {found}; expected {expected}")));
        }
    };
    if pairs.len() != parameters {
        let found = pairs.len();
        return Err(refuse(format!("found {found} parameters; expected exactly {parameters}")));
    }
    let coordinate = |label| {
        let bytes = member(label).and_then(Cbor::bytes).filter(|bytes| bytes.len() == 32);
        bytes.ok_or_else(|| refuse(format!("found no 32 bytes under {label}; expected them")))
    };
    let bytes = match algorithm {
        Algorithm::Es256 => [&[4][..], coordinate(-2)?, coordinate(-3)?].concat(),
        Algorithm::EdDsa => coordinate(-2)?.to_vec(),
    };
    strong(algorithm, &bytes)
}

/// Reads the bytes of a public key that cannot be one under which anything verifies.
///
/// # Errors
/// [`Fault::PublicKey`].
pub(super) fn strong(algorithm: Algorithm, bytes: &[u8]) -> Result<PublicKey, Fault> {
    if algorithm == Algorithm::EdDsa && has_small_order(bytes) {
        let detail = "found an Ed25519 point of small order; expected one of prime order";
        return Err(Fault::PublicKey(detail.to_owned()));
    }
    PublicKey::from_bytes(algorithm, bytes).map_err(|found| Fault::PublicKey(found.detail))
}

/// Whether a signature by this key over these bytes verifies. ES256 signatures are DER (section
/// 6.5.5): strict, without trailing bytes; both of the two values of `s` are accepted, because
/// authenticators make both.
///
/// # Errors
/// [`Fault::Signature`].
pub(super) fn signed(key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), Fault> {
    let (verified, expected) = match key.algorithm() {
        Algorithm::Es256 => {
            let verifier = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.as_bytes());
            (verifier.verify(message, signature), "ECDSA on P-256 in DER")
        }
        Algorithm::EdDsa => {
            let verifier = UnparsedPublicKey::new(&ED25519, key.as_bytes());
            (verifier.verify(message, signature), "64 bytes of Ed25519")
        }
    };
    verified.map_err(|_| Fault::Signature { found: signature.len(), expected })
}

fn show(value: Option<&Cbor<'_>>) -> String {
    match value {
        Some(Cbor::Integer(number)) => number.to_string(),
        Some(_) => "no number".to_owned(),
        None => "none".to_owned(),
    }
}

/// Encodings of the points of order 1, 2, 4 and 8, canonical or not, without the sign of x. Under
/// such a key a signature that was made without any private key verifies for one message in eight
/// or for every one, so whoever enrols it could deny each approval.
const SMALL_ORDER: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

fn has_small_order(bytes: &[u8]) -> bool {
    let mut unsigned = bytes.to_vec();
    if let Some(last) = unsigned.last_mut() {
        *last &= 0x7f;
    }
    let text = data_encoding::HEXLOWER.encode(&unsigned);
    SMALL_ORDER.contains(&text.as_str())
}
