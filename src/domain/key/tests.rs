//! Keys of both algorithms, against what others computed.

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};

use super::*;

/// The P-256 key of RFC 7517 appendix A.1.
const X: &str = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4";
const Y: &str = "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM";
/// The Ed25519 key of RFC 8037 appendix A.2, and its thumbprint of appendix A.3.
const ED25519: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
const ED25519_THUMBPRINT: &str = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";

fn decode(text: &str) -> Vec<u8> {
    BASE64URL_NOPAD.decode(text.as_bytes()).unwrap()
}

fn rfc_point() -> Vec<u8> {
    [vec![4], decode(X), decode(Y)].concat()
}

#[test]
fn a_p256_key_has_the_thumbprint_that_other_software_computes() {
    let key = PublicKey::from_bytes(Algorithm::Es256, &rfc_point()).unwrap();
    let expected = Jwk { kty: "EC", crv: "P-256", x: X.to_owned(), y: Some(Y.to_owned()) };
    assert_eq!((key.jwk(), key.algorithm()), (expected, Algorithm::Es256));
    let jwk = format!(r#"{{"crv":"P-256","kty":"EC","x":"{X}","y":"{Y}"}}"#);
    let expected = BASE64URL_NOPAD.encode(&Sha256::digest(jwk));
    assert_eq!(key.kid().as_str(), expected);
    assert_eq!(Kid::parse("pin", &expected).unwrap(), *key.kid());
    assert_eq!(key.as_bytes(), rfc_point());
}

#[test]
fn an_ed25519_key_has_the_thumbprint_of_rfc_8037() {
    let key = PublicKey::from_bytes(Algorithm::EdDsa, &decode(ED25519)).unwrap();
    let expected = Jwk { kty: "OKP", crv: "Ed25519", x: ED25519.to_owned(), y: None };
    assert_eq!((key.jwk(), key.algorithm()), (expected, Algorithm::EdDsa));
    assert_eq!(key.kid().as_str(), ED25519_THUMBPRINT);
    assert_eq!(key.as_bytes(), decode(ED25519));
}

#[test]
fn bytes_that_are_no_key_of_the_algorithm_are_refused() {
    let mut off_curve = rfc_point();
    off_curve[64] ^= 1;
    let long = [decode(ED25519), vec![0]].concat();
    for (algorithm, bytes) in [
        (Algorithm::Es256, vec![]),
        (Algorithm::Es256, vec![0]),
        (Algorithm::Es256, off_curve),
        (Algorithm::Es256, rfc_point()[..64].to_vec()),
        (Algorithm::Es256, decode(ED25519)),
        (Algorithm::EdDsa, vec![]),
        (Algorithm::EdDsa, decode(ED25519)[..31].to_vec()),
        (Algorithm::EdDsa, long),
        (Algorithm::EdDsa, rfc_point()),
    ] {
        assert_eq!(PublicKey::from_bytes(algorithm, &bytes).unwrap_err().rule, "point");
    }
}

#[test]
fn names_and_thumbprints_have_one_form() {
    for text in ["", "Settlement", "a b", "ä", &"a".repeat(65)] {
        assert!(KeyId::parse("key", text).is_err(), "{text}");
    }
    for text in ["", "abc", &"!".repeat(43), &"A".repeat(44)] {
        assert_eq!(Kid::parse("pin", text).unwrap_err().rule, "thumbprint", "{text}");
    }
    for algorithm in Algorithm::ALL {
        assert_eq!(Algorithm::parse("algorithm", algorithm.name()), Ok(algorithm));
    }
    for text in ["", "es256", "EDDSA", "Ed25519", "ES256K", "none"] {
        assert_eq!(Algorithm::parse("algorithm", text).unwrap_err().rule, "algorithm", "{text}");
    }
}
