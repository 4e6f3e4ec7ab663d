//! A witness on another machine: what it cosigns, what it finds out, and what it cannot stop.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{Daemon, Installation, Watcher, Watching, eventually, payment};

mod alone;
mod wrong;

/// An installation whose log a witness watches; the entry has more lines.
fn watched(more: &str) -> (Installation, Watcher, Watching) {
    let installation = Installation::new();
    let watcher = Watcher::over(&installation);
    let watching = watcher.start();
    installation.edit("countersign.toml", "[log]", &watcher.entry(&watching, more));
    (installation, watcher, watching)
}

/// A figure of the daemon about its witness.
fn figure(daemon: &Daemon, name: &str) -> Option<u64> {
    let (_, text) = daemon.operations_text("/metrics");
    let of_witness = format!("countersign_witness_{name}{{witness=\"second\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&of_witness)?.parse().ok())
}

/// The witness has cosigned everything that is signed.
fn is_up_to_date(daemon: &Daemon) -> bool {
    let cosigned = figure(daemon, "cosigned").unwrap_or(0);
    cosigned > 0 && figure(daemon, "behind") == Some(0) && figure(daemon, "up") == Some(1)
}

/// Copies a directory as `cp -a` does, in place of what is there.
fn put(installation: &Installation, from: &str, to: &str) {
    let (from, to) = (installation.path(from), installation.path(to));
    drop(fs::remove_dir_all(&to));
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

fn pay(installation: &Installation, ids: &[&str]) {
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    for id in ids {
        assert_eq!(shop.pay(id, &payment("1.00", id)).status, 201);
    }
    drop(shop);
    assert_eq!(daemon.stop(), Some(0));
}

fn told(installation: &Installation, arguments: &[&str]) -> (Option<i32>, String) {
    let output = installation.run(arguments);
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// Verifies a cosignature with nothing of ours, as `c2sp.org/tlog-cosignature` says: OpenSSL.
const OUTSIDER: &str = r#"
import base64, hashlib, struct, subprocess, sys, time
key, scratch = sys.argv[1:3]
text, signatures = sys.stdin.buffer.read().decode().split("\n\n")
name, number, encoded = key.split("+", 2)
public = base64.b64decode(encoded)
assert public[0] == 4 and len(public) == 33, key
assert hashlib.sha256(name.encode() + b"\n" + public).digest()[:4].hex() == number
line = [l for l in signatures.split("\n") if l.startswith("\u2014 " + name + " ")][0]
signature = base64.b64decode(line.split(" ")[2])
assert len(signature) == 4 + 8 + 64 and signature[:4].hex() == number
(at,) = struct.unpack(">Q", signature[4:12])
assert abs(at - time.time()) < 600, at
message = "cosignature/v1\ntime %d\n%s\n" % (at, text)
open(scratch + "/text", "w").write(message)
open(scratch + "/sig", "wb").write(signature[12:])
open(scratch + "/pub", "wb").write(bytes.fromhex("302a300506032b6570032100") + public[1:])
subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey",
    scratch + "/pub", "-rawin", "-in", scratch + "/text", "-sigfile", scratch + "/sig"],
    check=True, stdout=subprocess.DEVNULL)
"#;

fn verified_by_outsider(scratch: &Path, key: &str, note: &str) -> bool {
    use std::io::Write;
    let mut python = Command::new("python3")
        .args(["-c", OUTSIDER, key, scratch.to_str().unwrap()])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("python3; `make deps` installs it");
    python.stdin.take().unwrap().write_all(note.as_bytes()).unwrap();
    python.wait().unwrap().success()
}

#[test]
fn what_a_witness_cosigns_is_published_kept_and_can_be_insisted_on() {
    let (installation, watcher, watching) = watched("");
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    let signed = shop.pay("A-1", &payment("12.34", "A-1"));
    eventually("it is cosigned", || is_up_to_date(&daemon));
    let note = daemon.public_text("/log/checkpoint");
    assert!(verified_by_outsider(&installation.path("state"), &watcher.key, &note), "{note}");
    assert_eq!(daemon.public_text("/log/cosigned"), note);
    let log_key = daemon.public_text("/log/key").trim().to_owned();
    assert_eq!(installation.must(&["log", "key"]).trim(), log_key);
    assert_eq!(watcher_key(&watcher), watcher.key);

    // The witness shows the same checkpoint to whoever asks.
    let origin = note.lines().next().unwrap();
    let hash = countersign::log::witness::origin_hash(origin);
    let (status, there) = watching.get(&format!("/{hash}/checkpoint"));
    assert_eq!(status, 200);
    assert_eq!(there.split("\n\n").next(), note.split("\n\n").next());
    assert!(verified_by_outsider(&installation.path("state"), &watcher.key, &there));

    // A receipt and the whole log, by whoever insists on the witness.
    let receipt = shop.get(&format!("/v1/payments/{}/receipt", signed.str("/id")));
    let file = |name: &str, text: &str| {
        fs::write(installation.path(name), text).unwrap();
        installation.path(name).to_str().unwrap().to_owned()
    };
    let receipt = file("receipt.json", &receipt.body.to_string());
    let jwks = file("jwks.json", &daemon.public_text("/.well-known/jwks.json"));
    let stranger = "witness.example.com/w1+8d66cf3f+BDG1X0ZM8mVAqJzkFm9lZ3+WH0qD0h5P3mJ7zEhwvCzR";
    let stranger = re_keyed(stranger);
    for (witness, code) in [(&watcher.key, Some(0)), (&stranger, Some(7))] {
        let fixed = ["receipt", "verify", &receipt, "--jwks", &jwks, "--key", &log_key];
        let (found, told_) = told(&installation, &[&fixed[..], &["--witness", witness]].concat());
        assert_eq!(found, code, "{told_}");
        assert!(found == Some(0) || told_.contains("not cosigned by the witness"), "{told_}");
        let fixed = ["log", "verify", "--key", &log_key, "--witness", witness];
        let (found, told_) = told(&installation, &fixed);
        assert_eq!(found, code, "{told_}");
        let expected = "leaves by witness.test.example/w1";
        assert!(found != Some(0) || told_.contains(expected), "{told_}");
    }
    let (_, told_) = told(&installation, &["doctor"]);
    assert!(told_.contains("has seen all"), "{told_}");

    // It survives a restart of both, and a daemon that finds the witness up to date goes on.
    drop(shop);
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(watching.stop(), Some(0));
    let daemon = installation.start();
    assert!(daemon.public_text("/log/cosigned").contains("witness.test.example/w1"));
    let fixed = ["log", "verify", "--key", &log_key, "--witness", &watcher.key];
    assert_eq!(told(&installation, &fixed).0, Some(0));
}

fn watcher_key(watcher: &Watcher) -> String {
    let output = watcher.run(&["key"]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The same name and public key with the id that belongs to them.
fn re_keyed(text: &str) -> String {
    use countersign::log::note::{NoteKeyName, VerifierKey};
    let name = NoteKeyName::parse(text.split('+').next().unwrap()).unwrap();
    VerifierKey::cosignature_v1(name, [7; 32]).to_string()
}

#[test]
fn a_witness_that_is_down_delays_cosigning_and_not_signing() {
    let installation = Installation::new();
    let watcher = Watcher::over(&installation);
    watcher.secure();
    let watching = watcher.start();
    installation.edit("countersign.toml", "[log]", &watcher.entry(&watching, "timeout = \"2s\""));
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    assert_eq!(shop.pay("A-1", &payment("1.00", "A-1")).status, 201);
    eventually("it is cosigned over TLS", || is_up_to_date(&daemon));
    watching.kill();
    for id in ["A-2", "A-3"] {
        assert_eq!(shop.pay(id, &payment("1.00", id)).status, 201);
    }
    eventually("the lag is told", || {
        figure(&daemon, "up") == Some(0) && figure(&daemon, "behind") >= Some(4)
    });
    assert_eq!(daemon.operations_text("/health/ready").0, 200);
    let receipt =
        format!("/v1/payments/{}/receipt", shop.pay("A-2", &payment("1.00", "A-2")).str("/id"));
    assert_eq!(shop.get(&receipt).status, 200);
    let (code, told_) = told(&installation, &["doctor"]);
    assert!(code == Some(1) && told_.contains("witness second"), "{told_}");
    assert!(told_.contains("it cannot be reached"), "{told_}");

    // A daemon that is started meanwhile does not wait for it either.
    drop(shop);
    daemon.kill();
    let daemon = installation.start();
    let _watching = watcher.start();
    eventually("it catches up", || is_up_to_date(&daemon));
}

#[test]
fn a_backup_of_ledger_and_token_together_is_found_by_the_witness() {
    let (installation, _watcher, watching) = watched("");
    pay(&installation, &["A-1"]);
    for directory in ["state", "tokens"] {
        put(&installation, directory, &format!("{directory}-yesterday"));
    }
    pay(&installation, &["A-2", "A-3"]);
    for directory in ["state", "tokens"] {
        put(&installation, directory, &format!("{directory}-today"));
        put(&installation, &format!("{directory}-yesterday"), directory);
    }
    let (code, text) = told(&installation, &["serve"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("witness second: it has seen"), "{text}");
    assert!(text.contains("signed by our audit key"), "{text}");
    assert!(text.contains("restored from a backup, rolled back or made anew"), "{text}");
    let (_, text) = told(&installation, &["doctor"]);
    assert!(text.contains("the ledger was restored or rolled back"), "{text}");

    // If nobody could be asked at the start, signing stops as soon as somebody can.
    let url = format!("http://{}", watching.address);
    installation.edit("countersign.toml", &url, "http://127.0.0.1:1");
    pay(&installation, &["A-4", "A-5", "A-6"]);
    installation.edit("countersign.toml", "http://127.0.0.1:1", &url);
    let (_, text) = told(&installation, &["serve"]);
    assert!(text.contains("is not the beginning of our log"), "{text}");
    assert!(text.contains("Another copy of this ledger has been in use"), "{text}");

    for directory in ["state", "tokens"] {
        put(&installation, &format!("{directory}-today"), directory);
    }
    pay(&installation, &["A-7"]);
}

#[test]
fn a_fork_that_comes_to_light_later_stops_signing_until_a_person_has_looked() {
    let (installation, watcher, watching) = watched("");
    pay(&installation, &["A-1"]);
    for directory in ["state", "tokens"] {
        put(&installation, directory, &format!("{directory}-yesterday"));
    }
    pay(&installation, &["A-2"]);
    watching.kill();
    for directory in ["state", "tokens"] {
        put(&installation, &format!("{directory}-yesterday"), directory);
    }
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    assert_eq!(shop.pay("B-1", &payment("1.00", "B-1")).status, 201);
    let _watching = watcher.start();
    eventually("it has stopped signing", || {
        let (status, text) = daemon.operations_text("/health/ready");
        status == 503 && text.contains("witness second")
    });
    let refused = shop.pay("B-2", &payment("1.00", "B-2"));
    assert_eq!((refused.status, refused.str("/rule")), (503, "unavailable"), "{refused:?}");
    assert!(daemon.operations_text("/metrics").1.contains("countersign_halted 1"));
    let shown = installation.must(&["log", "show", "--decision", "witness_contradicts"]);
    assert!(shown.contains("second: "), "{shown}");
}

#[test]
fn signatures_wait_for_a_witness_where_they_are_told_to() {
    // For every payment, where the witness is one that signing waits for.
    let (installation, watcher, watching) = watched("signing_waits = true");
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    assert_eq!(shop.pay("A-1", &payment("0.01", "A-1")).status, 201);
    watching.kill();
    let waiting = shop.pay("A-2", &payment("0.01", "A-2"));
    assert_eq!((waiting.status, waiting.str("/state")), (202, "signing"), "{waiting:?}");
    assert!(waiting.body.get("jws").is_none());
    eventually("readiness tells why", || {
        let (status, text) = daemon.operations_text("/health/ready");
        status == 503 && text.contains("witness second")
    });
    let _watching = watcher.start();
    let path = format!("/v1/payments/{}", waiting.str("/id"));
    eventually("it has left", || shop.get(&path).body.get("jws").is_some());
    drop(shop);
    drop(daemon);

    // For large payments, where no token remembers: a witness does as well.
    let (installation, _watcher, watching) = watched("required_at_start = true");
    let key = "validity = \"1h\"";
    installation.edit("policy.toml", key, &format!("{key}\nanchored_from = \"20.00\""));
    installation.edit("countersign.toml", "[audit]", "[audit]\nanchor_interval = \"1h\"");
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    assert_eq!(shop.pay("large", &payment("20.00", "large")).status, 201);
    drop(shop);
    assert_eq!(daemon.stop(), Some(0));
    watching.kill();
    let (_, text) = told(&installation, &["serve"]);
    assert!(text.contains("it must be asked before anything is signed"), "{text}");
}
