//! A daemon with two tokens, one of which can be killed and stopped, and what is seen of both.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::installation::MODULE;
use crate::support::{Answer, Caller, Daemon, Installation, eventually, payment};

/// The key on the remote token.
pub(super) const SETTLEMENT: &str = "settlement-eur";
/// The key on its neighbour.
const RESERVE: &str = "reserve-eur";
/// What a busy machine may take for nothing at all.
pub(super) const SLACK: Duration = Duration::from_secs(4);
/// How often the neighbour pays.
const PACE: Duration = Duration::from_millis(20);

/// `p11-kit server` in front of the remote token. It forks a process for each connection: those are
/// what hangs and dies. It ends with its test.
pub(crate) struct Server(Child);

impl Server {
    pub(crate) fn start(installation: &Installation) -> Self {
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
    pub(crate) fn signal(&self, name: &str) {
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
pub(super) struct Scene {
    pub(super) daemon: Daemon,
    pub(super) server: Option<Server>,
    pub(super) installation: Installation,
}

impl Scene {
    /// Both tokens are well. `remote` is put into the table of the remote one.
    pub(super) fn with(deadline: &str, remote: &str) -> Self {
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

    pub(super) fn shop(&self) -> Caller {
        self.installation.caller(&self.daemon, "shop")
    }

    pub(super) fn pay(&self, key: &str, id: &str) -> Answer {
        pay(&self.shop(), key, id)
    }

    pub(super) fn signal(&self, name: &str) {
        self.server.as_ref().expect("a server").signal(name);
    }

    pub(super) fn kill_server(&mut self) {
        self.server = None;
    }

    pub(super) fn start_server(&mut self) {
        self.server = Some(Server::start(&self.installation));
    }

    /// Whether a part is ready, and if not, why.
    pub(super) fn part(&self, name: &str) -> Option<String> {
        let (_, text) = self.daemon.operations_text("/health/ready");
        let ready: Value = serde_json::from_str(&text).unwrap();
        let parts = ready["parts"].as_array().unwrap();
        let part = parts.iter().find(|part| part["name"] == name).unwrap();
        (part["ready"] == false).then(|| part["reason"].as_str().unwrap().to_owned())
    }

    /// A figure of the remote token.
    pub(super) fn figure(&self, name: &str) -> u64 {
        let (_, metrics) = self.daemon.operations_text("/metrics");
        let wanted = format!("countersign_token_{name}{{token=\"softhsm\"}} ");
        let found = metrics.lines().find_map(|line| line.strip_prefix(&wanted));
        found.unwrap_or_else(|| panic!("no {wanted}: {metrics}")).parse().unwrap()
    }

    /// How many payments are in doubt.
    pub(super) fn in_doubt(&self) -> u64 {
        let (_, metrics) = self.daemon.operations_text("/metrics");
        let mut lines = metrics.lines();
        let found = lines.find_map(|line| line.strip_prefix("countersign_payments_in_doubt "));
        found.unwrap_or_else(|| panic!("no count: {metrics}")).parse().unwrap()
    }

    /// The token is told as down, and why; the rest is well, and new payments are refused at once.
    pub(super) fn is_down(&self, why: &str) {
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
    pub(super) fn everything_is_signed_once(
        &self,
        ids: &BTreeSet<String>,
        known: &BTreeMap<String, String>,
    ) {
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
        assert_eq!(self.in_doubt(), 0);
        // The head of the log is signed by that token too, up to a second later.
        eventually("all is ready", || self.daemon.operations_text("/health/ready").0 == 200);
    }

    /// Tells a story during which the other token signs, promptly and all the time.
    pub(super) fn beside_a_neighbour<T>(&self, story: impl FnOnce() -> T) -> T {
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
    pub(super) fn submit(&self, ids: &BTreeSet<String>) -> Vec<(String, Answer, Duration)> {
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

pub(super) fn pay(caller: &Caller, key: &str, id: &str) -> Answer {
    let mut body = payment("0.01", id);
    body["key"] = key.into();
    caller.pay(&format!("{key}-{id}"), &body)
}

pub(super) fn timed<T>(act: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let result = act();
    (result, started.elapsed())
}

pub(super) fn ids(prefix: &str, count: usize) -> BTreeSet<String> {
    (0..count).map(|n| format!("{prefix}-{n}")).collect()
}
