//! The forms of the RFCs, byte for byte.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey, VerificationAlgorithm,
};

use super::super::tests::{denied, p256};
use super::*;

#[test]
fn the_digest_is_that_of_the_rfcs() {
    for (body, expected) in [
        // RFC 9530 appendix D, and RFC 9421 section B.2 with its test request.
        (&br#"{"hello": "world"}"#[..], "X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE="),
        (b"{\"hello\": \"world\"}\n", "RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg="),
    ] {
        assert_eq!(content_digest(body), format!("sha-256=:{expected}:"));
    }
}

/// RFC 9421 sections B.2.4 and B.2.6, with the keys of sections B.1.3 and B.1.4.
#[test]
fn the_test_vectors_of_rfc_9421_have_our_base_and_verify() {
    let response = signature_base(&[
        ("@status", "200"),
        ("content-type", "application/json"),
        (
            "content-digest",
            "sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rj\
             Juahq4l5aGgfLQ==:",
        ),
        ("content-length", "23"),
        (
            "@signature-params",
            "(\"@status\" \"content-type\" \"content-digest\" \"content-length\")\
             ;created=1618884473;keyid=\"test-key-ecc-p256\"",
        ),
    ]);
    let request = signature_base(&[
        ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("@method", "POST"),
        ("@path", "/foo"),
        ("@authority", "example.com"),
        ("content-type", "application/json"),
        ("content-length", "18"),
        (
            "@signature-params",
            "(\"date\" \"@method\" \"@path\" \"@authority\" \"content-type\" \
             \"content-length\");created=1618884473;keyid=\"test-key-ed25519\"",
        ),
    ]);
    let vectors: [(&dyn VerificationAlgorithm, _, _, _); 2] = [
        (
            &ECDSA_P256_SHA256_FIXED,
            "BKiFWGVSwqz2Rxh4z9ewk1tP/g/S38NBJI6he8QeBYrwMc4nN9LTDOBhfoUeg8Ye9WedFRhnZXZJA12Qp0zZ\
             6F0=",
            response,
            "wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDA\
             Uy5eCdlYUEkLIj+32oiasw==",
        ),
        (
            &ED25519,
            "JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=",
            request,
            "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu\
             4A0w6vuQv5lIp5WPpBKRCw==",
        ),
    ];
    for (algorithm, key, base, signature) in vectors {
        let decoded = |text: &str| BASE64.decode(text.as_bytes()).unwrap();
        let key = UnparsedPublicKey::new(algorithm, decoded(key));
        key.verify(base.as_bytes(), &decoded(signature)).expect(&base);
    }
}

#[test]
fn a_message_is_what_a_verifier_reconstructs() {
    let target = Target::parse("url", "https://shop.example/hooks?tenant=7").unwrap();
    let public = p256();
    let created = Timestamp::from_unix_ms(1_700_000_000_999);
    let event = denied(4711);
    let message = NotificationMessage::new(&event, &target, created, &public);
    let (kid, id) = (public.kid(), event.id());
    let params = format!(
        "(\"@method\" \"@target-uri\" \"content-type\" \"content-digest\");created=1700000000;\
         keyid=\"{kid}\";alg=\"ecdsa-p256-sha256\";nonce=\"{id}\";tag=\"countersign-notification\""
    );
    assert_eq!(message.signature_input(), format!("sig1={params}"));
    let expected = format!(
        "\"@method\": POST\n\"@target-uri\": https://shop.example/hooks?tenant=7\n\
         \"content-type\": application/json\n\"content-digest\": {}\n\
         \"@signature-params\": {params}",
        content_digest(event.to_body().as_bytes())
    );
    assert_eq!(String::from_utf8(message.to_bytes()).unwrap(), expected);
    assert_eq!(message.body(), event.to_body());
    let field = NotificationMessage::signature_field(&Signature::from_bytes([0; 64]));
    assert_eq!(field, format!("sig1=:{}==:", "A".repeat(86)));
}

#[test]
fn each_of_its_parts_changes_what_is_signed() {
    let target = |text| Target::parse("url", text).unwrap();
    let (here, there) = (target("https://a.example/"), target("https://b.example/"));
    let public = p256();
    let at = Timestamp::from_unix_ms(1_700_000_000_000);
    let later = Timestamp::from_unix_ms(1_700_000_001_000);
    let bytes = |event: &Event, target: &Target, created| {
        NotificationMessage::new(event, target, created, &public).to_bytes()
    };
    let first = bytes(&denied(1), &here, at);
    assert_eq!(first, bytes(&denied(1), &here, at));
    for other in [
        bytes(&denied(2), &here, at),
        bytes(&denied(1), &there, at),
        bytes(&denied(1), &here, later),
    ] {
        assert_ne!(first, other);
    }
}
