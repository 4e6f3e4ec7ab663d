//! A small real log for tests: a ledger that its own writer filled, signed by a software key.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use clap::Parser;

use crate::clock::Clock;
use crate::domain::caller::{CallerId, IdempotencyKey};
use crate::domain::credit::Reading;
use crate::domain::key::{Kid, Signature};
use crate::domain::leaf::{Event, Salt, Unserved};
use crate::domain::ledger::{Posting, Reservation, Submission, VoidReason};
use crate::domain::payment::{AccountFields, Payment, PaymentFields, PaymentId};
use crate::domain::time::Timestamp;
use crate::ledger::reader::Reader;
use crate::ledger::sqlite::{self, StoredCheckpoint, StoredTile};
use crate::ledger::{Ledger, Rules, WriterThread};
use crate::log::checkpoint::Checkpoint;
use crate::log::growth::{FullTile, Growth};
use crate::log::note::{Note, NoteKeyName, VerifierKey};
use crate::log::tree::Hash;

use super::super::source::{Source, Whence};

/// Name of the log.
pub(in crate::cli) const ORIGIN: &str = "pay.test.example/log";
const ISSUER: &str = "https://pay.test.example";
const START_MS: i64 = 1_800_000_000_000;
const POLICY: &str = r#"
    schema = "countersign/policy/1"
    duplicate_window = "400d"
    [callers.shop]
    certificates = ["uri:spiffe://test.example/shop"]
    [callers.kiosk]
    certificates = ["uri:spiffe://test.example/kiosk"]
    [keys.settlement-eur]
    purpose = "settlement"
    currency = "EUR"
    callers = ["shop", "kiosk"]
    tiers = "nobody"
    limits = [{ name = "single", window = "payment", amount = "100.00" }]
"#;

/// A ledger, and the key that signs its heads.
pub(in crate::cli) struct Sample {
    directory: tempfile::TempDir,
    ledger: Option<(Ledger, WriterThread)>,
    now_ms: Arc<AtomicI64>,
    drawn: u8,
    key: Ed25519KeyPair,
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    whence: Whence,
}

impl Sample {
    /// A new ledger with its writer at work.
    pub(in crate::cli) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger.sqlite3");
        let wall = Timestamp::from_unix_ms(START_MS);
        let reading = Reading { wall, boot: "a".to_owned(), since_boot_ms: START_MS };
        sqlite::create(&path, ISSUER, "id", &reading).unwrap();
        let policy = crate::config::policy::from_text(Path::new("policy.toml"), POLICY).unwrap();
        let mut store = sqlite::Store::open(&path, ISSUER).unwrap();
        store.count_axes(&policy.needs(), |_| {}).unwrap();
        let now_ms = Arc::new(AtomicI64::new(START_MS));
        let told = Arc::clone(&now_ms);
        let clock = Clock::from_fn(move || {
            let ms = told.load(Ordering::SeqCst);
            let wall = Timestamp::from_unix_ms(ms);
            Reading { wall, boot: "a".to_owned(), since_boot_ms: ms }
        });
        let ledger = Some(
            Ledger::start(store, Rules::without_people(Arc::new(policy)), clock, Vec::new())
                .unwrap(),
        );
        let key = Ed25519KeyPair::generate().unwrap();
        Self { directory, ledger, now_ms, drawn: 0, key }
    }

    /// Eleven leaves, one minute apart: payments 1 (signed, 0.50 by shop for user-1), 2 (denied,
    /// 200.00 by kiosk for user-2), 3 (signed, 12.34 by kiosk for user-1), 4 (voided, 1.00) and 5
    /// (in doubt, 2.00), and what befell the daemon.
    pub(in crate::cli) fn told() -> Self {
        let mut sample = Self::new();
        let started = Event::Started { release: "0.1.0".into(), policy: "abc".into(), leaves: 0 };
        sample.record(started);
        sample.pay("shop", "0.50", Some("user-1"));
        sample.submit("kiosk", "200.00", Some("user-2"));
        sample.pay("kiosk", "12.34", Some("user-1"));
        let given_up = sample.submit("shop", "1.00", None);
        let void = sample.ledger().void(given_up, VoidReason::Officer);
        assert!(wait(void).unwrap().is_some());
        let reason = "C_Sign: CKR_DEVICE_ERROR".to_owned();
        sample.record(Event::TokenDown { token: "softhsm".to_owned(), reason });
        let refusals = vec![("content_type", 2), ("overload", 31)];
        let minute = Timestamp::from_unix_ms(START_MS);
        sample.record(Event::Unserved(Unserved { caller: "kiosk".into(), minute, refusals }));
        sample.submit("shop", "2.00", None);
        sample
    }

    pub(in crate::cli) fn path(&self) -> PathBuf {
        self.directory.path().join("ledger.sqlite3")
    }

    /// Somewhere to put files.
    pub(in crate::cli) fn place(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(in crate::cli) fn source(&self) -> Source {
        let path = self.path();
        Source::open(&whence(&["--ledger", path.to_str().unwrap()])).unwrap()
    }

    /// The identifier of the payment that was submitted at this place, counted from 1.
    pub(in crate::cli) fn payment(number: u8) -> PaymentId {
        PaymentId::from_bytes([number; 16])
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger.as_ref().unwrap().0
    }

    pub(in crate::cli) fn record(&self, event: Event) {
        self.pass();
        wait(self.ledger().record(event)).unwrap();
    }

    fn pass(&self) {
        self.now_ms.fetch_add(60_000, Ordering::SeqCst);
    }

    /// Submits a payment, and no more.
    pub(in crate::cli) fn submit(
        &mut self,
        caller: &str,
        amount: &str,
        debtor: Option<&str>,
    ) -> PaymentId {
        drop(self.reserve(caller, amount, debtor));
        Self::payment(self.drawn)
    }

    /// A payment through both commits.
    pub(in crate::cli) fn pay(&mut self, caller: &str, amount: &str, debtor: Option<&str>) {
        let Reservation::Authorised(_, authorization) = self.reserve(caller, amount, debtor) else {
            panic!("{amount} was not admitted");
        };
        self.pass();
        let signed = authorization.fulfilled(Signature::from_bytes([self.drawn; 64]));
        assert!(matches!(wait(self.ledger().post(signed)), Ok(Posting::Posted(_))));
    }

    fn reserve(&mut self, caller: &str, amount: &str, debtor: Option<&str>) -> Reservation {
        self.pass();
        self.drawn += 1;
        let submission = Submission {
            caller: CallerId::parse("caller", caller).unwrap(),
            idempotency_key: IdempotencyKey::parse("id", &self.drawn.to_string()).unwrap(),
            payment: payment(amount, debtor),
            fresh_id: Self::payment(self.drawn),
            salt: Salt::from_bytes([self.drawn; 16]),
            issuer: ISSUER.to_owned(),
            signing_kid: Some(Kid::parse("kid", &"A".repeat(43)).unwrap()),
        };
        wait(self.ledger().reserve(submission)).unwrap()
    }

    /// Signs the head of the log as it is now.
    pub(in crate::cli) fn sign(&self) -> VerifierKey {
        let (mut growth, mut full) = (Growth::default(), Vec::new());
        let reader = Reader::open(&self.path()).unwrap();
        for leaf in reader.leaves(0, u32::MAX).unwrap() {
            growth.append(Hash::of_leaf(leaf.as_str().as_bytes()), &mut full).unwrap();
        }
        let stored = |FullTile { level, number, hashes }| StoredTile { level, number, hashes };
        let tiles = full.into_iter().map(stored).collect();
        let made_at = Timestamp::from_unix_ms(self.now_ms.load(Ordering::SeqCst));
        let key = VerifierKey::ed25519(
            NoteKeyName::parse(ORIGIN).unwrap(),
            self.key.public_key().as_ref().try_into().unwrap(),
        );
        let checkpoint = Checkpoint::new(ORIGIN, growth.head(), &[]).unwrap();
        let unsigned = key.prepare(checkpoint.text(), made_at);
        let signature = self.key.sign(unsigned.message());
        let line = unsigned.signed(signature.as_ref()).unwrap();
        let note = Note::new(checkpoint.text().clone(), line).to_string();
        let size = growth.head().size;
        let cosigned_by = None;
        let kept = StoredCheckpoint { size, made_at, note, tiles, cosigned_by };
        wait(self.ledger().keep(kept)).unwrap();
        key
    }
}

impl Drop for Sample {
    fn drop(&mut self) {
        if let Some((ledger, writer)) = self.ledger.take() {
            drop(ledger);
            writer.join();
        }
    }
}

/// What a command line says about where the log is.
pub(in crate::cli) fn whence(arguments: &[&str]) -> Whence {
    Line::try_parse_from([&["countersign"], arguments].concat()).unwrap().whence
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn payment(amount: &str, debtor: Option<&str>) -> Payment {
    let merchant = Some(("merchant".to_owned(), "BAKERY".to_owned()));
    Payment::parse(&PaymentFields {
        key: "settlement-eur".to_owned(),
        amount: amount.to_owned(),
        currency: "EUR".to_owned(),
        creditor_name: "Bakery Sol".to_owned(),
        creditor_account: AccountFields { iban: None, other: merchant },
        debtor_id: debtor.map(str::to_owned),
        end_to_end_id: "NOTPROVIDED".to_owned(),
        ..PaymentFields::default()
    })
    .unwrap()
}
