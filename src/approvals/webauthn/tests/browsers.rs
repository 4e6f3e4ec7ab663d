//! Ceremonies that a real browser made, with options of ours and a virtual authenticator.

use serde_json::Value;

use crate::domain::credential::Hardware;

use super::super::*;
use super::scene::{now, user};

const FILE: &str = include_str!("../../../../tests/vectors/webauthn/chromium.json");

#[test]
fn what_chromium_answers_is_accepted_as_it_comes() {
    let file: Value = serde_json::from_str(FILE).unwrap();
    let rp = RelyingParty::parse("localhost", "countersign", &[file["origin"].as_str().unwrap()]);
    let (rp, user) = (rp.unwrap(), user(b"person 1"));
    for (case, passkey) in [
        ("usb.none", false),
        ("usb.direct", false),
        ("passkey.none", true),
        ("passkey.direct", true),
    ] {
        let case = &file["cases"][case];
        let hardware = if passkey { HardwareDemand::Any } else { HardwareDemand::Hardware };
        let user_verification = UserVerification::Required;
        let enrolment = Enrolment {
            rp: &rp,
            challenge: &[1; 32],
            user: &user,
            enrolled: &[],
            user_verification,
            discoverable: passkey,
            hardware,
        };
        let made = Registration::parse(case["registration"].to_string().as_bytes()).unwrap();
        let credential = enrolment.finish(&made, now()).unwrap();
        assert_eq!(credential.backup_eligible, passkey);
        let told = if passkey { Hardware::Unproven } else { Hardware::DeviceBound };
        assert_eq!(credential.hardware(), told);
        let mut counter = credential.counter;
        for touch in case["assertions"].as_array().unwrap() {
            let touch = Assertion::parse(touch.to_string().as_bytes()).unwrap();
            let challenge = &[2; 32];
            let expected = Expected {
                challenge,
                credential: &credential,
                counter,
                user_verification,
                hardware,
            };
            let verified = verify(&rp, &expected, &touch).unwrap();
            assert!(verified.user_verified() && verified.backed_up() == passkey);
            assert!(verified.counter() > counter, "a virtual authenticator counts");
            counter = verified.counter();
            let other = Expected { challenge: &[3; 32], ..expected };
            let refused = verify(&rp, &other, &touch).unwrap_err();
            assert_eq!(refused.fault().name(), "challenge");
        }
    }
}
