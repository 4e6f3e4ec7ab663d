//! No secret ever reaches a log line: everything that the daemon logs at trace level is searched.

use std::fs;

use crate::support::installation::PIN;
use crate::support::{Installation, payment};

fn assert_no_pin(text: &[u8], whence: &str) {
    let windows = |needle: &[u8]| text.windows(needle.len()).any(|window| window == needle);
    let hex: String = PIN.bytes().map(|byte| format!("{byte:02x}")).collect();
    let listed: Vec<String> = PIN.bytes().map(|byte| byte.to_string()).collect();
    for form in [PIN.to_owned(), hex.clone(), hex.to_uppercase(), listed.join(", ")] {
        assert!(!windows(form.as_bytes()), "the PIN is in {whence}, as {form}");
    }
}

#[test]
fn the_pin_is_in_nothing_that_is_logged_at_trace_level() {
    for format in ["text", "json"] {
        let installation = Installation::new();
        let trace = format!("level = \"trace\"\nformat = \"{format}\"");
        installation.edit("countersign.toml", "level = \"info\"", &trace);
        let daemon = installation.start();
        let shop = installation.caller(&daemon, "shop");
        assert_eq!(shop.pay("key-1", &payment("1.00", "INV-1")).status, 201);
        assert_eq!(shop.pay("key-2", &payment("99.00", "INV-2")).status, 403);
        assert_eq!(shop.pay("key-3", &payment("bad", "INV-3")).status, 422);
        let (_, metrics) = daemon.operations_text("/metrics");
        let (_, ready) = daemon.operations_text("/health/ready");
        let log = daemon.log.clone();
        assert_eq!(daemon.stop(), Some(0));
        let logged = fs::read(log).unwrap();
        let lines = logged.split(|byte| *byte == b'\n').count();
        assert!(lines > 3, "nothing was logged, so nothing was shown");
        assert_no_pin(&logged, "the log");
        assert_no_pin(metrics.as_bytes(), "the metrics");
        assert_no_pin(ready.as_bytes(), "readiness");
    }
}

#[test]
fn a_pin_that_the_token_refuses_is_told_by_no_command() {
    let installation = Installation::new();
    installation.edit("countersign.toml", "level = \"info\"", "level = \"trace\"");
    let wrong = format!("{PIN}-and-more");
    fs::write(installation.path("user-pin"), &wrong).unwrap();
    for arguments in
        [&["serve"][..], &["serve"], &["keys", "list"], &["doctor"], &["doctor", "--json"]]
    {
        let output = installation.run(arguments);
        assert_no_pin(&output.stdout, "standard output");
        assert_no_pin(&output.stderr, "standard error");
    }
    let marker = fs::read(installation.path("state/pin-refused-softhsm")).unwrap();
    assert_no_pin(&marker, "the marker");
}
