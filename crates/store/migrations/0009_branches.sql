-- A change of the directory leaves the chain only if it is kept as a fork: nothing that was adopted is ever forgotten.
DROP TRIGGER directory_stays;
CREATE TRIGGER directory_stays BEFORE DELETE ON directory
WHEN NOT EXISTS (SELECT 1 FROM directory_forks WHERE entry = OLD.entry)
BEGIN SELECT RAISE(ABORT, 'the chain of changes is kept for ever'); END;
CREATE TRIGGER directory_forks_stay BEFORE DELETE ON directory_forks
BEGIN SELECT RAISE(ABORT, 'the chain of changes is kept for ever'); END;
CREATE TRIGGER directory_forks_do_not_change BEFORE UPDATE ON directory_forks
BEGIN SELECT RAISE(ABORT, 'the chain of changes is kept for ever'); END;
