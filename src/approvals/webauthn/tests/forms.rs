//! The forms of what is configured and stored, and of CBOR.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use data_encoding::HEXLOWER;

use super::super::authenticator::{Kind, Maker};
use super::super::cbor::{Cbor, read_all};
use super::super::*;
use super::scene::Scene;

#[test]
fn relying_parties_have_a_domain_and_origins_within_it() {
    let rows: &[(&str, &str, &str)] = &[
        ("example.org", "https://example.org", "accepted"),
        ("example.org", "https://a.example.org", "accepted"),
        ("example.org", "https://example.org:8443", "accepted"),
        ("localhost", "http://localhost:8080", "accepted"),
        ("localhost", "http://localhost", "accepted"),
        ("localhost", "https://localhost:8443", "accepted"),
        ("example.org", "http://example.org", "scheme"),
        ("example.org", "https:/example.org", "scheme"),
        ("example.org", "example.org", "scheme"),
        ("example.org", "HTTPS://example.org", "scheme"),
        ("example.org", "wss://example.org", "scheme"),
        ("localhost", "http://localhost.example.org", "scheme"),
        ("localhost", "http://127.0.0.1", "scheme"),
        ("example.org", "", "scheme"),
        ("example.org", "https://", "host"),
        ("example.org", "https://example.org/", "host"),
        ("example.org", "https://Example.org", "host"),
        ("example.org", "https://a@example.org", "host"),
        ("example.org", "https://*.example.org", "host"),
        ("example.org", "https://example.org.", "host"),
        ("example.org", "https://-.example.org", "host"),
        ("example.org", "https://127.0.0.1", "host"),
        ("example.org", "https://b\u{fc}cher.example.org", "host"),
        ("example.org", "https://example.org:443", "port"),
        ("localhost", "http://localhost:80", "port"),
        ("example.org", "https://example.org:", "port"),
        ("example.org", "https://example.org:0", "port"),
        ("example.org", "https://example.org:08443", "port"),
        ("example.org", "https://example.org:65536", "port"),
        ("example.org", "https://example.org:+80", "port"),
        ("example.org", "https://example.org:8443/", "port"),
        ("example.org", "https://other.example", "scope"),
        ("example.org", "https://notexample.org", "scope"),
        ("a.example.org", "https://example.org", "scope"),
        ("", "https://example.org", "host"),
        ("Example.org", "https://example.org", "host"),
        ("https://example.org", "https://example.org", "host"),
        ("10.0.0.1", "https://10.0.0.1", "host"),
    ];
    for (id, origin, expected) in rows {
        let found = RelyingParty::parse(id, "Payments", &[origin]);
        let rule = found.as_ref().map_or_else(|refused| refused.rule, |_| "accepted");
        assert_eq!(rule, *expected, "{id} {origin}");
        if let Ok(rp) = found {
            assert_eq!((rp.id(), rp.name(), rp.origins().len()), (*id, "Payments", 1));
            assert_eq!(rp.origins()[0].to_string(), *origin);
        }
    }
    let none: [&str; 0] = [];
    assert_eq!(RelyingParty::parse("a.example", "P", &none).unwrap_err().rule, "count");
    let refused = RelyingParty::parse("a.example", "P\n", &["https://a.example"]);
    assert_eq!(refused.unwrap_err().rule, "control");
}

#[test]
fn a_credential_has_one_stored_form() {
    for scene in [Scene::of(Kind::Es256), Scene::of(Kind::EdDsa), Scene::of_passkey()] {
        let stored = scene.credential.to_canonical();
        assert_eq!(Credential::parse(&stored), Ok(scene.credential), "{stored}");
    }
    let stored = Scene::of(Kind::Es256).credential.to_canonical();
    type Change = fn(&str) -> String;
    let rows: &[(&str, &str, Change)] = &[
        ("white space", "canonical", |s| s.replacen(':', ": ", 1)),
        ("white space after it", "canonical", |s| format!("{s}\n")),
        ("members in another order", "canonical", |s| {
            let counter = r#""counter":"7","#;
            s.replacen(counter, "", 1).replacen('{', &format!("{{{counter}"), 1)
        }),
        ("a zero before the counter", "canonical", |s| s.replace(r#""7""#, r#""07""#)),
        ("transports in another order", "canonical", |s| {
            s.replace(r#"["nfc","usb"]"#, r#"["usb","nfc"]"#)
        }),
        ("an unknown transport", "canonical", |s| s.replace("nfc", "xyz")),
        ("a member more", "form", |s| s.replacen('{', r#"{"a":"b","#, 1)),
        ("a member twice", "form", |s| s.replacen('{', r#"{"counter":"7","#, 1)),
        ("a number", "form", |s| s.replace(r#""7""#, "7")),
        ("a counter that is none", "form", |s| s.replace(r#""7""#, r#""-7""#)),
        ("a word that is none", "form", |s| s.replace(r#""true""#, r#""yes""#)),
        ("another schema", "schema", |s| s.replace("credential/1", "credential/2")),
        ("another algorithm", "algorithm", |s| s.replace("ES256", "ES384")),
        ("a key of another algorithm", "point", |s| s.replace("ES256", "EdDSA")),
        ("a model that is none", "aaguid", |s| s.replace(r#""aaguid":""#, r#""aaguid":"0"#)),
        ("a root that is none", "fingerprint", |s| s.replace(r#""root":""#, r#""root":"0"#)),
        ("half of it", "form", |s| s[..s.len() / 2].to_owned()),
    ];
    for (what, rule, change) in rows {
        assert_eq!(Credential::parse(&change(&stored)).unwrap_err().rule, *rule, "{what}");
    }
}

#[test]
fn attestors_are_roots_and_models() {
    let model = Aaguid::parse("models", "2fc0579f-8113-47ea-b116-bb5a8db9202a").unwrap();
    assert_eq!(model.to_string(), "2fc0579f-8113-47ea-b116-bb5a8db9202a");
    let maker = Maker::new();
    let leaf = maker.key([1; 16]).chain[0].clone();
    let pem = |der: &[u8]| {
        let body = data_encoding::BASE64.encode(der);
        format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    };
    let zeros = Aaguid::from_bytes([0; 16]);
    let rows: Vec<(&str, &str, Vec<String>, Vec<Aaguid>)> = vec![
        ("a root", "accepted", vec![maker.pem().to_owned()], vec![model]),
        ("two in one file", "accepted", vec![maker.pem().repeat(2)], vec![model]),
        ("no file", "count", vec![], vec![model]),
        ("an empty file", "count", vec![String::new()], vec![model]),
        ("too many", "count", vec![maker.pem().repeat(65)], vec![model]),
        ("broken PEM", "pem", vec![maker.pem().replace("-----END", "----END")], vec![model]),
        ("no authority", "root", vec![pem(&leaf)], vec![model]),
        ("no certificate", "root", vec![pem(&[0x30, 0])], vec![model]),
        ("no model", "models", vec![maker.pem().to_owned()], vec![]),
        ("the model of zeros", "models", vec![maker.pem().to_owned()], vec![model, zeros]),
    ];
    for (what, expected, pems, models) in rows {
        let found = Attestors::parse(&pems, &models);
        let rule = found.map_or_else(|refused| refused.rule, |_| "accepted");
        assert_eq!(rule, expected, "{what}");
    }
    for text in ["", "2fc0579f811347eab116bb5a8db9202a", "2FC0579F-8113-47EA-B116-BB5A8DB9202A"] {
        assert_eq!(Aaguid::parse("models", text).unwrap_err().rule, "aaguid", "{text}");
    }
}

#[test]
fn cbor_is_read_in_its_one_form() {
    let accepted = [
        ("00", Cbor::Integer(0)),
        ("17", Cbor::Integer(23)),
        ("1818", Cbor::Integer(24)),
        ("190100", Cbor::Integer(256)),
        ("1a00010000", Cbor::Integer(65536)),
        ("1b7fffffffffffffff", Cbor::Integer(i64::MAX)),
        ("20", Cbor::Integer(-1)),
        ("3b7fffffffffffffff", Cbor::Integer(i64::MIN)),
        ("4101", Cbor::Bytes(&[1])),
        ("6161", Cbor::Text("a")),
        ("80", Cbor::List(vec![])),
        ("a0", Cbor::Map(vec![])),
        ("f4", Cbor::Bool(false)),
        ("f5", Cbor::Bool(true)),
        ("f6", Cbor::Null),
        (
            "a2186401616101",
            Cbor::Map(vec![
                (Cbor::Integer(100), Cbor::Integer(1)),
                (Cbor::Text("a"), Cbor::Integer(1)),
            ]),
        ),
        ("a2200118ff02", Cbor::Null),
        ("81818180", Cbor::Null),
    ];
    for (hex, expected) in accepted {
        let bytes = HEXLOWER.decode(hex.as_bytes()).unwrap();
        let found = read_all(&bytes);
        match (hex, found) {
            ("a2200118ff02", found) => assert!(found.is_err(), "negative before positive"),
            ("81818180", found) => assert!(found.is_ok(), "four levels"),
            (_, found) => assert_eq!(found.unwrap(), expected, "{hex}"),
        }
    }
}

#[test]
fn cbor_of_any_other_form_is_refused() {
    let refused = [
        ("", "nothing"),
        ("0000", "two values"),
        ("1817", "23 in two bytes"),
        ("1900ff", "255 in three bytes"),
        ("1a0000ffff", "65535 in five bytes"),
        ("1b00000000ffffffff", "32 bits in nine bytes"),
        ("1bffffffffffffffff", "64 bits"),
        ("3bffffffffffffffff", "64 bits, negative"),
        ("18", "a head cut off"),
        ("42 01", "a string cut off"),
        ("5801 00", "a length that is not shortest"),
        ("5f4101ff", "a string of pieces"),
        ("7f6161ff", "a text of pieces"),
        ("61ff", "a text that is not UTF-8"),
        ("9fff", "an array of no length"),
        ("bfff", "a map of no length"),
        ("a1", "a map cut off"),
        ("a100", "half a pair"),
        ("a201010001", "keys that fall"),
        ("a201010101", "a key twice"),
        ("a26161016101", "a shorter key later"),
        ("a2616101 00 01", "a number after a text"),
        ("a1f501", "a key that is no string"),
        ("a18001", "a key that is an array"),
        ("c000", "a tag"),
        ("f7", "undefined"),
        ("f93c00", "a half float"),
        ("f818", "simple 24"),
        ("fb3ff0000000000000", "a float"),
        ("ff", "a break"),
        ("1c", "a reserved length"),
        ("8181818180", "five levels"),
        ("9bffffffffffffffff", "an array of lies"),
        ("bb7fffffffffffffff", "a map of lies"),
        ("5b7fffffffffffffff", "a string of lies"),
    ];
    for (hex, what) in refused {
        let bytes = HEXLOWER.decode(hex.replace(' ', "").as_bytes()).unwrap();
        assert!(read_all(&bytes).is_err(), "{what}: {hex}");
    }
}

#[test]
fn a_point_of_small_order_would_verify_what_nobody_signed() {
    let zero = "0".repeat(64);
    let identity = format!("01{}", "0".repeat(62));
    let minus_one = "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f";
    let order_8 = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05";
    let signature = HEXLOWER.decode(format!("{identity}{zero}").as_bytes()).unwrap();
    for point in [zero.as_str(), identity.as_str(), minus_one, order_8] {
        let key = HEXLOWER.decode(point.as_bytes()).unwrap();
        let forged =
            |n: u8| UnparsedPublicKey::new(&ED25519, &key).verify(&[n], &signature).is_ok();
        assert!((0..200).any(forged), "{point} is harmless; the check could go");
        let found = cose::strong(crate::domain::key::Algorithm::EdDsa, &key);
        assert_eq!(found.unwrap_err().name(), "public_key", "{point}");
    }
}
