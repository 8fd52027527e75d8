-- Shares of the next epoch of a key, from the moment they are durable until the epoch is certified. `name` is the hash of what everybody
-- may know of that epoch. Who leaves the key has a row without a share: that it stands down must survive a restart too.
CREATE TABLE successors (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    key_id       TEXT    NOT NULL,
    name         BLOB    NOT NULL CHECK (length(name) = 32),
    base         INTEGER NOT NULL CHECK (base >= 0),
    epoch        INTEGER NOT NULL CHECK (epoch > base),
    phase        TEXT    NOT NULL CHECK (phase IN ('prepared', 'acknowledged', 'abandoned')),
    operation    TEXT    NOT NULL,
    record       BLOB    NOT NULL,
    sealed_share BLOB    NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    UNIQUE (key_id, name)
) STRICT;

-- In doubt about one successor at a time.
CREATE UNIQUE INDEX successors_in_doubt ON successors (key_id) WHERE phase = 'acknowledged';

-- What proves that an epoch took the place of another one, for those who were not there.
CREATE TABLE handovers (
    key_id   TEXT    NOT NULL,
    base     INTEGER NOT NULL,
    epoch    INTEGER NOT NULL CHECK (epoch > base),
    proof    BLOB    NOT NULL,
    -- Somebody left: they may come back to ask after many more epochs.
    keep     INTEGER NOT NULL CHECK (keep IN (0, 1)),
    at       INTEGER NOT NULL,
    PRIMARY KEY (key_id, base)
) STRICT, WITHOUT ROWID;

-- Keys of which this node has no share any more, because the key went on without it.
CREATE TABLE moved_away (
    key_id TEXT    PRIMARY KEY,
    epoch  INTEGER NOT NULL,
    record BLOB    NOT NULL,
    at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The record of a key leaves this node only for the table of those that went on without it.
DROP TRIGGER keys_stay;
CREATE TRIGGER keys_stay BEFORE DELETE ON keys
WHEN NOT EXISTS (SELECT 1 FROM moved_away WHERE key_id = OLD.key_id)
BEGIN SELECT RAISE(ABORT, 'the record of a key is kept for ever'); END;
