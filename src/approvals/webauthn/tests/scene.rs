//! A relying party, a person with a key that is enrolled, and a statement to approve.

use serde_json::{Value, json};

use crate::domain::time::Timestamp;

use super::super::authenticator::{Asked, Authenticator, BE, Creation, ED, Kind, Maker};
use super::super::*;

pub(super) const ORIGIN: &str = "https://pay.example.org";

/// What is demanded of the hardware, owned.
pub(super) enum Demand {
    Any,
    Hardware,
    Attested(Attestors),
}

impl Demand {
    pub(super) fn borrowed(&self) -> HardwareDemand<'_> {
        match self {
            Self::Any => HardwareDemand::Any,
            Self::Hardware => HardwareDemand::Hardware,
            Self::Attested(attestors) => HardwareDemand::Attested(attestors),
        }
    }
}

/// Everything that an assertion is judged by.
pub(super) struct Scene {
    pub(super) rp: RelyingParty,
    pub(super) key: Authenticator,
    pub(super) maker: Maker,
    pub(super) credential: Credential,
    pub(super) challenge: [u8; 32],
    pub(super) counter: u32,
    pub(super) verification: UserVerification,
    pub(super) demand: Demand,
}

pub(super) fn now() -> Timestamp {
    Timestamp::parse("now", "2026-11-25T12:00:00Z").unwrap()
}

pub(super) fn party() -> RelyingParty {
    let origins = [ORIGIN, "https://pay.example.org:8443", "https://console.pay.example.org"];
    RelyingParty::parse("pay.example.org", "Payments", &origins).unwrap()
}

pub(super) fn user(handle: &[u8]) -> User {
    let handle = UserHandle::from_bytes(handle).unwrap();
    User { handle, name: "ann@example.org".to_owned(), display_name: "Ann".to_owned() }
}

pub(super) fn attestors(maker: &Maker, models: &[[u8; 16]]) -> Attestors {
    let models: Vec<Aaguid> = models.iter().copied().map(Aaguid::from_bytes).collect();
    Attestors::parse(&[maker.pem()], &models).unwrap()
}

impl Scene {
    /// A hardware key that is attested and counts; everything is demanded.
    pub(super) fn of(kind: Kind) -> Self {
        Self::with(Authenticator::new(kind), true)
    }

    /// A passkey that is copied and does not count; nothing is demanded of it.
    pub(super) fn of_passkey() -> Self {
        let mut key = Authenticator::new(Kind::Es256);
        (key.flags, key.counter, key.step) = (key.flags | BE, 0, 0);
        Self::with(key, false)
    }

    fn with(mut key: Authenticator, attested: bool) -> Self {
        let (rp, user, maker) = (party(), user(b"person 1"), Maker::new());
        let demand = match attested {
            true => Demand::Attested(attestors(&maker, &[key.aaguid])),
            false => Demand::Any,
        };
        let verification = UserVerification::Required;
        let enrolment = Enrolment {
            rp: &rp,
            challenge: &[1; 32],
            user: &user,
            enrolled: &[],
            user_verification: verification,
            discoverable: false,
            hardware: demand.borrowed(),
        };
        let made = created(&enrolment, &mut key);
        let answer = match attested {
            true => made.packed(&maker.key(key.aaguid)),
            false => made.none(),
        };
        let credential = finished(&enrolment, &answer).unwrap();
        let (counter, challenge) = (credential.counter, [0xa5; 32]);
        Self { rp, key, maker, credential, challenge, counter, verification, demand }
    }

    /// The options for one touch.
    pub(super) fn options(&self) -> Value {
        let credentials = [&self.credential];
        let options = request_options(&self.rp, &self.challenge, &credentials, self.verification);
        serde_json::from_str(&options).unwrap()
    }

    /// The judgement of what a page posts.
    pub(super) fn judge(&self, json: &Value) -> Result<Verified, Refused> {
        self.judge_text(&json.to_string())
    }

    pub(super) fn judge_text(&self, json: &str) -> Result<Verified, Refused> {
        let expected = Expected {
            challenge: &self.challenge,
            credential: &self.credential,
            counter: self.counter,
            user_verification: self.verification,
            hardware: self.demand.borrowed(),
        };
        verify(&self.rp, &expected, &Assertion::parse(json.as_bytes())?)
    }
}

/// A new credential, for the options of an enrolment.
pub(super) fn created(enrolment: &Enrolment<'_>, key: &mut Authenticator) -> Creation {
    let options: Value = serde_json::from_str(&enrolment.options()).unwrap();
    key.create(&options, ORIGIN).settled()
}

/// The judgement of what a page posts.
pub(super) fn finished(enrolment: &Enrolment<'_>, json: &Value) -> Result<Credential, Refused> {
    enrolment.finish(&Registration::parse(json.to_string().as_bytes())?, now())
}

/// Adds extensions, or what passes for them.
pub(super) fn extended(asked: &mut Asked, extensions: Vec<u8>) {
    asked.flags |= ED;
    asked.tail = extensions;
}

/// Adds padding.
pub(super) fn pad(member: &mut Value) {
    *member = json!(format!("{}==", member.as_str().unwrap()));
}
