//! How much of a log witnesses have cosigned.

use crate::log::checkpoint::Checkpoint;
use crate::log::note::{Note, VerifierKey};

use super::{Fault, Finding};

/// What one witness has cosigned.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Cosigned {
    /// The witness's name.
    pub witness: String,
    /// Leaves of the largest checkpoint that it has cosigned.
    pub leaves: u64,
}

/// The largest checkpoint that each witness has cosigned, among notes that the log has signed.
///
/// # Errors
/// [`Finding::NotCosigned`]: a witness has cosigned none of them.
pub fn cosigned(notes: &[String], witnesses: &[VerifierKey]) -> Result<Vec<Cosigned>, Fault> {
    let of = |witness: &VerifierKey| {
        let sizes = notes.iter().filter_map(|note| size(note, witness));
        let none = || Finding::NotCosigned { witness: witness.to_string() };
        let leaves = sizes.max().ok_or_else(|| Fault::of_log(none()))?;
        Ok(Cosigned { witness: witness.name().to_string(), leaves })
    };
    witnesses.iter().map(of).collect()
}

fn size(note: &str, witness: &VerifierKey) -> Option<u64> {
    let note = Note::parse(note.as_bytes()).ok()?;
    let signed = note.verify(std::slice::from_ref(witness)).ok()?;
    Checkpoint::parse(signed.text.clone()).ok().map(|checkpoint| checkpoint.head().size)
}
