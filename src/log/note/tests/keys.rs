//! Verifier keys, and signatures that were made elsewhere.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
};

use super::*;
use crate::domain::key::{P256PublicKey, Signature};
use crate::domain::time::Timestamp;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_ms(seconds * 1000)
}

#[test]
fn no_mangled_verifier_key_is_read() {
    // The id of a P-256 key does not know the name: nobody notices when that is mangled.
    for (whole, bound) in [(PETER, 0), (REKOR, "rekor.sigstore.dev".len())] {
        let refused = |text: &str| assert!(text.parse::<VerifierKey>().is_err(), "{text}");
        for start in 0..whole.len() {
            (start..whole.len()).for_each(|end| refused(&whole[start..end]));
        }
        (bound.max(1)..whole.len()).for_each(|start| refused(&whole[start..]));
        for at in bound..whole.len() {
            let mut bytes = whole.as_bytes().to_vec();
            bytes[at] += 1;
            refused(&String::from_utf8(bytes).unwrap());
        }
        refused(&whole.to_uppercase());
        refused(&format!("{whole}="));
        refused(&format!("{whole}+"));
        refused(&format!("{whole}\n"));
        refused(&whole.replacen('+', "++", 1));
    }
    for (text, expected) in [
        ("", KeyError::Form),
        ("a b+00000000+AQ==", KeyError::Form),
        ("a+0000000+AQ==", KeyError::Form),
        ("a++0000000+AQ==", KeyError::Form),
        ("a+0000000G+AQ==", KeyError::Form),
        ("a+C74F20A3+AQ==", KeyError::Form),
        ("a+00000000+", KeyError::Form),
        ("a+00000000+AQ=", KeyError::Form),
        ("a+00000000+AQ==", KeyError::Public),
        ("a+00000000+Ag==", KeyError::Public),
        ("a+00000000+BA==", KeyError::Public),
        ("a+00000000+AA==", KeyError::Kind(0)),
        ("a+00000000+Aw==", KeyError::Kind(3)),
        ("a+00000000+BQ==", KeyError::Kind(5)),
        ("a+00000000+Bg==", KeyError::Kind(6)),
        ("a+00000000+/w==", KeyError::Kind(255)),
        // From the Go tests: a key too long and an unknown algorithm, each with its own id.
        (
            "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
            KeyError::Form,
        ),
        (
            "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            KeyError::Kind(0x65),
        ),
    ] {
        assert_eq!(text.parse::<VerifierKey>(), Err(expected), "{text}");
    }
    let refused = PETER.replace("c74f20a3", "c74f20a4").parse::<VerifierKey>().unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the verifier key has the id c74f20a4; name and public key give c74f20a3"
    );
}

#[test]
fn ids_depend_on_name_and_kind_but_for_p256() {
    let public = *b"0123456789abcdef0123456789abcdef";
    let ids = ["a", "b"].map(|text| {
        let ed25519 = VerifierKey::ed25519(name(text), public);
        let cosignature = VerifierKey::cosignature_v1(name(text), public);
        assert_eq!(key(&ed25519.to_string()), ed25519);
        assert_eq!(key(&cosignature.to_string()), cosignature);
        [ed25519.id(), cosignature.id()]
    });
    let all: std::collections::BTreeSet<_> = ids.as_flattened().iter().collect();
    assert_eq!(all.len(), 4);
    assert_eq!(key(&REKOR.replace("rekor", "other")).id(), key(REKOR).id());
}

#[test]
fn an_ed25519_signature_made_elsewhere_is_put_into_its_place() {
    // The private key that the Go tests publish for PeterNeumann.
    let seed = BASE64.decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz".as_bytes()).unwrap();
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed[1..]).unwrap();
    let public = pair.public_key().as_ref().try_into().unwrap();
    let verifier = VerifierKey::ed25519(name("PeterNeumann"), public);
    assert_eq!(verifier.to_string(), PETER);

    let text = NoteText::parse(PROBLEM).unwrap();
    let unsigned = verifier.prepare(&text, at(1_679_315_147));
    assert_eq!(unsigned.message(), PROBLEM.as_bytes());
    let signature = pair.sign(unsigned.message());
    let line = unsigned.clone().signed(signature.as_ref()).unwrap();
    assert_eq!(line.to_string(), PETER_LINE);

    for wrong in [&[][..], &signature.as_ref()[1..], &[signature.as_ref(), &[0]].concat(), &[0; 64]]
    {
        assert_eq!(unsigned.clone().signed(wrong), Err(bad(PETER)));
    }
}

#[test]
fn a_cosignature_signs_the_time_and_the_checkpoint() {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let public = pair.public_key().as_ref().try_into().unwrap();
    let witness = VerifierKey::cosignature_v1(name("witness.example.com/w1"), public);
    let checkpoint = "example.com/behind-the-sofa\n20852163\n\
                      CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
    let text = NoteText::parse(checkpoint).unwrap();

    // The message and the time of the example of c2sp.org/tlog-cosignature.
    let unsigned = witness.prepare(&text, at(1_679_315_147));
    let message = format!("cosignature/v1\ntime 1679315147\n{checkpoint}");
    assert_eq!(unsigned.message(), message.as_bytes());
    let line = unsigned.clone().signed(pair.sign(unsigned.message()).as_ref()).unwrap();
    assert_eq!(line.signature().len(), 8 + 64);
    assert_eq!(line.signature()[..8], 1_679_315_147_u64.to_be_bytes());

    let keys = [witness];
    let note = Note::new(text.clone(), line.clone());
    let signed = note.verify(&keys).unwrap();
    assert_eq!(signed.signatures, [Verified { key: &keys[0], time_s: Some(1_679_315_147) }]);
    // Neither another time nor the same key as another kind will do.
    let mut later = line.clone();
    later.signature[7] += 1;
    let refused = NoteError::BadSignature { name: keys[0].name().clone(), id: keys[0].id() };
    assert_eq!(Note::new(text.clone(), later).verify(&keys), Err(refused.clone()));
    let plain = VerifierKey::ed25519(name("witness.example.com/w1"), public);
    assert_eq!(note.verify(std::slice::from_ref(&plain)), Err(NoteError::Unknown));
    assert!(plain.verify(&text, line.signature()).is_none());

    let stamped = |time_s: u64| {
        let message = format!("cosignature/v1\ntime {time_s}\n{checkpoint}");
        let signature = pair.sign(message.as_bytes());
        let signature = [&time_s.to_be_bytes(), signature.as_ref()].concat();
        Note::new(text.clone(), SignatureLine { signature, ..line.clone() })
    };
    for time_s in [0, 1, (1 << 63) - 1] {
        let note = stamped(time_s);
        assert_eq!(note.verify(&keys).unwrap().signatures[0].time_s, Some(time_s));
    }
    for time_s in [1 << 63, u64::MAX] {
        assert_eq!(stamped(time_s).verify(&keys), Err(refused.clone()));
    }
    for length in 1..72 {
        let signature = line.signature()[..length].to_vec();
        let cut = Note::new(text.clone(), SignatureLine { signature, ..line.clone() });
        assert_eq!(cut.verify(&keys), Err(refused.clone()));
    }
}

#[test]
fn a_p256_signature_of_a_token_is_put_into_its_place() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let public = P256PublicKey::from_uncompressed(pair.public_key().as_ref()).unwrap();
    let verifier = VerifierKey::ecdsa_p256(name("example.com/log"), public);
    assert_eq!(key(&verifier.to_string()), verifier);
    let text = NoteText::parse(PROBLEM).unwrap();
    let (keys, random) = ([verifier.clone()], SystemRandom::new());
    // Enough for halves that begin with a bit that is set, and some with a zero byte.
    for _ in 0..600 {
        let unsigned = verifier.prepare(&text, at(0));
        let fixed = pair.sign(&random, unsigned.message()).unwrap();
        let fixed = Signature::from_bytes(fixed.as_ref().try_into().unwrap());
        let line = unsigned.clone().signed(&der_signature(&fixed)).unwrap();
        assert_eq!(Note::new(text.clone(), line).verify(&keys).unwrap().signatures.len(), 1);
        assert!(unsigned.signed(fixed.as_bytes()).is_err(), "r and s side by side");
    }
}

#[test]
fn p256_signatures_have_one_encoding() {
    let half = |last: &[u8]| [&[0; 32][last.len()..], last].concat();
    for (r, s, der) in [
        (half(&[]), half(&[1]), vec![0x30, 6, 2, 1, 0, 2, 1, 1]),
        (half(&[0x7f]), half(&[0x80]), vec![0x30, 7, 2, 1, 0x7f, 2, 2, 0, 0x80]),
        (half(&[1, 0]), half(&[0xff, 0]), vec![0x30, 9, 2, 2, 1, 0, 2, 3, 0, 0xff, 0]),
    ] {
        let signature = Signature::from_bytes([r, s].concat().try_into().unwrap());
        assert_eq!(der_signature(&signature), der);
    }
    assert_eq!(der_signature(&Signature::from_bytes([0xff; 64])).len(), 72);

    // The signature of Rekor in other spellings of the same numbers.
    let note = Note::parse(REKOR_NOTE.as_bytes()).unwrap();
    let (text, der) = (note.unverified_text(), note.unverified_signatures()[0].signature());
    let rekor = key(REKOR);
    assert!(rekor.verify(text, der).is_some());
    let (r, s) = (&der[2..36], &der[36..]);
    let spelt = |outer: &[u8], r: &[u8], s: &[u8], after: &[u8]| [outer, r, s, after].concat();
    assert_eq!(spelt(&[0x30, 68], r, s, &[]), der);
    let padded = [&[2, 33, 0], &r[2..]].concat();
    for other in [
        spelt(&[0x30, 68], r, s, &[0]),
        spelt(&[0x30, 69], r, s, &[0]),
        spelt(&[0x30, 0x81, 68], r, s, &[]),
        spelt(&[0x30, 0x80], r, s, &[0, 0]),
        spelt(&[0x30, 69], &padded, s, &[]),
        spelt(&[0x31, 68], r, s, &[]),
        spelt(&[0x30, 34], r, &[], &[]),
        [&r[2..], &s[2..]].concat(),
    ] {
        assert!(rekor.verify(text, &other).is_none(), "{other:02x?}");
    }
}
