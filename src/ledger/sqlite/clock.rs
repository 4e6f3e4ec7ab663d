//! What the ledger remembers of its clock.

use rusqlite::{Connection, params};

use crate::domain::credit::{Base, Mark, Reading, credited_by_hand};
use crate::domain::time::Timestamp;

use super::super::OpenError;
use super::Store;

/// Reads the mark.
pub(crate) fn mark(connection: &Connection) -> rusqlite::Result<Mark> {
    let select =
        "SELECT newest_unix_ms, boot, base_unix_ms, base_boot_ms, before_unix_ms FROM clock";
    connection.query_row(select, [], |row| {
        let base = match row.get::<_, Option<String>>(1)? {
            None => None,
            Some(boot) => {
                let wall = Timestamp::from_unix_ms(row.get(2)?);
                let reading = Reading { wall, boot, since_boot_ms: row.get(3)? };
                Some(Base { reading, before: Timestamp::from_unix_ms(row.get(4)?) })
            }
        };
        Ok(Mark { newest: Timestamp::from_unix_ms(row.get(0)?), base })
    })
}

/// Writes the mark.
pub(super) fn store(connection: &Connection, mark: &Mark) -> rusqlite::Result<()> {
    let base = mark.base.as_ref();
    let update = "UPDATE clock SET newest_unix_ms = ?1, boot = ?2, base_unix_ms = ?3, \
                  base_boot_ms = ?4, before_unix_ms = ?5";
    connection
        .prepare_cached(update)?
        .execute(params![
            mark.newest.unix_ms(),
            base.map(|base| &base.reading.boot),
            base.map(|base| base.reading.wall.unix_ms()),
            base.map(|base| base.reading.since_boot_ms),
            base.map(|base| base.before.unix_ms()),
        ])
        .map(drop)
}

impl Store {
    /// Believes the clock from now on, because a person says that it is right.
    ///
    /// # Errors
    /// [`OpenError::Clock`] if it is behind the newest record, [`OpenError::Sqlite`].
    pub fn credit_by_hand(&mut self, reading: &Reading) -> Result<(), OpenError> {
        let path = self.path.clone();
        let mark = credited_by_hand(&self.mark, reading).map_err(OpenError::Clock)?;
        let connection = self.connection().map_err(|_| OpenError::Missing(path.clone()))?;
        store(connection, &mark).map_err(|source| OpenError::Sqlite { path, source })?;
        self.mark = mark;
        Ok(())
    }
}
