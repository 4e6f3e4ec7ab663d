//! Ed25519 on SoftHSM: pairs, their attributes, and the notes that they sign.

use super::*;
use crate::log::checkpoint::Checkpoint;
use crate::log::message::AuditMessage;
use crate::log::note::{NoteKeyName, VerifierKey, der_signature};
use crate::log::tree::{Hash, TreeHead};

const ORIGIN: &str = "pay.test.example/log";

fn edwards(name: &str, id: u8) -> KeyReference {
    KeyReference { algorithm: Algorithm::EdDsa, ..reference(name, id) }
}

fn checkpoint() -> Checkpoint {
    let head = TreeHead { size: 0, root: Hash::EMPTY_ROOT };
    Checkpoint::new(ORIGIN, head, &[]).unwrap()
}

on_softhsm! {
    fn a_generated_audit_key_is_found_again_and_signs_notes(bench) {
        for (key, id) in [(edwards("audit", 1), 1), (reference("audit-p256", 2), 2)] {
            let public = bench.modules.generate(bench.settings("gold"), &key).unwrap();
            assert_eq!(public.algorithm(), key.algorithm);
            let key = pinned(&key, &public);
            let module = bench.modules.load(bench.settings("gold"), vec![key.clone()]).unwrap();
            let mut session = module.open().unwrap();
            assert_eq!(session.public_key(&key.id).unwrap(), public);
            let message = AuditMessage::Checkpoint(checkpoint());
            let raw = session.sign_audit(&key.id, &message).unwrap();
            assert_eq!(raw.len(), 64, "key {id}");
            let signature = match key.algorithm {
                Algorithm::EdDsa => raw,
                Algorithm::Es256 => {
                    let raw = raw.as_slice().try_into().unwrap();
                    der_signature(&crate::domain::key::Signature::from_bytes(raw))
                }
            };
            let verifier = VerifierKey::of_log(NoteKeyName::parse(ORIGIN).unwrap(), &public);
            let note = verifier.prepare(checkpoint().text(), Timestamp::from_unix_ms(0));
            note.signed(&signature).unwrap();
        }
    }

    fn a_payment_is_never_signed_with_ed25519(bench) {
        let key = edwards("audit", 1);
        let public = bench.modules.generate(bench.settings("gold"), &key).unwrap();
        let key = pinned(&key, &public);
        let module = bench.modules.load(bench.settings("gold"), vec![key.clone()]).unwrap();
        let digest = SigningDigest::of(&authorization(&key, public.kid(), 1));
        let refused = module.open().unwrap().sign_digest(&key.id, &digest).unwrap_err();
        assert!(matches!(refused, TokenError::WrongAlgorithm { .. }), "{refused}");
    }

    fn nothing_is_generated_where_something_of_the_other_algorithm_is(bench) {
        bench.modules.generate(bench.settings("gold"), &edwards("audit", 1)).unwrap();
        for taken in [reference("audit", 2), reference("other", 1), edwards("audit", 1)] {
            let refused = bench.modules.generate(bench.settings("gold"), &taken).unwrap_err();
            assert!(matches!(refused, TokenError::KeyExists { count: 2, .. }), "{refused}");
        }
    }

    fn a_key_of_the_other_algorithm_is_told_by_its_type(bench) {
        bench.modules.generate(bench.settings("gold"), &edwards("audit", 1)).unwrap();
        bench.modules.generate(bench.settings("gold"), &reference("settlement", 2)).unwrap();
        for (key, told) in [
            (reference("audit", 1), "no CKO_PRIVATE_KEY of type EC with"),
            (edwards("settlement", 2), "no CKO_PRIVATE_KEY of type EC_EDWARDS with"),
        ] {
            let refused = refusal(&bench, &key);
            assert!(refused.contains(told) && refused.contains("`algorithm`"), "{refused}");
        }
    }

    fn each_attribute_of_an_ed25519_key_is_checked(bench) {
        let cases = [
            (Attribute::Private(false), "CKA_PRIVATE is false; expected true"),
            (Attribute::Sensitive(false), "CKA_SENSITIVE is false; expected true"),
            (Attribute::Extractable(true), "CKA_EXTRACTABLE is true; expected false"),
            (Attribute::Sign(false), "CKA_SIGN is false; expected true"),
            (Attribute::Derive(true), "CKA_DERIVE is true; expected false"),
            (Attribute::Unwrap(true), "CKA_UNWRAP is true; expected false"),
            (Attribute::Decrypt(true), "CKA_DECRYPT is true; expected false"),
            (Attribute::AlwaysAuthenticate(true), "CKA_ALWAYS_AUTHENTICATE is true"),
        ];
        for (number, (wrong, expected)) in (1..).zip(cases) {
            let key = edwards(&format!("key-{number}"), number);
            bench.make_pair(&key, &[], &[wrong]);
            let told = refusal(&bench, &key);
            assert!(told.contains(expected), "{told}");
        }
    }

    fn both_forms_of_the_curve_are_taken_and_no_other_curve(bench) {
        for (number, form) in (1..).zip(curve::parameters(Algorithm::EdDsa)) {
            let key = edwards(&format!("key-{number}"), number);
            bench.make_pair(&key, &[Attribute::EcParams(form.to_vec())], &[]);
            let found = bench.modules.survey(bench.settings("gold"), &[key]).unwrap().remove(0);
            assert_eq!(found.unwrap().algorithm(), Algorithm::EdDsa, "{form:02x?}");
        }
        let other = edwards("other", 9);
        let edwards448 = b"\x13\x0aedwards448".to_vec();
        bench.make_pair(&other, &[Attribute::EcParams(edwards448)], &[]);
        let told = refusal(&bench, &other);
        assert!(told.contains("expected edwards25519, 130c6564776172647332353531"), "{told}");
    }
}
