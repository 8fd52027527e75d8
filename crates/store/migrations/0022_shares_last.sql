-- The sealed share last: it is by far the longest column, lies in a chain of pages, and whoever reads a column behind it reads the chain.
CREATE TABLE keys_new (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    key_id       TEXT    NOT NULL UNIQUE,
    status       TEXT    NOT NULL CHECK (status IN ('pending', 'active', 'disabled', 'exposed', 'burned', 'destroyed')),
    scheme       TEXT    NOT NULL,
    public_key   BLOB    NOT NULL,
    epoch        INTEGER NOT NULL CHECK (epoch >= 0),
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    -- How many orders about its state the key has had.
    acts         INTEGER NOT NULL DEFAULT 0 CHECK (acts >= 0),
    exposed_at   INTEGER,
    destroys_at  INTEGER,
    -- What the node says of its state under a key of its own, so that it notices who changed it.
    mark         BLOB    NOT NULL DEFAULT x'',
    record       BLOB    NOT NULL,
    sealed_share BLOB    NOT NULL,
    -- What was exposed is never plainly active again.
    CHECK (status <> 'active' OR exposed_at IS NULL),
    CHECK (status <> 'exposed' OR exposed_at IS NOT NULL),
    CHECK (status <> 'destroyed' OR length(sealed_share) = 0)
) STRICT;

INSERT INTO keys_new (seq, key_id, status, scheme, public_key, epoch, created_at, updated_at, acts, exposed_at, destroys_at, mark, record, sealed_share)
SELECT seq, key_id, status, scheme, public_key, epoch, created_at, updated_at, acts, exposed_at, destroys_at, mark, record, sealed_share FROM keys;
DROP TABLE keys;
ALTER TABLE keys_new RENAME TO keys;
CREATE INDEX keys_by_age ON keys (status, updated_at);
CREATE INDEX keys_to_destroy ON keys (destroys_at) WHERE destroys_at IS NOT NULL;

CREATE TRIGGER keys_change_by_steps BEFORE UPDATE OF status ON keys
WHEN OLD.status <> NEW.status AND (OLD.status || ' ' || NEW.status) NOT IN (
    'pending active', 'pending burned', 'pending destroyed',
    'active disabled', 'active exposed', 'active burned', 'active destroyed',
    'exposed disabled', 'exposed burned', 'exposed destroyed',
    'disabled active', 'disabled exposed', 'disabled burned', 'disabled destroyed',
    'burned destroyed')
BEGIN SELECT RAISE(ABORT, 'a key does not change from this status to that one'); END;
CREATE TRIGGER keys_stay_exposed BEFORE UPDATE OF exposed_at ON keys
WHEN OLD.exposed_at IS NOT NULL AND NEW.exposed_at IS NOT OLD.exposed_at
BEGIN SELECT RAISE(ABORT, 'that a key was exposed is kept for ever'); END;
CREATE TRIGGER keys_count_up BEFORE UPDATE OF acts ON keys
WHEN NEW.acts < OLD.acts
BEGIN SELECT RAISE(ABORT, 'orders about a key are counted up'); END;
CREATE TRIGGER keys_stay BEFORE DELETE ON keys
WHEN NOT EXISTS (SELECT 1 FROM moved_away WHERE key_id = OLD.key_id)
BEGIN SELECT RAISE(ABORT, 'the record of a key is kept for ever'); END;
CREATE TRIGGER keys_stay_destroyed BEFORE UPDATE OF sealed_share ON keys
WHEN OLD.status = 'destroyed' AND length(NEW.sealed_share) > 0
BEGIN SELECT RAISE(ABORT, 'a destroyed key never comes back'); END;
