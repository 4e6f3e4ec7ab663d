//! The interface is what its document says: routes, wire types and OpenAPI agree.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{Caller, Installation, eventually, payment};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");

fn document(installation: &Installation) -> Value {
    serde_json::from_str(&installation.must(&["openapi"])).unwrap()
}

#[test]
fn the_document_in_the_repository_is_the_one_of_this_release() {
    let installation = Installation::new();
    let made = installation.must(&["openapi"]);
    let kept = std::fs::read_to_string(DOCUMENT).unwrap_or_default();
    assert!(
        made.trim() == kept.trim(),
        "docs/openapi.json is out of date; make it with `countersign openapi > docs/openapi.json`"
    );
    let daemon = installation.start();
    assert_eq!(daemon.public_json("/openapi.json"), document(&installation));
    assert_eq!(document(&installation)["openapi"], "3.1.0");
}

#[test]
fn every_documented_route_answers_on_its_listener_and_on_no_other() {
    let installation = Installation::new();
    let daemon = installation.start();
    let document = document(&installation);
    let shop = installation.caller(&daemon, "shop");
    let authority = installation.path("tls/authority.pem");
    eventually("the start is on the log", || daemon.public_status("/log/checkpoint") == 200);
    let anybody = Caller::new(&authority, None, daemon.public);
    let mut routes = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let concrete = path.replace("{id}", "settlement-eur").replace("{*path}", "0/000.p/1");
        // The stream never ends; what it refuses is an answer too.
        let concrete = concrete.replace("/v1/events", "/v1/events?nothing=asked");
        for (method, operation) in item.as_object().unwrap() {
            routes += 1;
            let ask = |caller: &Caller| match method.as_str() {
                "get" => caller.get(&concrete),
                "post" => caller.post(&concrete, &[], "{}").unwrap(),
                other => panic!("no test for {other}"),
            };
            // There is no such payment, and no witness.
            let is_there = !path.contains("{id}") && path != "/log/cosigned";
            let unknown = |status: u16, rule: &str| {
                status == 405 || (status == 404 && rule == "not_found" && is_there)
            };
            let tag = operation["tags"][0].as_str().unwrap();
            for (name, caller) in [("gateway", &shop), ("public", &anybody)] {
                let answer = ask(caller);
                let rule = answer.body["rule"].as_str().unwrap_or_default();
                let foreign = answer.status == 404 && answer.text.contains("such resource");
                if name == tag {
                    assert!(
                        !unknown(answer.status, rule) && !foreign,
                        "{method} {path}: {answer:?}"
                    );
                } else {
                    assert!(
                        answer.status == 404 && foreign,
                        "{method} {path} on {name}: {answer:?}"
                    );
                }
            }
            if method == "get" {
                let (status, text) = daemon.operations_text(&concrete);
                let here = status != 404;
                assert_eq!(here, tag == "operations", "{path} on operations: {status} {text}");
            }
        }
    }
    assert_eq!(routes, 21);
}

/// The members of an answer are those of its schema: all that are required, none that are unknown.
fn assert_conforms(document: &Value, schema: &Value, answer: &Value, place: &str) {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    };
    if let Some(alternatives) = schema["oneOf"].as_array() {
        return assert_conforms(document, &alternatives[0], answer, place);
    }
    match answer {
        Value::Object(members) => {
            let known =
                schema["properties"].as_object().unwrap_or_else(|| panic!("{place}: {schema}"));
            let required: BTreeSet<&str> = schema["required"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            for name in required {
                assert!(members.contains_key(name), "{place}: {name} is missing in {answer}");
            }
            for (name, value) in members {
                let inner = known.get(name).unwrap_or_else(|| panic!("{place}: unknown {name}"));
                assert_conforms(document, inner, value, &format!("{place}.{name}"));
            }
        }
        Value::Array(items) => {
            for item in items {
                assert_conforms(document, &schema["items"], item, place);
            }
        }
        Value::String(text) => {
            assert_eq!(schema["type"], "string", "{place}");
            if let Some(words) = schema["enum"].as_array() {
                assert!(words.contains(&Value::String(text.clone())), "{place}: {text}");
            }
        }
        Value::Bool(_) => assert_eq!(schema["type"], "boolean", "{place}"),
        Value::Number(_) => assert_eq!(schema["type"], "integer", "{place}"),
        Value::Null => panic!("{place} is null; what is not there is left out"),
    }
}

#[test]
fn answers_have_the_members_that_the_document_gives_them() {
    let installation =
        Installation::with_limits(r#"[{ name = "day", window = "24h", amount = "10.00" }]"#);
    let daemon = installation.start();
    let document = document(&installation);
    let shop = installation.caller(&daemon, "shop");
    let conforms = |method: &str, path: &str, answer: &crate::support::Answer| {
        let responses = &document["paths"][path][method]["responses"];
        let response = &responses[answer.status.to_string()];
        assert!(!response.is_null(), "{method} {path} {} is not documented", answer.status);
        let (media_type, content) = response["content"].as_object().unwrap().iter().next().unwrap();
        assert_eq!(*media_type, answer.media_type, "{method} {path}");
        assert_conforms(&document, &content["schema"], &answer.body, path);
    };
    let signed = shop.pay("key-1", &payment("6.00", "INV-1"));
    conforms("post", "/v1/payments", &signed);
    conforms("post", "/v1/payments", &shop.pay("key-2", &payment("6.00", "INV-2")));
    conforms("post", "/v1/payments", &shop.pay("key-1", &payment("7.00", "INV-1")));
    conforms("post", "/v1/payments", &shop.pay("key-3", &payment("7.0", "INV-1")));
    for asked in [payment("1.00", "INV-3"), payment("9.00", "INV-3")] {
        let answer = shop.post("/v1/payments/dry-run", &[], &asked.to_string()).unwrap();
        conforms("post", "/v1/payments/dry-run", &answer);
    }
    let look_up = |id: &str| shop.get(&format!("/v1/payments/{id}?wait=1s"));
    conforms("get", "/v1/payments/{id}", &look_up(signed.str("/id")));
    conforms("get", "/v1/payments/{id}", &look_up("0"));
    conforms("get", "/v1/keys", &shop.get("/v1/keys"));
    conforms("get", "/v1/keys/{id}/limits", &shop.get("/v1/keys/settlement-eur/limits"));
    conforms("get", "/v1/keys/{id}/limits", &shop.get("/v1/keys/settlement-usd/limits"));
    let anybody = Caller::new(&installation.path("tls/authority.pem"), None, daemon.public);
    conforms("get", "/.well-known/jwks.json", &anybody.get("/.well-known/jwks.json"));
}

#[test]
fn operations_tell_life_readiness_and_figures() {
    let installation = Installation::new();
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    assert_eq!(shop.pay("key-1", &payment("1.00", "INV-1")).status, 201);
    assert_eq!(shop.pay("key-2", &payment("99.00", "INV-2")).status, 403);
    assert_eq!(daemon.operations_text("/health/live"), (204, String::new()));
    let (status, ready) = daemon.operations_text("/health/ready");
    let ready: Value = serde_json::from_str(&ready).unwrap();
    assert_eq!((status, &ready["ready"]), (200, &Value::Bool(true)), "{ready}");
    let (_, metrics) = daemon.operations_text("/metrics");
    for line in [
        "countersign_requests_total{route=\"/v1/payments\",status=\"201\",rule=\"\"} 1",
        "countersign_requests_total{route=\"/v1/payments\",status=\"403\",rule=\"limit_exceeded\"} 1",
        "countersign_token_up{token=\"softhsm\"} 1",
        "countersign_ledger_writable 1",
        "countersign_payments_in_doubt 0",
        "countersign_submit_seconds_count 2",
    ] {
        assert!(metrics.lines().any(|found| found == line), "no {line} in\n{metrics}");
    }
}
