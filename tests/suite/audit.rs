//! An auditor's day: our commands on the log of a real daemon, while it runs and afterwards.

use std::fs;

use crate::support::{Daemon, Installation, eventually, payment};

/// The newest checkpoint covers so many leaves.
fn covers(daemon: &Daemon, leaves: &str) -> bool {
    daemon.public_status("/log/checkpoint") == 200
        && daemon.public_text("/log/checkpoint").lines().nth(1) == Some(leaves)
}

/// Runs a command; its exit code and all that it told.
fn said(installation: &Installation, arguments: &[&str]) -> (Option<i32>, String) {
    let output = installation.run(arguments);
    let told = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(told).unwrap())
}

#[test]
fn an_auditor_needs_the_public_keys_and_nothing_else() {
    let installation = Installation::new();
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    let signed = shop.pay("A-1", &payment("12.34", "A-1"));
    let other = shop.pay("A-2", &payment("0.50", "A-2"));
    let denied = shop.pay("A-3", &payment("99.00", "A-3"));
    eventually("all is covered", || covers(&daemon, "6"));
    let key = daemon.public_text("/log/key").trim().to_owned();
    let key = ["--key", key.as_str()];
    let file = |name: &str, text: &str| {
        let path = installation.path(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };

    // Beside the running daemon.
    let told = installation.must(&[&["log", "verify"], &key[..]].concat());
    assert!(told.starts_with("holds  "), "{told}");
    assert!(told.contains("2 accepted, 1 denied, 2 signed"), "{told}");
    assert!(told.contains("settlement-eur  2 signed, 12.84 EUR"), "{told}");
    assert!(told.contains("3 payments have their leaves"), "{told}");
    let export = installation.path("export");
    let export = export.to_str().unwrap();
    installation.must(&["log", "export", export]);
    installation.must(&[&["log", "verify", "--export", export], &key[..]].concat());

    // A receipt, whole and with one byte changed.
    let path = format!("/v1/payments/{}/receipt", signed.str("/id"));
    let receipt = shop.get(&path).body.to_string();
    let jwks = file("jwks.json", &daemon.public_text("/.well-known/jwks.json"));
    let verify = |receipt: &str| {
        let receipt = file("receipt.json", receipt);
        let fixed = ["receipt", "verify", &receipt, "--jwks", &jwks];
        said(&installation, &[&fixed, &key[..]].concat())
    };
    let (code, told) = verify(&receipt);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("12.34 EUR to Bakery Sol (A-1)"), "{told}");
    let (code, told) = verify(&receipt.replacen("12.34", "92.34", 1));
    assert_eq!(code, Some(7), "{told}");

    // What the bank says that it executed.
    let executed = file("executed", &format!("{}\n{}\n", signed.str("/id"), other.jws()));
    assert_eq!(said(&installation, &["reconcile", &executed]).0, Some(0));
    let denied = denied.str("/payment_id");
    for (lines, code) in [
        (format!("{}\n{}\n{denied}\n", signed.str("/id"), other.str("/id")), 7),
        (format!("{}\n{}\n{}\n", signed.str("/id"), other.str("/id"), other.jws()), 8),
        (format!("{}\n", signed.str("/id")), 8),
    ] {
        let executed = file("executed", &lines);
        let (found, told) = said(&installation, &["reconcile", &executed]);
        assert_eq!(found, Some(code), "{lines}: {told}");
    }

    // Afterwards, and under a key that is not the log's.
    daemon.stop();
    installation.must(&[&["log", "verify"], &key[..]].concat());
    let stranger = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    let (code, told) = said(&installation, &["log", "verify", "--key", stranger]);
    assert_eq!(code, Some(7), "{told}");
    assert!(told.contains("the note is not signed by a known key"), "{told}");
}
