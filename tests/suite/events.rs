//! The stream of events as a gateway reads it: its own, in order, from where it stopped reading.

use std::io::BufRead;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Caller, Installation, payment};

/// An event, or a heartbeat, which has an id alone.
#[derive(Debug, Clone, PartialEq)]
struct Block {
    id: String,
    kind: String,
    data: Value,
}

/// A stream, block by block.
struct Stream<R>(R);

impl<R: BufRead> Stream<R> {
    /// The next block; `None` at the end.
    fn block(&mut self) -> Option<Block> {
        let mut block = Block { id: String::new(), kind: String::new(), data: Value::Null };
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).ok()? == 0 {
                return None;
            }
            match line.trim_end().split_once(": ") {
                None if line == "\n" => return Some(block),
                None => assert!(line.starts_with(':'), "{line}"),
                Some(("id", id)) => id.clone_into(&mut block.id),
                Some(("event", kind)) => kind.clone_into(&mut block.kind),
                Some(("data", data)) => block.data = serde_json::from_str(data).unwrap(),
                Some(("", _)) => {}
                Some(other) => panic!("{other:?}"),
            }
        }
    }

    /// The next events, so many.
    fn events(&mut self, count: usize) -> Vec<Block> {
        let blocks = std::iter::from_fn(|| self.block());
        blocks.filter(|block| !block.kind.is_empty()).take(count).collect()
    }
}

fn open(caller: &Caller, last: Option<&str>) -> Stream<impl BufRead + use<>> {
    match caller.events(last) {
        Ok(lines) => Stream(lines),
        Err(refused) => panic!("{refused:?}"),
    }
}

fn refused(caller: &Caller, last: Option<&str>) -> (u16, String) {
    let answer = caller.events(last).err().expect("a refusal");
    (answer.status, answer.str("/rule").to_owned())
}

fn ids(caller: &Caller, prefix: &str, count: usize) -> Vec<String> {
    let pay = |n| {
        let id = format!("{prefix}-{n}");
        let answer = caller.pay(&id, &payment("0.01", &id));
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.str("/id").to_owned()
    };
    (0..count).map(pay).collect()
}

fn payments(events: &[Block]) -> Vec<&str> {
    events.iter().map(|event| event.data["payment_id"].as_str().unwrap()).collect()
}

#[test]
fn a_reader_resumes_after_any_event_and_sees_its_own_alone() {
    let installation = Installation::new();
    let daemon = installation.start();
    let (shop, batch) =
        (installation.caller(&daemon, "shop"), installation.caller(&daemon, "batch"));
    let mut live = open(&shop, None);
    let mut expected = ids(&shop, "A", 3);
    let others = ids(&batch, "B", 3);
    let denied = shop.pay("DENIED", &payment("50.01", "DENIED"));
    expected.push(denied.str("/payment_id").to_owned());
    expected.extend(ids(&shop, "C", 3));

    let all = live.events(expected.len());
    assert_eq!(payments(&all), expected);
    assert_eq!(open(&shop, Some("0")).events(expected.len()), all, "from the first event on");
    for (seen, event) in all.iter().enumerate().take(all.len() - 1) {
        assert_eq!(event.data["id"], event.id.as_str());
        assert_eq!(event.data["kind"], event.kind.as_str());
        let rest = open(&shop, Some(&event.id)).events(all.len() - seen - 1);
        assert_eq!(rest, all[seen + 1..], "after {}", event.id);
    }
    assert_eq!(all[3].kind, "payment.denied");
    assert_eq!(payments(&open(&batch, Some("0")).events(3)), others);
    // What is told has happened.
    for id in &expected {
        let state = shop.get(&format!("/v1/payments/{id}")).str("/state").to_owned();
        assert!(matches!(state.as_str(), "signed" | "denied"), "{state}");
    }

    // A daemon that was killed tells the same events again to who asks.
    daemon.kill();
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    assert_eq!(open(&shop, Some("0")).events(all.len()), all);
    // Without an id it starts now, and a heartbeat says where that is.
    let mut fresh = open(&shop, None);
    let first = fresh.block().unwrap();
    assert_eq!(first.kind, "", "{first:?}");
    let next = ids(&shop, "D", 1);
    assert_eq!(payments(&fresh.events(1)), next);
    assert_eq!(payments(&open(&shop, Some(&first.id)).events(1)), next);
}

#[test]
fn an_auditor_sees_everybody() {
    let installation = Installation::new();
    let table = "[callers.batch]\n";
    installation.edit("policy.toml", table, &format!("{table}auditor = true\n"));
    let daemon = installation.start();
    let (shop, batch) =
        (installation.caller(&daemon, "shop"), installation.caller(&daemon, "batch"));
    let mut expected = ids(&shop, "A", 2);
    expected.extend(ids(&batch, "B", 2));
    assert_eq!(payments(&open(&batch, Some("0")).events(4)), expected);
    assert_eq!(payments(&open(&shop, Some("0")).events(2)), expected[..2]);
    // Seeing is all: another's payment stays as unknown as before.
    assert_eq!(batch.get(&format!("/v1/payments/{}", expected[0])).status, 404);
}

#[test]
fn streams_are_few_and_what_is_asked_is_read_strictly() {
    let installation = Installation::new();
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    let paid = ids(&shop, "A", 1);
    let event = open(&shop, Some("0")).events(1).remove(0);
    let leaf: u64 = event.id.split('-').next().unwrap().parse().unwrap();
    let elsewhere = format!("{}-{}", leaf - 1, paid[0]);
    for (last, status, rule) in [
        ("", 422, "event_id"),
        ("-1", 422, "event_id"),
        ("1.5", 422, "event_id"),
        (&event.id.to_uppercase().replace('-', "_"), 422, "event_id"),
        ("99999", 409, "set_back"),
        (&elsewhere, 409, "set_back"),
        (&event.id.replace(&paid[0], &"0".repeat(32)), 409, "set_back"),
    ] {
        assert_eq!(refused(&shop, Some(last)), (status, rule.to_owned()), "{last}");
    }
    assert_eq!(shop.get("/v1/events?since=1").status, 422);
    // The one above may still be closing.
    std::thread::sleep(Duration::from_secs(1));
    let mut streams: Vec<_> = (0..8).map(|_| open(&shop, None)).collect();
    assert_eq!(refused(&shop, None), (429, "overload".to_owned()));
    let batch = installation.caller(&daemon, "batch");
    drop(open(&batch, None));

    // All of them end with the daemon, without being waited for.
    let stopping = Instant::now();
    let ended = std::thread::spawn(move || {
        for stream in &mut streams {
            while stream.block().is_some() {}
        }
    });
    assert_eq!(daemon.stop(), Some(0));
    ended.join().unwrap();
    assert!(stopping.elapsed() < Duration::from_secs(10), "{:?}", stopping.elapsed());
}

#[test]
fn a_signature_that_may_not_leave_yet_is_not_told_yet() {
    let installation = Installation::new();
    let purpose = "purpose = \"settlement\"\n";
    let anchored = format!("{purpose}anchored_from = \"10.00\"\n");
    installation.edit("policy.toml", purpose, &anchored);
    let interval = "[audit]\nkey = \"audit\"\n";
    let slow = format!("{interval}anchor_interval = \"3s\"\n");
    installation.edit("countersign.toml", interval, &slow);
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    let mut live = open(&shop, None);
    let answer = shop.pay("LARGE", &payment("20.00", "LARGE"));
    let event = live.events(1).remove(0);
    assert_eq!(event.data["idempotency_key"], "LARGE");
    let state = shop.get(&format!("/v1/payments/{}", answer.str("/id")));
    assert_eq!(state.str("/state"), "signed", "whoever is told may fetch it");
}
