//! The rows that a batch names, in memory while it is decided.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::domain::caller::{CallerId, IdempotencyKey};
use crate::domain::counted::Counted;
use crate::domain::counter::{Axis, Counter, CounterId, Miscount, Parties, Scope};
use crate::domain::credential::CredentialId;
use crate::domain::key::KeyId;
use crate::domain::leaf::Leaf;
use crate::domain::party::Account;
use crate::domain::payment::{EndToEndId, PaymentId};
use crate::domain::statement::StatementDigest;
use crate::domain::subject::Subject;
use crate::domain::time::Timestamp;

use super::closing::ClosedPayment;
use super::evidence::StatementRow;
use super::record::{PaymentRecord, State};
use super::waiting::Waiting;

/// What makes an end-to-end id unique: key, creditor account, id. Kept as a digest, so that the
/// index of claims holds no personal data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Claim([u8; 32]);

impl Claim {
    /// The claim of a payment.
    pub fn of(key: &KeyId, account: &Account, id: &EndToEndId) -> Self {
        let mut hash = Sha256::new();
        for part in [key.as_str(), &account.to_string(), id.as_str()] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        Self(hash.finalize().into())
    }

    /// The digest.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The payment that holds a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimHolder {
    /// The payment.
    pub payment: PaymentId,
    /// When it was accepted.
    pub accepted_at: Timestamp,
}

/// The rows that a batch names. A row that is absent does not exist.
///
/// The back end loads it before a batch and stores what changed after it.
#[derive(Debug, Default)]
pub struct WorkingSet {
    /// Counters, by identifier.
    pub counters: HashMap<CounterId, Counter>,
    /// What is counted.
    pub counted: Arc<Counted>,
    /// Number of leaves in the log before this batch.
    pub log_size: u64,
    /// What waits for people.
    pub waiting: Arc<Waiting>,
    /// Signature counters of credentials, as they were last seen; none for those never used.
    pub uses: HashMap<CredentialId, u32>,
    statements: BTreeMap<StatementDigest, StatementRow>,
    stated: BTreeSet<StatementDigest>,
    used: BTreeSet<CredentialId>,
    payments: HashMap<PaymentId, Arc<PaymentRecord>>,
    by_request: HashMap<(CallerId, IdempotencyKey), PaymentId>,
    closed: HashMap<(CallerId, IdempotencyKey), Arc<ClosedPayment>>,
    claims: HashMap<Claim, ClaimHolder>,
    changed: Vec<(PaymentId, Novelty)>,
    claimed: Vec<Claim>,
    leaves: Vec<Leaf>,
}

/// Whether a changed payment has a row already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Novelty {
    /// It was made by this batch.
    New,
    /// The ledger holds an earlier state of it.
    Known,
}

impl WorkingSet {
    /// Puts a payment that the ledger already holds into the set.
    pub fn load_payment(&mut self, record: Arc<PaymentRecord>) {
        let request = (record.caller.clone(), record.idempotency_key.clone());
        self.by_request.insert(request, record.id);
        self.payments.insert(record.id, record);
    }

    /// Puts what is left of a payment into the set, under the caller's name for it.
    pub fn load_closed(&mut self, caller: CallerId, key: IdempotencyKey, closed: ClosedPayment) {
        self.closed.insert((caller, key), Arc::new(closed));
    }

    /// Puts a claim that the ledger already holds into the set.
    pub fn load_claim(&mut self, claim: Claim, holder: ClaimHolder) {
        self.claims.insert(claim, holder);
    }

    /// Puts a statement that the ledger already holds into the set.
    pub fn load_statement(&mut self, digest: StatementDigest, row: StatementRow) {
        self.statements.entry(digest).or_insert(row);
    }

    /// A statement by its digest.
    pub fn statement(&self, digest: &StatementDigest) -> Option<&StatementRow> {
        self.statements.get(digest)
    }

    /// All statements about a subject, in the order of their digests.
    pub fn statements_on(
        &self,
        subject: Subject,
    ) -> impl Iterator<Item = (&StatementDigest, &StatementRow)> {
        self.statements.iter().filter(move |(_, row)| row.subject == subject)
    }

    /// Statements that this batch made or changed.
    pub fn stated(&self) -> impl Iterator<Item = (&StatementDigest, &StatementRow)> {
        self.stated.iter().filter_map(|digest| self.statements.get_key_value(digest))
    }

    /// Credentials that this batch used, with their counters.
    pub fn used(&self) -> impl Iterator<Item = (&CredentialId, u32)> {
        self.used.iter().filter_map(|id| Some((id, *self.uses.get(id)?)))
    }

    pub(super) fn state(&mut self, digest: StatementDigest, row: StatementRow) {
        self.stated.insert(digest);
        self.statements.insert(digest, row);
    }

    pub(super) fn count_use(&mut self, credential: CredentialId, counter: u32) {
        self.used.insert(credential.clone());
        self.uses.insert(credential, counter);
    }

    /// Moves all counters to an instant. One whose sums disagree with its slots leaves the set, so
    /// that payments which it counts fail and no others; the names of such scopes are returned.
    pub fn advance(&mut self, now: Timestamp) -> Vec<Scope> {
        let mut broken = Vec::new();
        self.counters.retain(|id, counter| {
            let sound = counter.advance(now).is_ok();
            if !sound {
                broken.push(id.scope.clone());
            }
            sound
        });
        broken
    }

    /// A payment by its identifier.
    pub fn payment(&self, id: PaymentId) -> Option<&Arc<PaymentRecord>> {
        self.payments.get(&id)
    }

    /// A payment by the caller's name for it.
    pub fn payment_of(
        &self,
        caller: &CallerId,
        key: &IdempotencyKey,
    ) -> Option<&Arc<PaymentRecord>> {
        self.payments.get(self.by_request.get(&(caller.clone(), key.clone()))?)
    }

    /// What is left of a payment, by the caller's name for it.
    pub fn closed_of(
        &self,
        caller: &CallerId,
        key: &IdempotencyKey,
    ) -> Option<&Arc<ClosedPayment>> {
        self.closed.get(&(caller.clone(), key.clone()))
    }

    /// Who holds a claim.
    pub fn holder(&self, claim: &Claim) -> Option<ClaimHolder> {
        self.claims.get(claim).copied()
    }

    /// Payments that this batch made or changed, each once, in order.
    pub fn changed(&self) -> impl Iterator<Item = (&Arc<PaymentRecord>, Novelty)> {
        self.changed.iter().filter_map(|(id, novelty)| Some((self.payments.get(id)?, *novelty)))
    }

    /// Claims that this batch took.
    pub fn claimed(&self) -> impl Iterator<Item = (&Claim, &ClaimHolder)> {
        self.claimed.iter().filter_map(|claim| self.claims.get_key_value(claim))
    }

    /// Leaves of this batch, in order; the first stands at `log_size`.
    pub fn leaves(&self) -> &[Leaf] {
        &self.leaves
    }

    /// Puts a leaf at the end of the log and tells its position.
    pub fn append(&mut self, leaf: Leaf) -> u64 {
        let ahead = u64::try_from(self.leaves.len()).unwrap_or(u64::MAX);
        self.leaves.push(leaf);
        self.log_size.saturating_add(ahead)
    }

    /// Stores a decision together with its leaf.
    pub(super) fn decide(&mut self, mut record: PaymentRecord) -> Arc<PaymentRecord> {
        let first = self.payment(record.id).is_none();
        let position = self.append(Leaf::of_payment(&record));
        match record.state {
            State::Posted { .. } | State::Voided { .. } => record.outcome_leaf = Some(position),
            _ if first => record.leaf = position,
            _ => {}
        }
        let record = Arc::new(record);
        self.store(Arc::clone(&record));
        record
    }

    /// The debtor's token was touched for this payment, which is posted: the sums since then start
    /// over, and it is not part of them.
    pub(super) fn touch(&mut self, key: &KeyId, parties: &Parties<'_>) {
        let counted = Arc::clone(&self.counted);
        for id in counted.counters_of(key, parties) {
            if id.axis == Axis::Debtor
                && let Some(counter) = self.counters.get_mut(&id)
            {
                counter.touch();
            }
        }
    }

    pub(super) fn store(&mut self, record: Arc<PaymentRecord>) {
        let novelty = match self.payments.contains_key(&record.id) {
            true => Novelty::Known,
            false => Novelty::New,
        };
        if !self.changed.iter().any(|(id, _)| *id == record.id) {
            self.changed.push((record.id, novelty));
        }
        match record.state {
            State::Waiting { .. } => {
                Arc::make_mut(&mut self.waiting).insert(record.id, record.hold());
            }
            _ if self.waiting.holds(record.id) => {
                Arc::make_mut(&mut self.waiting).remove(record.id);
            }
            _ => {}
        }
        self.load_payment(record);
    }

    pub(super) fn take_claim(&mut self, claim: Claim, holder: ClaimHolder) {
        self.claimed.push(claim);
        self.claims.insert(claim, holder);
    }

    /// Changes every counter that a payment moves, or none: `may` asks first, `change` then cannot
    /// fail.
    pub(super) fn change_counters(
        &mut self,
        key: &KeyId,
        parties: &Parties<'_>,
        may: impl Fn(&Counter) -> Result<(), Miscount>,
        change: impl Fn(&mut Counter) -> Result<(), Miscount>,
    ) -> Result<(), Miscount> {
        let counted = Arc::clone(&self.counted);
        let moved: Vec<CounterId> = counted.counters_of(key, parties).collect();
        for id in &moved {
            may(self.counters.get(id).ok_or(Miscount)?)?;
        }
        moved.iter().try_for_each(|id| change(self.counters.get_mut(id).ok_or(Miscount)?))
    }
}
