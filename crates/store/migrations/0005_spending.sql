-- What this node agreed to sign, for rules and limits that look back. One row an operation, however often it is tried.
CREATE TABLE spending (
    op_id     TEXT    PRIMARY KEY,
    at        INTEGER NOT NULL,
    key_id    TEXT    NOT NULL,
    principal TEXT    NOT NULL,
    chain     TEXT    NOT NULL,
    native    TEXT    NOT NULL,
    tokens    TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX spending_by_key ON spending (key_id, at);
CREATE INDEX spending_by_principal ON spending (principal, at);
