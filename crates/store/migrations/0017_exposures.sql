-- An export is handed out to those who were away in the same list as orders. It is no order about the state, so it has the number 0, and one says it
-- all: a key is exposed for ever.
CREATE TABLE key_acts_new (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    key_id   TEXT    NOT NULL,
    number   INTEGER NOT NULL CHECK (number >= 0),
    act      TEXT    NOT NULL,
    hash     BLOB    NOT NULL CHECK (length(hash) = 32),
    request  BLOB    NOT NULL,
    op_id    TEXT    NOT NULL,
    taken_at INTEGER NOT NULL,
    CHECK ((number = 0) = (act = 'export')),
    UNIQUE (key_id, number)
) STRICT;
INSERT INTO key_acts_new SELECT seq, key_id, number, act, hash, request, op_id, taken_at FROM key_acts;
DROP TABLE key_acts;
ALTER TABLE key_acts_new RENAME TO key_acts;
