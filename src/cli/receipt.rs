//! `countersign receipt`: one payment, checked offline by whoever was given it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Subcommand;

use crate::log::note::{KeyError, SignatureKind, VerifierKey};
use crate::log::receipt::{self, RECEIPT_BYTES_MAX, Receipt, Verified};

use super::output::{Exit, Failure, Output};

/// Longest key set that is read, in bytes: thousands of keys.
const KEY_SET_BYTES_MAX: usize = 1024 * 1024;

#[derive(Debug, Subcommand)]
pub(super) enum ReceiptCommand {
    /// Check a receipt with public keys alone: no daemon and no ledger is asked.
    Verify {
        /// The receipt; - for standard input.
        file: PathBuf,
        /// The key set of the issuer, as it stands at /.well-known/jwks.json.
        #[arg(long, value_name = "FILE")]
        jwks: PathBuf,
        /// The log's key, name+id+base64; may be repeated, for witnesses too.
        #[arg(long = "key", value_name = "VKEY", required = true)]
        keys: Vec<VerifierKey>,
        /// The key of a witness that must have cosigned; may be repeated.
        #[arg(long = "witness", value_name = "VKEY", value_parser = witness_key)]
        witnesses: Vec<VerifierKey>,
    },
}

/// Reads the key of a witness.
pub(super) fn witness_key(text: &str) -> Result<VerifierKey, String> {
    let key: VerifierKey = text.parse().map_err(|refused: KeyError| refused.to_string())?;
    match key.kind() {
        SignatureKind::CosignatureV1 => Ok(key),
        _ => Err("it is the key of a log; expected that of a witness, of type 0x04".to_owned()),
    }
}

/// All keys once: a key that is known twice would be ambiguous.
pub(super) fn all_keys(keys: &[VerifierKey], witnesses: &[VerifierKey]) -> Vec<VerifierKey> {
    let mut all: Vec<VerifierKey> = Vec::new();
    for key in keys.iter().chain(witnesses) {
        if !all.contains(key) {
            all.push(key.clone());
        }
    }
    all
}

pub(super) fn run(command: &ReceiptCommand, output: &Output) -> Result<Exit, Failure> {
    let ReceiptCommand::Verify { file, jwks, keys, witnesses } = command;
    let keys = all_keys(keys, witnesses);
    let key_set = read(jwks, KEY_SET_BYTES_MAX)?;
    let key_set = receipt::public_keys(&key_set)
        .map_err(|refused| Failure::broken(format!("{}: {refused}", jwks.display())))?;
    let not_proven =
        |refused: String| Failure::alarm(format!("{} proves nothing: {refused}", file.display()));
    let receipt = Receipt::parse(&read(file, RECEIPT_BYTES_MAX)?)
        .map_err(|refused| not_proven(refused.to_string()))?;
    let verified = receipt::verify(&receipt, &key_set, &keys, witnesses)
        .map_err(|refused| not_proven(refused.to_string()))?;
    output.show(&verified, |verified| told(verified, output))?;
    Ok(Exit::Done)
}

/// Reads a file, and one byte too many so that its length is refused where it is parsed.
fn read(path: &Path, bytes_max: usize) -> Result<Vec<u8>, Failure> {
    let most = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    let read = match path.as_os_str() == "-" {
        true => std::io::stdin().take(most).read_to_end(&mut bytes),
        false => File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes)),
    };
    read.map_err(|e| Failure::broken(format!("cannot read {}: {e}", path.display())))?;
    Ok(bytes)
}

fn told(verified: &Verified, output: &Output) -> String {
    let Verified { amount, currency, creditor, end_to_end_id, .. } = verified;
    let decided = format!("{}, leaf {}", verified.accepted_at, verified.decision);
    let signed = format!("{}, leaf {}", verified.signed_at, verified.outcome);
    let log = format!("{}, {} leaves", verified.origin, verified.leaves);
    let rows = [
        ("payment", verified.payment.as_str()),
        ("account", &verified.account),
        ("debtor", verified.debtor.as_deref().unwrap_or_default()),
        ("asked by", &verified.caller),
        ("issuer", &verified.issuer),
        ("accepted", &decided),
        ("signed", &signed),
        ("key", &verified.key),
        ("key version", &verified.kid),
        ("log", &log),
        ("vouched by", &verified.signed_by.join(", ")),
    ];
    let rows = rows.into_iter().filter(|(_, value)| !value.is_empty());
    let heading = format!(
        "{}  {} {currency} to {creditor} ({end_to_end_id})",
        output.good("verified"),
        output.strong(amount)
    );
    let rows =
        rows.map(|(name, value)| format!("  {}  {value}", output.faint(&format!("{name:<11}"))));
    [heading].into_iter().chain(rows).collect::<Vec<_>>().join("\n")
}
