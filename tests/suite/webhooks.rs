//! Webhooks seen by the gateway that receives them: signed, in order, once it takes them, and
//! nobody else's; and what becomes of them when it does not.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::receiver::{Receiver, Reply, Request, closed_port, url};
use crate::support::{Caller, Daemon, Installation, eventually, payment};

/// A route of a caller to a URL, as the deployment file writes it.
pub(crate) fn route(name: &str, caller: &str, url: &str, more: &str) -> String {
    format!(
        "[notifications.to.{name}]\ncaller = \"{caller}\"\nwebhook = \"{url}\"\n\
         ca = \"tls/authority.pem\"\n{more}\n"
    )
}

fn told(algorithm: &str, routes: &[String]) -> Installation {
    let installation = Installation::new();
    tell(&installation, algorithm, routes);
    installation
}

fn tell(installation: &Installation, algorithm: &str, routes: &[String]) {
    installation.add_notification_key(algorithm);
    installation.add_routes("key = \"notify\"\n", routes);
}

/// Payments of 0.01 under these ids; the ids of the payments.
fn pay_all(caller: &Caller, ids: impl IntoIterator<Item = String>) -> Vec<String> {
    let paid = ids.into_iter().map(|id| {
        let answer = caller.pay(&id, &payment("0.01", &id));
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.str("/id").to_owned()
    });
    paid.collect()
}

fn numbered(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}-{n}")).collect()
}

/// The payments that requests are about, in their order.
fn payments(requests: &[Request]) -> Vec<String> {
    let payment = |body: Value| body["payment_id"].as_str().unwrap().to_owned();
    requests.iter().map(|request| payment(request.json())).collect()
}

/// Asks the operations listener to do something with dead letters; tells the status.
fn operate(daemon: &Daemon, what: &str, body: &str, media_type: &str) -> u16 {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
    let url = format!("http://{}/notifications/{what}", daemon.operations);
    agent.post(url).header("Content-Type", media_type).send(body).unwrap().status().as_u16()
}

fn listed(daemon: &Daemon) -> Value {
    let (status, text) = daemon.operations_text("/notifications");
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn every_outcome_is_told_in_order_and_verifies_with_the_published_key() {
    std::thread::scope(|scope| {
        for algorithm in ["ES256", "EdDSA"] {
            scope.spawn(move || every_outcome(algorithm));
        }
    });
}

fn every_outcome(algorithm: &str) {
    let installation = Installation::new();
    let receiver = Receiver::start(&installation, |_, _| Reply::Status(204));
    let path = "/hooks/countersign?tenant=7";
    tell(&installation, algorithm, &[route("shop", "shop", &receiver.url(path), "")]);
    let daemon = installation.start();
    let (shop, batch) =
        (installation.caller(&daemon, "shop"), installation.caller(&daemon, "batch"));
    let mut expected = pay_all(&shop, numbered("A", 3));
    pay_all(&batch, numbered("B", 2));
    let denied = shop.pay("DENIED", &payment("50.01", "DENIED"));
    assert_eq!(denied.status, 403);
    expected.push(denied.str("/payment_id").to_owned());
    expected.extend(pay_all(&shop, numbered("C", 2)));

    let requests = receiver.takes(expected.len());
    assert_eq!(payments(&requests), expected, "each once, in order, and nobody else's");
    let keys = daemon.public_json("/.well-known/notification-jwks.json");
    let origin = format!("https://localhost:{}", receiver.address.port());
    for request in &requests {
        request.verify(&origin, &keys).unwrap();
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", path));
        assert!(!request.body.contains("Bakery"), "{}", request.body);
        // Any change to what is covered is found out.
        for tampered in [
            Request { body: request.body.replace("EUR", "USD"), ..request.clone() },
            Request { path: "/hooks".to_owned(), ..request.clone() },
            Request { method: "PUT".to_owned(), ..request.clone() },
        ] {
            assert!(tampered.verify(&origin, &keys).is_err(), "{tampered:?}");
        }
        assert!(request.verify("https://localhost:1", &keys).is_err());
    }
    let (first, refused) = (requests[0].json(), requests[3].json());
    let about = json!({
        "kind": "payment.signed", "idempotency_key": "A-0", "end_to_end_id": "A-0", "amount": "0.01",
        "currency": "EUR", "caller": "shop", "key": "settlement-eur",
        "schema": "countersign/event/1",
    });
    for (name, value) in about.as_object().unwrap() {
        assert_eq!(&first[name], value, "{name}");
    }
    assert_eq!(
        (&refused["kind"], &refused["rule"]),
        (&json!("payment.denied"), &json!("limit_exceeded"))
    );
    // Who trusts the keys of payments does not trust those of webhooks.
    let settlement = daemon.public_json("/.well-known/jwks.json");
    assert_eq!(settlement["keys"].as_array().unwrap().len(), 1);
    assert_ne!(settlement["keys"][0]["kid"], keys["keys"][0]["kid"]);
    let standing = || listed(&daemon)["routes"][0].clone();
    eventually("six are counted", || standing()["delivered"] == 6);
    assert_eq!(standing()["failed"], 0);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn what_is_not_taken_comes_again_under_the_same_id_and_holds_the_rest_back() {
    let installation = Installation::new();
    let replies =
        [Reply::Status(500), Reply::HangUp, Reply::Redirect, Reply::Status(404), Reply::Later(2)];
    let receiver = Receiver::start(&installation, move |_, before| {
        replies.get(before).copied().unwrap_or(Reply::Status(200))
    });
    tell(&installation, "ES256", &[route("shop", "shop", &receiver.url("/"), "")]);
    let daemon = installation.start();
    let expected = pay_all(&installation.caller(&daemon, "shop"), numbered("R", 3));
    // The pauses double from a second on; a person need not wait.
    for failures in 1..=4 {
        eventually("it failed again", || receiver.requests().len() >= failures);
        assert_eq!(operate(&daemon, "retry", r#"{"route":"shop"}"#, "application/json"), 202);
    }
    receiver.takes(3);
    let requests = receiver.requests();
    assert_eq!(payments(&receiver.taken()), expected);
    let first = requests[0].id();
    assert!(requests[..6].iter().all(|request| request.id() == first), "{requests:?}");
    assert!(requests.iter().all(|request| request.path == "/"), "no redirect was followed");
    let paused = requests[5].at.duration_since(requests[4].at);
    assert!(paused >= Duration::from_secs(2), "Retry-After was 2 s, it came after {paused:?}");
    // Each attempt has a signature of its own time, and all of them verify.
    let keys = daemon.public_json("/.well-known/notification-jwks.json");
    let origin = format!("https://localhost:{}", receiver.address.port());
    requests.iter().for_each(|request| request.verify(&origin, &keys).unwrap());
}

#[test]
fn pauses_grow_while_nobody_listens_and_end_when_somebody_does() {
    let address = closed_port();
    let installation = told("ES256", &[route("shop", "shop", &url(address, "/"), "")]);
    let daemon = installation.start();
    let expected = pay_all(&installation.caller(&daemon, "shop"), numbered("N", 2));
    eventually("three attempts failed", || {
        listed(&daemon)["routes"][0]["stuck"]["attempts"].as_u64() >= Some(3)
    });
    let metrics = daemon.operations_text("/metrics").1;
    assert!(metrics.contains("countersign_notification_failed{route=\"shop\"} 3"), "{metrics}");
    let receiver = Receiver::start_at(&installation, address, |_, _| Reply::Status(200));
    receiver.takes(2);
    assert_eq!(payments(&receiver.requests()), expected);
    eventually("nothing is stuck", || listed(&daemon)["routes"][0].get("stuck").is_none());
}

#[test]
fn an_endpoint_that_hangs_delays_neither_payments_nor_others() {
    let installation = Installation::new();
    let hanging = Receiver::start(&installation, |_, _| Reply::Hang);
    let sound = Receiver::start(&installation, |_, _| Reply::Status(200));
    let routes = [
        route("shop", "shop", &hanging.url("/"), ""),
        route("batch", "batch", &sound.url("/"), ""),
    ];
    tell(&installation, "ES256", &routes);
    let daemon = installation.start();
    let (shop, batch) =
        (installation.caller(&daemon, "shop"), installation.caller(&daemon, "batch"));
    pay_all(&shop, numbered("H", 1));
    eventually("it hangs", || !hanging.requests().is_empty());
    let started = Instant::now();
    pay_all(&shop, numbered("S", 10));
    let expected = pay_all(&batch, numbered("B", 10));
    assert_eq!(payments(&sound.takes(10)), expected);
    assert_eq!(hanging.requests().len(), 1, "all of that took longer than one hanging attempt");
    assert!(started.elapsed() < Duration::from_secs(10));
    // The attempt in progress does not hold the end up either.
    let stopping = Instant::now();
    assert_eq!(daemon.stop(), Some(0));
    assert!(stopping.elapsed() < Duration::from_secs(15), "{:?}", stopping.elapsed());
}

#[test]
fn killed_in_the_middle_it_tells_exactly_what_was_not_taken() {
    let installation = Installation::new();
    let receiver = Receiver::start(&installation, |_, before| {
        // Twelve are taken, then none until the daemon is another one.
        match before {
            0..12 => Reply::Status(200),
            12 => Reply::Hang,
            _ => Reply::Status(200),
        }
    });
    tell(&installation, "ES256", &[route("shop", "shop", &receiver.url("/"), "")]);
    let daemon = installation.start();
    let mut expected = pay_all(&installation.caller(&daemon, "shop"), numbered("K", 20));
    eventually("the thirteenth hangs", || receiver.requests().len() == 13);
    daemon.kill();
    let daemon = installation.start();
    expected.extend(pay_all(&installation.caller(&daemon, "shop"), numbered("L", 5)));
    receiver.takes(25);
    let requests = receiver.requests();
    assert_eq!(requests.len(), 26, "the one that hung, and each of the others once");
    assert_eq!(requests[12].id(), requests[13].id());
    assert_eq!(payments(&receiver.taken()), expected);
}

#[test]
fn killed_at_any_moment_it_loses_nothing_and_keeps_the_order() {
    let installation = Installation::new();
    let receiver = Receiver::start(&installation, |_, _| Reply::Status(200));
    tell(&installation, "ES256", &[route("shop", "shop", &receiver.url("/"), "")]);
    let mut expected = Vec::new();
    for round in 0..5_u64 {
        let daemon = installation.start();
        expected.extend(pay_all(
            &installation.caller(&daemon, "shop"),
            numbered(&format!("M{round}"), 15),
        ));
        std::thread::sleep(Duration::from_millis(7 * round));
        daemon.kill();
    }
    let daemon = installation.start();
    eventually("all are told", || {
        let mut told = payments(&receiver.taken());
        told.dedup();
        told.len() >= expected.len()
    });
    let mut told = payments(&receiver.taken());
    let repeated = told.len() - expected.len();
    assert!(repeated <= 5, "{repeated} repeated after 5 kills: at most the last one of each");
    told.dedup();
    assert_eq!(told, expected, "in order, with repetitions of the last one only");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn what_is_given_up_is_a_dead_letter_until_a_person_decides() {
    let installation = Installation::new();
    let receiver = Receiver::start(&installation, |body, before| {
        match body["idempotency_key"].as_str().unwrap() {
            "OLD" | "OTHER" if before < 12 => Reply::Status(500),
            "GONE" if before < 12 => Reply::Status(410),
            _ => Reply::Status(200),
        }
    });
    let routes = [route("shop", "shop", &receiver.url("/"), "give_up_after = \"1s\"")];
    tell(&installation, "ES256", &routes);
    let operations = closed_port();
    installation.edit(
        "countersign.toml",
        "[operations]\nlisten = \"127.0.0.1:0\"",
        &format!("[operations]\nlisten = \"{operations}\""),
    );
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    pay_all(&shop, ["OLD".to_owned(), "GONE".to_owned(), "FINE".to_owned()]);
    // 410 is the end at once, 500 after the age that was configured, and then the rest goes on.
    let taken = receiver.takes(1);
    assert_eq!(taken[0].json()["idempotency_key"], "FINE");
    let letters = || listed(&daemon)["dead_letters"].as_array().unwrap().clone();
    let dead = letters();
    let [old, gone] = dead.as_slice() else { panic!("{dead:?}") };
    assert!(old["reason"].as_str().unwrap().contains("it answered 500"), "{old}");
    assert!(gone["reason"].as_str().unwrap().contains("410"), "{gone}");
    assert_eq!(gone["attempts"], 1);
    let listed = installation.must(&["notifications", "list"]);
    assert!(listed.contains("dead") && listed.contains(old["event"].as_str().unwrap()), "{listed}");
    let doctor = installation.run(&["doctor"]);
    let doctor = String::from_utf8(doctor.stdout).unwrap();
    assert!(doctor.contains("shop has dead letters (it answered 500"), "{doctor}");

    // Tried once more and still not taken, it stays dead; taken, it is gone from the list.
    let event = old["event"].as_str().unwrap();
    let before = receiver.requests().len();
    installation.must(&["notifications", "retry", "shop", "--event", event]);
    eventually("it was tried", || receiver.requests().len() > before);
    assert_eq!(receiver.requests()[before].id(), event, "the same id as ever");
    eventually("it is dead again", || letters()[0]["attempts"] != old["attempts"]);
    while receiver.requests().len() < 12 {
        let before = receiver.requests().len();
        installation.must(&["notifications", "retry", "shop", "--event", event]);
        eventually("it was tried", || receiver.requests().len() > before);
    }
    installation.must(&["notifications", "retry", "shop", "--event", event]);
    eventually("one is left", || letters().len() == 1);
    assert_eq!(letters()[0]["event"], gone["event"]);
    installation.must(&["notifications", "drop", "shop"]);
    assert_eq!(letters(), Vec::<Value>::new());
    let refused = installation.run(&["notifications", "drop", "shop"]);
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    let tried = receiver.requests().iter().filter(|r| r.id() == gone["event"]).count();
    assert_eq!(tried, 1, "what was dropped is not told");
}

#[test]
fn requests_about_dead_letters_are_read_strictly() {
    let address = closed_port();
    let installation = told("ES256", &[route("shop", "shop", &url(address, "/"), "")]);
    let daemon = installation.start();
    let json = "application/json";
    let event = format!("1-{}", "0".repeat(32));
    for (what, body, media_type, status) in [
        ("retry", r#"{"route":"shop"}"#.to_owned(), "text/plain", 415),
        ("retry", r#"{"route":"shop","more":1}"#.to_owned(), json, 422),
        ("retry", "{".to_owned(), json, 400),
        ("retry", r#"{"route":"nobody"}"#.to_owned(), json, 404),
        ("retry", r#"{"route":"shop","event":"7"}"#.to_owned(), json, 422),
        ("retry", format!(r#"{{"route":"shop","event":"{event}"}}"#), json, 404),
        ("drop", r#"{"route":"shop"}"#.to_owned(), json, 404),
    ] {
        assert_eq!(operate(&daemon, what, &body, media_type), status, "{what} {body}");
    }
    // Nobody but the operator: the gateway has no such thing.
    let shop = installation.caller(&daemon, "shop");
    assert_eq!(shop.get("/notifications").status, 404);
}

#[test]
fn a_route_that_cannot_be_is_refused_at_start() {
    for (table, routes, expected) in [
        (
            "key = \"notify\"\n",
            route("x", "nobody", "https://a.example/", ""),
            "a caller of the policy",
        ),
        (
            "key = \"audit\"\n",
            route("x", "shop", "https://a.example/", ""),
            "which the policy has for audit",
        ),
        ("", route("x", "shop", "https://a.example/", ""), "notifications.key: missing"),
        ("key = \"notify\"\n", route("x", "shop", "http://a.example/", ""), "expected https"),
        (
            "key = \"notify\"\n",
            route("x", "shop", "https://a.example/", "").replace("authority.pem", "none.pem"),
            "none.pem cannot be used for webhooks",
        ),
    ] {
        let installation = Installation::new();
        installation.add_notification_key("ES256");
        installation.add_routes(table, &[routes]);
        let output = installation.run(&["serve"]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && told.contains(expected), "{told}");
    }
}
