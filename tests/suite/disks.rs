//! The ledger's disk fails: it is full, read-only, or refuses to write, to sync or to read, at any
//! moment and for any while; at the worst moment the power fails too. No payment is answered that
//! is not on the disk, everybody is told why, and it goes on by itself when the disk is well again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::{Daemon, Dice, Installation, eventually, payment};
use crate::tokens::Server;

mod scene;

use scene::{Disk, Known, each_counts_once, figure, is_told, trouble, work};

/// What a busy machine may take for nothing at all.
const SLACK: Duration = Duration::from_secs(4);
/// What is told of a disk that is full as long as there is room for outcomes.
const NO_ROOM: &str = "the disk is full and what is kept back is for the outcomes of earlier";
/// Longest that a daemon that only waits may work in a second.
const IDLE_WORK_MAX: Duration = Duration::from_millis(250);

/// What ails the disk, and what is told of it.
const FAULTS: &[(&str, &str)] = &[
    ("read-only", "ledger.sqlite3-wal: Read-only file system"),
    ("no-write", "ledger.sqlite3-wal: Input/output error"),
    ("no-sync", "ledger.sqlite3-wal: Input/output error"),
];

/// A new payment is refused at once, as a failure that a retry mends, and leaves no trace.
fn assert_refuses(disk: &Disk, daemon: &Daemon) {
    let asked = Instant::now();
    let refused = disk.shop(daemon).pay("NEW", &payment("0.01", "NEW"));
    let told = (refused.status, refused.str("/rule"), refused.retry_after.as_deref());
    assert_eq!(told, (503, "unavailable", Some("2")), "{refused:?}");
    assert!(asked.elapsed() < SLACK, "refused after {:?}", asked.elapsed());
}

/// The disk fails under load and is well again; then the power fails.
fn fails(fault: &str, why: &str) {
    let disk = Disk::new();
    let daemon = disk.start();
    let mut known = disk.under_load(&daemon, "L", || {
        disk.becomes(fault);
        is_told(&daemon, why);
        assert_refuses(&disk, &daemon);
        std::thread::sleep(Duration::from_secs(1));
        is_told(&daemon, why);
        disk.becomes("sound");
        let mended = Instant::now();
        eventually("it is ready", || trouble(&daemon).is_none());
        assert!(mended.elapsed() < SLACK, "{fault}: ready after {:?}", mended.elapsed());
    });
    known.holds(&disk, &daemon);
    each_counts_once(&disk, &daemon, known.count());

    disk.becomes(fault);
    is_told(&daemon, why);
    let before = work(&daemon);
    std::thread::sleep(Duration::from_secs(1));
    let took = work(&daemon) - before;
    assert!(took < IDLE_WORK_MAX, "{fault}: it worked {took:?} in a second of nothing to do");
    let daemon = disk.power_cycle(daemon);
    known.holds(&disk, &daemon);
    each_counts_once(&disk, &daemon, known.count());
}

#[test]
fn a_disk_that_fails_under_load_is_told_and_everything_goes_on_when_it_is_well_again() {
    std::thread::scope(|scope| {
        for (fault, why) in FAULTS {
            scope.spawn(move || fails(fault, why));
        }
    });
}

#[test]
fn a_full_disk_admits_nothing_and_records_every_outcome() {
    let disk = Disk::new();
    let daemon = disk.start();
    let mut known = disk.under_load(&daemon, "L", || {
        disk.becomes("full");
        is_told(&daemon, NO_ROOM);
        std::thread::sleep(Duration::from_secs(1));
    });
    assert!(known.refused > 0);
    assert_eq!((known.promised, known.unanswered), (0, 0), "what is admitted gets its outcome");
    assert_eq!(figure(&daemon, "payments_in_doubt"), 0);

    // What is known is told all the while, also after a crash and after a stop.
    let knows = |daemon: &Daemon| {
        is_told(daemon, NO_ROOM);
        let shop = disk.shop(daemon);
        for (id, jws) in known.with_signature().take(20) {
            assert_eq!(shop.pay(id, &payment("0.01", id)).jws(), jws);
        }
        assert_refuses(&disk, daemon);
    };
    knows(&daemon);
    daemon.kill();
    let daemon = disk.start();
    knows(&daemon);
    assert_eq!(daemon.stop(), Some(0));
    let daemon = disk.start();
    knows(&daemon);

    disk.becomes("sound");
    eventually("it is ready", || trouble(&daemon).is_none());
    known.holds(&disk, &daemon);
    each_counts_once(&disk, &daemon, known.count());
    let daemon = disk.power_cycle(daemon);
    known.holds(&disk, &daemon);
    each_counts_once(&disk, &daemon, known.count());
}

/// The token hangs with many payments at it, then the disk is full, then the token wakes up.
#[test]
fn what_was_admitted_before_the_disk_was_full_is_recorded_while_it_is() {
    let disk = Disk::under(Installation::with_two_tokens("5s"));
    let server = Server::start(&disk.installation);
    let daemon = disk.start();
    let ids: Vec<String> = (0..100).map(|n| format!("H-{n}")).collect();
    let mut known = Known::default();
    server.signal("-STOP");
    std::thread::scope(|scope| {
        let asked = ids.iter().map(|id| {
            let shop = disk.shop(&daemon);
            (id, scope.spawn(move || shop.try_pay(id, &payment("0.01", id)).ok()))
        });
        let asked: Vec<_> = asked.collect();
        let all = u64::try_from(ids.len()).unwrap();
        eventually("all are admitted", || figure(&daemon, "payments_in_doubt") == all);
        disk.becomes("full");
        server.signal("-CONT");
        for (id, answer) in asked {
            known.learn(id.clone(), answer.join().unwrap());
        }
    });
    assert_eq!(known.signed, ids.len(), "every outcome fits");
    disk.becomes("sound");
    let daemon = disk.power_cycle(daemon);
    known.holds(&disk, &daemon);
    each_counts_once(&disk, &daemon, known.count());
}

/// A payment's outcome is written, its sync fails, and every connection that could read is lost. What
/// only the page cache holds must not be taken for the ledger when the disk is well again.
#[test]
fn an_outcome_that_was_not_synced_is_told_to_nobody() {
    let disk = Disk::new();
    let daemon = disk.start();
    let mut known = Known::default();
    let first = disk.shop(&daemon).pay("A", &payment("0.01", "A"));
    let path = format!("/v1/payments/{}", first.str("/id"));
    known.learn("A".to_owned(), Some(first));
    disk.becomes("no-read");
    for _ in 0..20 {
        let found = disk.shop(&daemon).get(&path).status;
        assert!(matches!(found, 200 | 503), "what cannot be read is not unknown: {found}");
    }
    disk.becomes("one-sync");
    let refused = disk.shop(&daemon).pay("B", &payment("0.01", "B"));
    assert_eq!((refused.status, refused.str("/rule")), (503, "unavailable"), "{refused:?}");
    is_told(&daemon, "ledger.sqlite3-wal: Input/output error");
    disk.becomes("sound");
    eventually("it is ready", || trouble(&daemon).is_none());
    known.learn("B".to_owned(), disk.shop(&daemon).try_pay("B", &payment("0.01", "B")).ok());
    assert_eq!(known.signed, 2, "it is signed when the disk is well again");
    let daemon = disk.power_cycle(daemon);
    known.holds(&disk, &daemon);
    each_counts_once(&disk, &daemon, 2);
    let log = fs::read_to_string(&daemon.log).unwrap();
    assert!(log.contains("signing again"), "B was never in doubt: {log}");
}

/// After a failed sync the page cache shows what the disk has not, also to the next process.
#[test]
fn started_again_after_a_failed_sync_nothing_is_built_on_what_is_not_on_the_disk() {
    let disk = Disk::new();
    let daemon = disk.start();
    let mut known = disk.under_load(&daemon, "L", || {
        disk.becomes("no-sync");
        std::thread::sleep(Duration::from_millis(300));
        daemon.signal("-KILL");
    });
    disk.becomes("sound");
    drop(daemon);
    let daemon = disk.start();
    known.holds(&disk, &daemon);
    let daemon = disk.power_cycle(daemon);
    known.holds(&disk, &daemon);
    each_counts_once(&disk, &daemon, known.count());
    daemon.kill();
    assert_eq!(disk.integrity(), "ok");
}

#[test]
fn failing_now_and_then_until_the_daemon_is_killed_or_the_power_fails() {
    let soak = std::env::var_os("COUNTERSIGN_SOAK").is_some();
    let rounds = if soak { 120 } else { 6 };
    let faults = ["full", "read-only", "no-write", "no-sync", "no-read"];
    let mut dice = Dice::thrown();
    let disk = Disk::new();
    let mut daemon = disk.start();
    let mut asked = 0;
    for round in 0..rounds {
        let mut known = disk.under_load(&daemon, &format!("C{round}"), || {
            for _ in 0..3 {
                std::thread::sleep(Duration::from_millis(20 + dice.roll(200)));
                disk.becomes(faults[usize::try_from(dice.roll(5)).unwrap()]);
                std::thread::sleep(Duration::from_millis(1 + dice.roll(400)));
                if dice.roll(4) > 0 {
                    disk.becomes("sound");
                }
            }
            std::thread::sleep(Duration::from_millis(dice.roll(300)));
            daemon.signal("-KILL");
        });
        daemon = match dice.roll(3) {
            0 => {
                drop(daemon);
                disk.becomes("sound");
                disk.start()
            }
            _ => disk.power_cycle(daemon),
        };
        known.holds(&disk, &daemon);
        asked += known.count();
        each_counts_once(&disk, &daemon, asked);
    }
    daemon.kill();
    assert_eq!(disk.integrity(), "ok");
}

/// What happens to a ledger while its disk fails, how it is mended, and what is told until then.
type Swap = (fn(&Path), fn(&Path), &'static str);

const SWAPS: &[Swap] = &[
    (|l| take_away(l), |l| put_back(l), "there is no ledger at "),
    (|l| replace(l), |l| put_back(l), "another file lies at "),
    (|l| take_away(&log(l)), |l| put_back(&log(l)), "its write-ahead log is gone"),
    (|l| pragma(l, "user_version", 96), |l| pragma(l, "user_version", -96), "has schema 99, this"),
    (|l| pragma(l, "application_id", 9), |l| pragma(l, "application_id", -9), "its application id"),
];

fn log(ledger: &Path) -> PathBuf {
    ledger.with_extension("sqlite3-wal")
}

fn take_away(file: &Path) {
    fs::rename(file, file.with_extension("aside")).unwrap();
}

fn put_back(file: &Path) {
    fs::rename(file.with_extension("aside"), file).unwrap();
}

fn replace(file: &Path) {
    take_away(file);
    fs::copy(file.with_extension("aside"), file).unwrap();
}

/// Changes a number of the file by so much.
fn pragma(ledger: &Path, name: &str, by: i64) {
    let ledger = rusqlite::Connection::open(ledger).unwrap();
    let number: i64 = ledger.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0)).unwrap();
    ledger.execute_batch(&format!("PRAGMA {name} = {}", number + by)).unwrap();
}

#[test]
fn a_ledger_that_is_not_as_it_was_is_not_opened_again_until_it_is() {
    let disk = Disk::new();
    let daemon = disk.start();
    let shop = disk.shop(&daemon);
    let ledger = disk.installation.path("state/ledger.sqlite3");
    for (round, (change, mend, why)) in SWAPS.iter().enumerate() {
        let id = format!("S-{round}");
        disk.becomes("no-sync");
        is_told(&daemon, "ledger.sqlite3-wal: Input/output error");
        change(&ledger);
        disk.becomes("sound");
        is_told(&daemon, why);
        assert_refuses(&disk, &daemon);
        mend(&ledger);
        eventually("it is ready", || trouble(&daemon).is_none());
        assert_eq!(shop.pay(&id, &payment("0.01", &id)).status, 201);
    }
    each_counts_once(&disk, &daemon, SWAPS.len());
}
