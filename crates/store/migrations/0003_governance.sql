-- Requests that wait for people, as this node first saw them, and what people said.
CREATE TABLE cases (
    op_id      TEXT    PRIMARY KEY,
    request    BLOB    NOT NULL,
    first_seen INTEGER NOT NULL,
    closed     TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE rulings (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    op_id       TEXT    NOT NULL,
    hash        BLOB    NOT NULL CHECK (length(hash) = 32),
    ruling      BLOB    NOT NULL,
    received_at INTEGER NOT NULL,
    UNIQUE (op_id, hash)
) STRICT;

-- Version 0 is the genesis.
CREATE TABLE directory (
    version    INTEGER PRIMARY KEY CHECK (version >= 0),
    entry      BLOB    NOT NULL,
    adopted_at INTEGER NOT NULL
) STRICT;

-- Valid changes that another one of the same version was quicker than.
CREATE TABLE directory_forks (
    head  BLOB    PRIMARY KEY CHECK (length(head) = 32),
    entry BLOB    NOT NULL,
    at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE freezes (
    hash      BLOB    PRIMARY KEY CHECK (length(hash) = 32),
    request   BLOB    NOT NULL,
    frozen_at INTEGER NOT NULL,
    thawed_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TRIGGER directory_stays BEFORE DELETE ON directory
BEGIN SELECT RAISE(ABORT, 'the chain of changes is kept for ever'); END;
CREATE TRIGGER directory_does_not_change BEFORE UPDATE ON directory
BEGIN SELECT RAISE(ABORT, 'the chain of changes is kept for ever'); END;
CREATE TRIGGER rulings_stay BEFORE DELETE ON rulings
BEGIN SELECT RAISE(ABORT, 'what people said is kept'); END;
CREATE TRIGGER freezes_stay BEFORE DELETE ON freezes
BEGIN SELECT RAISE(ABORT, 'freezes are kept'); END;
