//! A clock that cannot be explained stops signing, says so everywhere, and waits for a person.

use rusqlite::Connection;

use crate::support::{Installation, payment};

/// The ledger was last used days ago, in another boot: more than a day would have to be credited.
fn age(installation: &Installation) {
    let ledger = Connection::open(installation.path("state/ledger.sqlite3")).unwrap();
    let days_ago = "UPDATE clock SET newest_unix_ms = newest_unix_ms - 3 * 86400000, \
                    base_unix_ms = base_unix_ms - 3 * 86400000, \
                    before_unix_ms = before_unix_ms - 3 * 86400000, boot = 'another'";
    assert_eq!(ledger.execute(days_ago, []).unwrap(), 1);
}

/// What the clock of the machine says, as a person would type it.
fn typed(minutes_ahead: i64) -> String {
    let output = std::process::Command::new("date")
        .args(["-u", "+%Y-%m-%dT%H:%M:%SZ", "-d", &format!("{minutes_ahead} minutes")])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn more_than_a_day_across_boots_waits_for_a_person() {
    let installation = Installation::new();
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    assert_eq!(shop.pay("before", &payment("1.00", "BEFORE")).status, 201);
    assert_eq!(daemon.stop(), Some(0));
    assert!(installation.must(&["clock", "show"]).contains("credited"));
    age(&installation);

    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    let refused = shop.pay("after", &payment("1.00", "AFTER"));
    assert_eq!((refused.status, refused.str("/rule")), (503, "unavailable"), "{refused:?}");
    let (status, ready) = daemon.operations_text("/health/ready");
    assert!(status == 503 && ready.contains("across boots"), "{status} {ready}");
    let (_, metrics) = daemon.operations_text("/metrics");
    assert!(metrics.contains("countersign_ledger_writable 0"), "{metrics}");
    let busy = installation.run(&["clock", "credit", &typed(0)]);
    assert_eq!(busy.status.code(), Some(1), "the daemon must be stopped: {busy:?}");
    assert_eq!(daemon.stop(), Some(0));

    for command in [&["clock", "show"][..], &["doctor"]] {
        let output = installation.run(command);
        let told = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("across boots") && told.contains("clock credit"), "{told}");
    }
    for (instant, code) in [("today", 4), (&typed(10), 4), (&typed(-10), 4), (&typed(0), 0)] {
        let output = installation.run(&["clock", "credit", instant]);
        assert_eq!(output.status.code(), Some(code), "{instant}: {output:?}");
    }
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    assert_eq!(shop.pay("after", &payment("1.00", "AFTER")).status, 201, "the id was free");
}
