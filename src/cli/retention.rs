//! `countersign retention`: how long payments stay, what is due, and what has gone.

use std::ops::ControlFlow;

use crate::clock::Clock;
use crate::config::deployment::Deployment;
use crate::domain::credit::credit;
use crate::domain::time::{Duration, Timestamp};
use crate::ledger::reader::Reader;
use crate::ledger::sqlite::{Store, StoredArchive};

use super::Deployed;
use super::output::{Exit, Failure, Output, grouped};

pub(super) fn run(deployed: &Deployed, output: &Output) -> Result<Exit, Failure> {
    let deployment = Deployment::load(&deployed.config).map_err(Failure::broken)?;
    let ledger = deployment.ledger();
    Store::examine(&ledger, &deployment.issuer).map_err(Failure::broken)?;
    let reader = Reader::open(&ledger).map_err(Failure::broken)?;
    let mark = reader.mark().map_err(Failure::broken)?;
    let now = credit(&mark, &Clock::system().read()).map_or(mark.newest, |(now, _)| now);
    let keeping = deployment.keeping;
    let of = |after: Option<Duration>| after.map(|after| due(&reader, now, after)).transpose();
    let (erase, archive) = (of(keeping.retention)?, of(keeping.archive_after)?);
    let closed = reader.count_closed().map_err(Failure::broken)?;
    let archives = reader.archives().map_err(Failure::broken)?;
    let old = |archive: &StoredArchive| {
        keeping.retention.is_some_and(|retention| archive.made_at.plus(retention) <= now)
    };
    let told = serde_json::json!({
        "retention": keeping.retention.map(|after| after.to_string()),
        "due_to_be_erased": erase.map(|due| due.to_string()),
        "archive_after": keeping.archive_after.map(|after| after.to_string()),
        "due_to_be_archived": archive.map(|due| due.to_string()),
        "closed": closed.to_string(),
        "archives": archives.iter().map(|archive| serde_json::json!({
            "archive": archive.number.to_string(),
            "file": archive.file,
            "payments": archive.payments.to_string(),
            "made_at": archive.made_at.to_string(),
            "older_than_retention": old(archive),
        })).collect::<Vec<_>>(),
    });
    output.show(&told, |_| {
        let line = |name: &str, after: Option<Duration>, due: Option<u64>, done: &str| match after {
            Some(after) => {
                format!("{name}  after {after}; {} payments are due", grouped(due.unwrap_or(0)))
            }
            None => format!("{name}  nothing is {done}: the deployment file does not say when"),
        };
        let mut lines = vec![
            line("erase  ", keeping.retention, erase, "erased"),
            line("archive", keeping.archive_after, archive, "archived"),
            format!("gone     {} payments are in no row any more", grouped(closed)),
        ];
        for archive in &archives {
            let payments = grouped(archive.payments);
            let mut told = format!(
                "archive {}  {payments} payments, {}, {}",
                archive.number, archive.made_at, archive.file
            );
            if old(archive) {
                told.push_str(&output.warning("  older than retention: delete the file"));
            }
            lines.push(told);
        }
        lines.join("\n")
    })?;
    Ok(Exit::Done)
}

/// How many payments have been final for so long and still have their rows.
fn due(reader: &Reader, now: Timestamp, after: Duration) -> Result<u64, Failure> {
    let mut due: u64 = 0;
    let counted = reader.due(now.minus(after), |_| {
        due = due.saturating_add(1);
        ControlFlow::Continue(())
    });
    counted.map_err(Failure::broken).map(|()| due)
}
