//! The ceremonies of section 16 of the specification, byte for byte.

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use serde_json::{Value, json};

use super::super::authenticator_data::AuthenticatorData;
use super::super::*;
use super::scene::{now, user};

const FILE: &str = include_str!("../../../../tests/vectors/webauthn/level3.json");

fn bytes(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

fn encoded(value: &Value) -> Value {
    json!(BASE64URL_NOPAD.encode(&bytes(value)))
}

fn challenge(ceremony: &Value) -> [u8; 32] {
    *bytes(&ceremony["challenge"]).first_chunk().unwrap()
}

fn party() -> RelyingParty {
    RelyingParty::parse("example.org", "Examples", &["https://example.org"]).unwrap()
}

fn registration(case: &Value) -> Vec<u8> {
    let made = &case["registration"];
    let id = encoded(&made["credential_id"]);
    let response = json!({
        "clientDataJSON": encoded(&made["clientDataJSON"]),
        "attestationObject": encoded(&made["attestationObject"]),
    });
    let json = json!({ "id": id, "rawId": id, "type": "public-key", "response": response });
    json.to_string().into_bytes()
}

fn assertion(case: &Value) -> Assertion {
    let (id, made) = (encoded(&case["registration"]["credential_id"]), &case["authentication"]);
    let response = json!({
        "clientDataJSON": encoded(&made["clientDataJSON"]),
        "authenticatorData": encoded(&made["authenticatorData"]),
        "signature": encoded(&made["signature"]),
    });
    let json = json!({ "id": id, "rawId": id, "type": "public-key", "response": response });
    Assertion::parse(json.to_string().as_bytes()).unwrap()
}

fn enrolled(case: &Value, hardware: HardwareDemand<'_>) -> Result<Credential, Refused> {
    let enrolment = Enrolment {
        rp: &party(),
        challenge: &challenge(&case["registration"]),
        user: &user(b"person 1"),
        enrolled: &[],
        user_verification: UserVerification::Discouraged,
        discoverable: false,
        hardware,
    };
    enrolment.finish(&Registration::parse(&registration(case))?, now())
}

fn judged(case: &Value, credential: &Credential) -> Result<Verified, Refused> {
    let expected = Expected {
        challenge: &challenge(&case["authentication"]),
        credential,
        counter: credential.counter,
        user_verification: UserVerification::Discouraged,
        hardware: HardwareDemand::Any,
    };
    verify(&party(), &expected, &assertion(case))
}

fn name<T>(found: Result<T, Refused>) -> &'static str {
    found.map_or_else(|refused| refused.fault().name(), |_| "accepted")
}

#[test]
fn each_ceremony_is_accepted_or_refused_for_what_it_is() {
    let file: Value = serde_json::from_str(FILE).unwrap();
    let rows = [
        ("none.ES256", "accepted", "accepted"),
        ("packed-self.ES256", "accepted", "accepted"),
        ("none.ES256.crossOrigin", "cross_origin", ""),
        ("none.ES256.topOrigin", "cross_origin", ""),
        ("none.ES256.long-credential-id", "accepted", "accepted"),
        ("packed.ES256", "accepted", "accepted"),
        ("packed.ES384", "public_key", ""),
        // Its challenge has 128 bytes; ours have 32.
        ("packed.ES512", "challenge", ""),
        ("packed.RS256", "public_key", ""),
        ("packed.EdDSA", "accepted", "accepted"),
        ("packed.Ed448", "public_key", ""),
        ("tpm.ES256", "format", ""),
        ("android-key.ES256", "format", ""),
        ("apple.ES256", "format", ""),
        ("fido-u2f.ES256", "format", ""),
    ];
    assert_eq!(file["cases"].as_object().unwrap().len(), rows.len());
    for (title, registered, authenticated) in rows {
        let case = &file["cases"][title];
        let credential = enrolled(case, HardwareDemand::Any);
        if let Ok(credential) = &credential {
            assert_eq!(name(judged(case, credential)), authenticated, "{title}");
            let mut other = credential.clone();
            other.key = enrolled(&file["cases"]["none.ES256"], HardwareDemand::Any).unwrap().key;
            let expected = if title == "none.ES256" { "accepted" } else { "signature" };
            assert_eq!(name(judged(case, &other)), expected, "{title} with another key");
        }
        assert_eq!(name(credential), registered, "{title}");
    }
}

#[test]
fn attested_ceremonies_lead_to_the_root_of_the_specification() {
    let file: Value = serde_json::from_str(FILE).unwrap();
    let root = BASE64.encode(&bytes(&file["attestation_ca_cert"]));
    let pem = format!("-----BEGIN CERTIFICATE-----\n{root}\n-----END CERTIFICATE-----\n");
    let model = |title: &str| {
        let aaguid = bytes(&file["cases"][title]["registration"]["aaguid"]);
        Aaguid::from_bytes(aaguid.try_into().unwrap())
    };
    let titles = ["packed.EdDSA", "packed.ES256", "packed-self.ES256", "none.ES256"];
    let attestors = Attestors::parse(&[pem.as_str()], &titles.map(model)).unwrap();
    let demand = HardwareDemand::Attested(&attestors);
    let outcomes = ["accepted", "not_hardware", "not_attested", "not_attested"];
    for (title, expected) in titles.into_iter().zip(outcomes) {
        assert_eq!(name(enrolled(&file["cases"][title], demand)), expected, "{title}");
    }
    let few = Attestors::parse(&[pem.as_str()], &[model("packed.ES256")]).unwrap();
    let demand = HardwareDemand::Attested(&few);
    assert_eq!(name(enrolled(&file["cases"]["packed.EdDSA"], demand)), "model");
}

#[test]
fn no_byte_of_a_ceremony_can_change() {
    let file: Value = serde_json::from_str(FILE).unwrap();
    for title in ["none.ES256", "packed.EdDSA"] {
        let case = &file["cases"][title];
        let credential = enrolled(case, HardwareDemand::Any).unwrap();
        for member in ["clientDataJSON", "authenticatorData", "signature"] {
            for index in 0..bytes(&case["authentication"][member]).len() {
                let mut changed = case.clone();
                let mut value = bytes(&case["authentication"][member]);
                value[index] ^= 1;
                changed["authentication"][member] = json!(HEXLOWER.encode(&value));
                assert!(judged(&changed, &credential).is_err(), "{title} {member} {index}");
            }
        }
    }
}

#[test]
fn every_prefix_of_what_is_read_is_refused() {
    let file: Value = serde_json::from_str(FILE).unwrap();
    let object = bytes(&file["cases"]["packed.EdDSA"]["registration"]["attestationObject"]);
    for end in 0..object.len() {
        assert!(cbor::read_all(&object[..end]).is_err(), "{end}");
    }
    let read = attestation::AttestationObject::read(&object).unwrap();
    for end in 0..read.authenticator_data.len() {
        assert!(AuthenticatorData::read(&read.authenticator_data[..end]).is_err(), "{end}");
    }
}
