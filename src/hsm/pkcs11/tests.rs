//! On SoftHSM, in a process of its own for each test, because `SOFTHSM2_CONF` and `C_Initialize`
//! belong to the process.

use std::fs;
use std::time::Instant;

use cryptoki::object::Attribute;

use super::*;
use crate::domain::authorization::{Attempt, SigningAuthorization};
use crate::domain::key::{Algorithm, KeyId, Kid, Purpose};
use crate::domain::order::{Order, SigningInput};
use crate::domain::payment::PaymentId;
use crate::domain::time::Timestamp;
use crate::hsm::pool::{Hsm, TokenPlan, public_keys};
use crate::hsm::token::SigningDigest;

mod anchor;
mod audit;
mod bench;
mod remote;

use bench::{Bench, WRONG_PIN, on_softhsm};

fn reference(name: &str, id: u8) -> KeyReference {
    KeyReference {
        id: KeyId::parse("key", name).unwrap(),
        label: name.to_owned(),
        object_id: vec![id],
        algorithm: Algorithm::Es256,
        thumbprint: None,
        waive_decrypt: false,
    }
}

fn pinned(key: &KeyReference, public: &PublicKey) -> KeyReference {
    KeyReference { thumbprint: Some(public.kid().clone()), ..key.clone() }
}

fn authorization(key: &KeyReference, kid: &Kid, number: u8) -> SigningAuthorization {
    let order = Order::from_stored(vec![number]);
    let input = SigningInput::freeze(order, kid, Timestamp::from_unix_ms(0));
    let payment = PaymentId::from_bytes([number; 16]);
    SigningAuthorization::for_tests(payment, Attempt::FIRST, key.id.clone(), kid.clone(), input)
}

/// The message of the refusal of `key` by a survey of its own.
fn refusal(bench: &Bench, key: &KeyReference) -> String {
    let surveyed = bench.modules.survey(bench.settings("gold"), std::slice::from_ref(key));
    surveyed.unwrap().remove(0).unwrap_err().to_string()
}

on_softhsm! {
    fn a_generated_key_is_found_again_and_signs(bench) {
        let key = reference("settlement-eur", 1);
        let public = bench.modules.generate(bench.settings("gold"), &key).unwrap();
        let key = pinned(&key, &public);
        let module = bench.modules.load(bench.settings("gold"), vec![key.clone()]).unwrap();
        let mut session = module.open().unwrap();
        session.probe().unwrap();
        assert_eq!(session.public_key(&key.id).unwrap(), public);
        let authorization = authorization(&key, public.kid(), 1);
        let digest = SigningDigest::of(&authorization);
        let signature = session.sign_digest(&key.id, &digest).unwrap();
        aws_lc_rs::signature::UnparsedPublicKey::new(
            &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED,
            public.as_bytes(),
        )
        .verify(authorization.signing_input().to_ascii().as_bytes(), &signature)
        .unwrap();
        let stranger = KeyId::parse("key", "stranger").unwrap();
        assert!(matches!(session.sign_digest(&stranger, &digest), Err(TokenError::UnknownKey(_))));
    }

    fn nothing_is_generated_where_something_is(bench) {
        let key = reference("settlement-eur", 1);
        let public = bench.modules.generate(bench.settings("gold"), &key).unwrap();
        for taken in [key.clone(), reference("other", 1), reference("settlement-eur", 2)] {
            let refused = bench.modules.generate(bench.settings("gold"), &taken).unwrap_err();
            let told = refused.to_string();
            assert!(matches!(refused, TokenError::KeyExists { count: 2, .. }), "{told}");
            assert!(told.contains("nothing is overwritten"), "{told}");
        }
        let found = bench.modules.survey(bench.settings("gold"), &[key]).unwrap().remove(0);
        assert_eq!(found.unwrap(), public);
    }

    fn a_module_that_is_missing_or_none_is_told(bench) {
        let with = |module: &str| {
            let settings = Pkcs11Settings { module: module.into(), ..bench.settings("gold") };
            bench.modules.load(settings, vec![]).err().unwrap().to_string()
        };
        assert!(with("/nowhere/module.so").contains("no PKCS#11 module at /nowhere/module.so"));
        assert!(with("/usr").contains("no PKCS#11 module at /usr"));
        assert!(with("/etc/hostname").contains("cannot be loaded as a PKCS#11 module"));
    }

    fn a_token_that_is_missing_or_not_the_only_one_is_told_with_those_there_are(bench) {
        // SoftHSM lists its tokens when it is initialised, so the second silver one comes first.
        bench.init_token("silver");
        let with = |label: &str, serial: Option<&str>| {
            let (token_label, serial) = (label.to_owned(), serial.map(str::to_owned));
            let settings = Pkcs11Settings { token_label, serial, ..bench.settings("gold") };
            bench.modules.load(settings, vec![])
        };
        let told = with("lead", None).err().unwrap().to_string();
        assert!(told.contains("0 tokens match lead"), "{told}");
        assert!(told.contains("gold (serial ") && told.contains("silver (serial "), "{told}");
        let told = with("gold", Some("0")).err().unwrap().to_string();
        assert!(told.contains("0 tokens match gold (serial 0)"), "{told}");
        let told = with("silver", None).err().unwrap().to_string();
        assert!(told.contains("2 tokens match silver; expected exactly one"), "{told}");
        let (_before, serial) = told.split_once("silver (serial ").unwrap();
        let (serial, _after) = serial.split_once(')').unwrap();
        with("silver", Some(serial)).unwrap().open().unwrap();
    }

    fn keys_that_are_missing_or_ambiguous_are_told(bench) {
        let key = reference("settlement-eur", 0xA1);
        let told = refusal(&bench, &key);
        assert!(told.contains("no CKO_PRIVATE_KEY") && told.contains("id a1"), "{told}");
        bench.make_pair(&key, &[], &[]);
        bench.make_pair(&key, &[], &[]);
        let told = refusal(&bench, &key);
        assert!(told.contains("2 objects CKO_PRIVATE_KEY"), "{told}");
    }

    fn an_ambiguous_public_half_is_told(bench) {
        let key = reference("settlement-eur", 1);
        bench.modules.generate(bench.settings("gold"), &key).unwrap();
        bench.import_public(&key);
        let told = refusal(&bench, &key);
        assert!(told.contains("2 objects CKO_PUBLIC_KEY"), "{told}");
    }

    fn each_attribute_that_is_not_right_refuses_the_key_by_name(bench) {
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
            let key = reference(&format!("key-{number}"), number);
            bench.make_pair(&key, &[], &[wrong]);
            let told = refusal(&bench, &key);
            assert!(told.contains(expected), "{told}");
        }
        // Only what is named may be waived.
        for (number, accepted) in [(7, true), (6, false)] {
            let waived = KeyReference {
                waive_decrypt: true,
                ..reference(&format!("key-{number}"), number)
            };
            let found = bench.modules.survey(bench.settings("gold"), &[waived]).unwrap().remove(0);
            assert_eq!(found.is_ok(), accepted, "{found:?}");
        }
    }

    fn imported_and_foreign_curve_and_session_keys_are_refused(bench) {
        let imported = reference("imported", 1);
        bench.import_private(&imported);
        let told = refusal(&bench, &imported);
        assert!(told.contains("CKA_LOCAL is false; expected true"), "{told}");
        let curve = reference("curve", 2);
        let p384 = vec![0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x22];
        bench.make_pair(&curve, &[Attribute::EcParams(p384)], &[]);
        let told = refusal(&bench, &curve);
        assert!(told.contains("CKA_EC_PARAMS is 06052b81040022; expected P-256"), "{told}");
        let passing = reference("passing", 3);
        let _held = bench.make_pair(&passing, &[], &[Attribute::Token(false)]);
        let told = refusal(&bench, &passing);
        assert!(told.contains("CKA_TOKEN is false; expected true"), "{told}");
    }

    fn another_key_than_the_pinned_one_and_no_pin_are_refused(bench) {
        let (first, second) = (reference("first", 1), reference("second", 2));
        let public = bench.modules.generate(bench.settings("gold"), &first).unwrap();
        let other = bench.modules.generate(bench.settings("gold"), &second).unwrap();
        let open = |key: KeyReference| {
            let module = bench.modules.load(bench.settings("gold"), vec![key]).unwrap();
            module.open().err()
        };
        let refused = open(pinned(&first, &other)).unwrap();
        let told = refused.to_string();
        assert!(refused.waits_for_a_person());
        assert!(told.contains(public.kid().as_str()) && told.contains(other.kid().as_str()));
        assert!(matches!(open(first.clone()), Some(TokenError::Unpinned(_))));
        assert!(open(pinned(&first, &public)).is_none());
    }

    fn a_wrong_pin_is_tried_once_until_a_person_has_been_there(bench) {
        fs::write(bench.pin_file(), WRONG_PIN).unwrap();
        let load = || bench.modules.load(bench.settings("gold"), vec![]).map(drop);
        let refused = load().unwrap_err();
        let (told, debug) = (refused.to_string(), format!("{refused:?}"));
        let marker = bench.directory.join("pin-refused-gold");
        assert!(refused.waits_for_a_person());
        assert!(told.contains("CKR_PIN_INCORRECT"), "{told}");
        assert!(told.contains(marker.to_str().unwrap()), "{told}");
        assert!(!told.contains(WRONG_PIN) && !debug.contains(WRONG_PIN), "{told} {debug}");
        assert!(bench.pin_count_is_low("gold"));
        // The right PIN would be taken: that it is not shows that none was sent.
        bench.write_pin();
        let refused = load().unwrap_err();
        assert!(refused.waits_for_a_person());
        assert!(refused.to_string().contains(marker.to_str().unwrap()), "{refused}");
        assert!(bench.pin_count_is_low("gold"));
        fs::remove_file(marker).unwrap();
        load().unwrap();
        assert!(!bench.pin_count_is_low("gold"));
    }

    fn starting_over_spares_the_sessions_of_a_neighbour(bench) {
        let key = reference("settlement-eur", 1);
        let load = |token: &str| {
            let public = bench.modules.generate(bench.settings(token), &key).unwrap();
            let key = pinned(&key, &public);
            bench.modules.load(bench.settings(token), vec![key]).unwrap()
        };
        let (gold, silver) = (load("gold"), load("silver"));
        let mut neighbour = silver.open().unwrap();
        gold.reinitialise().unwrap();
        neighbour.probe().unwrap();
        gold.open().unwrap().probe().unwrap();
        drop(neighbour);
        // Nobody is in the way any more: the library is finalised, and silver logs in again.
        gold.reinitialise().unwrap();
        gold.open().unwrap().probe().unwrap();
        silver.open().unwrap().probe().unwrap();
    }

    fn a_library_that_was_finalised_behind_our_back_is_started_over(bench) {
        let key = reference("settlement-eur", 1);
        let public = bench.modules.generate(bench.settings("gold"), &key).unwrap();
        let key = pinned(&key, &public);
        let module = bench.modules.load(bench.settings("gold"), vec![key.clone()]).unwrap();
        let module: Arc<dyn TokenModule> = Arc::new(module);
        let keys = public_keys(&*module, [(key.id.clone(), Purpose::Settlement)]).unwrap();
        let deadline = std::time::Duration::from_secs(5);
        let hsm = Hsm::start(
            vec![TokenPlan { module, sessions: 2, queue: 4, deadline, keys }],
            Instant::now,
        )
        .unwrap();
        let sign = |number| {
            let permit = hsm.permit(&key.id).map_err(|refused| refused.to_string())?;
            let answer = hsm.sign(authorization(&key, public.kid(), number), permit);
            answer.blocking_recv().unwrap().map_err(|failed| failed.to_string())
        };
        sign(1).unwrap();
        // No call may be in progress meanwhile: SoftHSM crashes if it is finalised under one.
        std::thread::sleep(std::time::Duration::from_millis(400));
        bench.finalise_behind_our_back();
        let failed = sign(2).unwrap_err();
        assert!(failed.contains("CKR_CRYPTOKI_NOT_INITIALIZED"), "{failed}");
        let mut answers = (0..200).map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(25));
            sign(3)
        });
        assert!(answers.any(|answer| answer.is_ok()), "{:?}", hsm.status());
        assert!(hsm.shutdown(deadline), "threads have ended");
    }
}
