//! One payment: signed, retried, denied, looked up.

use data_encoding::BASE64URL_NOPAD;
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use serde_json::{Value, json};

use crate::support::{Installation, payment};

/// Verifies a compact JWS with a key of the set that the daemon publishes; returns header and
/// payload. This is p256, while the daemon itself verifies with another library.
pub(crate) fn verified(jws: &str, key_set: &Value) -> (Value, Value) {
    let parts: Vec<&str> = jws.split('.').collect();
    let [header, payload, signature] = parts.as_slice() else { panic!("no compact JWS: {jws}") };
    let decode = |text: &str| BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
    let told: Value = serde_json::from_slice(&decode(header)).unwrap();
    let keys = key_set["keys"].as_array().unwrap();
    let key = keys.iter().find(|key| key["kid"] == told["kid"]).expect("the kid is published");
    let half = |name: &str| decode(key[name].as_str().unwrap());
    let point = [vec![4], half("x"), half("y")].concat();
    let signature = Signature::from_slice(&decode(signature)).unwrap();
    VerifyingKey::from_sec1_bytes(&point)
        .unwrap()
        .verify(format!("{header}.{payload}").as_bytes(), &signature)
        .expect("the signature verifies");
    (told, serde_json::from_slice(&decode(payload)).unwrap())
}

#[test]
fn a_payment_is_signed_and_says_what_was_asked() {
    let installation = Installation::new();
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    let mut asked = payment("12.34", "INV-2026-000123");
    asked["creditor"]["account"]["iban"] = json!("ES91 2100 0418 4502 0005 1332");
    asked["debtor"] = json!({ "id": "user-4711" });
    asked["remittance_information"] = json!("2 x croissant");

    let answer = shop.pay("key-1", &asked);

    assert_eq!((answer.status, answer.str("/state")), (201, "signed"), "{answer:?}");
    assert_eq!(answer.location, Some(format!("/v1/payments/{}", answer.str("/id"))));
    let key_set = daemon.public_json("/.well-known/jwks.json");
    let (header, order) = verified(answer.jws(), &key_set);
    assert_eq!(header["alg"], "ES256");
    assert_eq!(header["typ"], "payment+jws");
    assert_eq!(header["approvals"], json!([]));
    assert_eq!(order["issuer"], "https://pay.test.example");
    assert_eq!(order["schema"], "countersign/order/1");
    assert_eq!(order["payment_id"], answer.body["id"]);
    assert_eq!(order["policy"]["rule"], "within_limits");
    asked["creditor"]["account"]["iban"] = json!("ES9121000418450200051332");
    assert_eq!(order["payment"], asked, "the order holds the payment and nothing else");
}

#[test]
fn a_retry_gets_the_same_answer_byte_for_byte() {
    let installation = Installation::new();
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    let first = shop.pay("key-1", &payment("1.00", "INV-1"));
    for key in ["key-1", "\"key-1\""] {
        assert_eq!(shop.pay(key, &payment("1.00", "INV-1")), first);
    }
    let mut respelled = payment("1.00", "INV-1");
    respelled["creditor"]["account"]["iban"] = json!("es91 2100 0418 4502 0005 1332");
    assert_eq!(shop.pay("key-1", &respelled), first, "another spelling is the same payment");
    assert_eq!(daemon.stop(), Some(0));

    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    assert_eq!(shop.pay("key-1", &payment("1.00", "INV-1")), first, "also after a restart");
    let found = shop.get(&format!("/v1/payments/{}", first.str("/id")));
    assert_eq!(found.body, first.body);
}

#[test]
fn the_same_id_with_other_fields_is_refused_by_the_name_of_the_field() {
    let installation = Installation::new();
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    let first = shop.pay("key-1", &payment("1.00", "INV-1"));
    for (pointer, value, field) in [
        ("/amount", "1.01", "amount"),
        ("/creditor/name", "Bakery Luna", "creditor.name"),
        ("/creditor/account/iban", "DE89370400440532013000", "creditor.account"),
        ("/end_to_end_id", "INV-2", "end_to_end_id"),
        ("/currency", "USD", "currency"),
        ("/key", "settlement-usd", "key"),
    ] {
        let mut other = payment("1.00", "INV-1");
        *other.pointer_mut(pointer).unwrap() = json!(value);
        let answer = shop.pay("key-1", &other);
        assert_eq!(answer.status, 422, "{answer:?}");
        assert_eq!(answer.media_type, "application/problem+json");
        assert_eq!(answer.str("/rule"), "idempotency_key_conflict");
        assert_eq!(answer.str("/field"), field);
        assert_eq!(answer.str("/payment_id"), first.str("/id"));
    }
    assert_eq!(shop.pay("key-1", &payment("1.00", "INV-1")), first);
}

#[test]
fn callers_have_ids_of_their_own_and_see_only_their_payments() {
    let installation = Installation::new();
    let daemon = installation.start();
    let (shop, batch) =
        (installation.caller(&daemon, "shop"), installation.caller(&daemon, "batch"));
    let of_shop = shop.pay("key-1", &payment("1.00", "INV-1"));
    let of_batch = batch.pay("key-1", &payment("2.00", "INV-2"));
    assert_eq!((of_shop.status, of_batch.status), (201, 201));
    assert_ne!(of_shop.jws(), of_batch.jws());

    let foreign = batch.get(&format!("/v1/payments/{}", of_shop.str("/id")));
    let unknown = batch.get("/v1/payments/00000000000000000000000000000000");
    let nonsense = batch.get("/v1/payments/nonsense");
    assert_eq!(foreign.status, 404);
    assert_eq!(foreign, unknown, "a foreign payment is as unknown as one that does not exist");
    assert_eq!(foreign, nonsense);
}

/// The denials in the order of their precedence: each payment breaks its own rule and all below.
#[test]
fn denials_are_decisions_with_rule_numbers_and_precedence() {
    let installation = Installation::with_limits(
        r#"[
  { name = "single", window = "payment", amount = "50.00" },
  { name = "day", window = "24h", amount = "60.00" },
  { name = "often", window = "1h", count = 2 },
]"#,
    );
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    let earlier = shop.pay("first", &payment("15.00", "INV-1"));
    assert_eq!(earlier.status, 201, "{earlier:?}");

    let mut asked = payment("51.00", "INV-1");
    asked["key"] = json!("settlement-xxx");
    asked["currency"] = json!("USD");
    asked["expires_at"] = json!("2020-01-01T00:00:00Z");
    let steps: [(&str, &str, fn(&mut Value)); 8] = [
        ("key_not_allowed", "GET /v1/keys", |_| {}),
        ("key_currency", "the key signs EUR", |p| p["key"] = json!("settlement-eur")),
        ("expired", "had passed", |p| p["currency"] = json!("EUR")),
        ("expiry_too_far", "at the latest", |p| p["expires_at"] = json!("2099-01-01T00:00:00Z")),
        ("duplicate_end_to_end_id", "carries the same end_to_end_id", |p| {
            p.as_object_mut().unwrap().remove("expires_at");
        }),
        ("limit_exceeded", "\"single\" allows at most 50.00 EUR; 51.00", |p| {
            p["end_to_end_id"] = json!("INV-2");
        }),
        (
            "limit_exceeded",
            "\"day\" allows 60.00 EUR: 15.00 posted, 0.00 pending, 45.00 free",
            |p| {
                p["amount"] = json!("45.01");
            },
        ),
        ("", "", |p| p["amount"] = json!("45.00")),
    ];
    for (index, (rule, detail, mend)) in steps.into_iter().enumerate() {
        mend(&mut asked);
        let key = format!("step-{index}");
        let answer = shop.pay(&key, &asked);
        if rule.is_empty() {
            assert_eq!(answer.status, 201, "{answer:?}");
            continue;
        }
        assert_eq!((answer.status, answer.str("/rule")), (403, rule), "{answer:?}");
        assert!(answer.str("/detail").contains(detail), "{answer:?}");
        assert_eq!(answer.media_type, "application/problem+json");
        assert_eq!(shop.pay(&key, &asked), answer, "a denial is final for its id");
        let record = shop.get(&format!("/v1/payments/{}", answer.str("/payment_id")));
        assert_eq!((record.str("/state"), record.str("/denial/rule")), ("denied", rule));
    }
    let often = shop.pay("often", &payment("0.01", "NOTPROVIDED"));
    assert_eq!((often.status, often.str("/limit/name")), (403, "day"), "the first limit decides");
    assert_eq!(often.str("/limit/free"), "0.00");
    assert!(often.str("/limit/frees_at").starts_with("20"), "{often:?}");
}

#[test]
fn an_end_to_end_id_is_paid_once_whoever_asks() {
    let installation = Installation::new();
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    let batch = installation.caller(&daemon, "batch");
    let first = shop.pay("key-1", &payment("1.00", "INV-1"));
    for (caller, key) in [(&shop, "key-2"), (&batch, "key-1")] {
        let again = caller.pay(key, &payment("1.00", "INV-1"));
        assert_eq!((again.status, again.str("/rule")), (403, "duplicate_end_to_end_id"));
        assert!(again.str("/detail").contains(first.str("/id")), "{again:?}");
    }
    let mut elsewhere = payment("1.00", "INV-1");
    elsewhere["creditor"]["account"] =
        json!({ "other": { "scheme": "merchant", "id": "bakery-7" } });
    assert_eq!(shop.pay("key-3", &elsewhere).status, 201, "another account is another payment");
    for key in ["key-4", "key-5"] {
        assert_eq!(shop.pay(key, &payment("1.00", "NOTPROVIDED")).status, 201);
    }
}

#[test]
fn a_dry_run_tells_what_would_happen_and_spends_nothing() {
    let installation =
        Installation::with_limits(r#"[{ name = "day", window = "24h", amount = "10.00" }]"#);
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    let dry_run = |asked: &Value| {
        let answer = shop.post("/v1/payments/dry-run", &[], &asked.to_string()).unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
    };
    for _ in 0..3 {
        assert_eq!(dry_run(&payment("10.00", "INV-1")).body["would_sign"], true);
    }
    let denied = dry_run(&payment("10.01", "INV-1"));
    assert_eq!(denied.body["would_sign"], false);
    assert_eq!(denied.str("/denial/rule"), "limit_exceeded");
    assert_eq!(denied.body["checks"].as_array().unwrap().last().unwrap()["name"], "limits");
    let mut closed = payment("1.00", "INV-1");
    closed["key"] = json!("settlement-xxx");
    assert_eq!(dry_run(&closed).str("/denial/rule"), "key_not_allowed");
    assert_eq!(shop.pay("key-1", &payment("10.00", "INV-1")).status, 201);
    let after = dry_run(&payment("0.01", "INV-1"));
    assert_eq!(after.str("/denial/rule"), "duplicate_end_to_end_id");
}

#[test]
fn callers_see_their_keys_and_how_the_limits_stand() {
    let installation = Installation::with_limits(
        r#"[
  { name = "single", window = "payment", amount = "50.00" },
  { name = "day", window = "24h", amount = "100.00" },
  { name = "rate", window = "1m", count = 5 },
]"#,
    );
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    assert_eq!(shop.pay("key-1", &payment("30.00", "INV-1")).status, 201);
    let keys = shop.get("/v1/keys");
    assert_eq!(keys.str("/keys/0/id"), "settlement-eur");
    assert_eq!(keys.str("/keys/0/currency"), "EUR");
    let published = daemon.public_json("/.well-known/jwks.json");
    assert_eq!(keys.body["keys"][0]["kid"], published["keys"][0]["kid"]);

    let limits = shop.get("/v1/keys/settlement-eur/limits");
    for (index, name, window, cap, posted, free) in [
        (0, "single", "payment", "50.00", "0.00", "50.00"),
        (1, "day", "1d", "100.00", "30.00", "70.00"),
        (2, "rate", "1m", "5", "1", "4"),
    ] {
        let limit = &limits.body["limits"][index];
        assert_eq!(limit["name"], name);
        assert_eq!((&limit["window"], &limit["cap"]), (&json!(window), &json!(cap)), "{limit}");
        assert_eq!((&limit["posted"], &limit["free"]), (&json!(posted), &json!(free)), "{limit}");
    }
    let unknown = shop.get("/v1/keys/settlement-usd/limits");
    assert_eq!((unknown.status, unknown.str("/rule")), (404, "not_found"));
}

#[test]
fn a_key_that_is_not_open_to_a_caller_is_as_unknown_as_one_that_does_not_exist() {
    let installation = Installation::new();
    installation.edit("policy.toml", "callers = [\"shop\", \"batch\"]", "callers = [\"shop\"]");
    let daemon = installation.start();
    let batch = installation.caller(&daemon, "batch");
    let closed = batch.pay("key-1", &payment("1.00", "INV-1"));
    let mut asked = payment("1.00", "INV-1");
    asked["key"] = json!("settlement-xxx");
    let unknown = batch.pay("key-2", &asked);
    assert_eq!((closed.status, closed.str("/detail")), (403, unknown.str("/detail")));
    assert_eq!(closed.str("/rule"), "key_not_allowed");
    assert_eq!(batch.get("/v1/keys").body, json!({ "keys": [] }));
    assert_eq!(
        batch.get("/v1/keys/settlement-eur/limits").text,
        batch.get("/v1/keys/settlement-xxx/limits").text
    );
}
