//! Reading without disturbing the writer: read-only connections for everything that is not a
//! decision.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags};

use crate::domain::caller::CallerId;
use crate::domain::counter::{Counter, CounterId};
use crate::domain::credit::Mark;
use crate::domain::key::{Algorithm, KeyId, Kid, PublicKey, Purpose};
use crate::domain::leaf::Leaf;
use crate::domain::ledger::{ClosedPayment, Closing, PaymentRecord, WorkingSet};
use crate::domain::payment::{Payment, PaymentId};
use crate::domain::people::People;
use crate::domain::policy::Policy;
use crate::domain::time::Timestamp;

use super::OpenError;
use super::sqlite::{
    StoreError, StoredArchive, StoredCheckpoint, Stub, audit, closing, cosigned, deliveries,
    leaves, open, payments, snapshot,
};

use super::{DeadLetter, Progress};

pub use super::sqlite::cosigned::StoredCosigned;
pub use super::sqlite::open::Due;
pub use super::sqlite::{PaymentWithLeaves, Spent, Standing};

mod asked;

/// Most idle connections that are kept.
const IDLE_MAX: usize = 16;
/// Longest that a reader waits for a lock, which in WAL mode only recovery takes.
const BUSY_MS_MAX: u64 = 1_000;

/// A key version on the record.
#[derive(Debug, Clone)]
pub struct KeyVersion {
    /// Name of the key.
    pub key: KeyId,
    /// What the key is for.
    pub purpose: Purpose,
    /// The public key.
    pub public: PublicKey,
    /// When it was recorded.
    pub recorded_at: Timestamp,
}

/// Read-only access to a ledger.
pub struct Reader {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Reader {
    /// Opens the first connection, so that a wrong path is found out at once.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        if !path.exists() {
            return Err(OpenError::Missing(path.to_owned()));
        }
        let first =
            connect(path).map_err(|source| OpenError::Sqlite { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), idle: Mutex::new(vec![first]) })
    }

    /// One payment.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn payment(&self, id: PaymentId) -> Result<Option<PaymentRecord>, StoreError> {
        self.with(|connection| payments::by_id(connection, id))
    }

    /// What is left of a payment whose row is gone.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn closed(&self, id: PaymentId) -> Result<Option<ClosedPayment>, StoreError> {
        self.with(|connection| closing::by_id(connection, id))
    }

    /// The stub of a payment whose row is gone.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn stub(&self, id: PaymentId) -> Result<Option<Stub>, StoreError> {
        self.with(|connection| closing::stub_by_id(connection, id))
    }

    /// Payments that were final before an instant and have their rows, oldest first, until `each`
    /// breaks.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn due(
        &self,
        before: Timestamp,
        mut each: impl FnMut(Closing) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.with(|connection| closing::due(connection, before, |payment| Ok(each(payment))))
    }

    /// What is left of payments whose rows are gone, in the order of their decisions, from a
    /// position in the log on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn stubs(&self, from: u64, most: usize) -> Result<Vec<Stub>, StoreError> {
        self.with(|connection| closing::stubs(connection, from, most))
    }

    /// How many payments have given up their rows.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn count_closed(&self) -> Result<u64, StoreError> {
        self.with(closing::count)
    }

    /// Archives on the record, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn archives(&self) -> Result<Vec<StoredArchive>, StoreError> {
        self.with(closing::archives)
    }

    /// Payments in the order in which they were decided upon, after the row of one of them; 0 for
    /// the first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn history(
        &self,
        after: i64,
        most: usize,
    ) -> Result<Vec<(i64, PaymentRecord)>, StoreError> {
        self.with(|connection| payments::history(connection, after, most))
    }

    /// Payments in doubt that a key version may still sign, oldest first, at most `most`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn in_doubt(
        &self,
        now: Timestamp,
        kid: &Kid,
        most: u32,
    ) -> Result<Vec<PaymentId>, StoreError> {
        self.with(|connection| open::in_doubt(connection, now, kid, most))
    }

    /// What the ledger remembers of its clock.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn mark(&self) -> Result<Mark, StoreError> {
        self.with(|connection| Ok(super::sqlite::clock::mark(connection)?))
    }

    /// How many payments are in doubt.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn count_in_doubt(&self) -> Result<u32, StoreError> {
        self.with(open::count_in_doubt)
    }

    /// The rows that the judgement of a new payment names, at an instant; for dry runs and
    /// explanations.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn working_set(
        &self,
        now: Timestamp,
        policy: &Policy,
        people: &dyn People,
        caller: &CallerId,
        payment: &Payment,
    ) -> Result<WorkingSet, StoreError> {
        self.with(|connection| {
            snapshot::of_payment(connection, now, policy, people, caller, payment)
        })
    }

    /// A counter at an instant.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn counter(
        &self,
        now: Timestamp,
        policy: &Policy,
        id: &CounterId,
    ) -> Result<Counter, StoreError> {
        self.with(|connection| snapshot::counter(connection, now, policy, id))
    }

    /// Every key version on the record, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn key_versions(&self) -> Result<Vec<KeyVersion>, StoreError> {
        self.with(|connection| {
            let select = "SELECT key, algorithm, point, recorded_at, purpose FROM key_version \
                          JOIN key ON key.name = key_version.key ORDER BY recorded_at, kid";
            let mut statement = connection.prepare_cached(select)?;
            let mut rows = statement.query([])?;
            let mut versions = Vec::new();
            let parsed = |e: crate::domain::text::Malformed| StoreError::Row(e.to_string());
            while let Some(row) = rows.next()? {
                let algorithm: String = row.get(1)?;
                let algorithm = Algorithm::parse("algorithm", &algorithm).map_err(parsed)?;
                let point: Vec<u8> = row.get(2)?;
                // Purpose and currency stand in one text; the purpose is its first word.
                let purpose: String = row.get(4)?;
                let purpose = purpose.split(' ').next().unwrap_or_default();
                versions.push(KeyVersion {
                    key: KeyId::parse("key", &row.get::<_, String>(0)?).map_err(parsed)?,
                    purpose: Purpose::parse("purpose", purpose).map_err(parsed)?,
                    public: PublicKey::from_bytes(algorithm, &point).map_err(parsed)?,
                    recorded_at: Timestamp::from_unix_ms(row.get(3)?),
                });
            }
            Ok(versions)
        })
    }

    /// Number of leaves in the log.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn log_size(&self) -> Result<u64, StoreError> {
        self.with(leaves::size)
    }

    /// Leaves of the log from a position on, at most so many.
    ///
    /// # Errors
    /// [`StoreError`]; a gap is one.
    pub fn leaves(&self, from: u64, most: u32) -> Result<Vec<Leaf>, StoreError> {
        self.with(|connection| leaves::read(connection, from, most))
    }

    /// A complete tile of the log's hashes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn tile(&self, level: u32, number: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|connection| leaves::tile(connection, level, number))
    }

    /// The newest checkpoint of the log.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn newest_checkpoint(&self) -> Result<Option<StoredCheckpoint>, StoreError> {
        self.with(leaves::newest_checkpoint)
    }

    /// The newest checkpoint of each witness.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn cosigned(&self) -> Result<Vec<StoredCosigned>, StoreError> {
        self.with(cosigned::all)
    }

    /// Checkpoints of the log, newest first, at most so many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn checkpoints(&self, most: u32) -> Result<Vec<StoredCheckpoint>, StoreError> {
        self.with(|connection| leaves::checkpoints(connection, most))
    }

    /// How the log stands, and what the ledger has counted, at one instant.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn standing(&self) -> Result<Standing, StoreError> {
        self.with(audit::standing)
    }

    /// Payments in the order of [`Reader::history`], each with the leaves that stand where it says.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn history_with_leaves(
        &self,
        after: i64,
        most: usize,
    ) -> Result<Vec<PaymentWithLeaves>, StoreError> {
        self.with(|connection| audit::history_with_leaves(connection, after, most))
    }

    /// How far every route was told, also those that are configured no more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn progress(&self) -> Result<Vec<Progress>, StoreError> {
        self.with(deliveries::progress)
    }

    /// Dead letters in the order of routes and events, at most so many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn dead_letters(&self, most: u32) -> Result<Vec<DeadLetter>, StoreError> {
        self.with(|connection| deliveries::dead_letters(connection, most))
    }

    /// A dead letter of a route, by the position of its leaf.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn dead_letter(
        &self,
        route: &str,
        position: u64,
    ) -> Result<Option<DeadLetter>, StoreError> {
        self.with(|connection| deliveries::dead_letter(connection, route, position))
    }

    /// The oldest dead letter of a route that is to be tried once more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn to_try_again(&self, route: &str) -> Result<Option<DeadLetter>, StoreError> {
        self.with(|connection| deliveries::to_try_again(connection, route))
    }

    /// How many dead letters a route has.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn count_dead(&self, route: &str) -> Result<u64, StoreError> {
        self.with(|connection| deliveries::count_dead(connection, route))
    }

    fn with<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connect(&self.path)?,
        };
        let answer = read(&connection);
        // A connection that failed is not used again.
        if answer.is_ok() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < IDLE_MAX {
                idle.push(connection);
            }
        }
        answer
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(std::time::Duration::from_millis(BUSY_MS_MAX))?;
    Ok(connection)
}
