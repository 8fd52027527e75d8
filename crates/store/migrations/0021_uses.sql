-- How often this node has used what may be used only so often in one epoch of a key: counted before the use, so never too few.
CREATE TABLE uses (
    key_id TEXT    NOT NULL,
    epoch  INTEGER NOT NULL,
    count  INTEGER NOT NULL,
    PRIMARY KEY (key_id, epoch)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER uses_stay BEFORE DELETE ON uses
BEGIN SELECT RAISE(ABORT, 'uses are counted for ever'); END;
CREATE TRIGGER uses_only_grow BEFORE UPDATE ON uses WHEN new.count < old.count OR new.key_id <> old.key_id OR new.epoch <> old.epoch
BEGIN SELECT RAISE(ABORT, 'uses are counted for ever'); END;
