//! `kill -9` under load: what was acknowledged is found again byte for byte, what was not is paid
//! once or not at all, and no limit is exceeded.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::{Caller, Daemon, Dice, Installation, eventually, payment};

/// Kills in one run; `make soak` asks for more.
const CYCLES: usize = 50;
const CYCLES_SOAK: usize = 1_000;
const CLIENTS: usize = 8;

/// What the outside knows of the payments.
#[derive(Default)]
struct Known {
    /// JWS by id, for everything that was answered 201.
    signed: BTreeMap<String, String>,
    /// Ids that were sent and not answered.
    unanswered: Vec<String>,
}

/// Clients pay until the daemon is gone.
fn load(installation: &Installation, daemon: &Daemon, next: &AtomicUsize, known: &Mutex<Known>) {
    let gone = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let shop = installation.caller(daemon, "shop");
                while !gone.load(Ordering::Relaxed) {
                    let id = format!("P-{}", next.fetch_add(1, Ordering::Relaxed));
                    let answer = shop.try_pay(&id, &payment("0.01", &id));
                    let mut known = known.lock().unwrap();
                    match answer {
                        Ok(answer) if answer.status == 201 => {
                            known.signed.insert(id, answer.jws().to_owned());
                        }
                        Ok(answer) => assert!(
                            matches!(answer.status, 202 | 429 | 503),
                            "under load, not at a limit: {answer:?}"
                        ),
                        Err(_) => {
                            gone.store(true, Ordering::Relaxed);
                            known.unanswered.push(id);
                        }
                    }
                }
            });
        }
    });
}

fn kill(process: u32) {
    let kill = std::process::Command::new("kill").args(["-9", &process.to_string()]).status();
    assert!(kill.unwrap().success());
}

/// Every acknowledged payment is answered again with the same bytes, over the same id and by look-up.
fn assert_nothing_is_lost(shop: &Caller, signed: &BTreeMap<String, String>) {
    for (id, jws) in signed {
        let again = shop.pay(id, &payment("0.01", id));
        assert_eq!(again.jws(), jws, "payment {id} was answered with another signature");
    }
}

#[test]
fn killed_again_and_again_nothing_is_lost_and_nothing_is_paid_twice() {
    let soak = std::env::var_os("COUNTERSIGN_SOAK").is_some();
    let cycles = if soak { CYCLES_SOAK } else { CYCLES };
    let installation = Installation::new();
    let mut dice = Dice::thrown();
    let next = AtomicUsize::new(0);
    let mut signed = BTreeMap::new();
    let mut settled_later = 0;
    for cycle in 0..cycles {
        let daemon = installation.start();
        let shop = installation.caller(&daemon, "shop");
        let known = Mutex::new(Known::default());
        std::thread::scope(|scope| {
            let (id, after) = (daemon.id(), Duration::from_millis(20 + dice.roll(200)));
            scope.spawn(move || {
                std::thread::sleep(after);
                kill(id);
            });
            load(&installation, &daemon, &next, &known);
        });
        drop((daemon, shop));

        let daemon = installation.start();
        let shop = installation.caller(&daemon, "shop");
        let known = known.into_inner().unwrap();
        assert_nothing_is_lost(&shop, &known.signed);
        for id in &known.unanswered {
            // Whether it was admitted or not: the retry gets an answer, once and for all.
            let answer = shop.pay(id, &payment("0.01", id));
            assert_eq!(answer.status, 201, "cycle {cycle}: {answer:?}");
            signed.insert(id.clone(), answer.jws().to_owned());
            settled_later += 1;
        }
        signed.extend(known.signed);
        let limits = || shop.get("/v1/keys/settlement-eur/limits");
        eventually("nothing is pending", || limits().body["limits"][1]["pending"] == "0.00");
        let cents = signed.len();
        let expected = format!("{}.{:02}", cents / 100, cents % 100);
        // Every id that was ever sent is signed by now, and each counts once.
        assert_eq!(limits().body["limits"][1]["posted"], expected.as_str(), "cycle {cycle}");
        daemon.kill();
    }
    assert!(signed.len() > cycles && settled_later > 0, "the load was none: {}", signed.len());
    let daemon = installation.start();
    assert_nothing_is_lost(&installation.caller(&daemon, "shop"), &signed);
}

#[test]
fn killed_at_a_limit_the_limit_holds() {
    let installation =
        Installation::with_limits(r#"[{ name = "day", window = "24h", amount = "0.50" }]"#);
    let mut dice = Dice::thrown();
    let mut signed = 0;
    for cycle in 0..12 {
        let daemon = installation.start();
        let id = daemon.id();
        let after = Duration::from_millis(5 + dice.roll(60));
        signed += std::thread::scope(|scope| {
            scope.spawn(move || {
                std::thread::sleep(after);
                kill(id);
            });
            let clients: Vec<_> = (0..CLIENTS)
                .map(|client| {
                    let (installation, daemon) = (&installation, &daemon);
                    scope.spawn(move || {
                        let shop = installation.caller(daemon, "shop");
                        let ids = (0..).map(|n| format!("L-{cycle}-{client}-{n}"));
                        let answers =
                            ids.map_while(|id| shop.try_pay(&id, &payment("0.01", &id)).ok());
                        answers.filter(|answer| answer.status == 201).count()
                    })
                })
                .collect();
            clients.into_iter().map(|client| client.join().unwrap()).sum::<usize>()
        });
        assert!(signed <= 50, "cycle {cycle}: {signed} cents acknowledged against a limit of 50");
    }
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    // A slow machine may not have reached the limit yet.
    let last = (0..).map(|n| format!("L-last-{n}"));
    let denied = |id: &String| shop.pay(id, &payment("0.01", id)).status == 403;
    assert!(last.take(51).any(|id| denied(&id)), "the limit was never reached");
    let limits = || shop.get("/v1/keys/settlement-eur/limits").body["limits"][0].clone();
    eventually("nothing is pending", || limits()["pending"] == "0.00");
    assert_eq!(limits()["free"], "0.00");
    assert_eq!(limits()["posted"], "0.50");
}
