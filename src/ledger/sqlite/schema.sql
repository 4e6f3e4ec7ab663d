-- The ledger, schema 3. STRICT everywhere; instants are milliseconds since 1970 in UTC; amounts are
-- minor units; identifiers and sums are 64 bit or wider.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The newest instant that any decision was made at, which the clock may not fall behind; and where
-- the clocks stood when the ledger was first used in this boot, which bounds how far it may run.
CREATE TABLE clock (
    only           INTEGER PRIMARY KEY CHECK (only = 1),
    newest_unix_ms INTEGER NOT NULL,
    boot           TEXT,
    base_unix_ms   INTEGER,
    base_boot_ms   INTEGER,
    before_unix_ms INTEGER,
    CHECK ((boot IS NULL) = (base_unix_ms IS NULL)
       AND (boot IS NULL) = (base_boot_ms IS NULL)
       AND (boot IS NULL) = (before_unix_ms IS NULL))
) STRICT;

-- Exponents of the currencies in use. A table in code that disagrees is refused.
CREATE TABLE currency (
    code     TEXT PRIMARY KEY,
    exponent INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What each key is for: purpose and currency. A policy that says otherwise is refused.
CREATE TABLE key (
    name    TEXT PRIMARY KEY,
    purpose TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Every public key that ever signed: those of payments are the JWKS. Public history is never lost.
CREATE TABLE key_version (
    kid         TEXT PRIMARY KEY,
    key         TEXT NOT NULL,
    algorithm   TEXT NOT NULL CHECK (algorithm IN ('ES256', 'EdDSA')),
    point       BLOB NOT NULL,        -- uncompressed P-256, or Ed25519
    recorded_at INTEGER NOT NULL,
    CHECK (length(point) = CASE algorithm WHEN 'ES256' THEN 65 ELSE 32 END)
) STRICT, WITHOUT ROWID;

CREATE TABLE payment (
    id              BLOB PRIMARY KEY CHECK (length(id) = 16),
    caller          TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    namespace       TEXT NOT NULL,    -- whose debtors the caller named
    state           TEXT NOT NULL CHECK (state IN ('denied', 'authorised', 'posted', 'voided')),
    accepted_at     INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    request         BLOB,             -- canonical payment, where there is no order
    denial          TEXT,             -- rule and numbers, JSON
    order_bytes     BLOB,             -- the order, byte for byte
    protected       TEXT,             -- JWS header, byte for byte
    kid             TEXT,
    attempt         INTEGER,
    signature       BLOB CHECK (length(signature) = 64),
    outcome_at      INTEGER,
    void_reason     TEXT,
    salt            BLOB CHECK (length(salt) = 16),    -- hides personal fields in the log
    leaf            INTEGER NOT NULL, -- position of the first decision in the log
    outcome_leaf    INTEGER,          -- position of the outcome
    UNIQUE (caller, idempotency_key),
    CHECK ((state = 'denied') = (order_bytes IS NULL)),
    CHECK ((state = 'posted') = (signature IS NOT NULL))
) STRICT;

CREATE INDEX payment_in_doubt ON payment (accepted_at) WHERE state = 'authorised';

-- The log: one leaf a decision, in the commit of that decision, without gaps from 0.
CREATE TABLE leaf (
    position INTEGER PRIMARY KEY CHECK (position >= 0),
    body     TEXT NOT NULL CHECK (length(body) <= 4096)
) STRICT;

-- Complete tiles of the tree's hashes: 256 hashes of 32 bytes each (C2SP tlog-tiles). The hashes
-- to the right of them follow from the leaves.
CREATE TABLE tile (
    level  INTEGER NOT NULL,
    number INTEGER NOT NULL,
    hashes BLOB NOT NULL CHECK (length(hashes) = 8192),
    PRIMARY KEY (level, number)
) STRICT, WITHOUT ROWID;

-- Checkpoints: signed notes over the tree of the first `size` leaves. The newest thousands are kept.
CREATE TABLE checkpoint (
    size    INTEGER PRIMARY KEY,
    made_at INTEGER NOT NULL,
    note    TEXT NOT NULL
) STRICT;

-- Who holds an end-to-end id: digest of key, creditor account and id.
CREATE TABLE claim (
    digest      BLOB PRIMARY KEY CHECK (length(digest) = 32),
    payment     BLOB NOT NULL,
    accepted_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Which axes of which keys are counted, without a gap since the first payment.
CREATE TABLE counted (
    scope TEXT NOT NULL,
    axis  TEXT NOT NULL,
    PRIMARY KEY (scope, axis)
) STRICT, WITHOUT ROWID;

-- When an account was first listed as a creditor of a key: its cooling-off starts there.
CREATE TABLE creditor_listed (
    key       TEXT NOT NULL,
    account   BLOB NOT NULL CHECK (length(account) = 32),
    listed_at INTEGER NOT NULL,
    PRIMARY KEY (key, account)
) STRICT, WITHOUT ROWID;

-- Whose debtors each caller names. Another namespace would reset the sums of its debtors.
CREATE TABLE caller_namespace (
    caller    TEXT PRIMARY KEY,
    namespace TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE counter (
    id      INTEGER PRIMARY KEY,
    scope   TEXT NOT NULL,            -- a key, or several with + between them
    axis    TEXT NOT NULL,
    subject TEXT NOT NULL,
    UNIQUE (scope, axis, subject)
) STRICT;

-- The running sum that each limit is compared with, changed only by conditional updates.
CREATE TABLE running_sum (
    counter        INTEGER NOT NULL,
    span           TEXT NOT NULL,
    from_slot      INTEGER NOT NULL,
    posted_amount  INTEGER NOT NULL CHECK (posted_amount >= 0),
    posted_count   INTEGER NOT NULL CHECK (posted_count >= 0),
    pending_amount INTEGER NOT NULL CHECK (pending_amount >= 0),
    pending_count  INTEGER NOT NULL CHECK (pending_count >= 0),
    PRIMARY KEY (counter, span)
) STRICT, WITHOUT ROWID;

-- Posted spending per slot; slots of 900 s are kept for good, narrower ones while they count.
CREATE TABLE spend (
    counter INTEGER NOT NULL,
    width   INTEGER NOT NULL,
    slot    INTEGER NOT NULL,
    amount  INTEGER NOT NULL CHECK (amount >= 0),
    count   INTEGER NOT NULL CHECK (count >= 0),
    PRIMARY KEY (counter, width, slot)
) STRICT, WITHOUT ROWID;
