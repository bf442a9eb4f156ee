-- What keeps a posting as cheap in big books as in new ones.
--
-- Measured (`loadtest bench growth`): a posting into books of five million journals cost 1.3 times one into new books, and none
-- of that was the journal. ANALYZE of the journal (its arrays above all) keeps a snapshot for seconds; meanwhile no old version
-- of a counter may be removed, updates of the counters no longer fit on their page, and each of them leaves an entry in the
-- index until the next vacuum. With a light sample and counters that are vacuumed at once it is 1.1 times.
SET LOCAL ROLE ledger_owner;

-- Every plan of the posting is pinned, and reports read whole ranges by key: a rough idea of the scalars is enough.
CREATE FUNCTION ledger.sample_lightly(p_table regclass) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    col record;
BEGIN
    FOR col IN SELECT a.attname, CASE WHEN a.attname IN ('account', 'kind', 'amount', 'memo') THEN 0 ELSE 10 END AS target
               FROM pg_attribute a WHERE a.attrelid = p_table AND a.attnum > 0 AND NOT a.attisdropped LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS %s', p_table, col.attname, col.target);
    END LOOP;
END
$$;

SELECT ledger.sample_lightly(t.relid) FROM pg_partition_tree('ledger.journal') t;

-- Few rows, changed all the time: vacuumed as soon as a worker looks, without pauses.
ALTER TABLE ledger.account SET (autovacuum_vacuum_cost_delay = 0, autovacuum_vacuum_scale_factor = 0.05);

-- As before (V41), and sampled lightly.
CREATE OR REPLACE FUNCTION ledger.make_month(p_month date)
RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    name text := 'journal_' || to_char(p_month, 'YYYY_MM');
BEGIN
    IF to_regclass('ledger.' || name) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE ledger.%I (LIKE ledger.journal INCLUDING ALL)', name);
    EXECUTE format('ALTER TABLE ledger.journal ATTACH PARTITION ledger.%I FOR VALUES FROM (%L) TO (%L)', name,
                   ledger.first_id(p_month), ledger.first_id((p_month + interval '1 month')::date));
    PERFORM ledger.sample_lightly(format('ledger.%I', name)::regclass);
    -- Statement triggers guard the table that is named in the statement: each month needs its own.
    PERFORM ledger.guard(name, 'UPDATE OR DELETE', NULL);
    RETURN true;
EXCEPTION WHEN check_violation THEN
    RAISE WARNING 'journals of % are in ledger.journal_rest and stay there', name;
    RETURN false;
END
$$;

REVOKE ALL ON FUNCTION ledger.sample_lightly FROM PUBLIC;
RESET ROLE;
