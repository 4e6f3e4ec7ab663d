-- The newest checkpoint that each witness has cosigned, with all cosignatures that it had by then.
-- Kept also when the checkpoint itself is forgotten.
CREATE TABLE cosigned (
    witness TEXT PRIMARY KEY,         -- its verifier key, name+id+base64
    size    INTEGER NOT NULL,
    note    TEXT NOT NULL
) STRICT, WITHOUT ROWID;
