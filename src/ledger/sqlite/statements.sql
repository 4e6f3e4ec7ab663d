-- Statements that were issued to people, and the evidence that they gave for them: what hardware
-- signed, kept verbatim, so that it is verified again before anything is signed, and by anybody later.
CREATE TABLE statement (
    digest     BLOB PRIMARY KEY CHECK (length(digest) = 32),
    subject    TEXT NOT NULL,         -- payment: or operation: and an identifier
    bytes      BLOB NOT NULL,         -- canonical JSON
    issued_at  INTEGER NOT NULL,
    kind       TEXT,                  -- how the evidence was made
    credential BLOB,                  -- by which credential
    evidence   BLOB,                  -- as it was received
    given_at   INTEGER,
    leaf       INTEGER,               -- position in the log
    CHECK ((evidence IS NULL) = (kind IS NULL)
       AND (evidence IS NULL) = (credential IS NULL)
       AND (evidence IS NULL) = (given_at IS NULL)
       AND (evidence IS NULL) = (leaf IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX statement_subject ON statement (subject);

-- Signature counters, as each credential last told them. One that does not rise is a copy's.
CREATE TABLE credential_use (
    credential BLOB PRIMARY KEY,
    counter    INTEGER NOT NULL CHECK (counter >= 0)
) STRICT, WITHOUT ROWID;
