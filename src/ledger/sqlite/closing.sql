-- What is left of payments whose rows are gone: erased after `retention`, or moved to an archive.

-- Keeps identifiers unique for ever and says where the leaves are; what else is left stands in them.
CREATE TABLE closed (
    leaf         INTEGER PRIMARY KEY,  -- position of the decision in the log
    id           BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    request      BLOB NOT NULL UNIQUE CHECK (length(request) = 16), -- digest of caller and key
    outcome_leaf INTEGER,
    closing      INTEGER NOT NULL      -- position of the leaf that says what became of its row
) STRICT;

-- What those payments posted, by day: for axes that are counted later. Not by payment, so that no
-- row tells who was paid by which.
CREATE TABLE past (
    key     TEXT NOT NULL,
    axis    TEXT NOT NULL,
    subject TEXT NOT NULL,
    slot    INTEGER NOT NULL,          -- the last quarter of an hour of a day in UTC
    amount  INTEGER NOT NULL CHECK (amount >= 0),
    count   INTEGER NOT NULL CHECK (count >= 0),
    PRIMARY KEY (key, axis, subject, slot)
) STRICT, WITHOUT ROWID;

-- Archives, in the order in which they were written.
CREATE TABLE archive (
    number   INTEGER PRIMARY KEY,
    leaf     INTEGER NOT NULL UNIQUE,  -- its leaf, which has the digest of the file
    file     TEXT NOT NULL,            -- where it was written to
    payments INTEGER NOT NULL,
    made_at  INTEGER NOT NULL
) STRICT;
