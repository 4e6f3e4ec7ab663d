//! Archives: what leaves the ledger whole is found in a file that the log knows.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use rusqlite::{Connection, OpenFlags};

use super::{LIFETIME, age, keep, key_of, looked_up};
use crate::support::installation::COUNTERSIGN;
use crate::support::{Dice, Installation, payment};

fn text(path: &std::path::Path) -> &str {
    path.to_str().unwrap()
}

/// Identifiers of the payments in a ledger or archive.
fn ids(path: &std::path::Path) -> Vec<Vec<u8>> {
    let file = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut select = file.prepare("SELECT id FROM payment").unwrap();
    select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

/// Pays `count` times a cent, under ids with this name.
fn pay(installation: &Installation, name: &str, count: usize) -> Vec<String> {
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    let ids = (0..count).map(|n| {
        let id = format!("{name}-{n}");
        let answer = shop.pay(&id, &payment("0.01", &id));
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.str("/id").to_owned()
    });
    let ids = ids.collect();
    key_of(&daemon);
    assert_eq!(daemon.stop(), Some(0));
    ids
}

#[test]
fn archives_hold_what_left_the_ledger_and_the_log_knows_them() {
    let installation = Installation::with_limits(LIFETIME);
    keep(&installation, "archive_after = \"1s\"");
    let first = pay(&installation, "A", 5);
    age();
    let files: Vec<PathBuf> = ["one", "two"].map(|name| installation.path(name)).into();
    let told = installation.must(&["archive", text(&files[0]), "--most", "3", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["archive"], &told["payments"]), (&"1".into(), &"3".into()), "{told}");
    let sum = Command::new("sha256sum").arg(&files[0]).output().unwrap().stdout;
    let sum = String::from_utf8(sum).unwrap();
    assert!(sum.starts_with(told["sha256"].as_str().unwrap()), "{sum} {told}");
    let again = installation.run(&["archive", text(&files[0])]);
    let refused = String::from_utf8(again.stderr).unwrap();
    assert!(refused.contains("there is a file at"), "{refused}");
    pay(&installation, "B", 1);
    age();
    let told = installation.must(&["archive", text(&files[1])]);
    assert!(told.contains("archived  3 payments"), "{told}");
    let nothing = installation.must(&["archive", text(&installation.path("three"))]);
    assert!(nothing.contains("nothing is older") && !installation.path("three").exists());
    assert_eq!((ids(&files[0]).len(), ids(&files[1]).len()), (3, 3));

    let daemon = installation.start();
    let busy = installation.run(&["archive", text(&installation.path("three"))]);
    let refused = String::from_utf8(busy.stderr).unwrap();
    assert!(refused.contains("another countersign holds"), "{refused}");
    let shop = installation.caller(&daemon, "shop");
    let again = shop.pay("A-0", &payment("0.01", "A-0"));
    assert_eq!((again.status, again.str("/rule")), (410, "payment_archived"), "{again:?}");
    assert!(again.str("/detail").contains("archive 1"), "{again:?}");
    let found = looked_up(&shop, &first[4]);
    assert_eq!((&found["archive"], &found["state"]), (&"2".into(), &"signed".into()), "{found}");
    let limits = shop.get("/v1/keys/settlement-eur/limits").body;
    assert_eq!(limits["limits"][1]["posted"], "0.06", "{limits}");
    let key = key_of(&daemon);
    let verify = |more: &[&str]| {
        let output = installation.run(&[&["log", "verify", "--key", &key], more].concat());
        let told = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(told).unwrap())
    };
    let both = ["--archive", text(&files[0]), "--archive", text(&files[1])];
    for (more, code, expected) in [
        (&[][..], 0, "6 archived, and no archive was given"),
        (&both[..2], 0, "6 archived, of which 3 have their leaves, byte for byte"),
        (&both[..], 0, "6 archived, of which 6 have their leaves, byte for byte"),
        (&["--archive", text(&installation.path("three"))], 1, "three"),
        (&["--archive", text(&installation.config())], 1, "is no archive"),
        (&["--archive", text(&installation.path("state/ledger.sqlite3"))], 1, "is no archive"),
    ] {
        let (found, told) = verify(more);
        assert_eq!(found, Some(code), "{more:?}: {told}");
        assert!(told.contains(expected), "{more:?}: {told}");
    }
    // An export has no rows, and archives bring theirs.
    let export = installation.path("export");
    installation.must(&["log", "export", text(&export)]);
    let (found, told) = verify(&[&["--export", text(&export)], &both[..]].concat());
    assert!(found == Some(0) && told.contains("of which 6 have"), "{told}");

    // One amount changed, or the file of another time.
    let changed = Connection::open(&files[1]).unwrap();
    let change = "UPDATE payment SET outcome_at = outcome_at + 1 WHERE rowid = 1";
    assert_eq!(changed.execute(change, []).unwrap(), 1);
    drop(changed);
    let (found, told) = verify(&both);
    assert!(found == Some(7) && told.contains("the file was changed"), "{told}");
}

#[test]
fn killed_while_it_archives_every_payment_is_in_the_ledger_or_in_the_archive() {
    let installation = Installation::with_limits(LIFETIME);
    keep(&installation, "archive_after = \"1s\"");
    let paid = pay(&installation, "K", 400).len();
    age();
    let ledger = installation.path("state/ledger.sqlite3");
    let mut dice = Dice::thrown();
    let (mut archives, mut broken_off) = (Vec::new(), 0);
    for round in 0..40 {
        let file = installation.path(&format!("archive-{round}"));
        let mut archiving = Command::new(COUNTERSIGN)
            .args(["archive", text(&file), "--most", "40"])
            .envs(installation.environment())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(dice.roll(80)));
        drop(archiving.kill());
        let done = archiving.wait().unwrap().success();
        let left = ids(&ledger);
        let moved = archives.iter().flat_map(|path: &PathBuf| ids(path)).count();
        if left.len() + moved < paid {
            // It was given up for this file, which is whole.
            assert_eq!(left.len() + moved + ids(&file).len(), paid, "round {round}");
            archives.push(file);
        } else {
            // What the ledger did not give up may be deleted, and the way is free.
            assert!(!done || left.is_empty(), "round {round}");
            assert_eq!(left.len() + moved, paid, "round {round}");
            broken_off += u32::from(file.exists());
            drop(std::fs::remove_file(&file));
        }
    }
    println!("{} archives, {broken_off} broken off after the file", archives.len());
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    let limits = shop.get("/v1/keys/settlement-eur/limits").body;
    assert_eq!(limits["limits"][1]["posted"], "4.00", "{limits}");
    let key = key_of(&daemon);
    let mut verify = vec!["log", "verify", "--key", &key];
    archives.iter().for_each(|path| verify.extend(["--archive", text(path)]));
    installation.must(&verify);
}
