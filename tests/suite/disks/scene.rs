//! An installation whose state lies on a disk that fails on demand, and what the outside knows of
//! the payments that it was asked for.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Answer, Caller, Daemon, Installation, eventually, payment};

/// The sources of a disk that fails on demand.
const DISK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/disks/disk.c");
const CLIENTS: usize = 8;
/// Pause of a client that was refused.
const PAUSE: Duration = Duration::from_millis(20);
/// Longest until everybody is told what is wrong.
const TOLD_AFTER_MAX: Duration = Duration::from_secs(20);

/// The installation.
pub(super) struct Disk {
    pub(super) installation: Installation,
}

impl Disk {
    pub(super) fn new() -> Self {
        Self::under(Installation::new())
    }

    /// Moves the state of an installation to such a disk, which is sound at first.
    pub(super) fn under(mut installation: Installation) -> Self {
        let library = installation.path("disk.so");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, Path::new(DISK)])
            .output()
            .expect("cc; `make deps` installs it");
        assert!(compiled.status.success(), "{compiled:?}");
        installation.set("DISK_MOUNT", installation.path("state").canonicalize().unwrap());
        installation.set("DISK_PLATTER", installation.path("platter"));
        installation.set("DISK_FAULT", installation.path("fault"));
        installation.set("LD_PRELOAD", library);
        copy(&installation.path("state"), &installation.path("platter"));
        let disk = Self { installation };
        disk.becomes("sound");
        disk
    }

    pub(super) fn becomes(&self, fault: &str) {
        let draft = self.installation.path("fault.draft");
        fs::write(&draft, fault).unwrap();
        fs::rename(draft, self.installation.path("fault")).unwrap();
    }

    pub(super) fn start(&self) -> Daemon {
        self.installation.start()
    }

    /// The power fails, and comes back: what no sync has confirmed is gone.
    pub(super) fn power_cycle(&self, daemon: Daemon) -> Daemon {
        daemon.kill();
        self.becomes("sound");
        let state = self.installation.path("state");
        fs::remove_dir_all(&state).unwrap();
        copy(&self.installation.path("platter"), &state);
        self.start()
    }

    pub(super) fn shop(&self, daemon: &Daemon) -> Caller {
        self.installation.caller(daemon, "shop")
    }

    /// What SQLite says of the file, which no daemon has open.
    pub(super) fn integrity(&self) -> String {
        let ledger = self.installation.path("state/ledger.sqlite3");
        let ledger = rusqlite::Connection::open(ledger).unwrap();
        ledger.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap()
    }

    /// Clients pay while something happens, refused or not; ends when it has, and they know.
    pub(super) fn under_load(&self, daemon: &Daemon, name: &str, act: impl FnOnce()) -> Known {
        let (stop, signed) = (AtomicBool::new(false), AtomicUsize::new(0));
        let known = Mutex::new(Known::default());
        std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                let (stop, signed, known) = (&stop, &signed, &known);
                scope.spawn(move || {
                    let shop = self.shop(daemon);
                    let ids = (0..).map(|n| format!("{name}-{client}-{n}"));
                    for id in ids.take_while(|_| !stop.load(Ordering::Relaxed)) {
                        let answer = shop.try_pay(&id, &payment("0.01", &id)).ok();
                        let status = answer.as_ref().map_or(0, |answer| answer.status);
                        known.lock().unwrap().learn(id, answer);
                        match status {
                            0 => break,
                            201 => drop(signed.fetch_add(1, Ordering::Relaxed)),
                            _ => std::thread::sleep(PAUSE),
                        }
                    }
                });
            }
            // Also if something is not as expected: clients that go on would hide it for good.
            let _stop = Stop(&stop);
            eventually("the load is on", || signed.load(Ordering::Relaxed) > 40);
            act();
        });
        known.into_inner().unwrap()
    }
}

/// Tells clients to stop when it is dropped.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Copies the files of a directory.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// What the outside knows: the signature of each payment that was asked for, if it was answered.
#[derive(Default)]
pub(super) struct Known {
    payments: BTreeMap<String, Option<String>>,
    /// How many were answered with a signature, with a promise, with a refusal, not at all.
    pub(super) signed: usize,
    pub(super) promised: usize,
    pub(super) refused: usize,
    pub(super) unanswered: usize,
}

impl Known {
    pub(super) fn learn(&mut self, id: String, answer: Option<Answer>) {
        let jws = match &answer {
            None => {
                self.unanswered += 1;
                None
            }
            Some(answer) if answer.status == 201 => {
                self.signed += 1;
                Some(answer.jws().to_owned())
            }
            Some(answer) if answer.status == 202 => {
                self.promised += 1;
                None
            }
            Some(answer) => {
                let found = (answer.status, answer.str("/rule"), answer.retry_after.as_deref());
                assert_eq!(found, (503, "unavailable", Some("2")), "{id}: {answer:?}");
                self.refused += 1;
                None
            }
        };
        self.payments.insert(id, jws);
    }

    pub(super) fn count(&self) -> usize {
        self.payments.len()
    }

    /// Those that were answered with a signature.
    pub(super) fn with_signature(&self) -> impl Iterator<Item = (&String, &String)> {
        self.payments.iter().filter_map(|(id, jws)| Some((id, jws.as_ref()?)))
    }

    /// What was answered is answered again, and what was not is signed now.
    pub(super) fn holds(&mut self, disk: &Disk, daemon: &Daemon) {
        let shop = disk.shop(daemon);
        for (id, known) in &mut self.payments {
            let answer = shop.pay(id, &payment("0.01", id));
            let log = || fs::read_to_string(&daemon.log).unwrap();
            assert_eq!(answer.status, 201, "{id}: {answer:?}\n{}", log());
            let known = known.get_or_insert_with(|| answer.jws().to_owned());
            assert_eq!(answer.jws(), known, "{id} was answered with another signature");
        }
    }
}

/// Each payment counts once: so many cents are posted, none is pending or in doubt.
pub(super) fn each_counts_once(disk: &Disk, daemon: &Daemon, cents: usize) {
    let shop = disk.shop(daemon);
    let day = || shop.get("/v1/keys/settlement-eur/limits").body["limits"][1].clone();
    eventually("nothing is pending", || day()["pending"] == "0.00");
    assert_eq!(day()["posted"], format!("{}.{:02}", cents / 100, cents % 100), "each once");
    assert_eq!(figure(daemon, "payments_in_doubt"), 0);
    assert_eq!(figure(daemon, "ledger_writable"), 1);
    eventually("the log is well again", || daemon.operations_text("/health/ready").0 == 200);
}

/// Why the ledger is not ready; the rest is, but for the log, whose next checkpoint may be a second
/// behind the ledger.
pub(super) fn trouble(daemon: &Daemon) -> Option<String> {
    let (_, text) = daemon.operations_text("/health/ready");
    let ready: Value = serde_json::from_str(&text).unwrap();
    let ledger = &ready["parts"][0];
    assert_eq!(ledger["name"], "ledger");
    let rest = &ready["parts"].as_array().unwrap()[1..];
    let well = |part: &Value| part["ready"] == true || part["name"] == "log";
    assert!(rest.iter().all(well), "the rest is well: {text}");
    (ledger["ready"] != true).then(|| ledger["reason"].as_str().unwrap().to_owned())
}

/// Readiness and metrics tell that the ledger takes no records; readiness says why.
pub(super) fn is_told(daemon: &Daemon, why: &str) {
    let mut last = None;
    let started = Instant::now();
    while started.elapsed() < TOLD_AFTER_MAX {
        last = trouble(daemon);
        let told = last.as_ref().is_some_and(|reason| reason.contains(why));
        if told && figure(daemon, "ledger_writable") == 0 {
            return;
        }
        std::thread::sleep(PAUSE);
    }
    panic!("readiness does not tell {why:?} but {last:?}");
}

/// A figure of the daemon.
pub(super) fn figure(daemon: &Daemon, name: &str) -> u64 {
    let (_, metrics) = daemon.operations_text("/metrics");
    let wanted = format!("countersign_{name} ");
    let found = metrics.lines().find_map(|line| line.strip_prefix(&wanted));
    found.unwrap_or_else(|| panic!("no {wanted}: {metrics}")).parse().unwrap()
}

/// Processor time that a daemon has taken so far.
pub(super) fn work(daemon: &Daemon) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", daemon.id())).unwrap();
    let (_, rest) = stat.rsplit_once(')').unwrap();
    let ticks = rest.split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().unwrap());
    // Linux counts them in hundredths of a second for everybody to see.
    Duration::from_millis(ticks.sum::<u64>() * 10)
}
