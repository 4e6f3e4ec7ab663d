//! A token that dies, hangs, comes back, or comes back as another one, beside a neighbour that is
//! well: who is told what and when, that the neighbour signs on, and that nothing is signed twice
//! or lost. The token is SoftHSM in a process of its own, which can be killed and stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Answer, Dice, Installation, eventually};

mod scene;

pub(crate) use scene::Server;
use scene::{SETTLEMENT, SLACK, Scene, ids, pay, timed};

const CLIENTS: usize = 8;
/// Longest that a submission waits once its token has had its time, twice the deadline.
const SUBMISSION_WAIT: Duration = Duration::from_secs(10);
/// Longest that a stop may take: connections 15 s, signatures 10 s, the log 10 s, sessions 5 s, reads 2 s.
const STOP_MAX: Duration = Duration::from_secs(42);

/// Clients pay until they are told to stop, or have had an answer other than 201; all answers.
fn load(scene: &Scene, stop: &AtomicBool) -> Vec<(String, Answer, Duration)> {
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn(move || {
                    let shop = scene.shop();
                    let mut answers: Vec<(String, Answer, Duration)> = Vec::new();
                    let fine = |last: &(_, Answer, _)| last.1.status == 201;
                    while answers.last().is_none_or(fine) && !stop.load(Ordering::Relaxed) {
                        let id = format!("L-{client}-{}", answers.len());
                        let (answer, took) = timed(|| pay(&shop, SETTLEMENT, &id));
                        answers.push((id, answer, took));
                    }
                    answers
                })
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    })
}

#[test]
fn a_token_that_dies_under_load_is_told_and_recovers_without_a_restart() {
    let scene = Scene::with("1s", "");
    let stop = AtomicBool::new(false);
    let (answers, _server) = std::thread::scope(|scope| {
        let load = scope.spawn(|| load(&scene, &stop));
        let server = scene.beside_a_neighbour(|| {
            eventually("the load is on", || scene.figure("signed") > 20);
            scene.signal("-KILL");
            scene.is_down("0 tokens match countersign");
            assert!(scene.in_doubt() > 0, "the token died while nothing was being signed");
            let server = Server::start(&scene.installation);
            eventually("the token is up", || scene.part("token softhsm").is_none());
            server
        });
        stop.store(true, Ordering::Relaxed);
        (load.join().unwrap(), server)
    });
    let (mut ids, mut known) = (BTreeSet::from(["WHILE-DOWN".to_owned()]), BTreeMap::new());
    for (id, answer, took) in answers {
        assert!(took < SUBMISSION_WAIT + SLACK, "{id} took {took:?}: {answer:?}");
        match answer.status {
            201 => drop(known.insert(id.clone(), answer.jws().to_owned())),
            202 => {}
            _ => assert_eq!((answer.status, answer.str("/rule")), (503, "unavailable")),
        }
        ids.insert(id);
    }
    scene.everything_is_signed_once(&ids, &known);
}

/// All of them hang at once, and wake up at once.
fn hangs(sessions: u64) {
    let scene = Scene::with("1s", &format!("sessions = {sessions}"));
    let mut ids = ids("H", CLIENTS);
    scene.signal("-STOP");
    scene.beside_a_neighbour(|| {
        for (id, answer, took) in scene.submit(&ids) {
            assert_eq!(answer.status, 202, "{id}: {answer:?}");
            let most = Duration::from_secs(2) + SUBMISSION_WAIT + SLACK;
            assert!(took < most, "{id} took {took:?}: {answer:?}");
        }
        assert_eq!(scene.figure("stuck"), sessions);
        scene.is_down("every session is stuck in a call for more than 1 s");
    });
    scene.signal("-CONT");
    ids.insert("WHILE-DOWN".to_owned());
    scene.everything_is_signed_once(&ids, &BTreeMap::new());
    assert_eq!(scene.figure("stuck"), 0);
}

#[test]
fn a_token_that_hangs_is_given_up_by_the_deadline_and_signs_once_when_it_wakes_up() {
    std::thread::scope(|scope| {
        for sessions in [1, 3] {
            scope.spawn(move || hangs(sessions));
        }
    });
}

#[test]
fn a_token_that_hangs_for_a_moment_answers_late_and_once() {
    let scene = Scene::with("3s", "");
    let ids = ids("M", CLIENTS);
    scene.signal("-STOP");
    let answers = std::thread::scope(|scope| {
        let submitted = scope.spawn(|| scene.submit(&ids));
        eventually("it counts as stuck", || scene.figure("stuck") == 1);
        // Later than the deadline of a call, sooner than a payment is given up.
        scene.signal("-CONT");
        submitted.join().unwrap()
    });
    let signed = answers.into_iter().map(|(id, answer, took)| {
        assert_eq!(answer.status, 201, "after {took:?}: {answer:?}");
        (id, answer.jws().to_owned())
    });
    scene.everything_is_signed_once(&ids, &signed.collect());
    let first_and_these = u64::try_from(1 + CLIENTS).unwrap();
    assert_eq!(scene.figure("signed"), first_and_these, "nothing was signed twice");
}

#[test]
fn a_token_that_comes_back_hanging_waits_and_spares_its_neighbour() {
    let mut scene = Scene::with("1s", "");
    scene.signal("-KILL");
    scene.is_down("0 tokens match countersign");
    scene.kill_server();
    scene.start_server();
    scene.signal("-STOP");
    scene.beside_a_neighbour(|| {
        eventually("it counts as stuck", || scene.figure("stuck") == 1);
        scene.is_down("");
    });
    scene.signal("-CONT");
    scene.everything_is_signed_once(&BTreeSet::from(["WHILE-DOWN".to_owned()]), &BTreeMap::new());
}

#[test]
fn a_token_that_comes_back_with_another_key_waits_for_a_person() {
    let mut scene = Scene::with("1s", "");
    let first = scene.pay(SETTLEMENT, "FIRST");
    let other = Installation::new();
    let (ours, aside) = (scene.installation.path("tokens"), scene.installation.path("aside"));
    scene.kill_server();
    scene.is_down("0 tokens match countersign");
    fs::rename(&ours, &aside).unwrap();
    fs::rename(other.path("tokens"), &ours).unwrap();
    scene.start_server();
    scene.beside_a_neighbour(|| scene.is_down("expected the pinned "));

    // The right token comes back, and the daemon does not look: it was told to wait.
    scene.kill_server();
    fs::rename(&ours, other.path("tokens")).unwrap();
    fs::rename(&aside, &ours).unwrap();
    scene.start_server();
    scene.beside_a_neighbour(|| {
        scene.is_down("expected the pinned ");
        assert_eq!(scene.pay(SETTLEMENT, "FIRST"), first, "what was signed is told");
    });
    let Scene { daemon, server, installation } = scene;
    assert_eq!(daemon.stop(), Some(0));
    let scene = Scene { daemon: installation.start(), server, installation };
    scene.everything_is_signed_once(&BTreeSet::from(["WHILE-DOWN".to_owned()]), &BTreeMap::new());
}

#[test]
fn a_queue_full_of_a_hanging_token_is_refused_at_once() {
    let scene = Scene::with("5s", "queue = 2");
    scene.signal("-STOP");
    let ids = ids("Q", 4 * CLIENTS);
    let answers = scene.beside_a_neighbour(|| {
        std::thread::scope(|scope| {
            let submitted = scope.spawn(|| scene.submit(&ids));
            eventually("the queue is full", || scene.figure("waiting") == 2);
            let (answer, took) = timed(|| scene.pay(SETTLEMENT, "ONE-MORE"));
            assert_eq!((answer.status, answer.str("/rule")), (429, "overload"), "{answer:?}");
            assert!(took < SLACK, "took {took:?}");
            eventually("it counts as stuck", || scene.figure("stuck") == 1);
            scene.signal("-CONT");
            submitted.join().unwrap()
        })
    });
    let mut known = BTreeMap::new();
    for (id, answer, took) in answers {
        match answer.status {
            201 => drop(known.insert(id, answer.jws().to_owned())),
            _ => {
                assert_eq!((answer.status, answer.str("/rule")), (429, "overload"), "{answer:?}");
                assert_eq!(answer.retry_after.as_deref(), Some("1"));
                assert!(took < SLACK, "{id} took {took:?}");
            }
        }
    }
    assert!((2..=3).contains(&known.len()), "one is being signed, two wait: {}", known.len());
    scene.everything_is_signed_once(&ids, &known);
}

#[test]
fn told_to_stop_while_its_token_hangs_a_daemon_ends_in_time_and_loses_nothing() {
    let scene = Scene::with("1s", "");
    let ids = ids("S", CLIENTS);
    scene.signal("-STOP");
    let (started, answers) = std::thread::scope(|scope| {
        let submitted = scope.spawn(|| scene.submit(&ids));
        eventually("they wait", || scene.figure("waiting") + 1 >= u64::try_from(CLIENTS).unwrap());
        let started = Instant::now();
        scene.daemon.signal("-TERM");
        (started, submitted.join().unwrap())
    });
    for (id, answer, took) in answers {
        assert_eq!(answer.status, 202, "{id} after {took:?}: {answer:?}");
    }
    let Scene { daemon, server, installation } = scene;
    assert_eq!(daemon.stop(), Some(0));
    let took = started.elapsed();
    assert!(took < STOP_MAX + SLACK, "it took {took:?} to stop");
    server.as_ref().unwrap().signal("-CONT");
    let scene = Scene { daemon: installation.start(), server, installation };
    scene.everything_is_signed_once(&ids, &BTreeMap::new());
}

#[test]
fn killed_and_stopped_at_any_moment_a_token_signs_everything_once() {
    let soak = std::env::var_os("COUNTERSIGN_SOAK").is_some();
    let rounds = if soak { 200 } else { 6 };
    let mut scene = Scene::with("1s", "");
    let mut dice = Dice::thrown();
    let (mut all, mut known) = (BTreeSet::new(), BTreeMap::new());
    for round in 0..rounds {
        // SoftHSM rewrites its token at each login, and a kill just then destroys it: the daemon
        // has to be logged in for good before the next one.
        let ready = format!("R-{round}");
        eventually("the token signs", || scene.pay(SETTLEMENT, &ready).status == 201);
        let submitted = ids(&format!("C{round}"), CLIENTS);
        let moment = Duration::from_millis(dice.roll(30));
        let restarted = std::thread::scope(|scope| {
            let answers = scope.spawn(|| scene.submit(&submitted));
            std::thread::sleep(moment);
            let restarted = if dice.roll(2) == 0 {
                scene.signal("-KILL");
                Some(Server::start(&scene.installation))
            } else {
                scene.signal("-STOP");
                std::thread::sleep(Duration::from_millis(dice.roll(1_500)));
                scene.signal("-CONT");
                None
            };
            for (id, answer, _) in answers.join().unwrap() {
                if answer.status == 201 {
                    known.insert(id, answer.jws().to_owned());
                }
            }
            restarted
        });
        if restarted.is_some() {
            scene.server = restarted;
        }
        all.extend(submitted);
        all.insert(ready);
    }
    scene.everything_is_signed_once(&all, &known);
}
