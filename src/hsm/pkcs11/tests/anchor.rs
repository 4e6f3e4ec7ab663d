//! Anchors on SoftHSM: made once, written in turn, and never trusted when they are not ours.

use cryptoki::object::ObjectClass;

use super::*;
use crate::hsm::anchor::{ANCHOR_BYTES_MAX, AnchorError, AnchorSlot, AnchorStore};

use AnchorSlot::{One, Zero};

fn anchors(bench: &Bench) -> Pkcs11Anchors {
    bench.modules.load(bench.settings("gold"), vec![]).unwrap().anchors()
}

/// With both objects, holding `zero` and `one`.
fn made(bench: &Bench) -> Pkcs11Anchors {
    let anchors = anchors(bench);
    anchors.create(Zero, b"zero").unwrap();
    anchors.create(One, b"one").unwrap();
    anchors
}

fn held(zero: &[u8], one: &[u8]) -> [Option<Vec<u8>>; 2] {
    [Some(zero.to_vec()), Some(one.to_vec())]
}

fn object(slot: AnchorSlot, value: &[u8], private: bool, application: &str) -> Vec<Attribute> {
    vec![
        Attribute::Class(ObjectClass::DATA),
        Attribute::Token(true),
        Attribute::Private(private),
        Attribute::Application(application.as_bytes().to_vec()),
        Attribute::Label(slot.label().as_bytes().to_vec()),
        Attribute::Value(value.to_vec()),
    ]
}

/// The files that SoftHSM keeps the objects of both tokens in.
fn object_files(bench: &Bench) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for token in fs::read_dir(bench.directory.join("tokens")).unwrap() {
        for file in fs::read_dir(token.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let is_token = path.file_name().is_some_and(|name| name == "token.object");
            if path.extension().is_some_and(|end| end == "object") && !is_token {
                found.push(path);
            }
        }
    }
    found
}

on_softhsm! {
    fn anchors_are_made_once_and_written_in_turn(bench) {
        let anchors = anchors(&bench);
        assert_eq!(anchors.read().unwrap(), [None, None]);
        for slot in AnchorSlot::BOTH {
            let refused = anchors.write(slot, b"bytes").unwrap_err();
            assert!(matches!(refused, AnchorError::Missing { .. }), "{refused}");
        }
        assert_eq!(anchors.read().unwrap(), [None, None], "something was made in silence");
        anchors.create(Zero, b"zero").unwrap();
        assert_eq!(anchors.read().unwrap(), [Some(b"zero".to_vec()), None]);
        anchors.create(One, b"one").unwrap();
        for slot in AnchorSlot::BOTH {
            let refused = anchors.create(slot, b"again").unwrap_err();
            assert!(matches!(refused, AnchorError::Exists { .. }), "{refused}");
            assert!(refused.to_string().contains("nothing is overwritten"), "{refused}");
        }
        let (mut expected, mut slot) = (held(b"zero", b"one"), Zero);
        assert_eq!(anchors.read().unwrap(), expected);
        for length in [1, 2, 300, ANCHOR_BYTES_MAX, 5] {
            let bytes = vec![u8::try_from(length % 256).unwrap(); length];
            anchors.write(slot, &bytes).unwrap();
            expected[usize::from(slot == One)] = Some(bytes);
            assert_eq!(anchors.read().unwrap(), expected);
            slot = slot.other();
        }
        for length in [0, ANCHOR_BYTES_MAX + 1] {
            let refused = anchors.write(slot, &vec![0; length]).unwrap_err();
            assert!(refused.to_string().contains("expected 1 to 1024"), "{refused}");
            let refused = anchors.create(slot, &vec![0; length]).unwrap_err();
            assert!(matches!(refused, AnchorError::Length { .. }), "{refused}");
        }
        assert_eq!(anchors.read().unwrap(), expected);
    }

    fn anchors_survive_reopening_and_are_of_one_token(bench) {
        let anchors = made(&bench);
        anchors.write(One, b"newer").unwrap();
        let module = bench.modules.load(bench.settings("gold"), vec![]).unwrap();
        // Nothing but the idle session of the anchors is open: it is closed, not counted.
        module.reinitialise().unwrap();
        assert_eq!(anchors.read().unwrap(), held(b"zero", b"newer"));
        assert_eq!(module.anchors().read().unwrap(), held(b"zero", b"newer"));
        let silver = bench.modules.load(bench.settings("silver"), vec![]).unwrap().anchors();
        assert_eq!(silver.read().unwrap(), [None, None]);
    }

    fn a_session_that_is_lost_is_opened_again_once(bench) {
        let anchors = made(&bench);
        bench.log_out_behind_our_back();
        // Private objects do not show themselves now: they are not missing for that.
        for refused in [anchors.read().unwrap_err(), anchors.write(Zero, b"new").unwrap_err()] {
            assert!(matches!(refused, AnchorError::Token { .. }), "{refused}");
            assert!(!refused.waits_for_a_person(), "{refused}");
        }
        let module = bench.modules.load(bench.settings("gold"), vec![]).unwrap();
        module.reinitialise().unwrap();
        assert_eq!(anchors.read().unwrap(), held(b"zero", b"one"));
        bench.finalise_behind_our_back();
        let refused = anchors.write(Zero, b"new").unwrap_err();
        assert!(refused.to_string().contains("CKR_CRYPTOKI_NOT_INITIALIZED"), "{refused}");
        module.reinitialise().unwrap();
        anchors.write(Zero, b"new").unwrap();
        assert_eq!(anchors.read().unwrap(), held(b"new", b"one"));
    }

    fn an_anchor_that_was_deleted_is_missing_and_the_other_is_not(bench) {
        let anchors = made(&bench);
        bench.delete_object(Zero.label());
        assert_eq!(anchors.read().unwrap(), [None, Some(b"one".to_vec())]);
        let refused = anchors.write(Zero, b"new").unwrap_err();
        assert!(matches!(refused, AnchorError::Missing { .. }), "{refused}");
        assert!(refused.waits_for_a_person() && refused.to_string().contains("anchor-0"));
        anchors.write(One, b"newer").unwrap();
    }

    fn an_anchor_torn_in_the_middle_of_its_writing_spares_the_other(bench) {
        let anchors = anchors(&bench);
        anchors.create(One, b"one").unwrap();
        let before = object_files(&bench);
        anchors.create(Zero, &[7; 500]).unwrap();
        let torn = object_files(&bench).into_iter().find(|file| !before.contains(file)).unwrap();
        let whole = fs::read(&torn).unwrap();
        for length in [whole.len() - 1, whole.len() / 2, 1, 0] {
            fs::write(&torn, &whole[..length]).unwrap();
            let module = bench.modules.load(bench.settings("gold"), vec![]).unwrap();
            module.reinitialise().unwrap();
            let [zero, one] = anchors.read().unwrap();
            assert_ne!(zero, Some(vec![7; 500]), "cut to {length} bytes");
            assert_eq!(one.as_deref(), Some(&b"one"[..]), "cut to {length} bytes");
            anchors.write(One, b"one").unwrap();
        }
    }

    fn a_writing_that_was_cut_off_is_found_at_every_step(bench) {
        let anchors = made(&bench);
        let coming = |value: &[u8]| {
            let label = Attribute::Label(b"countersign-anchor-0-new".to_vec());
            let mut template = object(Zero, value, true, "countersign");
            template.retain(|attribute| !matches!(attribute, Attribute::Label(_)));
            [template, vec![label]].concat()
        };
        // The new object is there, whole or not: the old one still counts.
        for torn in [&b""[..], b"half", b"whole"] {
            bench.create_object(&coming(torn));
            assert_eq!(anchors.read().unwrap(), held(b"zero", b"one"));
            anchors.write(Zero, b"zero").unwrap();
            assert_eq!(anchors.read().unwrap(), held(b"zero", b"one"));
            assert_eq!(bench.count_objects("countersign-anchor-0-new"), 0);
        }
        // The old one is gone, and the new one does not have its label yet.
        bench.delete_object(Zero.label());
        bench.create_object(&coming(b"new"));
        assert_eq!(anchors.read().unwrap(), held(b"new", b"one"));
        let refused = anchors.create(Zero, b"other").unwrap_err();
        assert!(matches!(refused, AnchorError::Exists { .. }), "{refused}");
        anchors.write(Zero, b"newest").unwrap();
        assert_eq!(anchors.read().unwrap(), held(b"newest", b"one"));
        assert_eq!(bench.count_objects("countersign-anchor-0-new"), 0);
        assert_eq!(bench.count_objects("countersign-anchor-0"), 1);
        // Two of them were not left by us.
        bench.create_object(&coming(b"a"));
        bench.create_object(&coming(b"b"));
        let refused = anchors.write(Zero, b"z").unwrap_err();
        assert!(matches!(refused, AnchorError::Duplicate { count: 2, .. }), "{refused}");
    }

    fn anchors_that_are_not_ours_alone_are_refused(bench) {
        let anchors = made(&bench);
        bench.create_object(&object(One, b"twin", true, "countersign"));
        let refused = anchors.read().unwrap_err();
        assert!(refused.waits_for_a_person());
        assert!(refused.to_string().contains("2 data objects \"countersign-anchor-1\""));
        let refused = anchors.write(One, b"new").unwrap_err();
        assert!(matches!(refused, AnchorError::Duplicate { count: 2, .. }), "{refused}");
        let refused = anchors.create(One, b"new").unwrap_err();
        assert!(matches!(refused, AnchorError::Duplicate { count: 2, .. }), "{refused}");
        bench.delete_object(One.label());
        let long = vec![1; ANCHOR_BYTES_MAX + 1];
        for (object, told) in [
            (object(One, b"open", false, "countersign"), "CKA_PRIVATE is false; expected true"),
            (object(One, b"alien", true, "other"), "CKA_APPLICATION is \"other\"; expected"),
            (object(One, &long, true, "countersign"), "an anchor of 1025 bytes"),
        ] {
            bench.create_object(&object);
            let refused = anchors.read().unwrap_err();
            assert!(refused.to_string().contains(told), "{refused}");
            bench.delete_object(One.label());
        }
        assert_eq!(anchors.read().unwrap(), [Some(b"zero".to_vec()), None]);
    }

    fn anchors_are_written_while_payments_are_signed(bench) {
        let key = reference("settlement-eur", 1);
        let public = bench.modules.generate(bench.settings("gold"), &key).unwrap();
        let key = pinned(&key, &public);
        let module = bench.modules.load(bench.settings("gold"), vec![key.clone()]).unwrap();
        let anchors = module.anchors();
        anchors.create(Zero, b"zero").unwrap();
        anchors.create(One, b"one").unwrap();
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let signing = scope.spawn(|| {
                let mut session = module.open().unwrap();
                let digest = SigningDigest::of(&authorization(&key, public.kid(), 1));
                let mut signed = 0;
                while !done.load(std::sync::atomic::Ordering::SeqCst) {
                    session.sign_digest(&key.id, &digest).unwrap();
                    signed += 1;
                }
                signed
            });
            let written: Vec<_> = (0..200_u32)
                .map(|number| {
                    let slot = if number % 2 == 0 { Zero } else { One };
                    anchors.write(slot, &number.to_be_bytes())
                })
                .collect();
            done.store(true, std::sync::atomic::Ordering::SeqCst);
            // The one waits for the other, and neither for long: turns are dealt out.
            assert!(signing.join().unwrap() >= 100);
            written.into_iter().for_each(|written| written.unwrap());
        });
        let last = [198_u32, 199].map(|number| Some(number.to_be_bytes().to_vec()));
        assert_eq!(anchors.read().unwrap(), last);
    }
}
