-- Shares that came out of backups. They are not keys: nothing signs with them. They deal the key to its next epoch, and are gone then.
CREATE TABLE restored (
    key_id       TEXT    PRIMARY KEY,
    epoch        INTEGER NOT NULL CHECK (epoch >= 0),
    party        INTEGER NOT NULL CHECK (party > 0),
    record       BLOB    NOT NULL,
    sealed_share BLOB    NOT NULL,
    restored_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
