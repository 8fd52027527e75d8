-- Where a request came from, as the node says that took it from the client.
ALTER TABLE operations ADD COLUMN source TEXT;
ALTER TABLE cases ADD COLUMN source TEXT;
