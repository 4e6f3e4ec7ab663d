//! Whether a receipt is true, by public keys alone.

use crate::domain::key::PublicKey;
use crate::domain::text::excerpt;
use crate::log::checkpoint::{Checkpoint, CheckpointError};
use crate::log::entry::{Entry, EntryError, Kind};
use crate::log::note::{Note, NoteError, SignatureKind, VerifierKey};
use crate::log::proof::{ProofError, verify_inclusion};
use crate::log::tree::{Hash, TreeHead};

use super::jws::{self, JwsError, SignedOrder};
use super::{ProvenLeaf, Receipt};

/// One of the two leaves of a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The leaf that accepted the payment.
    Decision,
    /// The leaf that tells its signature.
    Outcome,
}

impl std::fmt::Display for Which {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Decision => "decision",
            Self::Outcome => "outcome",
        })
    }
}

/// Why a receipt proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// The note cannot be read, or no given key has signed it.
    #[error("the checkpoint: {0}")]
    Note(#[from] NoteError),
    /// The text of the note is no checkpoint.
    #[error("the checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// Only witnesses have signed: they vouch for growth, not for a log.
    #[error("the checkpoint is cosigned by witnesses only; expected the signature of the log")]
    NotByLog,
    /// A witness that was asked for has not signed.
    #[error("the checkpoint is not cosigned by the witness {witness}")]
    NotCosigned {
        /// Its key.
        witness: String,
    },
    /// A leaf is not in the log.
    #[error("the {which} leaf at {position} is not in the log: {error}")]
    NotIncluded {
        /// Which leaf.
        which: Which,
        /// Where it is said to stand.
        position: u64,
        /// What does not fit.
        error: ProofError,
    },
    /// A leaf that cannot be read.
    #[error("the {which} leaf cannot be read: {error}")]
    Leaf {
        /// Which leaf.
        which: Which,
        /// What does not fit.
        error: EntryError,
    },
    /// A leaf of another kind.
    #[error("the {which} leaf is of kind \"{found}\"; expected \"{expected}\"")]
    Kind {
        /// Which leaf.
        which: Which,
        /// Its kind.
        found: Kind,
        /// The kind that belongs there.
        expected: Kind,
    },
    /// The outcome stands before the decision.
    #[error("the outcome stands at {outcome}, not after the decision at {decision}")]
    Sequence {
        /// Position of the decision.
        decision: u64,
        /// Position of the outcome.
        outcome: u64,
    },
    /// The JWS.
    #[error("the JWS: {0}")]
    Jws(#[from] JwsError),
    /// A leaf says something else than order, header or receipt.
    #[error("the {which} leaf says {member} {found}; expected {expected}, as {source_name} says")]
    Differs {
        /// Which leaf.
        which: Which,
        /// Name of the member.
        member: &'static str,
        /// What the leaf says.
        found: String,
        /// What the other says.
        expected: String,
        /// Who says so.
        source_name: &'static str,
    },
    /// A salted digest was made from something else.
    #[error(
        "the {which} leaf's digest of {member} is not that of what was signed, under this salt: \
         leaf, salt and JWS do not belong together"
    )]
    Digest {
        /// Which leaf.
        which: Which,
        /// Name of the member.
        member: &'static str,
    },
}

/// What a receipt proves.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Verified {
    /// The payment.
    pub payment: String,
    /// Amount, in the scale of the currency.
    pub amount: String,
    /// Currency.
    pub currency: String,
    /// Name of the creditor.
    pub creditor: String,
    /// Account of the creditor, canonical.
    pub account: String,
    /// Who pays, as the caller claimed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub debtor: Option<String>,
    /// End-to-end id.
    pub end_to_end_id: String,
    /// Who issued the order.
    pub issuer: String,
    /// Who asked.
    pub caller: String,
    /// Name of the key.
    pub key: String,
    /// The version of the key that signed.
    pub kid: String,
    /// When it was accepted.
    pub accepted_at: String,
    /// When the signature went on the record.
    pub signed_at: String,
    /// Position of the decision.
    pub decision: u64,
    /// Position of the outcome.
    pub outcome: u64,
    /// The log.
    pub origin: String,
    /// Leaves of the log that the checkpoint covers.
    pub leaves: u64,
    /// Names of the given keys that signed the checkpoint.
    pub signed_by: Vec<String>,
}

/// Verifies everything that a receipt says. `keys` are those of the JWKS, `log_keys` those of the
/// log and its witnesses; those of `witnesses`, which are among them, must have cosigned.
///
/// # Errors
/// [`ReceiptError`]: the first thing that does not fit. Nothing of the receipt holds then.
pub fn verify(
    receipt: &Receipt,
    keys: &[PublicKey],
    log_keys: &[VerifierKey],
    witnesses: &[VerifierKey],
) -> Result<Verified, ReceiptError> {
    let note = Note::parse(receipt.checkpoint.as_bytes())?;
    let signed = note.verify(log_keys)?;
    let by_log = |kind| kind != SignatureKind::CosignatureV1;
    if !signed.signatures.iter().any(|by| by_log(by.key.kind())) {
        return Err(ReceiptError::NotByLog);
    }
    let cosigned = |witness: &&VerifierKey| signed.signatures.iter().any(|by| by.key == *witness);
    if let Some(witness) = witnesses.iter().find(|witness| !cosigned(witness)) {
        return Err(ReceiptError::NotCosigned { witness: witness.to_string() });
    }
    let checkpoint = Checkpoint::parse(signed.text.clone())?;
    let (decision, outcome) = (&receipt.decision, &receipt.outcome);
    let accepted = included(Which::Decision, decision, &checkpoint.head(), Kind::Accepted)?;
    let posted = included(Which::Outcome, outcome, &checkpoint.head(), Kind::Signed)?;
    if outcome.position <= decision.position {
        let (decision, outcome) = (decision.position, outcome.position);
        return Err(ReceiptError::Sequence { decision, outcome });
    }
    let order = jws::verify(&receipt.jws, keys)?;
    agrees(receipt, &order, &accepted, &posted)?;
    digests_agree(receipt, &order, &accepted, &posted)?;
    let signed_by = signed.signatures.iter().map(|by| by.key.name().to_string()).collect();
    Ok(proven(receipt, order, &posted, &checkpoint, signed_by))
}

fn included<'a>(
    which: Which,
    proven: &'a ProvenLeaf,
    head: &TreeHead,
    expected: Kind,
) -> Result<Entry<'a>, ReceiptError> {
    let (position, bytes) = (proven.position, proven.leaf.as_bytes());
    verify_inclusion(&Hash::of_leaf(bytes), position, head, &proven.proof)
        .map_err(|error| ReceiptError::NotIncluded { which, position, error })?;
    let entry = Entry::parse(bytes).map_err(|error| ReceiptError::Leaf { which, error })?;
    match entry.kind() {
        found if found == expected => Ok(entry),
        found => Err(ReceiptError::Kind { which, found, expected }),
    }
}

/// What both leaves say in the clear is what receipt, order and header say.
fn agrees(
    receipt: &Receipt,
    signed: &SignedOrder,
    accepted: &Entry<'_>,
    posted: &Entry<'_>,
) -> Result<(), ReceiptError> {
    use Which::{Decision, Outcome};
    let (order, payment) = (&signed.order, receipt.payment.to_string());
    let caller = accepted.text("caller").unwrap_or_default();
    for (which, entry, member, expected, source_name) in [
        (Decision, accepted, "payment", payment.as_str(), "the receipt"),
        (Outcome, posted, "payment", &payment, "the receipt"),
        (Decision, accepted, "payment", &order.payment_id, "the order"),
        (Decision, accepted, "at", &order.accepted_at, "the order"),
        (Decision, accepted, "expires_at", &order.expires_at, "the order"),
        (Decision, accepted, "amount", &order.payment.amount, "the order"),
        (Decision, accepted, "currency", &order.payment.currency, "the order"),
        (Decision, accepted, "key", &order.payment.key, "the order"),
        (Decision, accepted, "kid", &signed.header.kid, "the header of the JWS"),
        (Outcome, posted, "amount", &order.payment.amount, "the order"),
        (Outcome, posted, "currency", &order.payment.currency, "the order"),
        (Outcome, posted, "key", &order.payment.key, "the order"),
        (Outcome, posted, "kid", &signed.header.kid, "the header of the JWS"),
        (Outcome, posted, "caller", caller, "the decision leaf"),
    ] {
        let found = entry.text(member).unwrap_or_default();
        if found != expected {
            let (found, expected) = (excerpt(found), excerpt(expected));
            return Err(ReceiptError::Differs { which, member, found, expected, source_name });
        }
    }
    Ok(())
}

/// What both leaves hide was made from what was signed. The idempotency key is no part of the
/// order: its digest tells only the caller something.
fn digests_agree(
    receipt: &Receipt,
    signed: &SignedOrder,
    accepted: &Entry<'_>,
    posted: &Entry<'_>,
) -> Result<(), ReceiptError> {
    let payment = &signed.order.payment;
    let account = payment.creditor.account.canonical();
    let text = |text: &'_ str| Some(text.as_bytes().to_vec());
    for (which, entry, member, hidden) in [
        (Which::Decision, accepted, "order", Some(signed.bytes.clone())),
        (Which::Outcome, posted, "jws", text(&receipt.jws)),
        (Which::Decision, accepted, "creditor_name", text(&payment.creditor.name)),
        (Which::Decision, accepted, "creditor_account", text(&account)),
        (Which::Decision, accepted, "debtor", payment.debtor.as_ref().and_then(|d| text(&d.id))),
        (Which::Decision, accepted, "end_to_end_id", text(&payment.end_to_end_id)),
        (
            Which::Decision,
            accepted,
            "remittance_information",
            payment.remittance_information.as_deref().and_then(text),
        ),
    ] {
        let expected = hidden.map(|hidden| receipt.salt.digest(member, &hidden));
        if entry.text(member) != expected.as_deref() {
            return Err(ReceiptError::Digest { which, member });
        }
    }
    Ok(())
}

fn proven(
    receipt: &Receipt,
    signed: SignedOrder,
    posted: &Entry<'_>,
    checkpoint: &Checkpoint,
    signed_by: Vec<String>,
) -> Verified {
    let SignedOrder { header, order, .. } = signed;
    let payment = order.payment;
    Verified {
        payment: receipt.payment.to_string(),
        account: payment.creditor.account.canonical(),
        amount: payment.amount,
        currency: payment.currency,
        creditor: payment.creditor.name,
        debtor: payment.debtor.map(|debtor| debtor.id),
        end_to_end_id: payment.end_to_end_id,
        issuer: order.issuer,
        caller: posted.text("caller").unwrap_or_default().to_owned(),
        key: payment.key,
        kid: header.kid,
        accepted_at: order.accepted_at,
        signed_at: posted.at().to_string(),
        decision: receipt.decision.position,
        outcome: receipt.outcome.position,
        origin: checkpoint.origin().to_owned(),
        leaves: checkpoint.head().size,
        signed_by,
    }
}
