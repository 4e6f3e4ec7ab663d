//! Limits over every axis, seen from outside, and sums that no change of a policy resets.

use serde_json::{Value, json};

use crate::support::{Answer, Caller, Installation, payment};

/// A payment in the name of a debtor, to a merchant.
fn paid(caller: &Caller, id: &str, amount: &str, debtor: &str, merchant: &str) -> Answer {
    let mut asked = payment(amount, id);
    asked["debtor"] = json!({ "id": debtor });
    asked["creditor"]["account"] = json!({ "other": { "scheme": "merchant", "id": merchant } });
    caller.pay(id, &asked)
}

/// Status, and the limit that denied it.
fn decided(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.body["limit"]["name"].as_str().unwrap_or_default())
}

const EVERY_AXIS: &str = r#"[
  { name = "single", window = "payment", amount = "50.00" },
  { name = "of-caller", window = "24h", per = "caller", amount = "30.00" },
  { name = "of-debtor", window = "day", time_zone = "Europe/Madrid", per = "debtor", amount = "10.00" },
  { name = "of-unknown", window = "lifetime", per = "unknown_debtor", amount = "25.00" },
  { name = "of-creditor", window = "1h", per = "creditor", count = 3 },
]"#;

#[test]
fn limits_of_every_axis_deny_by_name_with_numbers() {
    let installation = Installation::with_limits(EVERY_AXIS);
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    let batch = installation.caller(&daemon, "batch");
    for (caller, id, amount, debtor, merchant, expected) in [
        (&shop, "a", "9.00", "ann", "BAKERY", (201, "")),
        (&shop, "b", "1.01", "ann", "CINEMA", (403, "of-debtor")),
        (&shop, "c", "9.00", "ben", "BAKERY", (201, "")),
        (&shop, "d", "7.01", "cem", "BAKERY", (403, "of-unknown")),
        (&batch, "e", "9.00", "ann", "BAKERY", (201, "")),
        (&batch, "f", "1.00", "ben", "BAKERY", (403, "of-creditor")),
        (&batch, "g", "1.00", "ben", "bakery", (403, "of-creditor")),
        (&shop, "h", "7.00", "cem", "CINEMA", (201, "")),
        (&shop, "i", "30.01", "dan", "CINEMA", (403, "of-caller")),
    ] {
        let answer = paid(caller, id, amount, debtor, merchant);
        assert_eq!(decided(&answer), expected, "{id}: {answer:?}");
    }
    let nobody = shop.pay("j", &payment("1.00", "j"));
    assert_eq!((nobody.status, nobody.str("/rule")), (403, "debtor_missing"));
    let denied = paid(&shop, "k", "1.01", "ann", "CINEMA");
    assert_eq!(denied.str("/limit/per"), "debtor");
    assert_eq!(denied.str("/limit/free"), "1.00");
    assert!(denied.str("/limit/frees_at").ends_with(":00:00.000Z"), "at midnight: {denied:?}");
}

#[test]
fn limits_stand_for_whom_one_asks() {
    let installation = Installation::with_limits(EVERY_AXIS);
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    assert_eq!(paid(&shop, "a", "9.00", "ann", "BAKERY").status, 201);
    let posted = |query: &str| -> Vec<Value> {
        let limits = shop.get(&format!("/v1/keys/settlement-eur/limits{query}"));
        let limits = limits.body["limits"].as_array().unwrap().clone();
        limits.iter().map(|limit| limit["posted"].clone()).collect()
    };
    for (query, expected) in [
        ("", json!(["0.00", "9.00", null, null, null])),
        ("?debtor=ann", json!(["0.00", "9.00", "9.00", "9.00", null])),
        ("?debtor=ben", json!(["0.00", "9.00", "0.00", "9.00", null])),
        ("?creditor=merchant:bakery", json!(["0.00", "9.00", null, null, "1"])),
        ("?creditor=merchant:CINEMA&debtor=ann", json!(["0.00", "9.00", "9.00", "9.00", "0"])),
    ] {
        assert_eq!(json!(posted(query)), expected, "{query}");
    }
    for query in ["?debtor=a%20b", "?creditor=BAKERY", "?payer=ann", "?debtor=a&debtor=b"] {
        let answer = shop.get(&format!("/v1/keys/settlement-eur/limits{query}"));
        assert_eq!(answer.status, 422, "{query}: {answer:?}");
    }
    installation.write_client(&daemon);
    let shown = installation.must(&["limits", "settlement-eur", "--debtor", "ann"]);
    for told in ["of-debtor", "day in Europe/Madrid", "90 %", "say of whom", "unknown debtor"] {
        assert!(shown.contains(told), "no {told} in\n{shown}");
    }
}

#[test]
fn a_policy_change_never_resets_a_sum_and_a_new_axis_counts_the_past() {
    let before = r#"[{ name = "day", window = "24h", amount = "20.00" }]"#;
    let installation = Installation::with_limits(before);
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    assert_eq!(paid(&shop, "a", "9.00", "ann", "BAKERY").status, 201);
    assert_eq!(paid(&shop, "b", "2.00", "ben", "BAKERY").status, 201);
    daemon.kill();

    let steps = [
        // Renamed and raised: what was spent stays spent.
        (r#"[{ name = "dia", window = "24h", amount = "12.00" }]"#, "c", "1.01", "ann", "dia"),
        // Another window, then an axis that was never counted.
        (r#"[{ name = "hour", window = "1h", amount = "11.50" }]"#, "d", "0.51", "ann", "hour"),
        (
            r#"[{ name = "each", window = "day", time_zone = "UTC", per = "debtor", amount = "9.50" }]"#,
            "e",
            "0.51",
            "ann",
            "each",
        ),
        (
            r#"[{ name = "each", window = "lifetime", per = "creditor", count = 2 }]"#,
            "f",
            "0.01",
            "dan",
            "each",
        ),
        // Back again: the axis was counted all the while.
        (
            r#"[{ name = "each", window = "30d", per = "debtor", amount = "9.01" }]"#,
            "g",
            "0.02",
            "ann",
            "each",
        ),
    ];
    let mut limits = before.to_owned();
    for (next, id, amount, debtor, denied_by) in steps {
        installation.edit("policy.toml", &limits, next);
        limits = next.to_owned();
        let daemon = installation.start();
        let shop = installation.caller(&daemon, "shop");
        let answer = paid(&shop, id, amount, debtor, "BAKERY");
        assert_eq!(decided(&answer), (403, denied_by), "{next}: {answer:?}");
        assert_eq!(daemon.stop(), Some(0));
    }
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    assert_eq!(paid(&shop, "h", "0.01", "ann", "BAKERY").status, 201, "to the cent");
}

#[test]
fn creditors_are_listed_denied_and_wait() {
    let installation = Installation::new();
    let listed = "creditors_allowed = [\"merchant:BAKERY\", \"merchant:CINEMA\"]\n\
                  creditors_denied = [\"merchant:CINEMA\"]\n";
    let waiting = format!("{listed}creditor_cooling_off = \"24h\"\n");
    installation.edit("policy.toml", "validity", &format!("{listed}validity"));
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    for (id, merchant, rule) in [
        ("a", "BAKERY", ""),
        ("b", "CINEMA", "creditor_denied"),
        ("c", "MARKET", "creditor_not_allowed"),
    ] {
        let answer = paid(&shop, id, "1.00", "ann", merchant);
        assert_eq!(answer.body["rule"].as_str().unwrap_or_default(), rule, "{answer:?}");
    }
    daemon.stop();
    installation.edit("policy.toml", listed, &waiting);
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    let answer = paid(&shop, "d", "1.00", "ann", "BAKERY");
    assert_eq!(answer.str("/rule"), "creditor_cooling_off", "{answer:?}");
    assert!(answer.str("/detail").contains("from 20"), "{answer:?}");
}

#[test]
fn the_namespace_of_a_caller_is_for_good() {
    let installation = Installation::with_limits(EVERY_AXIS);
    installation.start().stop();
    installation.edit("policy.toml", "[callers.batch]\n", "[callers.batch]\ndebtors = \"all\"\n");
    let output = installation.run(&["serve"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("whose debtors \"batch\" names"), "{told}");
    assert!(told.contains("would start from zero"), "{told}");
}

#[test]
fn another_policy_is_compared_and_simulated_on_the_past() {
    let installation =
        Installation::with_limits(r#"[{ name = "day", window = "24h", amount = "20.00" }]"#);
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    for (id, amount, status) in [("a", "9.00", 201), ("b", "8.00", 201), ("c", "4.00", 403)] {
        assert_eq!(paid(&shop, id, amount, "ann", "BAKERY").status, status);
    }
    let policy = std::fs::read_to_string(installation.path("policy.toml")).unwrap();
    for (name, cap) in [("lower", "16.99"), ("same", "20.00"), ("higher", "21.00")] {
        let other = policy.replace("\"20.00\"", &format!("\"{cap}\""));
        std::fs::write(installation.path(&format!("{name}.toml")), other).unwrap();
    }
    let policy = installation.path("policy.toml");
    let path = |name: &str| installation.path(&format!("{name}.toml"));
    for (name, only_tightens, denied, signed) in
        [("lower", true, 1, 1), ("same", true, 0, 0), ("higher", false, 0, 1)]
    {
        let other = path(name);
        let (other, policy) = (other.to_str().unwrap(), policy.to_str().unwrap());
        let said = installation.must(&["policy", "compare", policy, other, "--json"]);
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said["only_tightens"], only_tightens, "{name}: {said}");
        let said = installation.must(&["policy", "simulate", other, "--json"]);
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!((&said["payments"], &said["signed"]), (&json!(3), &json!(2)), "{said}");
        assert_eq!(said["would_have_been_denied"], denied, "{name}: {said}");
        assert_eq!(said["would_have_been_signed"], signed, "{name}: {said}");
    }
    let shown = installation.must(&["policy", "simulate", path("lower").to_str().unwrap()]);
    for told in ["1 of those signed would have been denied", "by limit \"day\"", "8.00 EUR"] {
        assert!(shown.contains(told), "no {told} in\n{shown}");
    }
}
