//! What a ledger was made with and never changes by editing a file: keys, their purposes, the
//! decimals of their currencies.

use std::collections::BTreeSet;

use rusqlite::params;

use sha2::{Digest, Sha256};

use crate::domain::caller::{CallerId, Namespace};
use crate::domain::key::{KeyId, PublicKey, Purpose};
use crate::domain::money::Currency;
use crate::domain::party::Account;
use crate::domain::policy::{Listed, Policy};
use crate::domain::time::Timestamp;

use super::super::OpenError;
use super::{Store, none_if_no_rows};

impl Store {
    /// Binds all or nothing: a start that is refused leaves no binding behind.
    ///
    /// # Errors
    /// Those of `bind`, or [`OpenError::Sqlite`].
    pub fn all_or_nothing(
        &mut self,
        bind: impl FnOnce(&mut Self) -> Result<(), OpenError>,
    ) -> Result<(), OpenError> {
        self.execute("BEGIN IMMEDIATE")?;
        match bind(self) {
            Ok(()) => self.execute("COMMIT"),
            Err(refused) => {
                // What was refused is what matters; the transaction ends with the connection.
                drop(self.execute("ROLLBACK"));
                Err(refused)
            }
        }
    }

    fn execute(&mut self, statement: &str) -> Result<(), OpenError> {
        let path = self.path.clone();
        let connection = self.connection().map_err(|_| OpenError::Missing(path.clone()))?;
        connection.execute_batch(statement).map_err(|source| OpenError::Sqlite { path, source })
    }

    /// Records whose debtors a caller names, or confirms that it is recorded so.
    ///
    /// # Errors
    /// [`OpenError::Mismatch`] if the ledger knows the caller with another namespace.
    pub fn bind_namespace(
        &mut self,
        caller: &CallerId,
        namespace: &Namespace,
    ) -> Result<(), OpenError> {
        let path = self.path.clone();
        let sqlite = |source| OpenError::Sqlite { path: path.clone(), source };
        let connection = self.connection().map_err(|_| OpenError::Missing(path.clone()))?;
        let insert = "INSERT INTO caller_namespace (caller, namespace) VALUES (?1, ?2) \
                      ON CONFLICT DO NOTHING";
        connection.execute(insert, params![caller.as_str(), namespace.as_str()]).map_err(sqlite)?;
        let select = "SELECT namespace FROM caller_namespace WHERE caller = ?1";
        let recorded: String =
            connection.query_row(select, [caller.as_str()], |row| row.get(0)).map_err(sqlite)?;
        if recorded == namespace.as_str() {
            return Ok(());
        }
        Err(OpenError::Mismatch {
            what: format!("whose debtors \"{caller}\" names"),
            recorded,
            configured: namespace.to_string(),
            mend: "put the recorded one back; the sums of its debtors would start from zero",
        })
    }

    /// Records when the creditors of a policy were first listed, and tells the policy.
    ///
    /// # Errors
    /// [`OpenError::Sqlite`].
    pub fn date_creditors(&mut self, now: Timestamp, policy: &mut Policy) -> Result<(), OpenError> {
        // A clock that was set back must not make a listing older than the newest record.
        let now = now.max(self.mark.newest);
        let path = self.path.clone();
        let sqlite = |source| OpenError::Sqlite { path: path.clone(), source };
        let connection = self.connection().map_err(|_| OpenError::Missing(path.clone()))?;
        // An account that was taken off and is listed again waits again.
        let listed: BTreeSet<(String, Vec<u8>)> = policy
            .keys
            .iter()
            .flat_map(|(key, settings)| {
                let accounts = settings.creditors.allow.iter().flatten();
                accounts.map(|(account, _)| (key.to_string(), digest(account).to_vec()))
            })
            .collect();
        let recorded: Vec<(String, Vec<u8>)> = connection
            .prepare("SELECT key, account FROM creditor_listed")
            .and_then(|mut all| all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
            .map_err(sqlite)?;
        for gone in recorded.iter().filter(|row| !listed.contains(row)) {
            let delete = "DELETE FROM creditor_listed WHERE key = ?1 AND account = ?2";
            connection.execute(delete, params![gone.0, gone.1]).map_err(sqlite)?;
        }
        for (key, settings) in &mut policy.keys {
            for (account, listed) in settings.creditors.allow.iter_mut().flatten() {
                let digest = digest(account);
                let insert = "INSERT INTO creditor_listed (key, account, listed_at) \
                              VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
                connection
                    .execute(insert, params![key.as_str(), digest.as_slice(), now.unix_ms()])
                    .map_err(sqlite)?;
                let select = "SELECT listed_at FROM creditor_listed \
                              WHERE key = ?1 AND account = ?2";
                let at = connection
                    .query_row(select, params![key.as_str(), digest.as_slice()], |row| row.get(0))
                    .map_err(sqlite)?;
                *listed = Listed::At(Timestamp::from_unix_ms(at));
            }
        }
        Ok(())
    }

    /// Records what a key is for, or confirms that it is for what is recorded: sums of one currency
    /// never go on as those of another, and one key has one purpose (P6).
    ///
    /// # Errors
    /// [`OpenError::Mismatch`] if the ledger knows the key with another purpose or currency.
    pub fn bind_purpose(
        &mut self,
        key: &KeyId,
        purpose: Purpose,
        currency: Option<Currency>,
    ) -> Result<(), OpenError> {
        let path = self.path.clone();
        let sqlite = |source| OpenError::Sqlite { path: path.clone(), source };
        let connection = self.connection().map_err(|_| OpenError::Missing(path.clone()))?;
        let currency = currency.map(Currency::code).unwrap_or_default();
        let configured = format!("{} {currency}", purpose.name());
        let insert = "INSERT INTO key (name, purpose) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        connection.execute(insert, params![key.as_str(), configured]).map_err(sqlite)?;
        let select = "SELECT purpose FROM key WHERE name = ?1";
        let recorded: String =
            connection.query_row(select, [key.as_str()], |row| row.get(0)).map_err(sqlite)?;
        if recorded == configured {
            return Ok(());
        }
        Err(OpenError::Mismatch {
            what: format!("purpose and currency of \"{key}\""),
            recorded,
            configured,
            mend: "put the recorded ones back; another purpose or currency needs another key",
        })
    }

    /// Records the public key that signs under a name, or confirms that it is the recorded one.
    ///
    /// # Errors
    /// [`OpenError::Mismatch`] if the ledger knows the name with another key: changing the version
    /// of a key is a rotation and never happens by editing a file.
    pub fn bind_key(
        &mut self,
        now: Timestamp,
        key: &KeyId,
        public: &PublicKey,
    ) -> Result<(), OpenError> {
        let path = self.path.clone();
        let sqlite = |source| OpenError::Sqlite { path: path.clone(), source };
        let connection = self.connection().map_err(|_| OpenError::Missing(path.clone()))?;
        let recorded: Option<String> = connection
            .query_row("SELECT kid FROM key_version WHERE key = ?1", [key.as_str()], |r| r.get(0))
            .map(Some)
            .or_else(none_if_no_rows)
            .map_err(sqlite)?;
        match recorded {
            Some(kid) if kid == public.kid().as_str() => Ok(()),
            Some(kid) => Err(OpenError::Mismatch {
                what: format!("the public key of \"{key}\""),
                recorded: kid,
                configured: public.kid().to_string(),
                mend: "put the recorded thumbprint back; a new version of a key needs a rotation",
            }),
            None => connection
                .execute(
                    "INSERT INTO key_version (kid, key, algorithm, point, recorded_at) \
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![
                        public.kid().as_str(),
                        key.as_str(),
                        public.algorithm().name(),
                        public.as_bytes(),
                        now.unix_ms()
                    ],
                )
                .map(|_| ())
                .map_err(sqlite),
        }
    }

    /// Records the exponent of a currency in use, or confirms that it is the recorded one.
    ///
    /// # Errors
    /// [`OpenError::Mismatch`] if this release counts the currency in another minor unit.
    pub fn bind_currency(&mut self, currency: Currency) -> Result<(), OpenError> {
        let path = self.path.clone();
        let sqlite = |source| OpenError::Sqlite { path: path.clone(), source };
        let connection = self.connection().map_err(|_| OpenError::Missing(path.clone()))?;
        let exponent = i64::from(currency.exponent());
        let insert = "INSERT INTO currency (code, exponent) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        connection.execute(insert, params![currency.code(), exponent]).map_err(sqlite)?;
        let select = "SELECT exponent FROM currency WHERE code = ?1";
        let recorded: i64 =
            connection.query_row(select, [currency.code()], |row| row.get(0)).map_err(sqlite)?;
        if recorded == exponent {
            return Ok(());
        }
        Err(OpenError::Mismatch {
            what: format!("the decimals of {currency}"),
            recorded: recorded.to_string(),
            configured: exponent.to_string(),
            mend: "run the release that wrote this ledger; amounts would be misread",
        })
    }
}

fn digest(account: &Account) -> [u8; 32] {
    Sha256::digest(account.to_string()).into()
}
