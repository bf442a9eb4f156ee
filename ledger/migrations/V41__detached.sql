-- Detached months count: balances, trial balances and statements as of a time begin with what was carried, or say that they
-- cannot; and a month leaves the journal only when all of it is sealed.
SET LOCAL ROLE ledger_owner;

-- How far in either time the journals reached that a row of `carried` sums up. NULL in rows older than this migration: how
-- far they reach is not known, so that no time in the past can be answered from them.
ALTER TABLE ledger.carried ADD COLUMN last_effective timestamptz, ADD COLUMN last_recorded timestamptz;

-- True, or an error: whether the books of one merchant (NULL: of all) as of these times can be told without the journals of
-- detached months. NULL stands for now.
CREATE FUNCTION ledger.require_attached(p_book bigint, p_effective timestamptz, p_recorded timestamptz)
RETURNS boolean LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    reach date;
BEGIN
    SELECT max(c.month) INTO reach FROM ledger.carried c
    WHERE (p_book IS NULL OR c.book_id = p_book)
      AND (p_effective <= coalesce(c.last_effective, 'infinity') OR p_recorded <= coalesce(c.last_recorded, 'infinity'));
    IF reach IS NOT NULL THEN
        RAISE EXCEPTION 'the books as of that time need journals of detached months (%)', to_char(reach, 'YYYY-MM')
            USING ERRCODE = 'LG017', DETAIL = to_char(reach, 'YYYY-MM'),
                  HINT = 'Ask for a time after all journals of that month, or look into its archive.';
    END IF;
    RETURN true;
END
$$;

-- As before (V30), and each part of the journal is now guarded by what guards the whole.
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
    -- Statement triggers guard the table that is named in the statement: each month needs its own.
    PERFORM ledger.guard(name, 'UPDATE OR DELETE', NULL);
    RETURN true;
EXCEPTION WHEN check_violation THEN
    RAISE WARNING 'journals of % are in ledger.journal_rest and stay there', name;
    RETURN false;
END
$$;

-- As before (V30), and refused while a journal of the month is not sealed: what nobody has signed for cannot be excused later.
-- From then on no journal is posted with an id of that month.
CREATE OR REPLACE FUNCTION ledger.detach(p_month date)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '10s'
AS $$
DECLARE
    month    date := date_trunc('month', p_month::timestamp);
    name     text := 'journal_' || to_char(month, 'YYYY_MM');
    below    uuid := ledger.first_id((month + interval '1 month')::date);
    sealed   ledger.seal;
    unsealed bigint;
    journals bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(119182850745730);
    IF NOT EXISTS (SELECT FROM pg_inherits WHERE inhparent = 'ledger.journal'::regclass AND inhrelid = to_regclass('ledger.' || name)) THEN
        RAISE EXCEPTION '% is no month of the journal', name USING ERRCODE = 'LG008';
    ELSIF month >= date_trunc('month', now() AT TIME ZONE 'UTC') THEN
        RAISE EXCEPTION 'the month is not over' USING ERRCODE = 'LG008';
    END IF;
    EXECUTE format('LOCK TABLE ONLY ledger.%I IN SHARE MODE', name);
    SELECT * INTO sealed FROM ledger.seal ORDER BY page DESC LIMIT 1;
    EXECUTE format($q$
        SELECT count(*), count(*) FILTER (WHERE ((recorded_xid, book_id, journal_id) > ($1, $2, $3)) IS NOT FALSE) FROM ledger.%I$q$, name)
        INTO journals, unsealed USING sealed.last_xid, sealed.last_book, sealed.last_journal;
    IF EXISTS (SELECT FROM ledger.journal WHERE journal_id < ledger.first_id(month)) THEN
        RAISE EXCEPTION 'an older month is still attached' USING ERRCODE = 'LG008';
    ELSIF EXISTS (SELECT FROM ledger.hold WHERE hold_id < below AND status = 'open') THEN
        RAISE EXCEPTION 'a hold of the month is open' USING ERRCODE = 'LG008';
    ELSIF unsealed > 0 THEN
        RAISE EXCEPTION '% journals of the month are not sealed', unsealed
            USING ERRCODE = 'LG008', HINT = 'Let the service seal them, or run `counterfoil ledger seal`.';
    END IF;
    EXECUTE format($q$
        INSERT INTO ledger.carried (book_id, account, month, debits_pending, debits_posted, credits_pending, credits_posted,
                                    last_effective, last_recorded)
        SELECT j.book_id, l.account, $1,
               sum(CASE l.kind WHEN 'd' THEN l.amount WHEN 'x' THEN -l.amount ELSE 0 END),
               sum(CASE l.kind WHEN 'D' THEN l.amount ELSE 0 END),
               sum(CASE l.kind WHEN 'c' THEN l.amount WHEN 'y' THEN -l.amount ELSE 0 END),
               sum(CASE l.kind WHEN 'C' THEN l.amount ELSE 0 END),
               max(j.effective_at), max(j.recorded_at)
        FROM ledger.%I j CROSS JOIN LATERAL unnest(j.account, j.kind, j.amount) AS l(account, kind, amount)
        GROUP BY 1, 2$q$, name) USING month;
    EXECUTE format('ALTER TABLE ledger.journal DETACH PARTITION ledger.%I', name);
    -- Nothing comes after: an id of a detached month would fall into the rest, where nobody could tell it from a sealed one.
    ALTER TABLE ledger.journal_rest DROP CONSTRAINT IF EXISTS journal_not_detached;
    EXECUTE format('ALTER TABLE ledger.journal_rest ADD CONSTRAINT journal_not_detached CHECK (journal_id >= %L)', below);
    RETURN journals;
END
$$;

REVOKE ALL ON FUNCTION ledger.require_attached FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.require_attached TO gateway_app, ledger_writer, finance_ro, auditor;
RESET ROLE;
