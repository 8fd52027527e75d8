-- Receipts of other nodes for operations that were answered before their receipts were there: that of a new key comes once the key is in
-- use, and that of a slow member late.
CREATE TABLE receipts (
    op_id   TEXT NOT NULL,
    node    TEXT NOT NULL,
    receipt BLOB NOT NULL,
    PRIMARY KEY (op_id, node)
) STRICT, WITHOUT ROWID;
