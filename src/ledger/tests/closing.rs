//! Closing through the writer and the file: what is counted later, what is refused for ever, and
//! how many bytes a payment takes before and after.

use std::ops::ControlFlow;

use super::*;
use crate::domain::ledger::{Closing, Erasure};
use crate::ledger::reader::Reader;

/// A lifetime limit that nothing reaches.
const EVER: &str = r#"[{ name = "ever", window = "lifetime", amount = "9000.00" }]"#;

impl Bench {
    fn ledger_file(&self) -> PathBuf {
        self.directory.path().join("ledger.sqlite3")
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.wall_ms.load(Ordering::SeqCst))
    }

    /// What is final by now.
    fn due(&self) -> Vec<Closing> {
        let mut due = Vec::new();
        let reader = Reader::open(&self.ledger_file()).unwrap();
        let take = |payment| {
            due.push(payment);
            ControlFlow::Continue(())
        };
        reader.due(self.now(), take).unwrap();
        due
    }

    fn erase(&self, ledger: &Ledger, payments: Vec<Closing>) -> Result<(), LedgerFailure> {
        let erasure = Erasure { before: self.now(), payments, is_last: true };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(ledger.erase(erasure))
    }

    /// Erases everything that is final.
    fn erase_all(&self) {
        let (ledger, writer) = self.open();
        self.erase(&ledger, self.due()).unwrap();
        drop(ledger);
        writer.join();
        assert_eq!(self.due(), []);
    }
}

#[test]
fn an_axis_that_is_counted_after_the_erasure_counts_it_longer_and_never_shorter() {
    let bench = Bench::new();
    // 2027-01-15T08:00:00Z and an hour later.
    assert_eq!(bench.under(EVER, &["4.00"]), ["posted"]);
    bench.pass(3_600);
    assert_eq!(bench.under(EVER, &["5.00", "9000.00"]), ["posted", "denied"]);
    bench.pass(86_400);
    bench.erase_all();
    let caller = r#"[{ name = "c", per = "caller", window = "2d", amount = "10.00" }]"#;
    let creditor = r#"[{ name = "c", per = "creditor", window = "lifetime", amount = "10.00" }]"#;
    assert_eq!(bench.under(caller, &["1.01"]), ["denied"]);
    assert_eq!(bench.under(creditor, &["1.01"]), ["denied"]);
    // By its instant it would be free on the 17th at nine; it is when two days have passed since
    // midnight after it.
    bench.pass(86_400 + 14 * 3_600);
    assert_eq!(bench.under(caller, &["1.01"]), ["denied"], "2027-01-17T23:00:00Z");
    bench.pass(3_600);
    assert_eq!(bench.under(caller, &["10.00"]), ["posted"], "2027-01-18T00:00:00Z");
    assert_eq!(bench.under(creditor, &["0.01"]), ["denied"]);
}

#[test]
fn what_is_closed_is_never_signed_again_and_never_closed_twice() {
    let bench = Bench::new();
    *bench.policy.borrow_mut() = Arc::new(policy(EVER));
    let (ledger, writer) = bench.open();
    assert_eq!(bench.pay(&ledger, "1.00"), "posted");
    let due = bench.due();
    assert_eq!(due.len(), 1);
    bench.erase(&ledger, due.clone()).unwrap();
    bench.ids.set(0);
    let again = bench.pay(&ledger, "1.00");
    assert!(again.starts_with("Closed("), "{again}");
    bench.ids.set(0);
    let other = bench.pay(&ledger, "2.00");
    assert!(other.starts_with("Closed("), "{other}");
    // Nobody asks for that: whoever does is not believed, and a person has to look.
    let twice = bench.erase(&ledger, due).unwrap_err().to_string();
    assert!(twice.contains("disagree about the end of payment"), "{twice}");
    assert!(ledger.trouble().is_some());
    drop(ledger);
    writer.join();
}

#[test]
fn what_is_in_doubt_stays_however_old_it_is() {
    let bench = Bench::new();
    *bench.policy.borrow_mut() = Arc::new(policy(EVER));
    let (ledger, writer) = bench.open();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let open = runtime.block_on(ledger.reserve(bench.submission("1.00"))).unwrap();
    assert!(matches!(open, Reservation::Authorised(..)));
    bench.pass(400 * 86_400);
    assert_eq!(bench.pay(&ledger, "1.00"), "posted");
    assert_eq!(bench.due().len(), 1, "the one that was posted");
    drop(ledger);
    writer.join();
}

/// Pages in use, in bytes.
fn bytes_in_use(path: &std::path::Path) -> u64 {
    let file = rusqlite::Connection::open(path).unwrap();
    let number = |pragma: &str| file.query_row(pragma, [], |row| row.get::<_, u32>(0)).unwrap();
    u64::from(number("PRAGMA page_count") - number("PRAGMA freelist_count")) * 4_096
}

/// The figures of `docs/scale.md`.
#[test]
fn a_closed_payment_takes_a_small_part_of_what_it_took() {
    const PAYMENTS: u64 = 4_000;
    let scene = crate::log::tests::scene::Scene::new(1);
    let bytes = || bytes_in_use(&scene.ledger()) / PAYMENTS;
    let empty = bytes();
    scene.pay_many(PAYMENTS);
    let whole = bytes() - empty;
    let log = {
        let file = rusqlite::Connection::open(scene.ledger()).unwrap();
        let sum = "SELECT sum(pgsize) FROM dbstat WHERE name = 'leaf'";
        file.query_row(sum, [], |row| row.get::<_, u32>(0)).map(u64::from).unwrap_or_default()
            / PAYMENTS
    };
    let archive = scene.archive("archive", 1_000_000);
    let after = bytes() - empty;
    let file = std::fs::metadata(archive).unwrap().len() / PAYMENTS;
    println!(
        "bytes a payment: {whole}, closed {after}, of these leaves {log}; in the archive {file}"
    );
    assert!(after * 100 < whole * 70, "{after} of {whole}");
}
