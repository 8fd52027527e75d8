-- "QUOR": shows that the file is ours.
PRAGMA application_id = 1364545362;

CREATE TABLE meta (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    seal_header BLOB    NOT NULL,
    format      INTEGER NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE keys (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    key_id       TEXT    NOT NULL UNIQUE,
    status       TEXT    NOT NULL CHECK (status IN ('pending', 'active', 'disabled', 'burned', 'destroyed')),
    scheme       TEXT    NOT NULL,
    public_key   BLOB    NOT NULL,
    epoch        INTEGER NOT NULL CHECK (epoch >= 0),
    record       BLOB    NOT NULL,
    sealed_share BLOB    NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL
) STRICT;

CREATE TABLE burns (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,
    key_id        TEXT    NOT NULL,
    epoch         INTEGER NOT NULL,
    peer          BLOB    NOT NULL,
    direction     TEXT    NOT NULL CHECK (direction IN ('sender', 'receiver')),
    generation    INTEGER NOT NULL,
    session       BLOB    NOT NULL,
    evidence_hash BLOB    NOT NULL CHECK (length(evidence_hash) = 32),
    burned_at     INTEGER NOT NULL,
    UNIQUE (key_id, epoch, peer, direction, generation)
) STRICT;

CREATE TABLE consumed (
    id          BLOB    PRIMARY KEY,
    consumed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE operations (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    op_id        TEXT    NOT NULL UNIQUE,
    request_hash BLOB    NOT NULL CHECK (length(request_hash) = 32),
    request      BLOB    NOT NULL,
    kind         TEXT    NOT NULL,
    key_id       TEXT,
    status       TEXT    NOT NULL CHECK (status IN ('pending_approval', 'queued', 'running', 'succeeded',
                                                    'failed', 'rejected', 'expired', 'cancelled')),
    result       BLOB,
    error        BLOB,
    attempt      INTEGER NOT NULL CHECK (attempt >= 0),
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL
) STRICT;

CREATE INDEX operations_by_key ON operations (key_id, seq);
CREATE INDEX operations_by_status ON operations (status, seq);

-- A mark that says "used" or "burned" stays for ever, whatever a later version of the program tries.
CREATE TRIGGER burns_stay BEFORE DELETE ON burns
BEGIN SELECT RAISE(ABORT, 'burn marks are kept for ever'); END;
CREATE TRIGGER burns_do_not_change BEFORE UPDATE ON burns
BEGIN SELECT RAISE(ABORT, 'burn marks are kept for ever'); END;
CREATE TRIGGER consumed_stay BEFORE DELETE ON consumed
BEGIN SELECT RAISE(ABORT, 'used marks are kept for ever'); END;
CREATE TRIGGER consumed_do_not_change BEFORE UPDATE ON consumed
BEGIN SELECT RAISE(ABORT, 'used marks are kept for ever'); END;
