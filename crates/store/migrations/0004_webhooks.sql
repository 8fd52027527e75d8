-- So that the age of the oldest share is known without reading shares.
CREATE INDEX keys_by_age ON keys (status, updated_at);

-- Events that a webhook did not take yet, oldest first. What was taken, or given up, is deleted.
CREATE TABLE webhook_outbox (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The hash of the receiver's address, so that a change of the configuration does not send old events to a new one.
    hook       BLOB    NOT NULL CHECK (length(hook) = 32),
    event_id   INTEGER NOT NULL,
    body       BLOB    NOT NULL,
    attempt    INTEGER NOT NULL CHECK (attempt >= 0),
    due_at     INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (hook, event_id)
) STRICT;
