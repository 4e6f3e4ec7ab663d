//! What the witnesses have seen of this log.

use crate::config::deployment::{Deployment, WitnessEntry};
use crate::http::witness::WitnessClient;
use crate::ledger::reader::Reader;
use crate::pipeline::witnesses::start;

use super::Examination;

/// Asks each witness; nothing is changed there.
pub(super) fn look(examination: &mut Examination, deployment: &Deployment) {
    // That the ledger cannot be read has been noted.
    let Ok(reader) = Reader::open(&deployment.ledger()) else { return };
    for entry in &deployment.witnesses {
        examination.note(&format!("witness {}", entry.name), seen(entry, &reader));
    }
}

fn seen(entry: &WitnessEntry, reader: &Reader) -> Result<String, String> {
    let witness = WitnessClient::witness(entry).map_err(|refused| refused.to_string())?;
    let newest = || reader.newest_checkpoint().map_err(|refused| refused.to_string());
    let Some(checkpoint) = newest()? else {
        return Ok(format!("{} is asked once there is a checkpoint", entry.url));
    };
    let seen = start::seen(&witness, &checkpoint.note).map_err(|refused| refused.to_string())?;
    // A daemon that runs may have made a newer one meanwhile.
    let signed = newest()?.map_or(0, |checkpoint| checkpoint.size);
    let behind = signed.saturating_sub(seen);
    match (seen > signed, behind) {
        (true, _) => Err(format!(
            "has seen {seen} leaves of this log, and our newest checkpoint covers {signed}: the \
             ledger was restored or rolled back; put back a copy with at least that many leaves"
        )),
        (false, 0) => Ok(format!("has seen all {signed} leaves that are signed")),
        (false, _) => Ok(format!(
            "has seen {seen} leaves and is {behind} behind; a daemon that runs submits them"
        )),
    }
}
