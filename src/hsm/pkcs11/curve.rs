//! What PKCS#11 calls the two kinds of keys: types, mechanisms, curve parameters, points.

use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::KeyType;

use crate::domain::key::Algorithm;

/// `prime256v1`, 1.2.840.10045.3.1.7, as DER.
pub(super) const P256_OID: [u8; 10] = [0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];
/// The printable string `edwards25519`, as DER: what SoftHSM gives and takes (PKCS#11 3.0 section
/// 2.3.5 allows names).
pub(super) const EDWARDS25519_NAME: [u8; 14] = *b"\x13\x0cedwards25519";
/// `id-Ed25519`, 1.3.101.112 (RFC 8410 section 3), as DER.
pub(super) const ED25519_OID: [u8; 5] = [0x06, 0x03, 0x2B, 0x65, 0x70];

/// `CKA_KEY_TYPE`, and how messages call it.
pub(super) fn key_type(algorithm: Algorithm) -> (KeyType, &'static str) {
    match algorithm {
        Algorithm::Es256 => (KeyType::EC, "EC"),
        Algorithm::EdDsa => (KeyType::EC_EDWARDS, "EC_EDWARDS"),
    }
}

/// What makes pairs.
pub(super) fn generation(algorithm: Algorithm) -> Mechanism<'static> {
    match algorithm {
        Algorithm::Es256 => Mechanism::EccKeyPairGen,
        Algorithm::EdDsa => Mechanism::EccEdwardsKeyPairGen,
    }
}

/// What signs: ECDSA over a digest of ours, pure Ed25519 over the message itself.
pub(super) fn signing(algorithm: Algorithm) -> Mechanism<'static> {
    match algorithm {
        Algorithm::Es256 => Mechanism::Ecdsa,
        Algorithm::EdDsa => Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure)),
    }
}

/// The forms of `CKA_EC_PARAMS` that mean the curve. Keys are generated with the first one that
/// the token takes.
pub(super) fn parameters(algorithm: Algorithm) -> &'static [&'static [u8]] {
    match algorithm {
        Algorithm::Es256 => &[&P256_OID],
        Algorithm::EdDsa => &[&EDWARDS25519_NAME, &ED25519_OID],
    }
}

/// How messages call the curve and the form of its points.
pub(super) fn expected_point(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Es256 => "a point on P-256, of 65 bytes or in a DER octet string",
        Algorithm::EdDsa => "an Ed25519 key, of 32 bytes or in a DER octet string",
    }
}

/// The public key in `CKA_EC_POINT`, raw or as a DER octet string: both are in use, and nothing
/// else is taken. The lengths tell which it is.
pub(super) fn unwrapped(algorithm: Algorithm, point: &[u8]) -> Option<&[u8]> {
    match (algorithm, point) {
        (Algorithm::Es256, [0x04, ..]) if point.len() == 65 => Some(point),
        (Algorithm::Es256, [0x04, 0x41, inner @ ..])
            if inner.len() == 65 && inner.first() == Some(&0x04) =>
        {
            Some(inner)
        }
        (Algorithm::EdDsa, _) if point.len() == 32 => Some(point),
        (Algorithm::EdDsa, [0x04, 0x20, inner @ ..]) if inner.len() == 32 => Some(inner),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_raw_or_wrapped_and_nothing_else() {
        let p256 = [vec![4], vec![7; 64]].concat();
        for (algorithm, raw) in [(Algorithm::Es256, p256), (Algorithm::EdDsa, vec![4; 32])] {
            let length = u8::try_from(raw.len()).unwrap();
            let wrapped = [vec![4, length], raw.clone()].concat();
            assert_eq!(unwrapped(algorithm, &raw), Some(raw.as_slice()));
            assert_eq!(unwrapped(algorithm, &wrapped), Some(raw.as_slice()));
            let compressed = [vec![2], vec![7; 32]].concat();
            let bit_string = [vec![3, length + 1, 0], raw.clone()].concat();
            let long_length = [vec![4, 0x81, length], raw.clone()].concat();
            let not_a_point = [vec![4, length, 2], vec![7; 64]].concat();
            let trailing = [wrapped.clone(), vec![0]].concat();
            let short = raw[..raw.len() - 1].to_vec();
            for other in [
                vec![],
                compressed,
                bit_string,
                long_length,
                not_a_point,
                trailing,
                short,
                wrapped[..wrapped.len() - 1].to_vec(),
            ] {
                assert_eq!(unwrapped(algorithm, &other), None, "{algorithm}: {other:02x?}");
            }
        }
        // One algorithm's point is none of the other's.
        assert_eq!(unwrapped(Algorithm::Es256, &[4; 32]), None);
        assert_eq!(unwrapped(Algorithm::EdDsa, &[4; 65]), None);
    }

    #[test]
    fn parameters_are_der() {
        for form in Algorithm::ALL.into_iter().flat_map(parameters) {
            assert_eq!(usize::from(form[1]) + 2, form.len(), "{form:02x?}");
        }
    }
}
