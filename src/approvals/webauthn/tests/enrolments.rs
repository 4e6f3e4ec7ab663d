//! Enrolments that are right but for one detail.

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use crate::domain::credential::{CredentialId, Hardware};

use super::super::authenticator::{
    AT, Authenticator, BE, BS, Creation, ED, Kind, Maker, UP, UV, bytes, integer, list, map, text,
};
use super::super::*;
use super::scene::{Demand, attestors, created, finished, now, party, user};

/// Who answers, and to what.
pub(super) struct Room {
    key: Authenticator,
    maker: Maker,
    demand: Demand,
    verification: UserVerification,
    challenge: [u8; 32],
    enrolled: Vec<Credential>,
}

impl Room {
    pub(super) fn new() -> Self {
        Self::of(Kind::Es256)
    }

    fn of(kind: Kind) -> Self {
        let (key, maker) = (Authenticator::new(kind), Maker::new());
        let demand = Demand::Attested(attestors(&maker, &[key.aaguid]));
        let (verification, enrolled) = (UserVerification::Required, Vec::new());
        Self { key, maker, demand, verification, challenge: [2; 32], enrolled }
    }

    pub(super) fn undemanding(mut self) -> Self {
        self.demand = Demand::Any;
        self
    }

    fn with<T>(&mut self, act: impl FnOnce(&Enrolment<'_>, &mut Authenticator, &Maker) -> T) -> T {
        let enrolled: Vec<&Credential> = self.enrolled.iter().collect();
        let enrolment = Enrolment {
            rp: &party(),
            challenge: &self.challenge,
            user: &user(b"person 1"),
            enrolled: &enrolled,
            user_verification: self.verification,
            discoverable: false,
            hardware: self.demand.borrowed(),
        };
        act(&enrolment, &mut self.key, &self.maker)
    }

    /// Creates, changes what is signed, has it attested, judges.
    pub(super) fn outcome(
        &mut self,
        change: impl FnOnce(&mut Creation),
        attest: impl FnOnce(&Creation, &Authenticator, &Maker) -> Value,
    ) -> Result<Credential, Refused> {
        self.with(|enrolment, key, maker| {
            let mut made = created(enrolment, key);
            change(&mut made);
            finished(enrolment, &attest(&made.settled(), key, maker))
        })
    }
}

pub(super) fn packed(made: &Creation, _: &Authenticator, maker: &Maker) -> Value {
    made.packed(&maker.key(made.aaguid))
}

pub(super) fn none(made: &Creation, _: &Authenticator, _: &Maker) -> Value {
    made.none()
}

pub(super) fn own(made: &Creation, key: &Authenticator, _: &Maker) -> Value {
    made.packed_self(key)
}

pub(super) fn name(found: Result<Credential, Refused>) -> &'static str {
    found.map_or_else(|refused| refused.fault().name(), |_| "accepted")
}

#[test]
fn what_a_key_signs_is_judged() {
    type Change = fn(&mut Creation);
    let rows: &[(&str, &str, Change)] = &[
        ("as it comes", "accepted", |_| ()),
        ("an assertion", "type", |m| m.asked.ceremony = "webauthn.get".to_owned()),
        ("another challenge", "challenge", |m| m.asked.challenge = "AAAA".to_owned()),
        ("another origin", "origin", |m| m.asked.origin = "https://evil.example".to_owned()),
        ("framed", "cross_origin", |m| m.asked.members = r#","crossOrigin":true"#.to_owned()),
        ("framed by", "top_origin", |m| m.asked.members = r#","topOrigin":"x""#.to_owned()),
        ("client data that is none", "client_data", |m| m.asked.client_data = Some(vec![b'{'])),
        ("another relying party", "rp_id_hash", |m| m.asked.rp_id = "example.org".to_owned()),
        ("no touch", "user_presence", |m| m.asked.flags &= !UP),
        ("no PIN", "user_verification", |m| m.asked.flags &= !UV),
        ("backed up, though it cannot be", "backup_state", |m| m.asked.flags |= BS),
        ("a passkey", "not_hardware", |m| m.asked.flags |= BE | BS),
        ("no credential", "authenticator_data", |m| m.asked.flags &= !AT),
        ("a reserved bit", "authenticator_data", |m| m.asked.flags |= 0x20),
        ("another model", "model", |m| m.aaguid = [9; 16]),
        ("no model", "model", |m| m.aaguid = [0; 16]),
        ("another id outside", "credential", |m| m.id = vec![1]),
        ("another id inside", "credential", |m| m.inner_id = vec![1]),
        ("no id", "authenticator_data", |m| m.inner_id.clear()),
        ("an id that is too long", "authenticator_data", |m| m.inner_id = vec![0; 1024]),
        ("extensions", "accepted", |m| {
            m.asked.flags |= ED;
            m.extensions = map(&[(text("credProtect"), integer(3))]);
        }),
        ("extensions that are not announced", "authenticator_data", |m| m.extensions = map(&[])),
        ("extensions that are announced only", "cbor", |m| m.asked.flags |= ED),
        ("bytes after extensions", "authenticator_data", |m| {
            m.asked.flags |= ED;
            m.extensions = [map(&[]), vec![0]].concat();
        }),
        ("no key", "cbor", |m| m.key.clear()),
        ("half a key", "cbor", |m| m.key.truncate(40)),
        ("a key that is no map", "public_key", |m| m.key = list(&[])),
        ("an empty key", "public_key", |m| m.key = map(&[])),
    ];
    for (what, expected, change) in rows {
        for kind in [Kind::Es256, Kind::EdDsa] {
            let found = Room::of(kind).outcome(change, packed);
            assert_eq!(name(found), *expected, "{what}, {kind:?}");
        }
    }
}

/// Parameters of a COSE key, and what becomes of it.
type Parameters<'a> = (&'a str, &'a str, Vec<(i64, Vec<u8>)>);

#[test]
fn keys_are_read_strictly() {
    let room = Room::new();
    let (x, y) = (bytes(&room.key.public_key()[1..33]), bytes(&room.key.public_key()[33..]));
    let edwards = bytes(Authenticator::new(Kind::EdDsa).public_key());
    let es256 = |alg, crv, x: &Vec<u8>, y: &Vec<u8>| {
        let (kty, alg, crv) = (integer(2), integer(alg), integer(crv));
        vec![(1, kty), (3, alg), (-1, crv), (-2, x.clone()), (-3, y.clone())]
    };
    let ed = |alg, crv, x: &Vec<u8>| {
        vec![(1, integer(1)), (3, integer(alg)), (-1, integer(crv)), (-2, x.clone())]
    };
    let mut without_y = es256(-7, 1, &x, &y);
    without_y.pop();
    let mut swapped = es256(-7, 1, &x, &y);
    swapped.swap(0, 1);
    let mut twice = es256(-7, 1, &x, &y);
    twice.insert(4, (-2, x.clone()));
    let with_id = [vec![(1, integer(2)), (2, bytes(&[1]))], es256(-7, 1, &x, &y)[1..].to_vec()];
    let small = |point: &str| bytes(&data_encoding::HEXLOWER.decode(point.as_bytes()).unwrap());
    let (rsa, n) = (vec![(1, integer(3)), (3, integer(-257))], bytes(&[7; 256]));
    let rows: Vec<Parameters<'_>> = vec![
        ("ES256", "accepted", es256(-7, 1, &x, &y)),
        ("EdDSA", "accepted", ed(-8, 6, &edwards)),
        ("ES384", "public_key", es256(-35, 2, &x, &y)),
        ("ES256 on another curve", "public_key", es256(-7, 2, &x, &y)),
        ("ES256K", "public_key", es256(-47, 8, &x, &y)),
        ("ESP256, which was not asked for", "public_key", es256(-9, 1, &x, &y)),
        ("Ed448", "public_key", ed(-8, 7, &edwards)),
        ("RS256", "public_key", [rsa, vec![(-1, n), (-2, bytes(&[1, 0, 1]))]].concat()),
        ("EdDSA named for a P-256 key", "public_key", es256(-8, 1, &x, &y)),
        ("a point that is not on the curve", "public_key", es256(-7, 1, &y, &x)),
        ("a point at infinity", "public_key", es256(-7, 1, &bytes(&[0; 32]), &bytes(&[0; 32]))),
        ("a short coordinate", "public_key", es256(-7, 1, &bytes(&[1; 31]), &y)),
        ("a compressed point", "public_key", es256(-7, 1, &x, &vec![0xf5])),
        ("no y", "public_key", without_y),
        ("keys out of order", "cbor", swapped),
        ("x twice", "cbor", twice),
        ("a key id, which is optional", "public_key", with_id.concat()),
        ("an Ed25519 key of 31 bytes", "public_key", ed(-8, 6, &bytes(&[1; 31]))),
        ("the Ed25519 identity", "public_key", {
            let point = "0100000000000000000000000000000000000000000000000000000000000000";
            ed(-8, 6, &small(point))
        }),
        ("an Ed25519 point of order 8, x negative", "public_key", {
            let point = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85";
            ed(-8, 6, &small(point))
        }),
    ];
    for (what, expected, parameters) in rows {
        let pairs = parameters.into_iter().map(|(label, value)| (integer(label), value));
        let key = map(&pairs.collect::<Vec<_>>());
        let found = Room::new().undemanding().outcome(|made| made.key = key, none);
        assert_eq!(name(found), expected, "{what}");
    }
    let long = [vec![0xb8, 5], room.key.cose()[1..].to_vec()].concat();
    let found = Room::new().undemanding().outcome(|made| made.key = long, none);
    assert_eq!(name(found), "cbor", "a length that is not the shortest");
}

#[test]
fn a_credential_says_what_was_proven() {
    let mut room = Room::new();
    let credential = room.outcome(|_| (), packed).unwrap();
    assert_eq!((&credential.id, credential.counter), (&id_of(&room.key), 7));
    assert_eq!(credential.key.as_bytes(), room.key.public_key());
    assert!(credential.user_verified && !credential.backup_eligible);
    assert_eq!(credential.transports, [Transport::Nfc, Transport::Usb]);
    let Attestation::Attested { aaguid, .. } = credential.attestation else { panic!() };
    assert_eq!(*aaguid.as_bytes(), room.key.aaguid);
    let registered = credential.registered();
    assert_eq!((registered.hardware, registered.device), (Hardware::Attested, aaguid.to_string()));

    let mut room = Room::new().undemanding();
    room.verification = UserVerification::Discouraged;
    let passkey = room.outcome(|made| made.asked.flags = UP | BE | BS | AT, packed).unwrap();
    assert!(!passkey.user_verified && passkey.backup_eligible);
    assert_eq!(passkey.registered().hardware, Hardware::Unproven);
    assert_eq!(passkey.attestation, Attestation::None, "nobody asked, so nothing was checked");
}

fn id_of(key: &Authenticator) -> CredentialId {
    CredentialId::from_bytes("id", key.id.clone()).unwrap()
}

#[test]
fn a_credential_is_enrolled_once() {
    let mut room = Room::new();
    room.enrolled = vec![room.outcome(|_| (), packed).unwrap()];
    assert_eq!(name(room.outcome(|_| (), packed)), "already_enrolled");
    let mut other = Room::new();
    other.enrolled = room.enrolled;
    assert_eq!(name(other.outcome(|_| (), packed)), "accepted");
}

#[test]
fn options_ask_for_what_is_judged() {
    let mut room = Room::new();
    room.enrolled = vec![room.outcome(|_| (), packed).unwrap()];
    let options: Value = room.with(|enrolment, _, _| {
        let enrolment = Enrolment { discoverable: true, ..*enrolment };
        serde_json::from_str(&enrolment.options()).unwrap()
    });
    let expected = json!({
        "rp": { "id": "pay.example.org", "name": "Payments" },
        "user": { "id": "cGVyc29uIDE", "name": "ann@example.org", "displayName": "Ann" },
        "challenge": "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI",
        "pubKeyCredParams": [
            { "type": "public-key", "alg": -7 }, { "type": "public-key", "alg": -8 },
        ],
        "timeout": 300_000,
        "excludeCredentials": [{
            "type": "public-key",
            "id": id_of(&room.key).to_string(),
            "transports": ["nfc", "usb"],
        }],
        "authenticatorSelection": {
            "residentKey": "required",
            "requireResidentKey": true,
            "userVerification": "required",
        },
        "hints": ["security-key"],
        "attestation": "direct",
    });
    assert_eq!(options, expected);

    let mut room = Room::new().undemanding();
    let options: Value = room.with(|e, _, _| serde_json::from_str(&e.options()).unwrap());
    assert_eq!(options["attestation"], "none");
    assert_eq!(options["authenticatorSelection"]["residentKey"], "discouraged");
}

#[test]
fn answers_are_read_strictly() {
    type Change = fn(&mut Value);
    let rows: &[(&str, &str, Change)] = &[
        ("as it comes", "accepted", |_| ()),
        ("what browsers add", "accepted", |j| {
            j["response"]["authenticatorData"] = json!("AAAA");
            j["response"]["publicKey"] = json!(null);
        }),
        ("transports that nobody knows", "accepted", |j| {
            j["response"]["transports"] = json!(["usb", "telepathy", "usb"]);
        }),
        ("no transports", "accepted", |j| {
            j["response"].as_object_mut().unwrap().remove("transports");
        }),
        ("many transports", "wire", |j| j["response"]["transports"] = json!(vec!["usb"; 17])),
        ("an unknown member", "wire", |j| j["person"] = json!("bob")),
        ("an unknown member within", "wire", |j| j["response"]["signature"] = json!("AAAA")),
        ("two ids", "wire", |j| j["rawId"] = json!("AAAA")),
        ("another type", "wire", |j| j["type"] = json!("password")),
        ("no object", "wire", |j| j["response"]["attestationObject"] = json!("")),
        ("a padded object", "wire", |j| j["response"]["attestationObject"] = json!("oA==")),
        ("an object that is too long", "wire", |j| {
            let long = BASE64URL_NOPAD.encode(&vec![0; 24 * 1024 + 1]);
            j["response"]["attestationObject"] = json!(long);
        }),
        ("no response", "wire", |j| j["response"] = json!([])),
    ];
    for (what, expected, change) in rows {
        let found = Room::new().outcome(
            |_| (),
            |made, key, maker| {
                let mut json = packed(made, key, maker);
                change(&mut json);
                json
            },
        );
        assert_eq!(name(found), *expected, "{what}");
    }
}

#[test]
fn kept_evidence_is_judged_again_with_the_same_result() {
    let mut room = Room::new();
    room.with(|enrolment, key, maker| {
        let made = created(enrolment, key);
        let json = made.packed(&maker.key(key.aaguid)).to_string();
        let read = Registration::parse(json.as_bytes()).unwrap();
        let again = Registration::parse(read.to_canonical().as_bytes()).unwrap();
        assert_eq!(read, again);
        assert_eq!(again.to_canonical(), read.to_canonical());
        assert_eq!(again.credential_id(), &id_of(key));
        assert_eq!(enrolment.finish(&again, now()), enrolment.finish(&read, now()));
        assert!(enrolment.finish(&again, now()).is_ok());
    });
}
