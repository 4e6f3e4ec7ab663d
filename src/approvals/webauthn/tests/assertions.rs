//! Assertions that are right but for one detail: each is refused for its true reason, in one text.

use serde_json::json;

use super::super::authenticator::{BE, BS, Kind, UP, UV, bytes, integer, list, map, text};
use super::super::*;
use super::mutants::MUTANTS;
use super::mutants::Mutant::{self, Asked as A, Json as J, Scene as S, Text as X, Touch as T};
use super::scene::{Demand, ORIGIN, Scene, attestors, extended};

fn outcome(mut scene: Scene, mutant: &Mutant) -> Result<Verified, Refused> {
    let options = scene.options();
    let mut asked = scene.key.request(&options, ORIGIN);
    if let A(change) = mutant {
        change(&mut asked);
    }
    let mut touch = scene.key.touch(&asked);
    if let T(change) = mutant {
        change(&mut touch);
    }
    let mut json = touch.to_json();
    match mutant {
        J(change) => change(&mut json),
        S(change) => change(&mut scene),
        X(change) => return scene.judge_text(&change(&json.to_string())),
        A(_) | T(_) => {}
    }
    scene.judge(&json)
}

#[test]
fn each_mutant_is_refused_for_its_true_reason_and_in_the_same_words() {
    assert!(MUTANTS.len() >= 60, "{} mutants", MUTANTS.len());
    let mut words = std::collections::BTreeSet::new();
    for (what, name, mutant) in MUTANTS {
        let Err(refused) = outcome(Scene::of(Kind::Es256), mutant) else {
            panic!("{what} was accepted");
        };
        let fault = refused.fault();
        assert_eq!(fault.name(), *name, "{what}: {fault}");
        let told = fault.to_string();
        assert!(told.contains("expected") || *name == "cbor", "{what}: {told}");
        assert!(told.len() < 1_600 && !told.contains(char::is_control), "{what}: {told}");
        words.insert(refused.to_string());
    }
    assert_eq!(words.len(), 1, "{words:?}");
}

#[test]
fn what_is_right_is_accepted_from_every_kind_of_key() {
    let variants: &[(&str, Mutant)] = &[
        ("as it comes", A(|_| ())),
        ("on another origin of ours", A(|a| a.origin = "https://pay.example.org:8443".to_owned())),
        ("without crossOrigin", A(|a| a.members.clear())),
        (
            "with members that nobody knows yet",
            A(|a| {
                a.members = r#","crossOrigin":false,"extra":{"a":[1,null]}"#.to_owned();
            }),
        ),
        (
            "with an escape in it",
            A(|a| {
                let json = String::from_utf8(a.client_data()).unwrap();
                a.client_data = Some(json.replacen("get", r"g\u0065t", 1).into_bytes());
            }),
        ),
        ("with extensions", A(|a| extended(a, map(&[(text("credProtect"), integer(2))])))),
        (
            "with extensions of all forms",
            A(|a| {
                let inner = map(&[(integer(-1), list(&[bytes(&[1]), vec![0xf5], vec![0xf6]]))]);
                extended(a, map(&[(text("x"), inner)]));
            }),
        ),
        ("without a handle", T(|t| t.user_handle = None)),
        ("with a counter that jumps", A(|a| a.counter = u32::MAX)),
        ("with results of extensions", J(|j| j["clientExtensionResults"]["a"] = json!(true))),
        (
            "without what is not judged",
            J(|j| {
                let members = j.as_object_mut().unwrap();
                members.remove("clientExtensionResults");
                members.remove("authenticatorAttachment");
            }),
        ),
        ("where less is demanded", S(|s| s.demand = Demand::Hardware)),
        ("where nothing is demanded", S(|s| s.demand = Demand::Any)),
    ];
    for (what, variant) in variants {
        for kind in [Kind::Es256, Kind::EdDsa] {
            let found = outcome(Scene::of(kind), variant);
            assert!(found.is_ok(), "{what}, {kind:?}: {}", found.unwrap_err().fault());
        }
    }
}

#[test]
fn demands_part_hardware_from_passkeys() {
    type Change = fn(&mut Scene);
    let rows: &[(&str, Option<&str>, Change)] = &[
        ("a passkey where nothing is demanded", None, |_| ()),
        ("a passkey where hardware is", Some("not_hardware"), |s| s.demand = Demand::Hardware),
        ("a passkey where attestation is", Some("not_hardware"), |s| {
            s.demand = Demand::Attested(attestors(&s.maker, &[s.key.aaguid]));
        }),
        ("hardware that turns into a passkey", Some("backup_eligibility"), |s| {
            s.credential.backup_eligible = false;
        }),
        ("a key that never counted and has counted", Some("counter"), |s| s.counter = 1),
    ];
    for (what, name, change) in rows {
        let found = outcome(Scene::of_passkey(), &S(*change));
        let found = found.err().map(|refused| refused.fault().name());
        assert_eq!(found, *name, "{what}");
    }
    let touched = |flags: fn(&mut authenticator::Asked)| outcome(Scene::of_passkey(), &A(flags));
    assert!(touched(|a| a.flags |= BS).unwrap().backed_up());
    assert_eq!(touched(|a| a.flags &= !BE).unwrap_err().fault().name(), "backup_eligibility");
    let mut scene = Scene::of_passkey();
    scene.verification = UserVerification::Discouraged;
    let verified = outcome(scene, &A(|a| a.flags &= !UV)).unwrap();
    assert!(!verified.user_verified() && verified.counter() == 0);
}

#[test]
fn a_replay_is_refused_where_the_key_counts_and_told_by_the_statement_where_it_does_not() {
    let mut scene = Scene::of(Kind::Es256);
    let asked = scene.key.request(&scene.options(), ORIGIN);
    let touch = scene.key.touch(&asked).to_json();
    let verified = scene.judge(&touch).unwrap();
    assert!(verified.counter() == 8 && verified.user_verified() && !verified.backed_up());
    scene.counter = verified.counter();
    assert_eq!(scene.judge(&touch).unwrap_err().fault().name(), "counter");

    let mut scene = Scene::of_passkey();
    let asked = scene.key.request(&scene.options(), ORIGIN);
    let touch = scene.key.touch(&asked).to_json();
    assert_eq!(scene.judge(&touch).unwrap().counter(), 0);
    assert!(scene.judge(&touch).is_ok(), "judging evidence again must give the same");
    scene.challenge[31] ^= 1;
    assert_eq!(scene.judge(&touch).unwrap_err().fault().name(), "challenge");
}

#[test]
fn the_first_check_that_fails_is_told() {
    let order: &[(&str, Mutant)] = &[
        ("credential", T(|t| t.id = vec![1])),
        ("user_handle", T(|t| t.user_handle = Some("AAAA".to_owned()))),
        ("type", A(|a| a.ceremony.clear())),
        ("challenge", A(|a| a.challenge.clear())),
        ("origin", A(|a| a.origin.clear())),
        ("cross_origin", A(|a| a.members = r#","crossOrigin":true,"topOrigin":"x""#.to_owned())),
        ("rp_id_hash", A(|a| a.rp_id.clear())),
        ("user_presence", A(|a| a.flags &= !UP)),
        ("user_verification", A(|a| a.flags &= !UV)),
        ("backup_state", A(|a| a.flags |= BS)),
        ("backup_eligibility", A(|a| a.flags |= BE)),
        ("signature", T(|t| t.signature = vec![0])),
        ("counter", A(|a| a.counter = 1)),
    ];
    for (index, (first, one)) in order.iter().enumerate() {
        for (second, other) in &order[index + 1..] {
            // With both flags set neither is wrong in the way of the first.
            if (*first, *second) == ("backup_state", "backup_eligibility") {
                continue;
            }
            let mut scene = Scene::of(Kind::Es256);
            let mut asked = scene.key.request(&scene.options(), ORIGIN);
            for mutant in [one, other] {
                if let A(change) = mutant {
                    change(&mut asked);
                }
            }
            let mut touch = scene.key.touch(&asked);
            for mutant in [one, other] {
                if let T(change) = mutant {
                    change(&mut touch);
                }
            }
            let refused = scene.judge(&touch.to_json()).unwrap_err();
            assert_eq!(refused.fault().name(), *first, "{second}: {}", refused.fault());
        }
    }
}

#[test]
fn both_values_of_s_verify_since_authenticators_make_both() {
    let mut scene = Scene::of(Kind::Es256);
    let asked = scene.key.request(&scene.options(), ORIGIN);
    let touch = scene.key.touch(&asked);
    let made = p256::ecdsa::Signature::from_der(&touch.signature).unwrap();
    let (r, s) = made.split_scalars();
    let other = p256::ecdsa::Signature::from_scalars(r.to_bytes(), (-*s).to_bytes()).unwrap();
    for signature in [made, other] {
        let mut touch = touch.clone();
        touch.signature = signature.to_der().as_bytes().to_vec();
        assert!(scene.judge(&touch.to_json()).is_ok());
    }
}
