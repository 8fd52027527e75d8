-- Entries one by one, so that a commit writes what is new and not the unfinished tiles again. Those are computed from here.
CREATE TABLE log_entries (
    idx   INTEGER PRIMARY KEY CHECK (idx >= 0),
    entry BLOB    NOT NULL
) STRICT;

-- Full tiles of hashes: 256 times 32 bytes, and the hash of each, which is one of the tile above.
CREATE TABLE log_tiles (
    level INTEGER NOT NULL,
    idx   INTEGER NOT NULL,
    root  BLOB    NOT NULL CHECK (length(root) = 32),
    bytes BLOB    NOT NULL CHECK (length(bytes) = 8192),
    PRIMARY KEY (level, idx)
) STRICT, WITHOUT ROWID;

-- The newest checkpoint, as a signed note.
CREATE TABLE log_head (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    size INTEGER NOT NULL,
    note TEXT    NOT NULL
) STRICT;

-- So that an unfinished tile is computed without the bytes of those below it.
CREATE INDEX log_tiles_by_root ON log_tiles (level, idx, root);

-- Where the outcome of an operation is logged.
CREATE TABLE log_outcomes (
    op_id TEXT    PRIMARY KEY,
    idx   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The last head of each peer's log that this node saw.
CREATE TABLE log_seen (
    peer TEXT PRIMARY KEY,
    note TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- This node's newest head that others have cosigned, with their lines.
CREATE TABLE log_cosigned (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    note TEXT    NOT NULL
) STRICT;

CREATE TRIGGER log_entries_stay BEFORE DELETE ON log_entries
BEGIN SELECT RAISE(ABORT, 'the log is kept for ever'); END;
CREATE TRIGGER log_entries_do_not_change BEFORE UPDATE ON log_entries
BEGIN SELECT RAISE(ABORT, 'the log is kept for ever'); END;
CREATE TRIGGER log_tiles_stay BEFORE DELETE ON log_tiles
BEGIN SELECT RAISE(ABORT, 'the log is kept for ever'); END;
CREATE TRIGGER log_tiles_do_not_change BEFORE UPDATE ON log_tiles
BEGIN SELECT RAISE(ABORT, 'the log is kept for ever'); END;
