//! The writer over a real file, with clocks that the test sets.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::*;
use crate::domain::caller::{CallerId, IdempotencyKey};
use crate::domain::credit::Reading;
use crate::domain::key::{KeyId, Signature};
use crate::domain::payment::{AccountFields, Payment, PaymentFields};
use crate::domain::policy::Policy;
use crate::domain::time::Timestamp;

mod closing;

/// Changes rows as somebody does who has the file and no daemon.
pub(crate) fn tamper(path: &std::path::Path, sql: &str) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.execute_batch("PRAGMA ignore_check_constraints = ON").unwrap();
    assert_ne!(connection.execute(sql, []).unwrap(), 0, "{sql}");
}

/// 10.00 an hour.
const HOURLY: &str = r#"[{ name = "hour", window = "1h", amount = "10.00" }]"#;

/// One key with these limits.
fn policy(limits: &str) -> Policy {
    let text = format!(
        r#"
        schema = "countersign/policy/1"
        duplicate_window = "400d"
        [callers.shop]
        certificates = ["uri:spiffe://test.example/shop"]
        [keys.settlement-eur]
        purpose = "settlement"
        currency = "EUR"
        callers = ["shop"]
        validity = "24h"
        tiers = "nobody"
        limits = {limits}"#
    );
    crate::config::policy::from_text(std::path::Path::new("policy.toml"), &text).unwrap()
}

const START_MS: i64 = 1_800_000_000_000;
const ISSUER: &str = "https://pay.test.example";

/// A ledger in a directory of its own, and the clocks that it is told.
struct Bench {
    directory: tempfile::TempDir,
    policy: std::cell::RefCell<Arc<Policy>>,
    wall_ms: Arc<AtomicI64>,
    boot_ms: Arc<AtomicI64>,
    boot: Arc<Mutex<String>>,
    ids: std::cell::Cell<u8>,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger.sqlite3");
        let policy = policy(HOURLY);
        let wall = Timestamp::from_unix_ms(START_MS);
        let reading = Reading { wall, boot: "a".to_owned(), since_boot_ms: 1_000_000 };
        sqlite::create(&path, ISSUER, "id", &reading).unwrap();
        Self {
            directory,
            policy: Arc::new(policy).into(),
            wall_ms: Arc::new(AtomicI64::new(START_MS)),
            boot_ms: Arc::new(AtomicI64::new(1_000_000)),
            boot: Arc::new(Mutex::new("a".to_owned())),
            ids: std::cell::Cell::new(0),
        }
    }

    fn open(&self) -> (Ledger, WriterThread) {
        let path = self.directory.path().join("ledger.sqlite3");
        let mut store = sqlite::Store::open(&path, ISSUER).unwrap();
        let policy = Arc::clone(&self.policy.borrow());
        store.count_axes(&policy.needs(), |_| {}).unwrap();
        let (wall, since, boot) =
            (Arc::clone(&self.wall_ms), Arc::clone(&self.boot_ms), Arc::clone(&self.boot));
        let clock = Clock::from_fn(move || Reading {
            wall: Timestamp::from_unix_ms(wall.load(Ordering::SeqCst)),
            boot: boot.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            since_boot_ms: since.load(Ordering::SeqCst),
        });
        Ledger::start(store, Rules::without_people(policy), clock, Vec::new()).unwrap()
    }

    /// What a daemon that is started with these limits, and stopped again, says to payments.
    fn under(&self, limits: &str, amounts: &[&str]) -> Vec<String> {
        *self.policy.borrow_mut() = Arc::new(policy(limits));
        let (ledger, writer) = self.open();
        let said = amounts.iter().map(|amount| self.pay(&ledger, amount)).collect();
        drop(ledger);
        writer.join();
        said
    }

    /// Time passes, on all clocks alike.
    fn pass(&self, seconds: i64) {
        self.step(seconds);
        self.boot_ms.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    /// Somebody sets the wall clock.
    fn step(&self, seconds: i64) {
        self.wall_ms.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    fn reboot(&self, name: &str) {
        name.clone_into(&mut self.boot.lock().unwrap());
        self.boot_ms.store(5_000, Ordering::SeqCst);
    }

    /// Pages that its log holds.
    fn log_pages(&self) -> u64 {
        let path = self.directory.path().join("ledger.sqlite3");
        let look = rusqlite::Connection::open(path).unwrap();
        let pages = look.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get::<_, i64>(1));
        u64::try_from(pages.unwrap()).unwrap()
    }

    fn submission(&self, amount: &str) -> Submission {
        self.ids.set(self.ids.get() + 1);
        Submission {
            caller: CallerId::parse("caller", "shop").unwrap(),
            idempotency_key: IdempotencyKey::parse("id", &self.ids.get().to_string()).unwrap(),
            payment: payment(amount),
            fresh_id: PaymentId::from_bytes([self.ids.get(); 16]),
            salt: crate::domain::leaf::Salt::from_bytes([7; 16]),
            issuer: ISSUER.to_owned(),
            signing_kid: Some(Kid::parse("kid", &"A".repeat(43)).unwrap()),
        }
    }

    /// Pays through both commits; what the ledger said about it.
    fn pay(&self, ledger: &Ledger, amount: &str) -> String {
        let submission = self.submission(amount);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            match ledger.reserve(submission).await {
                Ok(Reservation::Authorised(_, authorization)) => {
                    let signed = authorization.fulfilled(Signature::from_bytes([7; 64]));
                    match ledger.post(signed).await {
                        Ok(Posting::Posted(_)) => "posted".to_owned(),
                        other => format!("{other:?}"),
                    }
                }
                Ok(Reservation::Denied(_)) => "denied".to_owned(),
                Ok(other) => format!("{other:?}"),
                Err(failure) => failure.to_string(),
            }
        })
    }
}

fn payment(amount: &str) -> Payment {
    let merchant = Some(("merchant".to_owned(), "BAKERY".to_owned()));
    Payment::parse(&PaymentFields {
        key: KeyId::parse("key", "settlement-eur").unwrap().to_string(),
        amount: amount.to_owned(),
        currency: "EUR".to_owned(),
        creditor_name: "Bakery".to_owned(),
        creditor_account: AccountFields { iban: None, other: merchant },
        end_to_end_id: "NOTPROVIDED".to_owned(),
        ..PaymentFields::default()
    })
    .unwrap()
}

#[test]
fn a_window_opens_when_time_has_passed_and_not_when_a_clock_is_set() {
    let bench = Bench::new();
    let (ledger, writer) = bench.open();
    assert_eq!(bench.pay(&ledger, "10.00"), "posted");
    bench.step(2);
    assert_eq!(bench.pay(&ledger, "0.01"), "denied", "two seconds ahead are within tolerance");
    bench.step(3_700);
    let told = bench.pay(&ledger, "0.01");
    assert!(told.contains("no more than") && told.contains("boot clock"), "{told}");
    assert!(ledger.trouble().unwrap().contains("countersign clock credit"));
    bench.step(-3_702);
    assert_eq!(bench.pay(&ledger, "0.01"), "denied", "it recovers when the clock is right again");
    assert_eq!(ledger.trouble(), None);
    bench.step(-60);
    let told = bench.pay(&ledger, "0.01");
    assert!(told.contains("has recorded"), "{told}");
    bench.step(60);
    bench.pass(3_700);
    assert_eq!(bench.pay(&ledger, "10.00"), "posted", "an hour has really passed");
    drop(ledger);
    writer.join();
}

#[test]
fn across_boots_a_day_is_credited_and_more_waits_for_a_person() {
    let bench = Bench::new();
    let (ledger, writer) = bench.open();
    assert_eq!(bench.pay(&ledger, "10.00"), "posted");
    drop(ledger);
    writer.join();

    bench.reboot("b");
    bench.step(23 * 3_600);
    let (ledger, writer) = bench.open();
    assert_eq!(bench.pay(&ledger, "10.00"), "posted", "a night off");
    drop(ledger);
    writer.join();

    bench.reboot("c");
    bench.step(25 * 3_600);
    let (ledger, writer) = bench.open();
    let told = bench.pay(&ledger, "0.01");
    assert!(told.contains("across boots"), "{told}");
    drop(ledger);
    writer.join();

    let path = bench.directory.path().join("ledger.sqlite3");
    let mut store = sqlite::Store::open(&path, ISSUER).unwrap();
    let wall = Timestamp::from_unix_ms(bench.wall_ms.load(Ordering::SeqCst));
    let since_boot_ms = bench.boot_ms.load(Ordering::SeqCst);
    store.credit_by_hand(&Reading { wall, boot: "c".to_owned(), since_boot_ms }).unwrap();
    store.close().unwrap();
    let (ledger, writer) = bench.open();
    assert_eq!(bench.pay(&ledger, "10.00"), "posted", "a person has vouched for the clock");
    drop(ledger);
    writer.join();
}

#[test]
fn a_narrow_limit_that_was_taken_out_comes_back_with_all_that_was_spent_meanwhile() {
    let bench = Bench::new();
    let narrow = r#"[{ name = "five", window = "5h", amount = "1000.00" }]"#;
    let wide = r#"[{ name = "day", window = "24h", amount = '9000.00' }]"#;
    assert_eq!(bench.under(wide, &["1.00"; 50]), ["posted"; 50]);
    bench.pass(4 * 3_600);
    assert_eq!(bench.under(narrow, &["950.01", "1.00"]), ["denied", "posted"]);
    bench.pass(3_600);
    assert_eq!(bench.under(wide, &["1000.00"]), ["posted"]);
    bench.pass(1_800);
    assert_eq!(bench.under(narrow, &["0.01"]), ["denied"], "the 1000.00 were spent in its window");
    bench.pass(5 * 3_600 + 900);
    assert_eq!(bench.under(narrow, &["1000.01", "1000.00"]), ["denied", "posted"]);
}

#[test]
fn narrow_limits_come_and_go_and_never_start_below_the_truth() {
    let limit = |seconds| format!(r#"[{{ name = "n", window = "{seconds}s", amount = "10.00" }}]"#);
    let wide = r#"[{ name = "day", window = "24h", amount = '9000.00' }]"#;
    for (window, away) in [(60, 30), (600, 300), (1_200, 700), (7_200, 3_600), (18_000, 9_000)] {
        let bench = Bench::new();
        assert_eq!(bench.under(&limit(window), &["4.00"]), ["posted"]);
        bench.pass(away / 2);
        assert_eq!(bench.under(wide, &["5.00"]), ["posted"]);
        bench.pass(away / 2);
        let said = bench.under(&limit(window), &["1.01", "1.00", "0.01"]);
        assert_eq!(said, ["denied", "posted", "denied"], "a window of {window} s");
    }
}

/// What is kept back of the log for each record is enough when it is alone in its commit, with more
/// sums and slots to change than policies have.
#[test]
fn every_record_fits_into_the_room_that_is_kept_for_it() {
    let bench = Bench::new();
    let windows = ["20s", "10m", "1h", "24h", "30d", "lifetime"];
    let axes = [("key", ""), ("caller", "per = 'caller',"), ("creditor", "per = 'creditor',")];
    let mut limits = String::new();
    for (window, (axis, per)) in windows.iter().flat_map(|w| axes.iter().map(move |a| (w, a))) {
        let rest = format!("window = '{window}', {per} amount = '9000.00'");
        limits.push_str(&format!("{{ name = '{axis}-{window}', {rest} }}, "));
    }
    *bench.policy.borrow_mut() = Arc::new(policy(&format!("[{limits}]")));
    let (ledger, writer) = bench.open();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut most = 0;
    let mut before = bench.log_pages();
    let mut measure = || {
        let now = bench.log_pages();
        most = most.max(now.saturating_sub(std::mem::replace(&mut before, now)));
    };
    for _ in 0..200 {
        bench.pass(7);
        let reserved = runtime.block_on(ledger.reserve(bench.submission("0.01"))).unwrap();
        measure();
        let Reservation::Authorised(_, authorization) = reserved else { panic!("{reserved:?}") };
        let signed = authorization.fulfilled(Signature::from_bytes([7; 64]));
        assert!(matches!(runtime.block_on(ledger.post(signed)).unwrap(), Posting::Posted(_)));
        measure();
    }
    drop(ledger);
    writer.join();
    assert!((6..=sqlite::RECORD_PAGES).contains(&most), "a record took {most} pages");
}
