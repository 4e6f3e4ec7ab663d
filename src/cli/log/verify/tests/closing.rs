//! Logs of payments that were erased or archived, and what somebody with the file could make of
//! that: rows that go without a leaf, stubs of other payments, archives that were changed.

use super::*;

/// 200 payments, of which 30 were erased and 40 archived.
fn closed() -> (Scene, PathBuf) {
    let scene = Scene::with_payments(1, 200);
    scene.erase(30);
    let archive = scene.archive("archive", 40);
    scene.checkpoint();
    (scene, archive)
}

#[test]
fn what_was_erased_and_archived_is_told_and_everything_holds() {
    let (scene, archive) = closed();
    let export = exported(&scene, "export");
    let archive = ["--archive", text(&archive)];
    let rows = ["--ledger", text(&scene.ledger())].map(str::to_owned);
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    for arguments in [&rows[..], &["--export", text(&export)]] {
        assert_eq!(verified(&scene, arguments).unwrap(), Exit::Done);
        assert_eq!(verified(&scene, &[arguments, &archive].concat()).unwrap(), Exit::Done);
    }
    let whence = super::super::super::tests::sample::whence(&rows);
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
    let told = told::text(&log, &[], Some(&agreed), 40, &output);
    for line in [
        "  closed    30 erased: what their digests were made from is gone; 40 archived, of which \
         40 have their leaves, byte for byte",
        "  events    1 started, 1 stopped, 1 erased, 1 archived",
        "  ledger    130 payments have their leaves, byte for byte; the sums of 1 key are those of \
         the log",
    ] {
        assert!(told.lines().any(|told| told == line), "{told}");
    }
    let json = told::json(&log, &[], Some(&agreed), 40);
    assert_eq!((&json["erased"], &json["archived"]), (&"30".into(), &"40".into()));
    assert_eq!(
        (&json["ledger"]["closed"], &json["archived_compared"]),
        (&"70".into(), &"40".into())
    );
}

#[test]
fn every_change_of_what_is_closed_is_found_and_told() {
    let erased = "(SELECT min(closing) FROM closed)";
    let drop_row = "DELETE FROM payment WHERE leaf = (SELECT max(leaf) FROM payment)";
    let stub = format!(
        "INSERT INTO closed SELECT leaf, id, randomblob(16), outcome_leaf, {erased} FROM payment \
         ORDER BY leaf DESC LIMIT 1"
    );
    let (both, hidden) = (stub.clone(), format!("{stub}; {drop_row}"));
    for (sql, told_as) in [
        ("DELETE FROM closed WHERE leaf = 1", "the rows of 29 payments are gone by leaf"),
        ("DELETE FROM closed", "expected 30, which it says"),
        (drop_row, "the ledger has no such payment: its row was deleted"),
        // A row that is taken away with a stub in its place, and one that has both.
        (&hidden, "the rows of 31 payments are gone by leaf"),
        (&both, "but has its row as well"),
        ("UPDATE closed SET closing = 0 WHERE leaf = 1", "by leaf 0; expected 0"),
        ("UPDATE closed SET id = randomblob(16) WHERE leaf = 1", "whose row is closed"),
        (
            "UPDATE closed SET leaf = 0 WHERE leaf = 1",
            "is of kind \"started\"; expected the decision",
        ),
        ("UPDATE closed SET outcome_leaf = 1 WHERE leaf = 1", "is of kind \"accepted\" and about"),
        ("UPDATE closed SET outcome_leaf = NULL WHERE leaf = 1", "knows of no such leaf"),
        ("UPDATE running_sum SET posted_count = 1", "what limits are compared with was changed"),
    ] {
        let (scene, _) = closed();
        let found = changed(&scene, sql);
        assert!(found.contains(told_as), "{sql}: {found}");
    }
}

/// Makes the changes and tells what is said of the ledger then.
fn changed(scene: &Scene, sql: &str) -> String {
    for change in sql.split("; ") {
        crate::ledger::tests::tamper(&scene.ledger(), change);
    }
    told(scene)
}

#[test]
fn every_change_of_an_archive_is_found_and_told() {
    for (sql, told_as) in [
        ("UPDATE payment SET expires_at = expires_at + 1 WHERE rowid = 1", "the file was changed"),
        ("DELETE FROM payment WHERE rowid = 1", "it has 39 payments"),
        ("UPDATE header SET number = 2", "the log knows of no archive 2"),
    ] {
        let (scene, archive) = closed();
        crate::ledger::tests::tamper(&archive, sql);
        let found =
            verified(&scene, &["--ledger", text(&scene.ledger()), "--archive", text(&archive)]);
        let failure = found.unwrap_err();
        assert_eq!(failure.exit, Exit::Alarm);
        assert!(failure.message.contains(told_as), "{sql}: {}", failure.message);
    }
    // The archive is sound, and the ledger says that its payments are another's.
    let (scene, archive) = closed();
    let other = "UPDATE closed SET closing = (SELECT min(closing) FROM closed) WHERE leaf = \
                 (SELECT max(leaf) FROM closed)";
    crate::ledger::tests::tamper(&scene.ledger(), other);
    let found = verified(&scene, &["--ledger", text(&scene.ledger()), "--archive", text(&archive)]);
    assert!(found.unwrap_err().message.contains("the rows of 31 payments are gone"));
    // One of another ledger.
    let (scene, _) = closed();
    let other = Scene::with_payments(2, 100);
    let archive = other.archive("archive", 40);
    let found = verified(&scene, &["--ledger", text(&scene.ledger()), "--archive", text(&archive)]);
    let message = found.unwrap_err().message;
    assert!(message.contains("or is of another ledger"), "{message}");
}
