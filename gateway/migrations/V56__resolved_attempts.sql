-- An attempt whose outcome was not known counts as an attempt; when its outcome becomes known, that is a row of its own, which
-- counts for the attempt that is there already. Rows of a process that does not know the column yet leave it empty.
ALTER TABLE risk.history ADD COLUMN resolves boolean;
ALTER TABLE risk.history ADD CONSTRAINT history_resolves_with_an_outcome
    CHECK (resolves IS NULL OR resolves AND source IS NULL AND fact NOT IN ('unknown','blocked'));
