//! Receipts of real payments: true ones, ones with a byte changed, and ones whose parts are all
//! genuine but do not belong together.

use super::*;
use crate::domain::key::PublicKey;
use crate::log::note::VerifierKey;
use crate::log::tests::scene::{Fate, LogKey, ORIGIN, Scene, head};

fn check(scene: &Scene, json: impl AsRef<[u8]>) -> Result<Verified, String> {
    let (keys, log_keys) = ([scene.public.clone()], [scene.audit.verifier.clone()]);
    check_with(json.as_ref(), &keys, &log_keys)
}

fn check_with(json: &[u8], keys: &[PublicKey], log: &[VerifierKey]) -> Result<Verified, String> {
    let receipt = Receipt::parse(json).map_err(|refused| refused.to_string())?;
    verify(&receipt, keys, log, &[]).map_err(|refused| refused.to_string())
}

fn three_signed() -> (Scene, Vec<PaymentId>) {
    let scene = Scene::new(1);
    let ids = scene.pay(&[Fate::Signed, Fate::Denied, Fate::Signed, Fate::Signed]);
    (scene, ids)
}

#[test]
fn a_receipt_proves_what_was_paid() {
    let (scene, ids) = three_signed();
    for (number, id) in [(0, ids[0]), (2, ids[2]), (3, ids[3])] {
        let receipt = scene.receipt(id);
        let json = receipt.to_json();
        assert_eq!(Receipt::parse(json.as_bytes()), Ok(receipt));
        let proven = check(&scene, &json).unwrap();
        assert_eq!((proven.amount.as_str(), proven.currency.as_str()), ("12.34", "EUR"));
        assert_eq!(proven.account, format!("merchant:M{number}"));
        assert_eq!(proven.debtor.is_some(), number % 2 == 0);
        assert_eq!((proven.caller.as_str(), proven.leaves), ("shop", 9));
        assert_eq!((proven.payment, proven.origin), (id.to_string(), ORIGIN.to_owned()));
        assert_eq!(proven.signed_by, [ORIGIN]);
        // White space means nothing.
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert!(check(&scene, serde_json::to_string_pretty(&value).unwrap()).is_ok());
    }
}

#[test]
fn a_receipt_with_any_byte_changed_is_refused() {
    let (scene, ids) = three_signed();
    let json = scene.receipt(ids[2]).to_json();
    for at in 0..json.len() {
        for change in [|byte| byte ^ 1, |byte| byte ^ 0x20, |_| b'"', |_| b' ', |_| b'0'] {
            let mut bytes = json.as_bytes().to_vec();
            bytes[at] = change(bytes[at]);
            if bytes == json.as_bytes() {
                continue;
            }
            let found = check(&scene, &bytes);
            assert!(found.is_err(), "byte {at}: {}", String::from_utf8_lossy(&bytes));
        }
    }
    // Cut anywhere, and with something behind.
    (0..json.len())
        .for_each(|end| assert!(check(&scene, &json.as_bytes()[..end]).is_err(), "{end}"));
    assert!(check(&scene, format!("{json}{json}")).is_err());
}

#[test]
fn a_file_of_another_form_is_refused_with_its_reason() {
    let (scene, ids) = three_signed();
    let json = scene.receipt(ids[0]).to_json();
    for (old, new, told) in [
        ("\"schema\"", "\"bonus\":\"1\",\"schema\"", "unknown field `bonus`"),
        ("\"schema\"", "\"payment\":\"1\",\"schema\"", "duplicate field `payment`"),
        ("receipt/1", "receipt/2", "the schema is \"countersign/receipt/2\"; expected"),
        ("\"position\":\"1\"", "\"position\":\"01\"", "\"position\" is \"01\"; expected a decimal"),
        ("\"position\":\"1\"", "\"position\":1", "expected a string"),
        ("\"salt\":\"", "\"salt\":\"A", "expected 16 bytes in base64url"),
        ("\"proof\":[\"", "\"proof\":[\"A", "expected hashes in base64"),
    ] {
        let changed = json.replacen(old, new, 1);
        assert_ne!(changed, json, "{old}");
        let refused = check(&scene, &changed).unwrap_err();
        assert!(refused.contains(told), "{refused}");
    }
    let long = format!("{json}{}", " ".repeat(RECEIPT_BYTES_MAX));
    assert!(check(&scene, &long).unwrap_err().contains("at most 1048576"));
}

/// Changes a receipt in one way.
type Change = fn(&mut Receipt, &Receipt, &Scene);

#[test]
fn genuine_parts_that_do_not_belong_together_are_refused_with_their_reason() {
    let (scene, ids) = three_signed();
    let (receipt, other) = (scene.receipt(ids[2]), scene.receipt(ids[0]));
    let changes: [(Change, &str); 11] = [
        (|r, o, _| r.payment = o.payment, "the decision leaf says payment \""),
        (|r, o, _| r.jws.clone_from(&o.jws), "as the order says"),
        (|r, o, _| r.salt = o.salt, "the decision leaf's digest of order is not that of"),
        (|r, o, _| r.decision = o.decision.clone(), "the decision leaf says payment"),
        (|r, o, _| r.outcome = o.outcome.clone(), "not after the decision at"),
        (|r, _, _| r.outcome = r.decision.clone(), "the outcome leaf is of kind \"accepted\""),
        (|r, _, _| r.decision = r.outcome.clone(), "the decision leaf is of kind \"signed\""),
        (|r, o, _| r.decision.proof.clone_from(&o.decision.proof), "is not in the log: the proof"),
        (|r, _, _| r.decision.position = 99, "leaf 99 is not in a tree of 9 leaves"),
        (
            |r, _, s| r.checkpoint = s.audit.note(ORIGIN, head(&s.leaves()[..8])),
            "is not in the log",
        ),
        (
            |r, _, s| r.checkpoint = LogKey::new("other").note(ORIGIN, head(&s.leaves())),
            "the checkpoint: the note is not signed by a known key",
        ),
    ];
    for (change, told) in changes {
        let mut changed = receipt.clone();
        change(&mut changed, &other, &scene);
        let refused = check(&scene, changed.to_json()).unwrap_err();
        assert!(refused.contains(told), "{told}: {refused}");
    }
    let late = scene.receipt(ids[3]);
    let early = Receipt { outcome: other.outcome, ..late };
    let refused = check(&scene, early.to_json()).unwrap_err();
    assert!(refused.contains("the outcome stands at 2, not after"), "{refused}");
}

#[test]
fn the_keys_come_from_elsewhere() {
    let (scene, ids) = three_signed();
    let json = scene.receipt(ids[0]).to_json();
    let stranger = Scene::new(2);
    let (keys, log_keys) = ([scene.public.clone()], [scene.audit.verifier.clone()]);
    let told = check_with(json.as_bytes(), &[stranger.public], &log_keys).unwrap_err();
    assert!(told.contains("is not in the key set"), "{told}");
    let told = check_with(json.as_bytes(), &keys, &[stranger.audit.verifier]).unwrap_err();
    assert!(told.contains("not signed by a known key"), "{told}");
    let refused = jws::verify("a.b", &keys).unwrap_err();
    assert_eq!(refused, JwsError::Form);
}

#[test]
fn a_key_set_is_read_and_held_to_its_thumbprints() {
    let scene = Scene::new(1);
    let jwk = scene.public.jwk();
    let (x, y) = (jwk.x, jwk.y.unwrap());
    let key =
        format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}","kid":"KID","use":"sig"}}"#);
    let set = |key: &str| format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed448"}},{key}]}}"#);
    let kid = scene.public.kid().as_str();
    let read = public_keys(set(&key.replace("KID", kid)).as_bytes());
    assert_eq!(read, Ok(vec![scene.public.clone()]));
    let refused = |text: String| public_keys(text.as_bytes()).unwrap_err().to_string();
    assert!(refused(set(&key)).contains("key 2 of the set is called \"KID\""));
    assert!(
        refused(set(&key.replace(&x, &y)))
            .contains("key 2 of the set is not a public key of its curve")
    );
    assert!(refused(r#"{"keys":[]}"#.to_owned()).contains("no key that can sign payments"));
    assert!(refused("[]".to_owned()).contains("not a JSON Web Key Set"));
}
