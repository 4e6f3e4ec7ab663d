//! What makes `countersign serve` refuse to start, and what it says: what was found, what was
//! expected, what to mend. It repairs nothing, and once the cause is gone it starts.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use rusqlite::Connection;
use serde_json::Value;

use crate::support::installation::{COUNTERSIGN, PIN, WIDE, fingerprint};
use crate::support::{Answer, Daemon, Installation, payment};

mod edits;

use edits::{DEPLOYMENTS, Edit, POLICIES, TLS_FILES, TOKENS};

const DEPLOYMENT: &str = "countersign.toml";
const LEDGER: &str = "state/ledger.sqlite3";
const MARKER: &str = "state/pin-refused-softhsm";
const PIN_FILE: &str = "user-pin";
const WRONG_PIN: &str = "1111-wrong";
const PLACE: &str = "label = \"settlement-eur\"\nid = \"01\"";
const SPARE_PLACE: &str = "label = \"spare\"\nid = \"02\"";
const RESTORE: &str = "restore it from a backup";

/// Signed by an authority of its own; its next update was due on the first of February 2025.
const EXPIRED_LIST: &str = "-----BEGIN X509 CRL-----
MIHeMIGFAgEBMAoGCCqGSM49BAMCMCUxIzAhBgNVBAMMGmNvdW50ZXJzaWduIGRl
bW8gYXV0aG9yaXR5Fw0yNTAxMDEwMDAwMDBaFw0yNTAyMDEwMDAwMDBaoC8wLTAf
BgNVHSMEGDAWgBQZfB8En5saMTOswKJv/4BrBs1mWjAKBgNVHRQEAwIBAjAKBggq
hkjOPQQDAgNIADBFAiEA8GlDd33LapQE68ijfVZ79VHBjnuoXfHzA6mQxYp2UI8C
IEakTQg1p5NCqHYwwLN/HKwtW3oBmJ83DTTF+DpDV9Be
-----END X509 CRL-----
";

/// What `serve` says when it refuses to start; if it starts it is stopped, and the test fails.
fn refusal(installation: &Installation, told: &[&str]) -> String {
    let mut command = Command::new("timeout");
    command.args(["20", COUNTERSIGN, "serve"]).envs(installation.environment());
    let output = command.env_remove("CREDENTIALS_DIRECTORY").output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "expected a refusal with {told:?}; {message}");
    assert!(output.stdout.is_empty(), "ready? {message}");
    assert!(!message.contains(PIN), "the PIN is told: {message}");
    for part in told {
        assert!(message.contains(part), "{part:?} is not told: {message}");
    }
    message
}

/// Makes each edit by itself, expects its refusal, and takes it back.
fn each_is_refused(installation: &Installation, file: &str, edits: &[Edit]) {
    for (old, new, told) in edits {
        let text = fs::read(installation.path(file)).unwrap();
        installation.edit(file, old, new);
        refusal(installation, told);
        fs::write(installation.path(file), text).unwrap();
    }
}

/// Looks at the files of a directory; what it returns fails unless they are still the same.
fn watch(installation: &Installation, directory: &str) -> impl Fn() {
    let directory = installation.path(directory);
    let before = fingerprint(&directory);
    move || {
        let now = fingerprint(&directory);
        let other = now.iter().find(|file| !before.contains(file)).map(|(path, ..)| path);
        assert!(now == before, "no longer as it was: {other:?}");
    }
}

/// Starts, has a payment signed, and stops.
fn signs(installation: &Installation, reference: &str) -> Answer {
    let daemon = installation.start();
    let answer = pays(installation, &daemon, reference);
    assert_eq!(daemon.stop(), Some(0));
    answer
}

/// Has a payment signed whose reference is its idempotency key.
fn pays(installation: &Installation, daemon: &Daemon, reference: &str) -> Answer {
    let answer = installation.caller(daemon, "shop").pay(reference, &payment("1.00", reference));
    assert_eq!(answer.status, 201, "{answer:?}");
    answer
}

/// The pinned thumbprint.
fn pinned(installation: &Installation) -> String {
    let text = fs::read_to_string(installation.config()).unwrap();
    let pin = text.lines().find_map(|line| line.strip_prefix("thumbprint = "));
    pin.expect("a pinned key").trim_matches('"').to_owned()
}

/// Generates another key on the token, label `spare` and id 02; tells its thumbprint.
fn spare_key(installation: &Installation) -> String {
    let table = "[keys.spare]\ntoken = \"softhsm\"\nlabel = \"spare\"\nid = \"02\"\n\
                 algorithm = \"ES256\"\n\n[log]";
    installation.edit(DEPLOYMENT, "[log]", table);
    let made = installation.must(&["keys", "generate", "spare", "--json"]);
    installation.edit(DEPLOYMENT, table, "[log]");
    let made: Value = serde_json::from_str(&made).unwrap();
    made["thumbprint"].as_str().expect("a thumbprint").to_owned()
}

fn write_pin(installation: &Installation, text: &str, mode: u32) {
    let file = installation.path("user-pin");
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_file_that_is_not_right_is_refused_before_anything_is_touched() {
    let installation = Installation::new();
    let limits = format!("limits = {WIDE}");
    let limits: [Edit; 4] = [
        (&limits, "", &["keys.settlement-eur.limits: ", "\"unlimited\""]),
        (&limits, "limits = []", &["keys.settlement-eur.limits: ", "\"unlimited\""]),
        (&limits, "limits = 0", &["expected a list of limits or the word \"unlimited\""]),
        (&limits, "limits = \"none\"", &["expected a list of limits or the word \"unlimited\""]),
    ];
    let untouched = watch(&installation, "");
    each_is_refused(&installation, DEPLOYMENT, DEPLOYMENTS);
    each_is_refused(&installation, "policy.toml", POLICIES);
    each_is_refused(&installation, "policy.toml", &limits);
    each_is_refused(&installation, DEPLOYMENT, TLS_FILES);
    untouched();
    signs(&installation, "MENDED");
}

#[test]
fn a_file_without_the_private_key_is_refused_with_what_was_expected() {
    let told = ["policy.toml cannot be used for TLS", "private key"];
    let edit = ("tls/server.key.pem", "policy.toml", &told[..]);
    each_is_refused(&Installation::new(), DEPLOYMENT, &[edit]);
}

#[test]
fn a_revocation_list_that_has_expired_is_refused() {
    let installation = Installation::new();
    fs::write(installation.path("tls/revoked.pem"), EXPIRED_LIST).unwrap();
    refusal(&installation, &["tls/revoked.pem", "expired"]);
}

#[test]
fn an_address_in_use_is_refused_by_the_name_of_its_listener() {
    let installation = Installation::new();
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap();
    let (at, told) = (format!("listen = \"{taken}\""), format!("cannot listen on {taken}"));
    let told = [told.as_str(), "stop what listens there, or change gateway.listen"];
    each_is_refused(&installation, DEPLOYMENT, &[("listen = \"127.0.0.1:0\"", &at, &told)]);
    signs(&installation, "MENDED");
}

#[test]
fn a_token_that_is_not_the_configured_one_is_refused() {
    let installation = Installation::new();
    each_is_refused(&installation, DEPLOYMENT, TOKENS);
    assert!(!installation.path(MARKER).exists(), "no PIN was refused");
    signs(&installation, "MENDED");
}

#[test]
fn another_key_than_the_pinned_one_is_refused_and_so_is_another_pin() {
    let installation = Installation::new();
    let (recorded, spare) = (pinned(&installation), spare_key(&installation));
    let first = signs(&installation, "BEFORE");
    let found = format!("key settlement-eur: the token has the key {spare}");
    let told = [&found, &format!("expected the pinned {recorded}"), "that this is the right token"];
    each_is_refused(&installation, DEPLOYMENT, &[(PLACE, SPARE_PLACE, &told)]);

    // Token and pin agree on the other key now, but the ledger knows whose sums it keeps.
    installation.edit(DEPLOYMENT, PLACE, SPARE_PLACE);
    let differ = format!("the ledger has {recorded}, the configuration has {spare}");
    let told = ["the public key of \"settlement-eur\"", &differ, "needs a rotation"];
    each_is_refused(&installation, DEPLOYMENT, &[(&recorded, &spare, &told)]);
    installation.edit(DEPLOYMENT, SPARE_PLACE, PLACE);
    assert_eq!(signs(&installation, "BEFORE"), first);
}

#[test]
fn a_wrong_pin_is_tried_once_and_then_waits_for_a_person() {
    let installation = Installation::new();
    let first = signs(&installation, "BEFORE");
    let marker = installation.path(MARKER);
    let delete = format!("correct the PIN source, then delete {}", marker.display());
    write_pin(&installation, WRONG_PIN, 0o600);
    let told = ["token softhsm refused the PIN (CKR_PIN_INCORRECT)", &delete, "no attempt is made"];
    let message = refusal(&installation, &told);
    let note = fs::read_to_string(&marker).unwrap();
    assert!(!message.contains(WRONG_PIN) && !note.contains(WRONG_PIN), "{message}{note}");

    // The right PIN would be taken now, and the token notes every login. Nobody asks it.
    write_pin(&installation, PIN, 0o600);
    let untouched = watch(&installation, "tokens");
    refusal(&installation, &["refused the PIN at 2", "no further attempt is made", &delete]);
    untouched();

    // The refused starts had the ledger open; it is as good as before.
    fs::remove_file(marker).unwrap();
    assert_eq!(signs(&installation, "BEFORE"), first);
}

#[test]
fn a_pin_file_that_is_not_ours_alone_is_not_used() {
    let cases: &[(fn(&Installation), &[&str])] = &[
        (|i| write_pin(i, PIN, 0o604), &["of mode 0604", "mode 0600 or 0400"]),
        (|i| write_pin(i, PIN, 0o640), &["of mode 0640", "mode 0600 or 0400"]),
        (|i| write_pin(i, "", 0o600), &["it is empty", "expected one line of 1 to 255 bytes"]),
        (|i| write_pin(i, "\n", 0o600), &["it is empty", "expected one line of 1 to 255 bytes"]),
        (|i| write_pin(i, "1\n2\n", 0o600), &["a line break", "expected one line"]),
        (|i| symlink("pin", i.path(PIN_FILE)).unwrap(), &["a symbolic link; expected the name"]),
        (|i| fs::create_dir(i.path(PIN_FILE)).unwrap(), &["not a regular file; expected"]),
        (|_| (), &["cannot read the PIN from ", "No such file"]),
    ];
    let installation = Installation::new();
    let file = installation.path(PIN_FILE);
    fs::rename(&file, installation.path("pin")).unwrap();
    let untouched = watch(&installation, "tokens");
    for (make, told) in cases {
        make(&installation);
        refusal(&installation, &[told, &[file.to_str().unwrap()][..]].concat());
        drop(fs::remove_file(&file).or_else(|_| fs::remove_dir(&file)));
    }
    untouched();
    assert!(!installation.path(MARKER).exists(), "no PIN was refused");
    write_pin(&installation, PIN, 0o400);
    signs(&installation, "MENDED");
}

fn pragma(ledger: &Path, setting: &str) {
    Connection::open(ledger).unwrap().execute_batch(&format!("PRAGMA {setting}")).unwrap();
}

#[test]
fn what_is_no_ledger_of_this_release_is_refused_and_left_as_it_is() {
    let cases: &[(fn(&Path), &[&str])] = &[
        (|l| fs::remove_file(l).unwrap(), &["no ledger at", "`countersign init`", "`serve` never"]),
        (|l| fs::write(l, "hello\n").unwrap(), &["not those of an SQLite file", RESTORE]),
        (|l| fs::write(l, "").unwrap(), &["not those of an SQLite file", RESTORE]),
        (|l| fs::write(l, &fs::read(l).unwrap()[..4096]).unwrap(), &["malformed", RESTORE]),
        (|l| pragma(l, "application_id = 7"), &["its application id is 0x7", RESTORE]),
        (|l| pragma(l, "user_version = 0"), &["its schema is 0", RESTORE]),
        (|l| pragma(l, "user_version = 99"), &["schema 99, this release knows ", "run the newer"]),
    ];
    let installation = Installation::new();
    let first = signs(&installation, "BEFORE");
    let ledger = installation.path(LEDGER);
    let sound = fs::read(&ledger).unwrap();
    for (spoil, told) in cases {
        fs::write(&ledger, &sound).unwrap();
        spoil(&ledger);
        let spoiled = fs::read(&ledger).ok();
        refusal(&installation, &[told, &[ledger.to_str().unwrap()][..]].concat());
        assert!(fs::read(&ledger).ok() == spoiled, "{told:?}: the ledger was changed");
    }
    fs::write(&ledger, &sound).unwrap();
    assert_eq!(signs(&installation, "BEFORE"), first);
}

#[test]
fn a_ledger_keeps_its_issuer_and_each_key_its_currency() {
    let installation = Installation::new();
    let first = signs(&installation, "BEFORE");
    let issuer = "https://pay.test.example, the configuration has https://other.example";
    let told = ["the issuer: the ledger has ", issuer, "put the recorded issuer back"];
    let edit = ("https://pay.test.example", "https://other.example", &told[..]);
    each_is_refused(&installation, DEPLOYMENT, &[edit]);
    let told = ["\"settlement-eur\": the ledger has", "EUR", "USD", "needs another key"];
    each_is_refused(&installation, "policy.toml", &[("\"EUR\"", "\"USD\"", &told)]);
    assert_eq!(signs(&installation, "BEFORE"), first);
}

#[test]
fn a_ledger_in_use_is_refused_without_its_log_and_taken_with_it() {
    let installation = Installation::new();
    let daemon = installation.start();
    let first = pays(&installation, &daemon, "BEFORE");
    daemon.kill();
    let log = installation.path("state/ledger.sqlite3-wal");
    fs::rename(&log, installation.path("kept")).unwrap();
    fs::remove_file(installation.path("state/ledger.sqlite3-shm")).unwrap();
    let told = ["in use and its write-ahead log is gone", "ledger.sqlite3-wal back", "a backup"];
    for _ in ["before anybody has looked", "after the doctor has"] {
        refusal(&installation, &told);
        let doctor = installation.run(&["doctor"]);
        let found = String::from_utf8(doctor.stdout).unwrap();
        assert!(doctor.status.code() == Some(1) && found.contains(told[0]), "{found}");
    }
    fs::rename(installation.path("kept"), &log).unwrap();
    assert_eq!(signs(&installation, "BEFORE"), first);
}

#[test]
fn a_second_daemon_is_refused_and_the_first_goes_on() {
    let installation = Installation::new();
    let daemon = installation.start();
    let first = pays(&installation, &daemon, "BEFORE");
    refusal(&installation, &["another countersign holds ", "state/ledger", "stop it first"]);
    assert_eq!(pays(&installation, &daemon, "BEFORE"), first);
    pays(&installation, &daemon, "AFTER");
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(signs(&installation, "BEFORE"), first);
}

#[test]
fn a_state_directory_that_is_gone_is_told_like_a_ledger_that_is_gone() {
    let installation = Installation::new();
    fs::remove_dir_all(installation.path("state")).unwrap();
    refusal(&installation, &["there is no ledger at ", "`countersign init`"]);
    assert!(!installation.path("state").exists(), "serve makes nothing");
}

#[test]
fn a_daemon_that_says_that_it_is_ready_can_be_told_to_stop() {
    let installation = Installation::new();
    for round in 1..=10 {
        assert_eq!(installation.start().stop(), Some(0), "round {round}");
    }
}

#[test]
fn a_daemon_that_is_told_to_stop_ends_well_and_knows_everything_when_it_is_back() {
    let installation = Installation::new();
    let daemon = installation.start();
    let answers = |daemon: &Daemon| {
        let shop = installation.caller(daemon, "shop");
        let (signed, denied) = (payment("1.00", "SMALL"), payment("60.00", "LARGE"));
        let signed = shop.pay("small", &signed);
        let found = shop.get(&format!("/v1/payments/{}", signed.str("/id")));
        let limits = shop.get("/v1/keys/settlement-eur/limits").body["limits"].clone();
        (signed, found, shop.pay("large", &denied), limits.to_string())
    };
    let before = answers(&daemon);
    assert_eq!((before.0.status, before.1.status, before.2.status), (201, 200, 403), "{before:?}");
    assert_eq!(daemon.stop(), Some(0));
    let left = fs::read_dir(installation.path("state")).unwrap();
    let mut left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["ledger.lock", "ledger.sqlite3"], "the log is merged");
    let daemon = installation.start();
    assert_eq!(answers(&daemon), before);
    assert_eq!(daemon.stop(), Some(0));
}
