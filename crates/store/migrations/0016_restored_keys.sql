-- The key as clients name it, so that its restored share is found, and erased when the key is in a later epoch. Shares that were restored
-- before this was written down have to be restored again.
ALTER TABLE restored ADD COLUMN key TEXT NOT NULL DEFAULT '';
CREATE INDEX restored_by_key ON restored (key);
