//! A token that dies, hangs, comes back, or comes back as another one, beside a neighbour that is
//! well: who is told what and when, that the neighbour signs on, and that nothing is signed twice
//! or lost. The token is SoftHSM in a process of its own, which can be killed and stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::installation::MODULE;
use crate::support::{Answer, Caller, Daemon, Dice, Installation, eventually, payment};

const SETTLEMENT: &str = "settlement-eur";
const RESERVE: &str = "reserve-eur";
const CLIENTS: usize = 8;
/// Longest that a submission waits once its token has had its time, twice the deadline.
const SUBMISSION_WAIT: Duration = Duration::from_secs(10);
/// What a busy machine may take for nothing at all.
const SLACK: Duration = Duration::from_secs(4);
/// Longest that a stop may take: connections 15 s, signatures 10 s, sessions 5 s, reads 2 s.
const STOP_MAX: Duration = Duration::from_secs(32);
/// How often the neighbour pays.
const PACE: Duration = Duration::from_millis(20);

/// `p11-kit server` in front of the remote token. It forks a process for each connection: those are
/// what hangs and dies. It ends with its test.
struct Server(Child);

impl Server {
    fn start(installation: &Installation) -> Self {
        let socket = installation.path("remote");
        drop(fs::remove_file(&socket));
        let child = Command::new("p11-kit")
            .args(["server", "-f", "--provider", MODULE, "-n"])
            .arg(&socket)
            .arg("pkcs11:")
            .env("SOFTHSM2_CONF", installation.path("remote.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("p11-kit; `make deps` installs it");
        // Asked of the system, not by connecting: a token that is opened twice at the same time is
        // not what is shown here.
        let listens =
            |line: &str| line.ends_with(socket.to_str().unwrap()) && line.contains(" 00010000 ");
        eventually("the server listens", || {
            fs::read_to_string("/proc/net/unix").unwrap().lines().any(listens)
        });
        Self(child)
    }

    /// Signals the server and what it has forked, each by its id. It is stopped first, so that it
    /// forks no further one meanwhile.
    fn signal(&self, name: &str) {
        let server = self.0.id().to_string();
        let send = |name: &str, process: &str| {
            assert!(Command::new("kill").args([name, process]).status().unwrap().success());
        };
        send("-STOP", &server);
        let forked = fs::read_to_string(format!("/proc/{server}/task/{server}/children"));
        forked.unwrap_or_default().split_whitespace().for_each(|process| send(name, process));
        send(name, &server);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal("-KILL");
        drop(self.0.wait());
    }
}

/// A daemon with two tokens. What is first here ends first.
struct Scene {
    daemon: Daemon,
    server: Option<Server>,
    installation: Installation,
}

impl Scene {
    /// Both tokens are well. `remote` is put into the table of the remote one.
    fn with(deadline: &str, remote: &str) -> Self {
        let installation = Installation::with_two_tokens(deadline);
        let label = "label = \"countersign\"";
        installation.edit("countersign.toml", label, &format!("{label}\n{remote}"));
        let server = Some(Server::start(&installation));
        let daemon = installation.start();
        let scene = Self { daemon, server, installation };
        assert_eq!(scene.pay(RESERVE, "FIRST").status, 201);
        assert_eq!(scene.pay(SETTLEMENT, "FIRST").status, 201);
        scene
    }

    fn shop(&self) -> Caller {
        self.installation.caller(&self.daemon, "shop")
    }

    fn pay(&self, key: &str, id: &str) -> Answer {
        pay(&self.shop(), key, id)
    }

    fn signal(&self, name: &str) {
        self.server.as_ref().expect("a server").signal(name);
    }

    fn kill_server(&mut self) {
        self.server = None;
    }

    fn start_server(&mut self) {
        self.server = Some(Server::start(&self.installation));
    }

    /// Whether a part is ready, and if not, why.
    fn part(&self, name: &str) -> Option<String> {
        let (_, text) = self.daemon.operations_text("/health/ready");
        let ready: Value = serde_json::from_str(&text).unwrap();
        let parts = ready["parts"].as_array().unwrap();
        let part = parts.iter().find(|part| part["name"] == name).unwrap();
        (part["ready"] == false).then(|| part["reason"].as_str().unwrap().to_owned())
    }

    /// A figure of the remote token.
    fn figure(&self, name: &str) -> u64 {
        let (_, metrics) = self.daemon.operations_text("/metrics");
        let wanted = format!("countersign_token_{name}{{token=\"softhsm\"}} ");
        let found = metrics.lines().find_map(|line| line.strip_prefix(&wanted));
        found.unwrap_or_else(|| panic!("no {wanted}: {metrics}")).parse().unwrap()
    }

    /// The token is told as down, and why; the rest is well, and new payments are refused at once.
    fn is_down(&self, why: &str) {
        let down = || self.part("token softhsm").is_some_and(|reason| reason.contains(why));
        eventually(&format!("readiness tells that the token is down: {why}"), down);
        assert_eq!(self.daemon.operations_text("/health/ready").0, 503);
        assert_eq!(self.part("token local"), None);
        assert_eq!(self.part("ledger"), None);
        let (refused, took) = timed(|| self.pay(SETTLEMENT, "WHILE-DOWN"));
        assert_eq!((refused.status, refused.str("/rule")), (503, "unavailable"), "{refused:?}");
        assert_eq!(refused.retry_after.as_deref(), Some("2"));
        assert!(took < SLACK, "a token that is known as down took {took:?}");
    }

    /// Every id that was ever used is signed in the end, once, and a retry tells the same. `known`
    /// are the signatures that were answered already.
    fn everything_is_signed_once(&self, ids: &BTreeSet<String>, known: &BTreeMap<String, String>) {
        eventually("the token is up", || self.part("token softhsm").is_none());
        let shop = self.shop();
        let mut distinct = BTreeSet::new();
        for id in ids {
            let answer = pay(&shop, SETTLEMENT, id);
            assert_eq!(answer.status, 201, "{id}: {answer:?}");
            assert_eq!(pay(&shop, SETTLEMENT, id), answer, "{id}");
            let found = shop.get(&format!("/v1/payments/{}", answer.str("/id")));
            assert_eq!(found.jws(), answer.jws(), "{id}");
            if let Some(known) = known.get(id) {
                assert_eq!(answer.jws(), known, "{id} was answered with another signature");
            }
            distinct.insert(answer.jws().to_owned());
        }
        assert_eq!(distinct.len(), ids.len());
        let day = shop.get("/v1/keys/settlement-eur/limits").body["limits"][1].clone();
        // And FIRST.
        let cents = ids.len() + usize::from(!ids.contains("FIRST"));
        assert_eq!(day["posted"], format!("{}.{:02}", cents / 100, cents % 100), "each once");
        assert_eq!(day["pending"], "0.00");
        let (_, metrics) = self.daemon.operations_text("/metrics");
        assert!(metrics.contains("countersign_payments_in_doubt 0\n"), "{metrics}");
        assert_eq!(self.daemon.operations_text("/health/ready").0, 200);
    }

    /// Tells a story during which the other token signs, promptly and all the time.
    fn beside_a_neighbour<T>(&self, story: impl FnOnce() -> T) -> T {
        let (stop, stopped) = channel::<()>();
        std::thread::scope(|scope| {
            let neighbour = scope.spawn(move || {
                let shop = self.shop();
                for n in 0.. {
                    let (answer, took) = timed(|| pay(&shop, RESERVE, &format!("N-{n}")));
                    assert_eq!(answer.status, 201, "{answer:?}");
                    assert!(took < SLACK, "the neighbour waited {took:?}");
                    if stopped.recv_timeout(PACE) == Err(RecvTimeoutError::Disconnected) {
                        break;
                    }
                }
            });
            let told = story();
            drop(stop);
            neighbour.join().unwrap();
            told
        })
    }

    /// Submits all at once; tells the answers by id and how long each took.
    fn submit(&self, ids: &BTreeSet<String>) -> Vec<(String, Answer, Duration)> {
        std::thread::scope(|scope| {
            let waiting: Vec<_> = ids
                .iter()
                .map(|id| {
                    scope.spawn(move || {
                        let (answer, took) = timed(|| self.pay(SETTLEMENT, id));
                        (id.clone(), answer, took)
                    })
                })
                .collect();
            waiting.into_iter().map(|client| client.join().unwrap()).collect()
        })
    }
}

fn pay(caller: &Caller, key: &str, id: &str) -> Answer {
    let mut body = payment("0.01", id);
    body["key"] = key.into();
    caller.pay(&format!("{key}-{id}"), &body)
}

fn timed<T>(act: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let result = act();
    (result, started.elapsed())
}

fn ids(prefix: &str, count: usize) -> BTreeSet<String> {
    (0..count).map(|n| format!("{prefix}-{n}")).collect()
}

/// Clients pay until each has had one answer other than 201; tells all answers.
fn pay_until_it_fails(scene: &Scene) -> Vec<(String, Answer, Duration)> {
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn(move || {
                    let shop = scene.shop();
                    let mut answers = Vec::new();
                    for n in 0.. {
                        let id = format!("L-{client}-{n}");
                        let (answer, took) = timed(|| pay(&shop, SETTLEMENT, &id));
                        let signed = answer.status == 201;
                        answers.push((id, answer, took));
                        if !signed {
                            break;
                        }
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
    let mut scene = Scene::with("1s", "");
    let answers = scene.beside_a_neighbour(|| {
        let answers = std::thread::scope(|scope| {
            let load = scope.spawn(|| pay_until_it_fails(&scene));
            eventually("the load is on", || scene.figure("signed") > 20);
            scene.signal("-KILL");
            load.join().unwrap()
        });
        scene.is_down("0 tokens match countersign");
        answers
    });
    let (mut known, mut in_doubt) = (BTreeMap::new(), 0);
    for (id, answer, took) in &answers {
        match answer.status {
            201 => drop(known.insert(id.clone(), answer.jws().to_owned())),
            202 => in_doubt += 1,
            _ => assert_eq!((answer.status, answer.str("/rule")), (503, "unavailable")),
        }
        assert!(*took < SUBMISSION_WAIT + SLACK, "{id} took {took:?}: {answer:?}");
    }
    assert!(in_doubt > 0, "the token died while nothing was being signed");
    scene.kill_server();
    scene.start_server();
    let mut ids: BTreeSet<_> = answers.iter().map(|(id, ..)| id.clone()).collect();
    ids.insert("WHILE-DOWN".to_owned());
    scene.everything_is_signed_once(&ids, &known);
}

#[test]
fn a_token_that_hangs_is_given_up_by_the_deadline_and_signs_once_when_it_wakes_up() {
    for sessions in [1, 3] {
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
        let signed = scene.figure("signed");
        scene.signal("-CONT");
        ids.insert("WHILE-DOWN".to_owned());
        scene.everything_is_signed_once(&ids, &BTreeMap::new());
        assert_eq!(scene.figure("stuck"), 0);
        println!(
            "signed {} to {}, failed {}",
            signed,
            scene.figure("signed"),
            scene.figure("failed")
        );
    }
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
    assert_eq!(
        scene.figure("signed"),
        1 + u64::try_from(CLIENTS).unwrap(),
        "nothing was signed twice"
    );
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
        println!("{:?}", scene.part("token softhsm"));
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
    let rounds = if soak { 200 } else { 10 };
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
