//! A ledger and its export, sound and with every kind of change that somebody with the file could
//! make: rows through SQL, files through an editor. The root is also made by software of others.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser;

use super::super::export::{self, Export};
use super::*;
use crate::log::tests::scene::{Fate, LogKey, ORIGIN, Scene, head};

mod closing;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    verify: Verify,
}

#[derive(Parser)]
struct ExportLine {
    #[command(flatten)]
    export: Export,
}

/// Runs the command with these arguments and the key of the scene.
fn verified(scene: &Scene, arguments: &[&str]) -> Result<Exit, Failure> {
    let key = scene.audit.verifier.to_string();
    let line = [&["verify", "--key", &key], arguments].concat();
    run(&Line::try_parse_from(line).unwrap().verify, &Output::new(true))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn ledger(scene: &Scene) -> Result<Exit, Failure> {
    verified(scene, &["--ledger", text(&scene.ledger())])
}

/// What the command says about the ledger, which must be an alarm.
fn told(scene: &Scene) -> String {
    let failure = ledger(scene).unwrap_err();
    assert_eq!(failure.exit, Exit::Alarm, "{}", failure.message);
    failure.message
}

fn exported(scene: &Scene, name: &str) -> PathBuf {
    let (place, ledger) = (scene.path(name), scene.ledger());
    let line = ["export", text(&place), "--ledger", text(&ledger)];
    export::run(&ExportLine::try_parse_from(line).unwrap().export, &Output::new(true)).unwrap();
    place
}

/// A scene whose log is signed.
fn signed(payments: usize) -> Scene {
    let scene = Scene::with_payments(1, payments);
    scene.checkpoint();
    scene
}

#[test]
fn a_sound_ledger_and_its_export_hold() {
    let scene = signed(200);
    assert_eq!(ledger(&scene).unwrap(), Exit::Done);
    let export = exported(&scene, "export");
    assert_eq!(verified(&scene, &["--export", text(&export)]).unwrap(), Exit::Done);
    // Payments go on, and are not signed yet.
    scene.pay(&[Fate::Signed, Fate::InDoubt, Fate::Denied]);
    assert_eq!(ledger(&scene).unwrap(), Exit::Done);
    scene.checkpoint();
    assert_eq!(ledger(&scene).unwrap(), Exit::Done);
    let kept = scene.path("kept");
    fs::write(&kept, fs::read(export.join("checkpoint")).unwrap()).unwrap();
    let both = ["--checkpoint", text(&kept), "--ledger", text(&scene.ledger())].map(str::to_owned);
    let both: Vec<&str> = both.iter().map(String::as_str).collect();
    assert_eq!(verified(&scene, &both).unwrap(), Exit::Done);
}

#[test]
fn what_is_told_of_a_sound_log_can_be_read_by_people_and_scripts() {
    let scene = signed(25);
    let whence = super::super::tests::sample::whence(&["--ledger", text(&scene.ledger())]);
    let source = Source::open(&whence).unwrap();
    let subject = Subject::of(&source).unwrap();
    let keys = [scene.audit.verifier.clone()];
    let verifier = LogVerifier::new(&subject.notes, &[], &keys).unwrap();
    let check = Check { subject: &subject, source: &source, verifier, full: Vec::new() };
    let output = Output::new(true);
    let log = check.leaves(&output).unwrap();
    let standing = subject.standing.as_ref().unwrap();
    let agreed =
        agreement::agree(source.reader().unwrap(), &source, standing, &log, &output).unwrap();
    let text = told::text(&log, &[], Some(&agreed), 0, &output);
    let root = log.head.root.to_string();
    let expected = [
        "holds  pay.test.example/log",
        "  leaves    42  from 2027-01-15 08:00:00 to 2027-01-15 08:00:25",
        "  signed    all of them, by 1 checkpoint",
        &format!("  root      {root}"),
        "  payments  20 accepted, 5 denied, 10 signed, 5 voided",
        "  events    1 started, 1 stopped",
        "  key       settlement-eur  10 signed, 123.40 EUR; 5 in doubt, 61.70 EUR",
        "  ledger    25 payments have their leaves, byte for byte; the sums of 1 key are those of \
         the log",
    ];
    assert_eq!(text, expected.join("\n"));
    let json = told::json(&log, &[], Some(&agreed), 0);
    assert_eq!((&json["leaves"], &json["root"]), (&"42".into(), &root.into()));
    assert_eq!(json["keys"][0]["signed_amount"], "123.40");
    assert_eq!(json["ledger"]["outcomes"], "15");
}

/// Each change by itself, and what is told of it.
fn found_out(changes: &[(&str, &str)]) {
    for (sql, told_as) in changes {
        let scene = signed(200);
        crate::ledger::tests::tamper(&scene.ledger(), sql);
        let found = told(&scene);
        assert!(found.contains(told_as), "{sql}: {found}");
    }
}

#[test]
fn every_change_of_the_log_is_found_and_told() {
    let edit = "UPDATE leaf SET body = replace(body, '\"12.34\"', '\"1.34\"') WHERE position";
    let newest = format!("{edit} = (SELECT max(leaf) FROM payment WHERE state = 'posted')");
    let rename = "UPDATE checkpoint SET note = replace(note, 'log' || char(10), 'x' || char(10))";
    found_out(&[
        (&newest, "says amount 12.34; expected 1.34"),
        (&format!("{edit} IN (1, 2)"), "leaf 1: its hash is"),
        ("UPDATE leaf SET body = replace(body, ':', ': ')", "not canonical JSON"),
        ("DELETE FROM leaf WHERE position = 7", "leaf 7 of the log is missing"),
        ("DELETE FROM leaf WHERE position >= 300", "the log ends after 300 leaves, but"),
        ("UPDATE tile SET hashes = zeroblob(8192) WHERE level = 0", "leaf 0: its hash is"),
        ("DELETE FROM tile", "tile/0/000 is not there; expected it"),
        ("DELETE FROM checkpoint", "the log has no checkpoint"),
        ("UPDATE checkpoint SET size = size - 1", "its row was changed"),
        (rename, "does not verify"),
    ]);
}

#[test]
fn every_change_of_a_payment_or_a_sum_is_found_and_told() {
    let order = "UPDATE payment SET order_bytes = CAST(replace(order_bytes, '12.34', '12.35') AS \
                 BLOB) WHERE rowid = 3";
    let reopened = "UPDATE payment SET state = 'authorised', signature = NULL, outcome_leaf = NULL \
                    WHERE rowid = 3";
    let posted = "UPDATE running_sum SET posted_amount = 1 WHERE span = 'lifetime'";
    found_out(&[
        (order, "but the leaf says amount \"12.34\"; expected \"12.35\", which its row gives"),
        ("UPDATE payment SET order_bytes = x'00' WHERE rowid = 3", "a row that cannot be read"),
        ("DELETE FROM payment WHERE rowid = 3", "the ledger has no such payment"),
        (
            "UPDATE payment SET caller = 'shap' WHERE rowid = 3",
            "but the leaf says caller \"shop\"; expected \"shap\"",
        ),
        (
            "UPDATE payment SET salt = zeroblob(16) WHERE rowid = 4",
            "has its decision here, but the leaf says creditor_account",
        ),
        (
            "UPDATE payment SET signature = zeroblob(64) WHERE rowid = 3",
            "has its outcome here, but the leaf says jws",
        ),
        (
            "UPDATE payment SET outcome_leaf = NULL WHERE rowid = 3",
            "has its outcome and names no leaf of an outcome",
        ),
        (reopened, "but its row in the ledger knows of no such leaf"),
        ("UPDATE payment SET leaf = 0 WHERE rowid = 1", "leaf 0: payment"),
        (
            posted,
            "the ledger counts 0.01 EUR in 80 payments as signed with key settlement-eur; expected \
             987.20 EUR in 80 payments",
        ),
        ("UPDATE running_sum SET pending_count = 0", "as open with key settlement-eur; expected"),
        ("DELETE FROM running_sum", "the ledger counts 0.00 EUR in 0 payments"),
    ]);
}

#[test]
fn a_ledger_of_yesterday_is_found_by_a_checkpoint_of_today() {
    let scene = signed(10);
    let copy = scene.path("yesterday.sqlite3");
    fs::copy(scene.ledger(), &copy).unwrap();
    scene.pay(&[Fate::Signed; 5]);
    let today = scene.path("today");
    fs::write(&today, scene.checkpoint()).unwrap();
    assert_eq!(verified(&scene, &["--ledger", text(&copy)]).unwrap(), Exit::Done);
    let arguments = ["--ledger", text(&copy), "--checkpoint", text(&today)];
    let found = verified(&scene, &arguments).unwrap_err();
    assert_eq!(found.exit, Exit::Alarm);
    assert!(found.message.contains("the last 12 are missing"), "{}", found.message);
}

#[test]
fn every_change_of_an_export_is_found_and_told() {
    let scene = signed(200);
    let sound = exported(&scene, "export");
    let arguments = ["--export", text(&sound)];
    let leaves = scene.leaves();
    let last = format!("{:03}.p/{}", leaves.len() / 256, leaves.len() % 256);
    let entries = format!("tile/entries/{last}");
    let spoilt = |file: &str, spoil: &dyn Fn(&mut Vec<u8>)| {
        let path = sound.join(file);
        let kept = fs::read(&path).unwrap();
        let mut bytes = kept.clone();
        spoil(&mut bytes);
        fs::write(&path, bytes).unwrap();
        let failure = verified(&scene, &arguments).unwrap_err();
        fs::write(&path, kept).unwrap();
        failure.message
    };
    // An amount in a leaf of the full bundle, and one of the partial bundle.
    let edited = |bytes: &mut Vec<u8>| {
        let at = bytes.windows(7).rposition(|w| w == b"payment").unwrap();
        bytes[at + 10] ^= 1;
    };
    for (file, told_as) in [("tile/entries/000", "is"), (entries.as_str(), "is")] {
        let found = spoilt(file, &edited);
        assert!(found.starts_with("the log does not hold: leaf "), "{found}");
        assert!(found.contains(told_as), "{found}");
    }
    let found = spoilt("tile/0/000", &|bytes| bytes[32] ^= 1);
    assert!(found.contains("leaf 1: its hash is"), "{found}");
    let found = spoilt(&format!("tile/0/{last}"), &|bytes| bytes[0] ^= 1);
    assert!(found.contains("leaf 256: its hash is"), "{found}");
    let found = spoilt("tile/1/000.p/1", &|bytes| bytes[0] ^= 1);
    assert!(found.contains("tile/1/000.p/1 has the hash"), "{found}");
    let found = spoilt("tile/0/000", &|bytes| bytes.truncate(100));
    assert!(found.contains("tile/0/000 has 100 bytes; expected 8192"), "{found}");
    for cut in [1, 10, 1000] {
        let found = spoilt(&entries, &|bytes| bytes.truncate(bytes.len() - cut));
        assert!(found.contains("bundle"), "{found}");
    }
    let all = head(&leaves);
    let other = LogKey::new(ORIGIN).note(ORIGIN, all);
    let found = spoilt("checkpoint", &|bytes| *bytes = other.clone().into_bytes());
    assert!(found.contains("not signed by a known key"), "{found}");
    // A checkpoint of the same log at a lower size: what is beyond it is not looked at.
    let lower = scene.audit.note(ORIGIN, head(&leaves[..300]));
    fs::write(sound.join("checkpoint"), &lower).unwrap();
    assert!(verified(&scene, &arguments).is_err(), "its partial tiles are not there");
    let kept = scene.path("kept");
    fs::write(&kept, scene.audit.note(ORIGIN, all)).unwrap();
    let found = verified(&scene, &[&arguments[..], &["--checkpoint", text(&kept)]].concat());
    assert_eq!(found.unwrap_err().exit, Exit::Alarm);
}

/// RFC 6962 section 2.1, in Python's own library.
const PYTHON: &str = r#"
import base64, hashlib, sys
top = sys.argv[1]
origin, size, root = open(top + "/checkpoint").read().split("\n")[:3]
size = int(size)
sha = lambda data: hashlib.sha256(data).digest()
hashes = []
for first in range(0, size, 256):
    width = min(256, size - first)
    name = "%03d" % (first // 256) + ("" if width == 256 else ".p/%d" % width)
    data = open(top + "/tile/entries/" + name, "rb").read()
    while data:
        length = int.from_bytes(data[:2], "big")
        hashes.append(sha(b"\x00" + data[2:2 + length]))
        data = data[2 + length:]
assert len(hashes) == size, len(hashes)
def mth(d):
    if len(d) == 1: return d[0]
    k = 1
    while 2 * k < len(d): k *= 2
    return sha(b"\x01" + mth(d[:k]) + mth(d[k:]))
print(base64.b64encode(mth(hashes)).decode() == root and root)
"#;

#[test]
fn python_gets_the_root_that_was_signed() {
    let scene = signed(200);
    let export = exported(&scene, "export");
    let python = Command::new("python3").args(["-c", PYTHON, text(&export)]).output().unwrap();
    assert!(python.status.success(), "{python:?}");
    let root = head(&scene.leaves()).root.to_string();
    assert_eq!(String::from_utf8(python.stdout).unwrap().trim(), root);
}

#[test]
fn a_long_log_is_verified_in_no_time() {
    // A million leaves where there is time for it: `make soak`.
    let payments: u64 =
        if std::env::var_os("COUNTERSIGN_SOAK").is_some() { 500_000 } else { 2_000 };
    let scene = Scene::new(1);
    scene.pay_many(payments);
    scene.checkpoint();
    let started = crate::clock::monotonic();
    assert_eq!(ledger(&scene).unwrap(), Exit::Done);
    let took = started.elapsed();
    println!("{} leaves and their ledger verified in {took:.1?}", 2 * payments);
    let export = exported(&scene, "export");
    let started = crate::clock::monotonic();
    assert_eq!(verified(&scene, &["--export", text(&export)]).unwrap(), Exit::Done);
    println!("their export in {:.1?}", started.elapsed());
    assert!(took.as_secs() < 60, "{took:?}");
}
