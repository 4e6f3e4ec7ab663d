//! A state is whole, its own, and held by one.

use std::fs;

use super::*;
use crate::log::note::NoteKeyName;

fn witness(byte: u8) -> VerifierKey {
    VerifierKey::cosignature_v1(NoteKeyName::parse("witness.example/w1").unwrap(), [byte; 32])
}

#[test]
fn what_was_put_is_there_after_a_restart_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("state");
    State::create(&place, &witness(1)).unwrap();
    assert!(matches!(State::create(&place, &witness(2)), Err(StateError::Exists(_))));
    let mut state = State::open(&place, &witness(1)).unwrap();
    assert!(matches!(State::open(&place, &witness(1)), Err(StateError::Locked(_))));
    state.put("a", "one".to_owned()).unwrap();
    state.put("b", "two".to_owned()).unwrap();
    state.put("a", "three".to_owned()).unwrap();
    drop(state);
    // What a crash in the middle of a writing leaves.
    fs::write(place.join(DRAFT), "half").unwrap();
    let mut state = State::open(&place, &witness(1)).unwrap();
    assert_eq!((state.note("a"), state.note("b")), (Some("three"), Some("two")));
    assert_eq!(state.note("c"), None);
    state.put("c", "four".to_owned()).unwrap();
}

#[test]
fn a_writing_that_fails_leaves_the_old_head() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("state");
    State::create(&place, &witness(1)).unwrap();
    let mut state = State::open(&place, &witness(1)).unwrap();
    state.put("a", "one".to_owned()).unwrap();
    // The draft cannot be made: a directory lies in its place. That passes.
    fs::create_dir(place.join(DRAFT)).unwrap();
    assert!(matches!(state.put("a", "two".to_owned()), Err(StateError::Io { .. })));
    assert_eq!((state.note("a"), state.trouble()), (Some("one"), None));
    fs::remove_dir(place.join(DRAFT)).unwrap();
    state.put("a", "two".to_owned()).unwrap();
    // It cannot be put in its place: which one is there is not known any more.
    fs::remove_file(place.join(FILE)).unwrap();
    fs::create_dir(place.join(FILE)).unwrap();
    assert!(matches!(state.put("a", "three".to_owned()), Err(StateError::Io { .. })));
    fs::remove_dir(place.join(FILE)).unwrap();
    assert!(matches!(state.put("a", "three".to_owned()), Err(StateError::Unknown(_))));
    assert_eq!(state.note("a"), Some("two"));
}

#[test]
fn a_state_that_is_lost_torn_or_of_another_is_refused() {
    type Change = fn(&Path);
    let cases: &[(&str, Change, &str)] = &[
        ("gone", |file| fs::remove_file(file).unwrap(), "there is no state"),
        ("empty", |file| fs::write(file, "").unwrap(), "it has not two lines"),
        ("cut", |file| edit(file, |text| text[..text.len() - 1].to_owned()), "two lines"),
        ("edited", |file| edit(file, |text| text.replace("one", "two")), "digest"),
        ("bytes", |file| fs::write(file, [0xff, b'\n', b'\n']).unwrap(), "not UTF-8"),
        ("later", |file| fs::write(file, sealed("countersign/witness/2")).unwrap(), "schema"),
        ("no JSON", |file| fs::write(file, format!("{{\n{}\n", digest("{"))).unwrap(), "EOF"),
    ];
    for (name, change, expected) in cases {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("state");
        State::create(&place, &witness(1)).unwrap();
        State::open(&place, &witness(1)).unwrap().put("a", "one".to_owned()).unwrap();
        let refused = State::open(&place, &witness(2)).unwrap_err().to_string();
        assert!(refused.contains("the state is that of the witness witness.example/w1+"));
        change(&place.join(FILE));
        let refused = State::open(&place, &witness(1)).unwrap_err().to_string();
        assert!(refused.contains(expected), "{name}: {refused}");
    }
}

fn edit(file: &Path, change: impl FnOnce(&str) -> String) {
    let text = fs::read_to_string(file).unwrap();
    fs::write(file, change(&text)).unwrap();
}

fn sealed(schema: &str) -> String {
    let json = format!(r#"{{"schema":"{schema}","witness":"","logs":{{}}}}"#);
    format!("{json}\n{}\n", digest(&json))
}
