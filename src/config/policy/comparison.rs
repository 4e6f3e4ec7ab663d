//! The closed list of tightening, as a table over policies as they are written.

use crate::domain::tightening::{Effect, changes, only_tightens};

use super::*;

const OLD: &str = r#"
schema = "countersign/policy/1"
duplicate_window = "400d"

[callers.shop]
certificates = ["uri:spiffe://shop.example/gateway"]

[callers.batch]
certificates = ["uri:spiffe://shop.example/batch"]

[keys.reserve-eur]
purpose = "settlement"
currency = "EUR"
callers = ["shop"]
tiers = "nobody"
limits = "unlimited"

[keys.settlement-eur]
purpose = "settlement"
currency = "EUR"
callers = ["shop", "batch"]
creditors_allowed = ["merchant:A", "merchant:B"]
creditors_denied = ["merchant:C"]
creditor_cooling_off = "24h"
tiers = "nobody"
limits = [
  { name = "single", window = "payment", amount = "50.00" },
  { name = "day", window = "24h", amount = "500.00" },
  { name = "rate", window = "1m", count = 600, per = "caller" },
  { name = "today", window = "day", time_zone = "UTC", amount = "400.00" },
]
"#;

/// What is written instead, what that does, and how it is told.
const TABLE: &[(&str, &str, Effect, &str)] = &[
    ("\"500.00\"", "\"499.99\"", Effect::Tightens, "limit \"day\": cap 500.00 becomes 499.99"),
    ("\"500.00\"", "\"500.01\"", Effect::Loosens, "limit \"day\": cap 500.00 becomes 500.01"),
    ("count = 600", "count = 599", Effect::Tightens, "limit \"rate\": cap 600 becomes 599"),
    ("\"24h\", amount", "\"25h\", amount", Effect::Tightens, "window 1d becomes 25h"),
    ("\"24h\", amount", "\"23h\", amount", Effect::Loosens, "window 1d becomes 23h"),
    ("\"24h\", amount", "\"lifetime\", amount", Effect::Tightens, "window 1d becomes lifetime"),
    ("\"day\", time_zone = \"UTC\"", "\"24h\"", Effect::Loosens, "window day in UTC becomes 1d"),
    (
        "\"day\", time_zone = \"UTC\"",
        "\"month\", time_zone = \"UTC\"",
        Effect::Loosens,
        "becomes month",
    ),
    ("\"UTC\"", "\"Europe/Madrid\"", Effect::Loosens, "becomes day in Europe/Madrid"),
    ("per = \"caller\"", "per = \"key\"", Effect::Loosens, "\"rate\" counts something else"),
    ("count = 600", "amount = \"6.00\"", Effect::Loosens, "\"rate\" counts something else"),
    ("name = \"rate\"", "name = \"pace\"", Effect::Loosens, "limit \"rate\" removed"),
    (
        "\"unlimited\"",
        "[{ name = \"n\", window = \"1h\", count = 1 }]",
        Effect::Tightens,
        "\"n\" is new",
    ),
    (
        "callers = [\"shop\", \"batch\"]",
        "callers = [\"shop\"]",
        Effect::Tightens,
        "caller batch removed",
    ),
    (
        "callers = [\"shop\"]",
        "callers = [\"shop\", \"batch\"]",
        Effect::Loosens,
        "caller batch added",
    ),
    (
        "[\"merchant:C\"]",
        "[\"merchant:C\", \"merchant:D\"]",
        Effect::Tightens,
        "creditor merchant:D denied",
    ),
    ("[\"merchant:C\"]", "[]", Effect::Loosens, "creditor merchant:C no longer denied"),
    ("\"merchant:A\", ", "", Effect::Tightens, "creditor merchant:A unlisted"),
    (
        "\"merchant:A\", ",
        "\"merchant:A\", \"merchant:E\", ",
        Effect::Loosens,
        "creditor merchant:E listed",
    ),
    (
        "cooling_off = \"24h\"",
        "cooling_off = \"48h\"",
        Effect::Loosens,
        "creditor_cooling_off changed",
    ),
    ("\"400d\"", "\"399d\"", Effect::Loosens, "duplicate_window: 400d becomes 399d"),
    ("example/batch", "example/other", Effect::Loosens, "callers.batch: changed"),
    (
        "[callers.batch]",
        "[callers.batch]\nauditor = true",
        Effect::Loosens,
        "callers.batch: changed",
    ),
    (
        "[keys.settlement",
        "validity = \"1h\"\n[keys.settlement",
        Effect::Loosens,
        "validity: 1d becomes 1h",
    ),
    (
        "[keys.settlement",
        "anchored_from = \"50.00\"\n[keys.settlement",
        Effect::Loosens,
        "anchored_from changed",
    ),
    ("[keys.reserve-eur]", "[keys.other-eur]", Effect::Loosens, "keys.reserve-eur: removed"),
    (
        "\"settlement\"",
        "\"user-authentication\"",
        Effect::Loosens,
        "purpose: settlement becomes user-authentication",
    ),
];

fn read(text: &str) -> Policy {
    from_text(Path::new("policy.toml"), text).unwrap_or_else(|refused| panic!("{refused}"))
}

#[test]
fn tightening_is_a_closed_list() {
    let old = read(OLD);
    assert_eq!(changes(&old, &old), []);
    for (text, instead, effect, what) in TABLE {
        assert!(OLD.contains(text), "{text}");
        let found = changes(&old, &read(&OLD.replacen(text, instead, 1)));
        let told: Vec<_> = found.iter().filter(|change| change.what.contains(what)).collect();
        assert!(told.iter().any(|change| change.effect == *effect), "{instead}: {found:?}");
        assert_eq!(only_tightens(&found), *effect == Effect::Tightens, "{instead}: {found:?}");
    }
}

#[test]
fn one_loosening_among_tightenings_is_a_loosening() {
    let text = OLD.replacen("\"500.00\"", "\"1.00\"", 1).replacen("\"50.00\"", "\"50.01\"", 1);
    let found = changes(&read(OLD), &read(&text));
    assert_eq!(found.len(), 2);
    assert!(!only_tightens(&found));
    let without_batch = OLD
        .replacen("[callers.batch]\ncertificates = [\"uri:spiffe://shop.example/batch\"]", "", 1)
        .replacen(", \"batch\"]", "]", 1);
    assert!(only_tightens(&changes(&read(OLD), &read(&without_batch))), "a caller removed");
}
