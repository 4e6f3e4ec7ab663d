//! What a token remembers: a ledger that was rolled back, copied or exchanged is found out.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::installation::{MODULE, PIN};
use crate::support::{Installation, eventually, payment};

/// Copies a directory as `cp -a` does, in place of what is there.
fn put(from: &Path, to: &Path) {
    drop(fs::remove_dir_all(to));
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

/// Pays so often with a daemon that then stops cleanly.
fn pay(installation: &Installation, ids: &[&str]) {
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    for id in ids {
        assert_eq!(shop.pay(id, &payment("1.00", id)).status, 201);
    }
    drop(shop);
    assert_eq!(daemon.stop(), Some(0));
}

/// What a daemon says that refuses to start.
fn refused(installation: &Installation) -> String {
    let output = installation.run(&["serve"]);
    assert!(!output.status.success(), "it started");
    String::from_utf8(output.stderr).unwrap()
}

/// Changes the objects on the token behind the daemon's back.
fn tool(installation: &Installation, arguments: &[&str]) {
    let output = Command::new("pkcs11-tool")
        .args(["--module", MODULE, "--token-label", "countersign", "--login", "--pin", PIN])
        .args(arguments)
        .envs(installation.environment())
        .output()
        .expect("pkcs11-tool; `make deps` installs it");
    assert!(output.status.success(), "{output:?}");
}

fn delete(installation: &Installation, label: &str) {
    tool(installation, &["--delete-object", "--type", "data", "--label", label]);
}

#[test]
fn the_state_of_yesterday_is_refused_and_that_of_today_is_not() {
    let installation = Installation::new();
    pay(&installation, &["A-1"]);
    put(&installation.path("state"), &installation.path("yesterday"));
    pay(&installation, &["A-2", "A-3"]);
    put(&installation.path("state"), &installation.path("today"));

    put(&installation.path("yesterday"), &installation.path("state"));
    let told = refused(&installation);
    assert!(told.contains("the ledger is older than its token remembers"), "{told}");
    put(&installation.path("today"), &installation.path("state"));
    pay(&installation, &["A-4"]);
}

#[test]
fn a_ledger_on_the_token_of_another_is_refused() {
    let installation = Installation::new();
    pay(&installation, &["A-1"]);
    fs::rename(installation.path("state"), installation.path("first")).unwrap();
    let output = installation.run(&["init"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && told.contains("two ledgers on one token"), "{told}");

    // A ledger that was made for another token.
    let other = Installation::new();
    put(&other.path("state"), &installation.path("state"));
    let told = refused(&installation);
    assert!(told.contains("anchored to the ledger"), "{told}");
}

#[test]
fn anchors_that_are_gone_or_torn_are_told_apart() {
    let zero = "countersign-anchor-0";
    let cases: &[(&str, &dyn Fn(&Installation), Option<&str>)] = &[
        (
            "both gone",
            &|i| {
                delete(i, zero);
                delete(i, "countersign-anchor-1");
            },
            Some("the token has no anchors"),
        ),
        ("one gone", &|i| delete(i, zero), None),
        ("one torn", &|i| tear(i, &[zero]), None),
        (
            "both torn",
            &|i| tear(i, &[zero, "countersign-anchor-1"]),
            Some("both anchors on the token are torn or gone"),
        ),
    ];
    for (name, change, expected) in cases {
        let installation = Installation::new();
        pay(&installation, &["A-1"]);
        change(&installation);
        match expected {
            Some(expected) => {
                let told = refused(&installation);
                assert!(told.contains(expected), "{name}: {told}");
            }
            None => {
                pay(&installation, &["A-2"]);
                let told = installation.must(&["log", "show", "--decision", "anchor_gone"]);
                assert_eq!(told.contains("softhsm"), *name == "one gone", "{name}: {told}");
            }
        }
    }
}

/// As a power failure in the middle of a writing leaves them.
fn tear(installation: &Installation, labels: &[&str]) {
    let torn = installation.path("torn");
    fs::write(&torn, b"{\"schema\":\"countersign/anch").unwrap();
    for label in labels {
        delete(installation, label);
        let file = torn.to_str().unwrap();
        tool(
            installation,
            &[
                "--write-object",
                file,
                "--type",
                "data",
                "--label",
                label,
                "--application-label",
                "countersign",
                "--private",
            ],
        );
    }
}

#[test]
fn a_second_daemon_on_a_copy_stops_both_before_they_spend_twice() {
    let installation = Installation::new();
    pay(&installation, &["A-1"]);
    let copy = Installation::new();
    put(&installation.path("state"), &copy.path("state"));
    for file in ["countersign.toml", "policy.toml", "softhsm2.conf"] {
        fs::copy(installation.path(file), copy.path(file)).unwrap();
    }
    let first = installation.start();
    let second = copy.start();
    let stopped = |daemon: &crate::support::Daemon| {
        let (_, text) = daemon.operations_text("/health/ready");
        text.contains("another daemon uses this token")
    };
    // The next leaf of the first makes it look at the token.
    let shop = installation.caller(&first, "shop");
    drop(shop.pay("A-2", &payment("1.00", "A-2")));
    eventually("the first daemon has stopped signing", || stopped(&first));
    let refused = shop.pay("A-3", &payment("1.00", "A-3"));
    assert_eq!((refused.status, refused.str("/rule")), (503, "unavailable"), "{refused:?}");
    drop(second);
}

#[test]
fn a_large_signature_waits_until_a_token_remembers_it() {
    let installation = Installation::new();
    let key = "validity = \"1h\"";
    installation.edit("policy.toml", key, &format!("{key}\nanchored_from = \"20.00\""));
    installation.edit("countersign.toml", "[audit]", "[audit]\nanchor_interval = \"1h\"");
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    assert_eq!(shop.pay("small", &payment("19.99", "small")).status, 201);
    let large = shop.pay("large", &payment("20.00", "large"));
    assert_eq!((large.status, large.str("/state")), (202, "signing"), "{large:?}");
    assert!(large.body.get("jws").is_none(), "the signature did not leave");
    let path = format!("/v1/payments/{}", large.str("/id"));
    assert!(shop.get(&path).body.get("jws").is_none());
    drop(shop);
    assert_eq!(daemon.stop(), Some(0));

    // The end was anchored: what waited may leave.
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    eventually("it has left", || shop.get(&path).body.get("jws").is_some());
    assert_eq!(shop.pay("large", &payment("20.00", "large")).status, 201);
}

#[test]
fn a_signature_that_would_wait_for_ever_is_refused_at_start() {
    let installation = Installation::new();
    let key = "validity = \"1h\"";
    installation.edit("policy.toml", key, &format!("{key}\nanchored_from = \"20.00\""));
    installation.edit("countersign.toml", "pin_file", "anchors = false\npin_file");
    let told = refused(&installation);
    assert!(told.contains("keys.settlement-eur.anchored_from: no token"), "{told}");
}
