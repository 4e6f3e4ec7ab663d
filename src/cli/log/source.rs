//! Where a log is read from: the ledger of an installation, a ledger file, or an export.

use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;

use crate::config::deployment::Deployment;
use crate::domain::leaf::Leaf;
use crate::domain::ledger::PaymentRecord;
use crate::domain::payment::PaymentId;
use crate::domain::time::Timestamp;
use crate::ledger::reader::Reader;
use crate::ledger::sqlite::{Store, StoreError};
use crate::log::entry::Entry;

use super::super::Deployed;
use super::super::output::Failure;
use super::directory::Directory;

/// Most leaves that are read at a time.
const CHUNK: u32 = 4_096;

/// Which log a command is about.
#[derive(Debug, Args)]
pub(in crate::cli) struct Whence {
    /// A directory that `log export` wrote, instead of the ledger of an installation.
    #[arg(long, value_name = "DIR", conflicts_with = "ledger")]
    export: Option<PathBuf>,
    /// A ledger file, such as a backup, instead of that of an installation.
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    #[command(flatten)]
    deployed: Deployed,
}

/// A log that is open for reading. Nothing is ever written to it.
pub(in crate::cli) enum Source {
    /// A ledger, in use or not, with the rows of its payments.
    Ledger(Reader),
    /// An export: leaves, tiles and a checkpoint, and no payments.
    Export(Directory),
}

impl Source {
    pub(in crate::cli) fn open(whence: &Whence) -> Result<Self, Failure> {
        if let Some(path) = &whence.export {
            return Directory::open(path).map(Self::Export);
        }
        let path = match &whence.ledger {
            Some(path) => path.clone(),
            None => {
                let deployment =
                    Deployment::load(&whence.deployed.config).map_err(Failure::broken)?;
                let path = deployment.ledger();
                Store::examine(&path, &deployment.issuer).map_err(Failure::broken)?;
                path
            }
        };
        Reader::open(&path).map(Self::Ledger).map_err(Failure::broken)
    }

    /// Number of leaves at this moment.
    pub(in crate::cli) fn size(&self) -> Result<u64, Failure> {
        match self {
            Self::Ledger(reader) => reader.log_size().map_err(Failure::broken),
            Self::Export(directory) => Ok(directory.size()),
        }
    }

    /// The ledger, where there is one.
    pub(in crate::cli) fn reader(&self) -> Option<&Reader> {
        match self {
            Self::Ledger(reader) => Some(reader),
            Self::Export(_) => None,
        }
    }

    /// The row of a payment, where there are rows.
    pub(in crate::cli) fn row(&self, id: PaymentId) -> Result<Option<PaymentRecord>, Failure> {
        match self.reader() {
            Some(reader) => reader.payment(id).map_err(Failure::broken),
            None => Ok(None),
        }
    }

    /// One leaf of a log of `size`, if it has that many.
    pub(in crate::cli) fn leaf(&self, position: u64, size: u64) -> Result<Option<Leaf>, Failure> {
        if position >= size {
            return Ok(None);
        }
        let leaf = self.chunk(position, 1)?.into_iter().next();
        Ok(leaf.map(Leaf::from_stored))
    }

    /// Leaves from a position on: one at least, if there is one before `size`.
    fn chunk(&self, from: u64, most: u32) -> Result<Vec<String>, Failure> {
        match self {
            Self::Ledger(reader) => {
                let leaves = reader.leaves(from, most).map_err(unread)?;
                Ok(leaves.iter().map(|leaf| leaf.as_str().to_owned()).collect())
            }
            Self::Export(directory) => directory.leaves(from),
        }
    }

    /// Goes through the leaves from one position up to another, until `each` breaks.
    pub(in crate::cli) fn walk(
        &self,
        from: u64,
        to: u64,
        mut each: impl FnMut(u64, &str) -> Result<ControlFlow<()>, Failure>,
    ) -> Result<(), Failure> {
        let mut position = from;
        while position < to {
            let most = u32::try_from(to - position).unwrap_or(CHUNK).min(CHUNK);
            let chunk = self.chunk(position, most)?;
            if chunk.is_empty() {
                return Err(Failure::alarm(format!(
                    "found no leaf {position} in a log of {to}; its end was cut off meanwhile: \
                     restore it from a backup"
                )));
            }
            for text in chunk.iter().take(usize::try_from(to - position).unwrap_or(usize::MAX)) {
                if each(position, text)?.is_break() {
                    return Ok(());
                }
                position += 1;
            }
        }
        Ok(())
    }

    /// The first of `size` leaves that is not older than an instant: times never decrease.
    pub(in crate::cli) fn first_since(&self, since: Timestamp, size: u64) -> Result<u64, Failure> {
        let (mut low, mut high) = (0, size);
        while low < high {
            let middle = low + (high - low) / 2;
            let chunk = self.chunk(middle, 1)?;
            let text = chunk.first().map(String::as_str).unwrap_or_default();
            match read(middle, text)?.at() < since {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        Ok(low)
    }
}

/// A row that is missing or cannot be read was changed; a disk that fails is only broken.
pub(in crate::cli) fn unread(refused: StoreError) -> Failure {
    match refused {
        StoreError::Row(_) => Failure::alarm(refused),
        other => Failure::broken(other),
    }
}

/// Reads a leaf whose position is known.
pub(in crate::cli) fn read(position: u64, text: &str) -> Result<Entry<'_>, Failure> {
    Entry::parse(text.as_bytes()).map_err(|refused| {
        Failure::broken(format!(
            "leaf {position} of the log cannot be read: {refused}; `countersign log verify` tells \
             whether it was changed"
        ))
    })
}

/// Reads an instant, or a day for its first instant in UTC.
pub(in crate::cli) fn instant(text: &str) -> Result<Timestamp, String> {
    let whole = match text.len() {
        10 => format!("{text}T00:00:00Z"),
        _ => text.to_owned(),
    };
    Timestamp::parse("instant", &whole).map_err(|_| {
        format!("found {text}; expected 2026-12-01 or 2026-12-01T12:00:00Z, both in UTC")
    })
}
