//! Bad input gets a clear error and leaves no trace: every case of the payment's specification, a
//! line each.

use serde_json::{Value, json};

use crate::support::{Answer, Caller, Daemon, Installation, payment};

/// Whatever a test sends must not have used up the idempotency key, nor spent anything.
fn leaves_no_trace(daemon: &Daemon, shop: &Caller, key: &str) {
    let limits = shop.get("/v1/keys/settlement-eur/limits");
    assert_eq!(limits.body["limits"][1]["posted"], "0.00", "{limits:?}");
    let sound = shop.pay(key, &payment("1.00", "INV-1"));
    assert_eq!(sound.status, 201, "the id is free: {sound:?}");
    let (status, ready) = daemon.operations_text("/health/ready");
    assert_eq!(status, 200, "{ready}");
}

fn assert_problem(answer: &Answer, status: u16, field: &str, rule: &str, case: &str) {
    assert_eq!(answer.status, status, "{case}: {answer:?}");
    assert_eq!(answer.media_type, "application/problem+json", "{case}");
    let found = answer.body["field"].as_str().unwrap_or_default();
    assert_eq!((found, answer.str("/rule")), (field, rule), "{case}: {answer:?}");
    assert!(answer.str("/detail").len() > 10, "{case}: {answer:?}");
}

/// Pointer into the payment, value put there (null: removed), field and rule of the refusal.
#[rustfmt::skip]
const FIELDS: &[(&str, &str, &str, &str)] = &[
    ("/amount", r#""1.0""#, "amount", "amount"),
    ("/amount", r#""01.00""#, "amount", "amount"),
    ("/amount", r#""1e3""#, "amount", "amount"),
    ("/amount", r#""+1""#, "amount", "amount"),
    ("/amount", r#"" 1""#, "amount", "amount"),
    ("/amount", r#""-1""#, "amount", "amount"),
    ("/amount", r#""-1.00""#, "amount", "amount"),
    ("/amount", r#""0.00""#, "amount", "zero"),
    ("/amount", r#""１.００""#, "amount", "amount"),
    ("/amount", r#""1,00""#, "amount", "amount"),
    ("/amount", r#""""#, "amount", "amount"),
    ("/amount", r#""10000000000000.01""#, "amount", "too_large"),
    ("/amount", r#""99999999999999999999.00""#, "amount", "amount"),
    ("/amount", "1.00", "amount", "type"),
    ("/amount", "100", "amount", "type"),
    ("/amount", "true", "amount", "type"),
    ("/amount", "{}", "amount", "type"),
    ("/amount", "null", "amount", "missing_field"),
    ("/currency", r#""eur""#, "currency", "currency"),
    ("/currency", r#""EURO""#, "currency", "currency"),
    ("/currency", r#""XXX""#, "currency", "currency"),
    ("/currency", r#""JPY""#, "amount", "amount"),
    ("/currency", r#""BHD""#, "amount", "amount"),
    ("/currency", "null", "currency", "missing_field"),
    ("/key", r#""Settlement EUR""#, "key", "characters"),
    ("/key", r#""""#, "key", "empty"),
    ("/creditor/name", r#""""#, "creditor.name", "empty"),
    ("/creditor/name", r#""a\u0000b""#, "creditor.name", "control"),
    ("/creditor/name", r#""a\nb""#, "creditor.name", "control"),
    ("/creditor/name", r#""a\u0085b""#, "creditor.name", "control"),
    ("/creditor/name", r#""Bakery\u202eloS""#, "creditor.name", "invisible"),
    ("/creditor/name", r#""Bakery\u2066Sol""#, "creditor.name", "invisible"),
    ("/creditor/name", r#""Bakery\u200bSol""#, "creditor.name", "invisible"),
    ("/creditor/name", r#""Bakery\u200dSol""#, "creditor.name", "invisible"),
    ("/creditor/name", r#""\ufeffBakery""#, "creditor.name", "invisible"),
    ("/creditor/name", r#""Cafe\u0301""#, "creditor.name", "normalization"),
    ("/creditor/name", r#"" Bakery""#, "creditor.name", "white_space"),
    ("/creditor/account/iban", r#""ES9221000418450200051332""#,
        "creditor.account.iban", "checksum"),
    ("/creditor/account/iban", r#""ES91210004184502000513""#, "creditor.account.iban", "length"),
    ("/creditor/account/iban", r#""US9121000418450200051332""#,
        "creditor.account.iban", "country"),
    ("/creditor/account/iban", r#""ES91-2100""#, "creditor.account.iban", "characters"),
    ("/creditor/account", "{}", "creditor.account", "one_of"),
    ("/creditor/account",
        r#"{"iban":"ES9121000418450200051332","other":{"scheme":"merchant","id":"A"}}"#,
        "creditor.account", "one_of"),
    ("/creditor/account", r#"{"other":{"scheme":"paypal","id":"A"}}"#,
        "creditor.account.other.scheme", "scheme"),
    ("/creditor/account", r#"{"other":{"scheme":"merchant","id":"ES9121000418450200051332"}}"#,
        "creditor.account.other.id", "iban_under_other"),
    ("/creditor/account", r#"{"other":{"scheme":"ach","id":"021000022/12345678"}}"#,
        "creditor.account.other.id", "checksum"),
    ("/creditor/account", r#"{"other":null}"#, "creditor.account.other", "type"),
    ("/creditor", r#""Bakery Sol""#, "creditor", "type"),
    ("/debtor", r#"{"id":"a b"}"#, "debtor.id", "characters"),
    ("/debtor", r#"{"id":""}"#, "debtor.id", "empty"),
    ("/debtor", r#"{}"#, "debtor.id", "missing_field"),
    ("/end_to_end_id", r#""""#, "end_to_end_id", "empty"),
    ("/end_to_end_id", r#""x//y""#, "end_to_end_id", "slashes"),
    ("/end_to_end_id", r#""ü""#, "end_to_end_id", "characters"),
    ("/remittance_information", r#""a\tb""#, "remittance_information", "control"),
    ("/expires_at", r#""tomorrow""#, "expires_at", "timestamp"),
    ("/expires_at", r#""2099-12-01T12:00:00+01:00""#, "expires_at", "timestamp"),
    ("/expires_at", r#""2099-02-30T12:00:00Z""#, "expires_at", "timestamp"),
    ("/tip", r#""1.00""#, "tip", "unknown_field"),
    ("/creditor/bic", r#""CAIXESBB""#, "creditor.bic", "unknown_field"),
    ("/debtor", r#"{"id":"a","name":"b"}"#, "debtor.name", "unknown_field"),
];

#[test]
fn every_malformed_field_is_refused_by_name_and_rule() {
    let installation = Installation::new();
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    for (pointer, value, field, rule) in FIELDS {
        let mut asked = payment("1.00", "INV-1");
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = asked.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        match *value {
            "null" => drop(parent.remove(name)),
            text => drop(parent.insert(name.to_owned(), serde_json::from_str(text).unwrap())),
        }
        for path in ["/v1/payments", "/v1/payments/dry-run"] {
            let answer = shop.post(path, &[("Idempotency-Key", "key-1")], &asked.to_string());
            assert_problem(&answer.unwrap(), 422, field, rule, &format!("{pointer} {value}"));
        }
    }
    for (pointer, chars, field) in [
        ("/creditor/name", 141, "creditor.name"),
        ("/end_to_end_id", 36, "end_to_end_id"),
        ("/key", 65, "key"),
    ] {
        let mut asked = payment("1.00", "INV-1");
        *asked.pointer_mut(pointer).unwrap() = json!("x".repeat(chars));
        assert_problem(&shop.pay("key-1", &asked), 422, field, "length", pointer);
    }
    leaves_no_trace(&daemon, &shop, "key-1");
}

#[test]
fn text_that_is_not_the_json_expected_is_refused() {
    let installation = Installation::new();
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    let sound = payment("1.00", "INV-1").to_string();
    let with = |old: &str, new: &str| sound.replacen(old, new, 1);
    for (body, field, rule) in [
        (String::new(), "body", "syntax"),
        ("null".to_owned(), "body", "type"),
        ("[]".to_owned(), "body", "type"),
        ("\"payment\"".to_owned(), "body", "type"),
        (format!("{sound}{sound}"), "body", "syntax"),
        (with("{", "{\"amount\":\"2.00\","), "amount", "duplicate_field"),
        (with("{", "{\"\\u0061mount\":\"2.00\","), "amount", "duplicate_field"),
        (with("\"name\"", "\"name\":\"x\",\"\\u006eame\""), "creditor.name", "duplicate_field"),
        (with("\"iban\"", "\"iban\":\"x\",\"iban\""), "creditor.account.iban", "duplicate_field"),
        (with("{", "{\"debtor\":[\"user\"],"), "body", "type"),
        (with("\"EUR\"", "\"E\\uD800R\""), "currency", "syntax"),
        ("[".repeat(15_000), "body", "type"),
        ("{\"creditor\":".repeat(1_000), "creditor.creditor", "unknown_field"),
    ] {
        let answer = shop.post("/v1/payments", &[("Idempotency-Key", "key-1")], &body).unwrap();
        let case: String = body.chars().take(60).collect();
        assert_problem(&answer, 422, field, rule, &case);
    }
    let not_utf8 = with("Sol", "S\u{1}l").into_bytes();
    let not_utf8: Vec<u8> = not_utf8.into_iter().map(|b| if b == 1 { 0xff } else { b }).collect();
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "key-1")];
    let answer = shop.post_as("/v1/payments", &headers, &not_utf8).unwrap();
    assert_problem(&answer, 422, "creditor.name", "syntax", "not UTF-8");
    leaves_no_trace(&daemon, &shop, "key-1");
}

#[test]
fn headers_types_sizes_and_methods_are_refused_when_wrong() {
    let installation = Installation::new();
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    let sound = payment("1.00", "INV-1").to_string();
    let long = "x".repeat(129);
    for (values, rule) in [
        (vec![], "missing"),
        (vec![""], "empty"),
        (vec!["\"\""], "empty"),
        (vec!["a b"], "characters"),
        (vec!["a\\b"], "characters"),
        (vec!["ü"], "characters"),
        (vec![long.as_str()], "length"),
        (vec!["key-1", "key-1"], "repeated"),
    ] {
        let headers: Vec<_> = values.iter().map(|value| ("Idempotency-Key", *value)).collect();
        let answer = shop.post("/v1/payments", &headers, &sound).unwrap();
        assert_problem(&answer, 422, "Idempotency-Key", rule, &format!("{values:?}"));
    }
    for media_type in ["", "text/plain", "application/jsonp", "application/x-www-form-urlencoded"] {
        let headers = [("Content-Type", media_type), ("Idempotency-Key", "key-1")];
        let answer = shop.post_as("/v1/payments", &headers, sound.as_bytes()).unwrap();
        assert_problem(&answer, 415, "", "content_type", media_type);
    }
    let headers = [("Content-Type", "application/json; charset=utf-8"), ("Idempotency-Key", "k")];
    let padded = format!("{sound}{}", " ".repeat(16 * 1024));
    let answer = shop.post_as("/v1/payments", &headers, padded.as_bytes()).unwrap();
    assert_problem(&answer, 413, "", "body_too_large", "a large body");
    for (path, status, rule) in [
        ("/v1/payments", 405, "method"),
        ("/v1/nothing", 404, "not_found"),
        ("/v1/payments/0?wait=1h", 422, "duration"),
        ("/v1/payments/0?weight=1s", 422, "unknown_field"),
        ("/v1/payments/%FF", 404, "not_found"),
        ("/v1/keys/%FF/limits", 404, "not_found"),
        ("/", 404, "not_found"),
    ] {
        let answer = shop.get(path);
        assert_eq!((answer.status, answer.str("/rule")), (status, rule), "{path}: {answer:?}");
    }
    leaves_no_trace(&daemon, &shop, "key-1");
}

#[test]
fn a_number_written_in_other_digits_is_never_read() {
    let installation = Installation::new();
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    for digits in ["١٢٫٣٤", "१२.३४", "１２.３４", "𝟏𝟐.𝟑𝟒", "12\u{2024}34", "12.34\u{0}"]
    {
        let mut asked: Value = payment("1.00", "INV-1");
        asked["amount"] = json!(digits);
        assert_problem(&shop.pay("key-1", &asked), 422, "amount", "amount", digits);
    }
    leaves_no_trace(&daemon, &shop, "key-1");
}
