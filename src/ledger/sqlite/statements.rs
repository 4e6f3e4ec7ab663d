//! Rows of statements, evidence and signature counters.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::domain::credential::{CredentialId, CredentialKind};
use crate::domain::ledger::{Evidence, StatementRow, WorkingSet};
use crate::domain::statement::{Statement, StatementDigest};
use crate::domain::subject::Subject;
use crate::domain::text::Malformed;
use crate::domain::time::Timestamp;

use super::StoreError;
use super::leaves::{position, stored_position};

const COLUMNS: &str =
    "digest, subject, bytes, issued_at, kind, credential, evidence, given_at, leaf";

/// The subject of a statement, if it was ever issued.
pub(super) fn subject_of(
    connection: &Connection,
    digest: &StatementDigest,
) -> Result<Option<Subject>, StoreError> {
    let select = "SELECT subject FROM statement WHERE digest = ?1";
    let found: Option<String> = connection
        .prepare_cached(select)?
        .query_row([digest.as_bytes().as_slice()], |row| row.get(0))
        .optional()?;
    found.map(|subject| Subject::parse("subject", &subject).map_err(malformed)).transpose()
}

/// All statements about a subject.
pub(crate) fn on(
    connection: &Connection,
    subject: Subject,
) -> Result<Vec<(StatementDigest, StatementRow)>, StoreError> {
    let select = format!("SELECT {COLUMNS} FROM statement WHERE subject = ?1 ORDER BY digest");
    let mut statement = connection.prepare_cached(&select)?;
    let mut rows = statement.query([subject.to_string()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// The signature counter of a credential, as it was last told.
pub(crate) fn counter(
    connection: &Connection,
    credential: &CredentialId,
) -> Result<Option<u32>, StoreError> {
    let select = "SELECT counter FROM credential_use WHERE credential = ?1";
    Ok(connection
        .prepare_cached(select)?
        .query_row([credential.as_bytes()], |row| row.get(0))
        .optional()?)
}

fn read(row: &Row<'_>) -> Result<(StatementDigest, StatementRow), StoreError> {
    let digest = StatementDigest::from_bytes(row.get("digest")?);
    let wrong = |found: String| StoreError::Row(format!("the statement {digest}: {found}"));
    let subject: String = row.get("subject")?;
    let bytes: Vec<u8> = row.get("bytes")?;
    let statement = Statement::from_bytes(&bytes).map_err(wrong)?;
    let subject = Subject::parse("subject", &subject).map_err(malformed)?;
    if statement.digest() != digest || statement.subject != subject {
        return Err(wrong("its bytes have another digest or subject".to_owned()));
    }
    let issued_at = Timestamp::from_unix_ms(row.get("issued_at")?);
    let evidence = match row.get::<_, Option<Vec<u8>>>("evidence")? {
        None => None,
        Some(bytes) => {
            let kind: String = row.get("kind")?;
            let kind = CredentialKind::from_name(&kind)
                .ok_or_else(|| wrong(format!("unknown kind of evidence {kind}")))?;
            let credential = CredentialId::from_bytes("credential", row.get("credential")?);
            let credential = credential.map_err(malformed)?;
            let given_at = Timestamp::from_unix_ms(row.get("given_at")?);
            let leaf = position(row.get("leaf")?)?;
            Some(Evidence { kind, credential, bytes, given_at, leaf })
        }
    };
    Ok((digest, StatementRow { subject, statement, issued_at, evidence }))
}

/// Writes what a batch issued and what it took.
pub(super) fn store(connection: &Connection, working: &WorkingSet) -> Result<(), StoreError> {
    for (digest, row) in working.stated() {
        // Evidence is given once; a row that has some is never written again.
        let upsert = "INSERT INTO statement (digest, subject, bytes, issued_at, kind, credential, \
                      evidence, given_at, leaf) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) \
                      ON CONFLICT DO UPDATE SET kind = excluded.kind, \
                      credential = excluded.credential, evidence = excluded.evidence, \
                      given_at = excluded.given_at, leaf = excluded.leaf \
                      WHERE statement.evidence IS NULL AND statement.bytes = excluded.bytes";
        let evidence = row.evidence.as_ref();
        let written = connection.prepare_cached(upsert)?.execute(params![
            digest.as_bytes().as_slice(),
            row.subject.to_string(),
            row.statement.to_bytes(),
            row.issued_at.unix_ms(),
            evidence.map(|evidence| evidence.kind.name()),
            evidence.map(|evidence| evidence.credential.as_bytes()),
            evidence.map(|evidence| evidence.bytes.as_slice()),
            evidence.map(|evidence| evidence.given_at.unix_ms()),
            evidence.map(|evidence| stored_position(evidence.leaf)).transpose()?,
        ])?;
        if written != 1 {
            return Err(StoreError::Disagreement(format!("the statement {digest}")));
        }
    }
    for (credential, counter) in working.used() {
        let upsert = "INSERT INTO credential_use (credential, counter) VALUES (?1, ?2) \
                      ON CONFLICT DO UPDATE SET counter = excluded.counter \
                      WHERE credential_use.counter < excluded.counter \
                      OR excluded.counter = 0 AND credential_use.counter = 0";
        let written =
            connection.prepare_cached(upsert)?.execute(params![credential.as_bytes(), counter])?;
        if written != 1 {
            return Err(StoreError::Disagreement(format!("the counter of {credential}")));
        }
    }
    Ok(())
}

fn malformed(refused: Malformed) -> StoreError {
    StoreError::Row(refused.to_string())
}
