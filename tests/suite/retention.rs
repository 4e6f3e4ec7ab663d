//! Growth and forgetting: what tells of people goes after `retention`, what no limit looks back to
//! goes to archives, and neither breaks a proof, a limit or the uniqueness of an identifier.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Caller, Daemon, Installation, eventually, payment};

mod archives;

/// Limits that look back to no row.
const LIFETIME: &str = r#"[
  { name = "single", window = "payment", amount = "50.00" },
  { name = "ever", window = "lifetime", amount = "10000.00" },
]"#;
/// What tells of people in [`personal`], in every spelling that a row has.
const PERSONAL: [&str; 7] = [
    "Bakery Sol",
    "ES9121000418450200051332",
    "user-4711",
    "2 x croissant",
    "INV-77",
    "KEY-OF-ANNA",
    "eyJhbGciOi",
];

/// A payment with everything that it may say of people.
fn personal(amount: &str) -> Value {
    let mut payment = payment(amount, "INV-77");
    payment["debtor"] = serde_json::json!({ "id": "user-4711" });
    payment["remittance_information"] = "2 x croissant".into();
    payment
}

/// Writes the table of the deployment file.
fn keep(installation: &Installation, settings: &str) {
    installation.edit("countersign.toml", "[log]", &format!("[ledger]\n{settings}\n\n[log]"));
}

/// Which of these texts stand in the ledger's files.
fn told_by_files(installation: &Installation, texts: &[&'static str]) -> Vec<&'static str> {
    let mut found: Vec<&'static str> = Vec::new();
    for entry in fs::read_dir(installation.path("state")).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        let has = |text: &&str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        found.extend(texts.iter().copied().filter(|text| has(text)));
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn key_of(daemon: &Daemon) -> String {
    eventually("the log is signed", || daemon.public_status("/log/checkpoint") == 200);
    daemon.public_text("/log/key").trim().to_owned()
}

/// Lets what was paid become older than a second.
fn age() {
    std::thread::sleep(Duration::from_millis(1_100));
}

fn looked_up(shop: &Caller, id: &str) -> Value {
    let answer = shop.get(&format!("/v1/payments/{id}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

fn holds_no_more_than_leaves_say(left: &Value, id: &str) {
    for (member, value) in [
        ("id", id),
        ("state", "signed"),
        ("amount", "12.34"),
        ("currency", "EUR"),
        ("key", "settlement-eur"),
    ] {
        assert_eq!(left[member], value, "{left}");
    }
    assert!(left.get("jws").is_none() && left.get("payment").is_none(), "{left}");
}

#[test]
fn after_retention_nothing_tells_of_people_and_every_proof_holds() {
    let installation = Installation::with_limits(LIFETIME);
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    let signed = shop.pay("KEY-OF-ANNA", &personal("12.34"));
    let denied = shop.pay("KEY-TOO-MUCH", &personal("99.00"));
    assert_eq!((signed.status, denied.status), (201, 403));
    let id = signed.str("/id").to_owned();
    let receipt = shop.get(&format!("/v1/payments/{id}/receipt"));
    assert_eq!(receipt.status, 200, "{receipt:?}");
    let (receipt_file, jwks) = (installation.path("receipt.json"), installation.path("jwks.json"));
    fs::write(&receipt_file, &receipt.text).unwrap();
    fs::write(&jwks, daemon.public_text("/.well-known/jwks.json")).unwrap();
    let key = key_of(&daemon);
    // Not stopped: what it wrote is in its write-ahead log.
    daemon.kill();
    assert_eq!(told_by_files(&installation, &PERSONAL[..6]), {
        let mut all = PERSONAL[..6].to_vec();
        all.sort_unstable();
        all
    });

    age();
    keep(&installation, "retention = \"1s\"");
    let told = installation.must(&["retention"]);
    assert!(told.contains("after 1s; 2 payments are due"), "{told}");
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    eventually("the payment is erased", || looked_up(&shop, &id)["erased_at"].is_string());
    eventually("no file tells of people", || told_by_files(&installation, &PERSONAL).is_empty());

    // What is left, for its caller and nobody else.
    holds_no_more_than_leaves_say(&looked_up(&shop, &id), &id);
    let refused = looked_up(&shop, denied.str("/payment_id"));
    assert_eq!(
        (&refused["state"], &refused["denied_by"]),
        (&"denied".into(), &"duplicate_end_to_end_id".into())
    );
    let path = format!("/v1/payments/{id}");
    assert_eq!(installation.caller(&daemon, "batch").get(&path).status, 404);
    let gone = shop.get(&format!("{path}/receipt"));
    assert_eq!((gone.status, gone.str("/rule")), (410, "payment_erased"));

    // Nothing is signed again, whatever the retry says.
    for body in [personal("12.34"), payment("0.01", "ANOTHER")] {
        let again = shop.pay("KEY-OF-ANNA", &body);
        assert_eq!((again.status, again.str("/rule")), (410, "payment_erased"), "{again:?}");
        assert_eq!(again.str("/payment_id"), id);
    }
    let twice = shop.pay("another", &personal("12.34"));
    assert_eq!((twice.status, twice.str("/rule")), (403, "duplicate_end_to_end_id"), "{twice:?}");
    let limits = shop.get("/v1/keys/settlement-eur/limits").body;
    assert_eq!(limits["limits"][1]["posted"], "12.34", "{limits}");

    installation.write_client(&daemon);
    let told = installation.must(&["payment", "show", &id]);
    assert!(told.contains("12.34 EUR, and its row is gone") && told.contains("erased"), "{told}");

    // Proofs: the receipt that somebody holds, and the whole log beside the ledger.
    let file = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let (receipt_file, jwks) = (file(&receipt_file), file(&jwks));
    installation.must(&["receipt", "verify", &receipt_file, "--jwks", &jwks, "--key", &key]);
    let told = installation.must(&["log", "verify", "--key", &key]);
    assert!(told.contains("2 erased") && told.contains("1 signed, 12.34 EUR"), "{told}");
    assert!(told.contains("1 payment has its leaves"), "{told}");
    let told = installation.must(&["log", "show", "--decision", "erased"]);
    assert!(told.contains("2 payments final before"), "{told}");
    // What a bank executed is known, although its signature cannot be compared any more.
    let executed = installation.path("executed");
    fs::write(&executed, signed.jws()).unwrap();
    let told = installation.must(&["reconcile", &file(&executed)]);
    assert!(told.contains("1 signatures were not compared"), "{told}");
    assert_eq!(daemon.stop(), Some(0));
    // The duplicate above was denied a moment ago and is not due.
    assert_eq!(told_by_files(&installation, &["KEY-OF-ANNA", "eyJhbGciOi"]), [""; 0]);
}

#[test]
fn a_limit_that_comes_after_the_erasure_counts_what_was_erased() {
    let installation = Installation::with_limits(LIFETIME);
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    assert_eq!(shop.pay("A-1", &personal("12.34")).status, 201);
    assert_eq!(daemon.stop(), Some(0));
    age();
    keep(&installation, "retention = \"1s\"");
    let daemon = installation.start();
    eventually("it is erased", || {
        installation.must(&["retention"]).contains("gone     1 payments")
    });
    assert_eq!(daemon.stop(), Some(0));

    let more = "  { name = \"ever\"";
    for per in ["creditor", "debtor", "caller"] {
        let limit = format!(
            "  {{ name = \"{per}\", window = \"lifetime\", amount = \"20.00\", per = \"{per}\" }},"
        );
        installation.edit("policy.toml", more, &format!("{limit}\n{more}"));
    }
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    let mut next = personal("7.67");
    next["end_to_end_id"] = "INV-78".into();
    let denied = shop.pay("A-2", &next);
    assert_eq!((denied.status, denied.str("/limit/posted")), (403, "12.34"), "{denied:?}");
    next["amount"] = "7.66".into();
    assert_eq!(shop.pay("A-3", &next).status, 201);
    let key = key_of(&daemon);
    installation.must(&["log", "verify", "--key", &key]);
}

#[test]
fn retention_below_what_a_limit_looks_back_is_refused() {
    for (settings, told) in [
        ("retention = \"23h\"", "ledger.retention: found 23h, but the limit \"day\" looks back 1d"),
        ("archive_after = \"1h\"", "ledger.archive_after: found 1h, but the limit \"day\""),
        ("retention = \"0d\"", "ledger.retention: found \"0d\""),
        ("retention = \"forever\"", "ledger.retention"),
        ("retention = \"2d\"\narchive_after = \"2d\"", "nothing would be left to archive"),
        ("keep = \"2d\"", "unknown field `keep`"),
    ] {
        let installation = Installation::new();
        keep(&installation, settings);
        let output = installation.run(&["serve"]);
        let refused = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{settings}");
        assert!(refused.contains(told), "{settings}: {refused}");
    }
}
