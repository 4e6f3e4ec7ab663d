//! What a long history costs: start-up, memory and time per payment of a ledger with millions of
//! payments and a million debtors, against an empty one: `make scale`. Writes `docs/scale.md`.
//!
//! The ledger is filled through its own code, without a token. `COUNTERSIGN_SCALE_PAYMENTS` sets
//! how many payments it gets (ten million if it is not set).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::as_conversions,
    reason = "a measurement ends where something unexpected happens, and prints what it found"
)]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use countersign::clock::Clock;
use countersign::config::policy;
use countersign::domain::caller::{CallerId, IdempotencyKey};
use countersign::domain::credit::Reading;
use countersign::domain::key::{Kid, Signature};
use countersign::domain::ledger::{Posting, Reservation, Submission};
use countersign::domain::payment::{AccountFields, Payment, PaymentFields, PaymentId};
use countersign::domain::policy::Policy;
use countersign::domain::time::Timestamp;
use countersign::ledger::{Ledger, Rules, WriterThread, sqlite};

const DEBTORS: u64 = 1_000_000;
/// Payments of the measurement itself.
const SAMPLE: u64 = 50_000;
/// Payments on their way at a time.
const CLIENTS: u64 = 128;
const ISSUER: &str = "https://pay.test.example";
const POLICY: &str = r#"
schema = "countersign/policy/1"
duplicate_window = "400d"
[callers.shop]
certificates = ["uri:spiffe://test.example/shop"]
[keys.settlement-eur]
purpose = "settlement"
currency = "EUR"
callers = ["shop"]
tiers = "nobody"
limits = [
  { name = "hour", window = "1h", amount = "900000000.00" },
  { name = "debtor", window = "day", time_zone = "UTC", per = "debtor", amount = "900000.00" },
]
"#;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [_, "fill", directory, first, count] => {
            fill(Path::new(directory), first.parse().unwrap(), count.parse().unwrap());
        }
        [_, "measure", directory, first] => measure(Path::new(directory), first.parse().unwrap()),
        _ => compare(),
    }
}

/// Both ledgers, each measured in a process of its own.
fn compare() {
    let wanted = std::env::var("COUNTERSIGN_SCALE_PAYMENTS").ok();
    let wanted: u64 = wanted.map_or(10_000_000, |text| text.parse().unwrap());
    let mut rows = String::new();
    for payments in [0, wanted] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger.sqlite3");
        let wall = Timestamp::from_unix_ms(START_MS);
        let reading = Reading { wall, boot: "scale".to_owned(), since_boot_ms: START_MS };
        sqlite::create(&path, ISSUER, "scale", &reading).unwrap();
        let child = |arguments: &[&str]| {
            let output = Command::new(std::env::current_exe().unwrap())
                .args(arguments)
                .stderr(std::process::Stdio::inherit())
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let place = directory.path().to_str().unwrap();
        if payments > 0 {
            child(&["fill", place, "0", &payments.to_string()]);
        }
        let row = child(&["measure", place, &payments.to_string()]);
        let size_mib = std::fs::metadata(&path).unwrap().len() / (1024 * 1024);
        writeln!(rows, "| {payments} | {size_mib} | {}", row.trim()).unwrap();
        println!("{payments} payments, {size_mib} MiB: {}", row.trim());
    }
    let text = format!(
        "# A long history\n\nWritten by `make scale`: a ledger filled through its own code, without \
         a token, with limits per key and per debtor\nand {DEBTORS} debtors, against an empty one. \
         Start-up is opening the ledger until the first batch can be decided;\ntime and memory are \
         those of the next {SAMPLE} payments, {CLIENTS} at a time, both commits each.\n\n\
         | payments on record | file MiB | start-up ms | payments per second | CPU us per payment | \
         most memory MiB |\n|---:|---:|---:|---:|---:|---:|\n{rows}"
    );
    // What others have measured stays below.
    let place = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/scale.md");
    let before = std::fs::read_to_string(place).unwrap_or_default();
    let rest = before.find("\n## ").map_or("", |at| &before[at..]);
    std::fs::write(place, text + rest).unwrap();
}

const START_MS: i64 = 1_700_000_000_000;
/// Milliseconds between two payments: ten million take a year.
const APART_MS: i64 = 3_000;

struct Open {
    ledger: Ledger,
    writer: WriterThread,
    time: Arc<AtomicI64>,
}

fn open(directory: &Path, first: u64) -> Open {
    let path = directory.join("ledger.sqlite3");
    let policy: Policy = policy::from_text(Path::new("policy.toml"), POLICY).unwrap();
    let mut store = sqlite::Store::open(&path, ISSUER).unwrap();
    store.count_axes(&policy.needs(), |_| {}).unwrap();
    let started = START_MS + i64::try_from(first).unwrap() * APART_MS;
    let time = Arc::new(AtomicI64::new(started));
    let told = Arc::clone(&time);
    let clock = Clock::from_fn(move || {
        let ms = told.load(Ordering::Relaxed);
        let wall = Timestamp::from_unix_ms(ms);
        Reading { wall, boot: "scale".to_owned(), since_boot_ms: ms }
    });
    let (ledger, writer) =
        Ledger::start(store, Rules::without_people(Arc::new(policy)), clock, Vec::new()).unwrap();
    Open { ledger, writer, time }
}

fn fill(directory: &Path, first: u64, count: u64) {
    let open = open(directory, first);
    let started = Instant::now();
    pay(&open, first, count, |done| {
        if done % 100_000 == 0 {
            let seconds = started.elapsed().as_secs_f64();
            let rate = done as f64 / seconds;
            let left = (count - done) as f64 / rate;
            eprint!("\r{done} of {count} payments, {rate:.0} per second, {left:.0} s left\x1b[K");
            std::io::stderr().flush().unwrap();
        }
    });
    eprintln!();
    close(open);
}

fn measure(directory: &Path, first: u64) {
    let started = Instant::now();
    let open = open(directory, first);
    let start_up = started.elapsed();
    let (started, cpu) = (Instant::now(), cpu_time());
    pay(&open, first, SAMPLE, |_| {});
    let (elapsed, cpu) = (started.elapsed(), cpu_time() - cpu);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let peak_kib: u64 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
    println!(
        "{:.1} | {:.0} | {:.0} | {} |",
        start_up.as_secs_f64() * 1000.0,
        SAMPLE as f64 / elapsed.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / SAMPLE as f64,
        peak_kib / 1024
    );
    close(open);
}

fn close(open: Open) {
    drop(open.ledger);
    open.writer.join();
}

fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    // USER_HZ is 100 on every Linux that Rust supports.
    Duration::from_millis(ticks * 10)
}

/// Pays `count` payments numbered from `first`, many at a time.
fn pay(open: &Open, first: u64, count: u64, progress: impl Fn(u64)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let next = AtomicU64::new(0);
    let kid = Kid::parse("kid", &"A".repeat(43)).unwrap();
    runtime.block_on(async {
        let client = || async {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return;
                }
                progress(number);
                open.time.fetch_add(APART_MS, Ordering::Relaxed);
                one(&open.ledger, first + number, &kid).await;
            }
        };
        let mut clients: Vec<_> = (0..CLIENTS).map(|_| Box::pin(client())).collect();
        std::future::poll_fn(|waker| {
            clients.retain_mut(|client| client.as_mut().poll(waker).is_pending());
            if clients.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    });
}

async fn one(ledger: &Ledger, number: u64, kid: &Kid) {
    let submission = Submission {
        caller: CallerId::parse("caller", "shop").unwrap(),
        idempotency_key: IdempotencyKey::parse("id", &format!("P{number}")).unwrap(),
        payment: payment(number),
        fresh_id: PaymentId::from_bytes(scattered(number).to_be_bytes()),
        salt: countersign::domain::leaf::Salt::from_bytes([7; 16]),
        issuer: ISSUER.to_owned(),
        signing_kid: Some(kid.clone()),
    };
    let Ok(Reservation::Authorised(_, authorization)) = ledger.reserve(submission).await else {
        panic!("payment {number} was not admitted");
    };
    let signed = authorization.fulfilled(Signature::from_bytes([7; 64]));
    assert!(matches!(ledger.post(signed).await, Ok(Posting::Posted(_))));
}

/// Random-looking identifiers that never repeat.
fn scattered(number: u64) -> u128 {
    u128::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)
}

fn payment(number: u64) -> Payment {
    let debtor = scattered(number) >> 64;
    let merchant = format!("M{}", number % 1_000);
    Payment::parse(&PaymentFields {
        key: "settlement-eur".to_owned(),
        amount: "0.25".to_owned(),
        currency: "EUR".to_owned(),
        creditor_name: "Bakery Sol".to_owned(),
        creditor_account: AccountFields { iban: None, other: Some(("merchant".into(), merchant)) },
        debtor_id: Some(format!("user-{}", debtor % u128::from(DEBTORS))),
        end_to_end_id: format!("E{number}"),
        ..PaymentFields::default()
    })
    .unwrap()
}
