//! A ledger with payments in it, made through the ledger's own code, and the keys that sign:
//! in software, so that a log of any size is made in no time.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
};

use crate::clock::Clock;
use crate::domain::caller::{CallerId, IdempotencyKey};
use crate::domain::credit::Reading;
use crate::domain::key::{Algorithm, PublicKey, Signature};
use crate::domain::leaf::{Event, Salt};
use crate::domain::ledger::{Erasure, Posting, Reservation, Submission, VoidReason};
use crate::domain::payment::{AccountFields, Payment, PaymentFields, PaymentId};
use crate::domain::policy::Policy;
use crate::domain::time::{Duration, Timestamp};
use crate::ledger::reader::Reader;
use crate::ledger::sqlite::{Store, StoredCheckpoint, StoredTile, ToArchive, create};
use crate::ledger::{Ledger, Rules, WriterThread};
use crate::log::checkpoint::Checkpoint;
use crate::log::growth::{FullTile, Growth};
use crate::log::note::{Note, NoteKeyName, NoteText, VerifierKey};
use crate::log::proof;
use crate::log::receipt::{ProvenLeaf, Receipt};
use crate::log::tree::{Frontier, Hash, NodeId, TreeHead};

pub(crate) const ISSUER: &str = "https://pay.test.example";
pub(crate) const ORIGIN: &str = "pay.test.example/log";
const START_MS: i64 = 1_800_000_000_000;
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
  { name = "single", window = "payment", amount = "50.00" },
  { name = "ever", window = "lifetime", amount = "9000000000.00" },
]
"#;

/// An audit key in software.
pub(crate) struct LogKey {
    pair: Ed25519KeyPair,
    pub(crate) verifier: VerifierKey,
}

impl LogKey {
    pub(crate) fn new(name: &str) -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let public: [u8; 32] = pair.public_key().as_ref().try_into().unwrap();
        let verifier = VerifierKey::ed25519(NoteKeyName::parse(name).unwrap(), public);
        Self { pair, verifier }
    }

    /// The key of a witness.
    pub(crate) fn of_witness(name: &str) -> Self {
        let Self { pair, .. } = Self::new(name);
        let public: [u8; 32] = pair.public_key().as_ref().try_into().unwrap();
        let verifier = VerifierKey::cosignature_v1(NoteKeyName::parse(name).unwrap(), public);
        Self { pair, verifier }
    }

    /// The signed checkpoint of a tree.
    pub(crate) fn note(&self, origin: &str, head: TreeHead) -> String {
        let checkpoint = Checkpoint::new(origin, head, &[]).unwrap();
        self.signed(checkpoint.text().as_str(), Timestamp::MAX).to_string()
    }

    /// Any text, signed or cosigned.
    pub(crate) fn signed(&self, text: &str, at: Timestamp) -> Note {
        let text = NoteText::parse(text).unwrap();
        let unsigned = self.verifier.prepare(&text, at);
        let signature = self.pair.sign(unsigned.message());
        let line = unsigned.signed(signature.as_ref()).unwrap();
        Note::new(text, line)
    }
}

/// What becomes of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Signed,
    Denied,
    Voided,
    InDoubt,
}

/// A ledger in a directory of its own.
pub(crate) struct Scene {
    directory: tempfile::TempDir,
    settlement: EcdsaKeyPair,
    pub(crate) public: PublicKey,
    pub(crate) audit: LogKey,
    seed: u8,
    time: Arc<AtomicI64>,
    next: std::cell::Cell<u64>,
}

impl Scene {
    /// An empty ledger. Scenes of different seeds make different payments.
    pub(crate) fn new(seed: u8) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let wall = Timestamp::from_unix_ms(START_MS);
        let reading = Reading { wall, boot: "a".to_owned(), since_boot_ms: START_MS };
        create(&directory.path().join("ledger.sqlite3"), ISSUER, "id", &reading).unwrap();
        let settlement = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let public =
            PublicKey::from_bytes(Algorithm::Es256, settlement.public_key().as_ref()).unwrap();
        let time = Arc::new(AtomicI64::new(START_MS));
        let (audit, next) = (LogKey::new(ORIGIN), std::cell::Cell::new(0));
        Self { directory, settlement, public, audit, seed, time, next }
    }

    /// The same, with payments and events: all kinds of leaves about payments.
    pub(crate) fn with_payments(seed: u8, count: usize) -> Self {
        let scene = Self::new(seed);
        let fates = [Fate::Signed, Fate::Denied, Fate::Signed, Fate::Voided, Fate::InDoubt];
        let fates: Vec<Fate> = fates.into_iter().cycle().take(count).collect();
        scene.pay(&fates);
        scene
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.directory.path().join("ledger.sqlite3")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader::open(&self.ledger()).unwrap()
    }

    fn open(&self) -> (Ledger, WriterThread) {
        let mut store = Store::open(&self.ledger(), ISSUER).unwrap();
        let policy: Policy =
            crate::config::policy::from_text(std::path::Path::new("policy.toml"), POLICY).unwrap();
        store.count_axes(&policy.needs(), |_| {}).unwrap();
        let time = Arc::clone(&self.time);
        let clock = Clock::from_fn(move || {
            let ms = time.load(Ordering::Relaxed);
            let wall = Timestamp::from_unix_ms(ms);
            Reading { wall, boot: "a".to_owned(), since_boot_ms: ms }
        });
        Ledger::start(store, Rules::without_people(Arc::new(policy)), clock, Vec::new()).unwrap()
    }

    /// Does something with the ledger as a daemon has it.
    pub(crate) fn within<T>(&self, work: impl AsyncFnOnce(&Ledger) -> T) -> T {
        let (ledger, writer) = self.open();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let done = runtime.block_on(work(&ledger));
        drop(ledger);
        writer.join();
        done
    }

    /// Payments one after the other, between a start and a stop of the daemon.
    pub(crate) fn pay(&self, fates: &[Fate]) -> Vec<PaymentId> {
        let leaves = self.reader().log_size().unwrap();
        self.within(async |ledger| {
            let (release, policy) = ("0.1.0".to_owned(), "v1".to_owned());
            ledger.record(Event::Started { release, policy, leaves }).await.unwrap();
            let mut ids = Vec::new();
            for fate in fates {
                self.time.fetch_add(1_000, Ordering::Relaxed);
                ids.push(self.one(ledger, *fate).await);
            }
            ledger.record(Event::Stopped).await.unwrap();
            ids
        })
    }

    /// Signed payments, many at a time, so that they share commits.
    pub(crate) fn pay_many(&self, count: u64) {
        const CLIENTS: usize = 128;
        let last = self.next.get() + count;
        self.within(async |ledger| {
            let client = || async {
                while self.next.get() < last {
                    self.time.fetch_add(10, Ordering::Relaxed);
                    self.one(ledger, Fate::Signed).await;
                }
            };
            let mut clients: Vec<_> = (0..CLIENTS).map(|_| Box::pin(client())).collect();
            std::future::poll_fn(|waker| {
                clients.retain_mut(|client| client.as_mut().poll(waker).is_pending());
                match clients.is_empty() {
                    true => std::task::Poll::Ready(()),
                    false => std::task::Poll::Pending,
                }
            })
            .await;
        });
    }

    /// Erases the oldest payments that are final, at most so many.
    pub(crate) fn erase(&self, most: usize) {
        let before = Timestamp::from_unix_ms(self.time.load(Ordering::Relaxed));
        let mut payments = Vec::new();
        let take = |payment| {
            payments.push(payment);
            match payments.len() < most {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        };
        self.reader().due(before, take).unwrap();
        let erasure = Erasure { before, payments, is_last: true };
        self.within(async |ledger| ledger.erase(erasure).await.unwrap());
    }

    /// Moves the oldest payments that are final to a file, at most so many.
    pub(crate) fn archive(&self, name: &str, most: u32) -> PathBuf {
        let ms = self.time.fetch_add(2_000, Ordering::Relaxed) + 2_000;
        let wall = Timestamp::from_unix_ms(ms);
        let asked = ToArchive {
            file: self.path(name),
            archive_after: Duration::from_seconds(1),
            duplicate_window: Duration::from_seconds(1),
            most,
        };
        let mut store = Store::open(&self.ledger(), ISSUER).unwrap();
        let reading = Reading { wall, boot: "a".to_owned(), since_boot_ms: ms };
        assert!(store.archive(&reading, &asked).unwrap().is_some());
        store.close().unwrap();
        asked.file
    }

    async fn one(&self, ledger: &Ledger, fate: Fate) -> PaymentId {
        let number = self.next.get();
        self.next.set(number + 1);
        let submission = self.submission(number, fate == Fate::Denied);
        let id = submission.fresh_id;
        match (ledger.reserve(submission).await.unwrap(), fate) {
            (Reservation::Denied(_), Fate::Denied) | (_, Fate::InDoubt) => {}
            (Reservation::Authorised(..), Fate::Voided) => {
                assert!(ledger.void(id, VoidReason::Officer).await.unwrap().is_some());
            }
            (Reservation::Authorised(_, authorization), Fate::Signed) => {
                let message = authorization.signing_input().to_ascii();
                let signed = self.settlement.sign(&SystemRandom::new(), message.as_bytes());
                let signature = Signature::from_bytes(signed.unwrap().as_ref().try_into().unwrap());
                let posted = ledger.post(authorization.fulfilled(signature)).await.unwrap();
                assert!(matches!(posted, Posting::Posted(_)));
            }
            (other, fate) => panic!("{fate:?}: {other:?}"),
        }
        id
    }

    fn submission(&self, number: u64, too_much: bool) -> Submission {
        let scattered = u128::from(number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED)
            ^ (u128::from(self.seed) << 120);
        let merchant = Some(("merchant".to_owned(), format!("M{}", number % 7)));
        let payment = Payment::parse(&PaymentFields {
            key: "settlement-eur".to_owned(),
            amount: if too_much { "50.01" } else { "12.34" }.to_owned(),
            currency: "EUR".to_owned(),
            creditor_name: "Bakery Sol".to_owned(),
            creditor_account: AccountFields { iban: None, other: merchant },
            debtor_id: number.is_multiple_of(2).then(|| format!("user-{}", number % 4)),
            end_to_end_id: format!("E{number}"),
            remittance_information: number
                .is_multiple_of(3)
                .then(|| "2 x \"croissant\"".to_owned()),
            ..PaymentFields::default()
        });
        Submission {
            caller: CallerId::parse("caller", "shop").unwrap(),
            idempotency_key: IdempotencyKey::parse("id", &format!("P{number}")).unwrap(),
            payment: payment.unwrap(),
            fresh_id: PaymentId::from_bytes(scattered.to_be_bytes()),
            salt: Salt::from_bytes(scattered.rotate_left(64).to_le_bytes()),
            issuer: ISSUER.to_owned(),
            signing_kid: Some(self.public.kid().clone()),
        }
    }

    /// The leaves of the log.
    pub(crate) fn leaves(&self) -> Vec<String> {
        let (reader, mut leaves) = (self.reader(), Vec::new());
        loop {
            let from = u64::try_from(leaves.len()).unwrap();
            let chunk = reader.leaves(from, 10_000).unwrap();
            if chunk.is_empty() {
                return leaves;
            }
            leaves.extend(chunk.iter().map(|leaf| leaf.as_str().to_owned()));
        }
    }

    /// Signs the tree as it is and keeps the checkpoint in the ledger, as the daemon does.
    pub(crate) fn checkpoint(&self) -> String {
        let leaves = self.leaves();
        let (mut growth, mut full) = (Growth::default(), Vec::new());
        for leaf in &leaves {
            growth.append(Hash::of_leaf(leaf.as_bytes()), &mut full).unwrap();
        }
        let stored = |FullTile { level, number, hashes }| StoredTile { level, number, hashes };
        let tiles = full.into_iter().map(stored).collect();
        let note = self.audit.note(ORIGIN, growth.head());
        let made_at = Timestamp::from_unix_ms(self.time.load(Ordering::Relaxed));
        let size = growth.size();
        let kept = StoredCheckpoint { size, made_at, note: note.clone(), tiles, cosigned_by: None };
        self.within(async |ledger| ledger.keep(kept).await.unwrap());
        note
    }

    /// The receipt of a payment that was signed, for a checkpoint of the log as it is.
    pub(crate) fn receipt(&self, id: PaymentId) -> Receipt {
        let (leaves, record) = (self.leaves(), self.reader().payment(id).unwrap().unwrap());
        let hashes: Vec<Hash> = leaves.iter().map(|leaf| Hash::of_leaf(leaf.as_bytes())).collect();
        let proven = |position: u64| {
            let size = u64::try_from(hashes.len()).unwrap();
            let node = |node: NodeId| Ok::<_, ()>(subtree(&hashes, node));
            let proof = proof::inclusion(position, size, node).unwrap();
            let leaf = leaves[usize::try_from(position).unwrap()].clone();
            ProvenLeaf { position, leaf, proof }
        };
        let note = self.audit.note(ORIGIN, head(&leaves));
        let outcome = proven(record.outcome_leaf.unwrap());
        let jws = record.compact_jws().unwrap();
        Receipt::new(id, jws, record.salt, proven(record.leaf), outcome, note)
    }
}

fn subtree(hashes: &[Hash], node: NodeId) -> Hash {
    let width = 1_usize << node.level;
    let start = usize::try_from(node.index).unwrap() * width;
    match &hashes[start..start + width] {
        [leaf] => *leaf,
        _ => {
            let below = |index| subtree(hashes, NodeId { level: node.level - 1, index });
            Hash::of_node(&below(node.index * 2), &below(node.index * 2 + 1))
        }
    }
}

/// The head of a log of these leaves.
pub(crate) fn head(leaves: &[String]) -> TreeHead {
    let mut frontier = Frontier::new();
    for leaf in leaves {
        frontier.append(Hash::of_leaf(leaf.as_bytes()), |_, _| {}).unwrap();
    }
    frontier.head()
}
