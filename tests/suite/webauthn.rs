//! A security key that a person enrols and touches, through the library alone: what it signs is an
//! approval of one statement, and of no other.

use countersign::approvals::webauthn::{
    Aaguid, Assertion, Attestors, Credential, Enrolment, Expected, HardwareDemand, Refused,
    Registration, RelyingParty, User, UserHandle, UserVerification, Verified, request_options,
    verify,
};
use countersign::domain::credential::Hardware;
use countersign::domain::time::Timestamp;
use serde_json::Value;

use crate::support::authenticator::{Authenticator, Kind, Maker};

const ORIGIN: &str = "http://localhost:8443";

fn party() -> RelyingParty {
    RelyingParty::parse("localhost", "countersign", &[ORIGIN]).unwrap()
}

fn enrolled(key: &mut Authenticator, maker: &Maker, attestors: &Attestors) -> Credential {
    let (handle, name) = (UserHandle::from_bytes(b"handle").unwrap(), "ann".to_owned());
    let enrolment = Enrolment {
        rp: &party(),
        challenge: &[1; 32],
        user: &User { handle, display_name: name.clone(), name },
        enrolled: &[],
        user_verification: UserVerification::Required,
        discoverable: false,
        hardware: HardwareDemand::of(Hardware::Attested, attestors),
    };
    let options: Value = serde_json::from_str(&enrolment.options()).unwrap();
    let made = key.create(&options, ORIGIN).settled();
    let answer = made.packed(&maker.key(key.aaguid)).to_string();
    let registration = Registration::parse(answer.as_bytes()).unwrap();
    let now = Timestamp::parse("now", "2026-11-25T12:00:00Z").unwrap();
    enrolment.finish(&registration, now).unwrap()
}

fn judged(
    credential: &Credential,
    attestors: &Attestors,
    statement: &[u8; 32],
    evidence: &str,
) -> Result<Verified, Refused> {
    let expected = Expected {
        challenge: statement,
        credential,
        counter: credential.counter,
        user_verification: UserVerification::Required,
        hardware: HardwareDemand::of(Hardware::Attested, attestors),
    };
    verify(&party(), &expected, &Assertion::parse(evidence.as_bytes())?)
}

#[test]
fn a_touch_approves_one_statement_of_one_person() {
    for kind in [Kind::Es256, Kind::EdDsa] {
        let (mut key, maker) = (Authenticator::new(kind), Maker::new());
        let models = [Aaguid::from_bytes(key.aaguid)];
        let attestors = Attestors::parse(&[maker.pem()], &models).unwrap();
        let credential = enrolled(&mut key, &maker, &attestors);
        let credential = Credential::parse(&credential.to_canonical()).unwrap();

        let (statement, verification) = ([7; 32], UserVerification::Required);
        let options = request_options(&party(), &statement, &[&credential], verification);
        let options: Value = serde_json::from_str(&options).unwrap();
        let asked = key.request(&options, ORIGIN);
        let evidence = key.touch(&asked).to_json().to_string();
        let verified = judged(&credential, &attestors, &statement, &evidence).unwrap();
        assert_eq!((verified.counter(), verified.user_verified()), (8, true));
        let kept = Assertion::parse(evidence.as_bytes()).unwrap().to_canonical();
        assert_eq!(judged(&credential, &attestors, &statement, &kept).unwrap(), verified);

        let other = judged(&credential, &attestors, &[8; 32], &evidence).unwrap_err();
        assert_eq!(other.fault().name(), "challenge");
        let mut thief = Authenticator::new(kind);
        thief.id.clone_from(&key.id);
        let forged = thief.touch(&asked).to_json().to_string();
        let forged = judged(&credential, &attestors, &statement, &forged).unwrap_err();
        assert_eq!(forged.fault().name(), "signature");
        assert_eq!(forged.to_string(), other.to_string());
    }
}
