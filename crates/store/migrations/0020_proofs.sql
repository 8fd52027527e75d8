-- Proofs that another node cheated, which convince anybody who has its identity. They are never removed; a node with one that has no
-- `readmitted_at` is not asked to sign.
CREATE TABLE proofs (
    id            TEXT    PRIMARY KEY,
    peer          BLOB    NOT NULL CHECK (length(peer) = 32),
    kind          TEXT    NOT NULL,
    session       BLOB    NOT NULL CHECK (length(session) = 32),
    party         INTEGER NOT NULL CHECK (party > 0),
    evidence      BLOB    NOT NULL,
    found_at      INTEGER NOT NULL,
    readmitted_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE TRIGGER proofs_stay BEFORE DELETE ON proofs
BEGIN
    SELECT RAISE(ABORT, 'proofs are never removed');
END;
CREATE TRIGGER proofs_do_not_change BEFORE UPDATE OF id, peer, kind, session, party, evidence, found_at ON proofs
BEGIN
    SELECT RAISE(ABORT, 'proofs do not change');
END;
