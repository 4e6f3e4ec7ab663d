//! P-256 as notes have it: public keys as SPKI (RFC 5480), signatures in DER (RFC 3279).
//!
//! Tokens and JOSE write r and s side by side; only notes want ASN.1, so it is spoken here alone.

use crate::domain::key::{P256PublicKey, Signature};

/// A `SubjectPublicKeyInfo` of id-ecPublicKey with prime256v1 up to the uncompressed point. DER
/// leaves no choice before it, so these bytes are all there is to parse.
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;

/// The `SubjectPublicKeyInfo` of a key.
pub(super) fn spki(public: &P256PublicKey) -> Vec<u8> {
    [SPKI_PREFIX.as_slice(), public.uncompressed()].concat()
}

/// Reads a `SubjectPublicKeyInfo` of P-256 with an uncompressed point on the curve.
pub(super) fn public_key(spki: &[u8]) -> Option<P256PublicKey> {
    P256PublicKey::from_uncompressed(spki.strip_prefix(&SPKI_PREFIX)?).ok()
}

/// A signature as notes want it: `Ecdsa-Sig-Value` of RFC 3279 section 2.2.3, in DER.
pub fn der_signature(signature: &Signature) -> Vec<u8> {
    let (r, s) = signature.as_bytes().split_at(32);
    tagged(SEQUENCE, &[integer(r), integer(s)].concat())
}

fn integer(unsigned: &[u8]) -> Vec<u8> {
    let zeros = unsigned.iter().take_while(|byte| **byte == 0).count();
    let shortest = unsigned.get(zeros..).unwrap_or_default();
    // A first bit that is set would make it negative; zero itself has one byte.
    let sign: &[u8] = if shortest.first().is_none_or(|first| *first >= 0x80) { &[0] } else { &[] };
    tagged(INTEGER, &[sign, shortest].concat())
}

/// Tag, length, content. Contents here have at most 70 bytes, so the length is one byte.
fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap_or(u8::MAX);
    [&[tag, length], content].concat()
}
