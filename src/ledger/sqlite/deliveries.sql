
-- Who was told what of the log: a row a route, changed after each delivery. What is told are leaves,
-- so that a decision writes nothing here, and nothing that is told takes room here.
CREATE TABLE told (
    route    TEXT PRIMARY KEY,
    next     INTEGER NOT NULL CHECK (next >= 0), -- leaves before it are told, dead or not its business
    attempts INTEGER NOT NULL,        -- failed ones at the event that comes next
    due_at   INTEGER NOT NULL,        -- not tried again before
    failure  TEXT                     -- what the last one ended with
) STRICT, WITHOUT ROWID;

-- Events that a route gave up. A person has them tried again, or drops them.
CREATE TABLE dead_letter (
    route    TEXT NOT NULL,
    position INTEGER NOT NULL CHECK (position >= 0), -- of the leaf
    payment  BLOB NOT NULL CHECK (length(payment) = 16),
    kind     TEXT NOT NULL,
    died_at  INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    reason   TEXT NOT NULL,
    again    INTEGER NOT NULL CHECK (again IN (0, 1)), -- somebody asked for one more attempt
    PRIMARY KEY (route, position)
) STRICT, WITHOUT ROWID;
