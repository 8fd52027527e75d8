-- By which operation an epoch came about, so that whoever asked for it gets its answer also from a node that stopped between the change of
-- epoch and the answer. Empty where this node does not know it.
ALTER TABLE handovers ADD COLUMN operation TEXT NOT NULL DEFAULT '';
