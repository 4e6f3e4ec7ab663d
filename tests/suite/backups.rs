//! A copy of the ledger beside a daemon that goes on.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{Installation, eventually, payment};

#[test]
fn a_copy_made_under_load_is_whole_and_private_and_older_than_the_token() {
    let installation = Installation::new();
    let daemon = installation.start();
    let (over, copied) = (AtomicBool::new(false), installation.path("copy.sqlite3"));
    let told = std::thread::scope(|scope| {
        let shop = installation.caller(&daemon, "shop");
        let over = &over;
        let paying = scope.spawn(move || {
            let mut paid = 0;
            while !over.load(Ordering::Relaxed) {
                let id = format!("B-{paid}");
                assert_eq!(shop.pay(&id, &payment("0.01", &id)).status, 201);
                paid += 1;
            }
            paid
        });
        let signed = || daemon.operations_text("/metrics").1;
        eventually("the log is signed", || !signed().contains("countersign_log_signed 0\n"));
        let told = installation.must(&["backup", copied.to_str().unwrap(), "--json"]);
        over.store(true, Ordering::Relaxed);
        assert!(paying.join().unwrap() > 0);
        told
    });
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_ne!(told["leaves"], "0");
    assert_eq!(fs::metadata(&copied).unwrap().permissions().mode() & 0o777, 0o600);
    // Every payment in it has its leaves, and the other way round.
    let key = daemon.public_text("/log/key");
    let copy = copied.to_str().unwrap();
    installation.must(&["log", "verify", "--ledger", copy, "--key", key.trim()]);

    let output = installation.run(&["backup", copy]);
    let refused = String::from_utf8(output.stderr).unwrap();
    assert!(refused.contains("already"), "{refused}");
    assert_eq!(daemon.stop(), Some(0));

    // In place of the ledger it is refused: the token remembers more.
    let state = installation.path("state");
    for entry in fs::read_dir(&state).unwrap().map(Result::unwrap) {
        if entry.file_name().to_string_lossy().starts_with("ledger.sqlite3") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    fs::copy(&copied, state.join("ledger.sqlite3")).unwrap();
    let output = installation.run(&["serve"]);
    let refused = String::from_utf8(output.stderr).unwrap();
    assert!(refused.contains("older than its token remembers"), "{refused}");
}
