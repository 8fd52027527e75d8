-- What is older than every window is removed.
CREATE INDEX spending_by_time ON spending (at);
