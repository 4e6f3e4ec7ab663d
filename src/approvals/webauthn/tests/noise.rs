//! Bytes that nobody meant: no parser panics, and nothing that is read is read from two forms.

use data_encoding::BASE64URL_NOPAD;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;

use super::super::authenticator::Kind;
use super::super::authenticator_data::AuthenticatorData;
use super::super::*;
use super::scene::{ORIGIN, Scene};

proptest! {
    #[test]
    fn noise_is_refused_without_a_panic(bytes in vec(any::<u8>(), 0..400)) {
        let _ = cbor::read_all(&bytes);
        let _ = AuthenticatorData::read(&bytes);
        let _ = attestation::AttestationObject::read(&bytes);
        let _ = certificate::key_of(&bytes, &Aaguid::from_bytes([1; 16]));
        let text = String::from_utf8_lossy(&bytes);
        prop_assert!(Credential::parse(&text).is_err());
        prop_assert!(Attestors::parse(&[&bytes], &[Aaguid::from_bytes([1; 16])]).is_err());
        let _ = Origin::parse("origins", &text);
        prop_assert!(Assertion::parse(&bytes).is_err());
        prop_assert!(Registration::parse(&bytes).is_err());
    }

    #[test]
    fn noise_in_the_right_places_is_refused(
        client_data in vec(any::<u8>(), 1..300),
        data in vec(any::<u8>(), 1..300),
        signature in vec(any::<u8>(), 1..80),
    ) {
        let encoded = |bytes: &[u8]| json!(BASE64URL_NOPAD.encode(bytes));
        let response = json!({
            "clientDataJSON": encoded(&client_data),
            "authenticatorData": encoded(&data),
            "signature": encoded(&signature),
        });
        let json = json!({
            "id": "AAAA", "rawId": "AAAA", "type": "public-key", "response": response,
        });
        let read = Assertion::parse(json.to_string().as_bytes()).unwrap();
        let again = Assertion::parse(read.to_canonical().as_bytes()).unwrap();
        prop_assert_eq!(read, again);
    }

    #[test]
    fn authenticator_data_of_random_flags_and_tails_never_panics(
        flags in any::<u8>(),
        tail in vec(any::<u8>(), 0..120),
    ) {
        let data = [&[0; 32][..], &[flags], &[0; 4], &tail].concat();
        let _ = AuthenticatorData::read(&data);
    }

    #[test]
    fn cbor_that_looks_like_cbor_never_panics(
        bytes in vec(prop::sample::select(
            vec![0x00, 0x18, 0x1b, 0x20, 0x40, 0x41, 0x58, 0x5f, 0x60, 0x61, 0x7b, 0x80, 0x81,
                0x9b, 0x9f, 0xa0, 0xa1, 0xa2, 0xbb, 0xbf, 0xc0, 0xf4, 0xf6, 0xf9, 0xff],
        ), 0..40),
    ) {
        let _ = cbor::read_all(&bytes);
    }
}

#[test]
fn no_bit_of_an_assertion_can_change() {
    for kind in [Kind::Es256, Kind::EdDsa] {
        let mut scene = Scene::of(kind);
        let asked = scene.key.request(&scene.options(), ORIGIN);
        let touch = scene.key.touch(&asked);
        assert!(scene.judge(&touch.to_json()).is_ok());
        for bit in 0..8 * touch.authenticator_data.len() {
            let mut changed = touch.clone();
            changed.authenticator_data[bit / 8] ^= 1 << (bit % 8);
            assert!(scene.judge(&changed.to_json()).is_err(), "authenticator data, bit {bit}");
        }
        for bit in 0..8 * touch.signature.len() {
            let mut changed = touch.clone();
            changed.signature[bit / 8] ^= 1 << (bit % 8);
            assert!(scene.judge(&changed.to_json()).is_err(), "signature, bit {bit}");
        }
    }
}
