//! Attestations that are right but for one detail.

use data_encoding::BASE64URL_NOPAD;
use rcgen::{CertificateParams, DnType, IsCa, date_time_ymd};
use serde_json::{Value, json};

use super::super::authenticator::{
    AttestationKey, Authenticator, Creation, Kind, Maker, bytes, integer, list, map, statement,
    text,
};
use super::enrolments::{Room, name, none, own, packed};

type Attest = fn(&Creation, &Authenticator, &Maker) -> Value;
/// What, how it ends where nothing is demanded and where attestation is, and how it is made.
const ATTESTATIONS: &[(&str, &str, &str, Attest)] = &[
    ("none", "accepted", "not_attested", none),
    ("self attestation", "accepted", "not_attested", own),
    ("attestation", "accepted", "accepted", packed),
    ("through an intermediate", "accepted", "accepted", |made, _, maker| {
        made.packed(&maker.below().key(made.aaguid))
    }),
    ("through no intermediate", "accepted", "chain", |made, _, maker| {
        let mut key = maker.below().key(made.aaguid);
        key.chain.truncate(1);
        made.packed(&key)
    }),
    ("another root", "accepted", "chain", |made, _, _| made.packed(&Maker::new().key(made.aaguid))),
    ("five certificates", "statement", "statement", |made, _, maker| {
        made.packed(&maker.below().below().below().below().key(made.aaguid))
    }),
    ("a member in none", "statement", "statement", |made, _, _| {
        made.attested("none", &map(&[(text("alg"), integer(-7))]))
    }),
    ("none of no map", "statement", "statement", |made, _, _| made.attested("none", &list(&[]))),
    ("an unknown format", "format", "format", |made, _, _| made.attested("tpm", &map(&[]))),
    ("a format in capitals", "format", "format", |made, _, _| made.attested("None", &map(&[]))),
    ("an empty statement", "statement", "statement", |made, _, _| {
        made.attested("packed", &map(&[]))
    }),
    ("signed by another key", "signature", "signature", |made, _, _| {
        made.packed_self(&Authenticator::new(Kind::Es256))
    }),
    ("the algorithm of another key", "statement", "statement", |made, key, _| {
        let signature = key.sign(&made.asked.signed());
        made.attested("packed", &statement(-8, &signature, None))
    }),
    ("the algorithm of another certificate", "statement", "statement", |made, _, maker| {
        let key = maker.key(made.aaguid);
        let signature = key.sign(&made.asked.signed());
        made.attested("packed", &statement(-257, &signature, Some(&key.chain)))
    }),
    ("signed by the credential, not its maker", "signature", "signature", |made, key, maker| {
        let signature = key.sign(&made.asked.signed());
        let chain = maker.key(made.aaguid).chain;
        made.attested("packed", &statement(-7, &signature, Some(&chain)))
    }),
    ("an attestation of something else", "signature", "signature", |made, _, maker| {
        let key = maker.key(made.aaguid);
        made.attested("packed", &statement(-7, &key.sign(b"else"), Some(&key.chain)))
    }),
    ("no certificate", "statement", "statement", |made, key, _| {
        let signature = key.sign(&made.asked.signed());
        made.attested("packed", &statement(-7, &signature, Some(&[])))
    }),
    ("a certificate that is none", "certificate", "certificate", |made, key, _| {
        let signature = key.sign(&made.asked.signed());
        made.attested("packed", &statement(-7, &signature, Some(&[vec![0x30, 0]])))
    }),
    ("bytes after the certificate", "certificate", "certificate", |made, _, maker| {
        let mut key = maker.key(made.aaguid);
        key.chain[0].push(0);
        made.packed(&key)
    }),
    ("ECDAA", "statement", "statement", |made, key, _| {
        let signature = bytes(&key.sign(&made.asked.signed()));
        let id = (text("ecdaaKeyId"), bytes(&[1]));
        let pairs = [(text("alg"), integer(-7)), (text("sig"), signature), id];
        made.attested("packed", &map(&pairs))
    }),
    ("members out of order", "cbor", "cbor", |made, key, _| {
        let signature = bytes(&key.sign(&made.asked.signed()));
        made.attested("packed", &map(&[(text("sig"), signature), (text("alg"), integer(-7))]))
    }),
    ("a member twice", "cbor", "cbor", |made, _, _| {
        made.attested("none", &map(&[(text("a"), integer(1)), (text("a"), integer(1))]))
    }),
    ("bytes after the object", "cbor", "cbor", |made, _, _| object(made, |o| o.push(0))),
    ("half an object", "cbor", "cbor", |made, _, _| object(made, |o| o.truncate(60))),
    ("an object of indefinite length", "cbor", "cbor", |made, _, _| {
        object(made, |o| {
            o[0] = 0xbf;
            o.push(0xff);
        })
    }),
    ("a tagged object", "cbor", "cbor", |made, _, _| object(made, |o| o.insert(0, 0xc1))),
    ("a member more", "cbor", "cbor", |made, _, _| {
        object(made, |o| {
            o[0] = 0xa4;
            o.extend([text("epAttLong"), vec![0xf5]].concat());
        })
    }),
    ("CTAP's own keys", "cbor", "cbor", |made, _, _| {
        let data = bytes(&made.asked.authenticator_data());
        let pairs = [(integer(1), text("none")), (integer(2), data), (integer(3), map(&[]))];
        made.with_object(&map(&pairs))
    }),
];

#[test]
fn attestation_objects_and_statements_are_read_strictly() {
    for (what, undemanding, demanding, attest) in ATTESTATIONS {
        let found = Room::new().undemanding().outcome(|_| (), attest);
        assert_eq!(name(found), *undemanding, "{what}, where nothing is demanded");
        let found = Room::new().outcome(|_| (), attest);
        assert_eq!(name(found), *demanding, "{what}, where attestation is demanded");
    }
}

fn object(made: &Creation, change: fn(&mut Vec<u8>)) -> Value {
    let mut json = made.none();
    let member = &mut json["response"]["attestationObject"];
    let mut object = BASE64URL_NOPAD.decode(member.as_str().unwrap().as_bytes()).unwrap();
    change(&mut object);
    *member = json!(BASE64URL_NOPAD.encode(&object));
    json
}

#[test]
fn attestation_certificates_are_held_to_section_8_2_1() {
    type Change = fn(&mut CertificateParams);
    let rows: &[(&str, &str, Change)] = &[
        ("as it comes", "accepted", |_| ()),
        ("without a model", "accepted", |p| p.custom_extensions.clear()),
        ("another model", "certificate", |p| p.custom_extensions[0] = of_model(&[9; 16])),
        ("a model in one OCTET STRING", "certificate", |p| {
            p.custom_extensions[0] = Maker::model_extension(b"software key 001");
        }),
        ("a short model", "certificate", |p| p.custom_extensions[0] = of_model(&[9; 15])),
        ("a critical model", "certificate", |p| p.custom_extensions[0].set_criticality(true)),
        ("the model twice", "certificate", |p| {
            p.custom_extensions = vec![of_model(b"software key 001"); 2];
        }),
        ("an unknown critical extension", "chain", |p| {
            let mut unknown = rcgen::CustomExtension::from_oid_content(&[1, 2, 3], vec![5, 0]);
            unknown.set_criticality(true);
            p.custom_extensions.push(unknown);
        }),
        ("an authority", "certificate", |p| {
            p.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        }),
        ("no basic constraints", "certificate", |p| p.is_ca = IsCa::NoCa),
        ("no country", "certificate", |p| drop_part(p, DnType::CountryName)),
        ("a country of three letters", "certificate", |p| set(p, DnType::CountryName, "SWE")),
        ("a country in lower case", "certificate", |p| set(p, DnType::CountryName, "se")),
        ("no organisation", "certificate", |p| drop_part(p, DnType::OrganizationName)),
        ("an empty organisation", "certificate", |p| set(p, DnType::OrganizationName, "")),
        ("no unit", "certificate", |p| drop_part(p, DnType::OrganizationalUnitName)),
        ("another unit", "certificate", |p| {
            set(p, DnType::OrganizationalUnitName, "Authenticator attestation");
        }),
        ("no name", "certificate", |p| drop_part(p, DnType::CommonName)),
        ("expired", "chain", |p| p.not_after = date_time_ymd(2026, 11, 24)),
        ("not valid yet", "chain", |p| p.not_before = date_time_ymd(2026, 11, 26)),
    ];
    for (what, expected, change) in rows {
        let found = Room::new()
            .outcome(|_| (), |made, _, maker| made.packed(&maker.odd_key(made.aaguid, change)));
        assert_eq!(name(found), *expected, "{what}");
    }
    let found = Room::new().outcome(
        |_| (),
        |made, _, maker| {
            let mut key = maker.key(made.aaguid);
            second_version(&mut key);
            made.packed(&key)
        },
    );
    assert_eq!(name(found), "certificate", "version 2");
}

fn of_model(aaguid: &[u8]) -> rcgen::CustomExtension {
    let length = u8::try_from(aaguid.len()).unwrap();
    Maker::model_extension(&[&[4, length][..], aaguid].concat())
}

fn set(params: &mut CertificateParams, part: DnType, value: &str) {
    params.distinguished_name.push(part, value);
}

fn drop_part(params: &mut CertificateParams, part: DnType) {
    params.distinguished_name.remove(part);
}

fn second_version(key: &mut AttestationKey) {
    let version = [0xa0, 3, 2, 1, 2];
    let at = key.chain[0].windows(5).position(|bytes| bytes == version).unwrap();
    key.chain[0][at + 4] = 1;
}
