-- The write path. `ledger.post` is the only way by which money moves: it writes the journals and derives the deltas of
-- the counters from the rows that it has just written, so the two cannot differ.
SET LOCAL ROLE ledger_owner;

-- Refusals have a SQLSTATE each (class LG); refusal.rs maps them one to one. The detail names the subject.
--   LG001 unknown account   LG002 account closed   LG003 unknown hold   LG004 hold closed
--   LG005 hold mismatch     LG006 hold exceeded    LG007 immutable history    LG008 malformed call
--   LG009 period closed     LG010 not approved     LG011 reversed already     LG012 unknown journal
--   LG013 not the mirror    LG014 hold expired     LG015 period out of order  LG016 unknown proposal

-- Arrays are parallel, one element per journal; p_account, p_kind and p_amount hold one array literal per journal
-- ('{1110.stripe.usd,2010.usd}', '{D,C}', '{500,500}'). An array that would be all NULL may be NULL itself.
-- p_value_date says which journals may be dated on the first open day when their own is closed; p_digest is the content
-- of those with a key. p_expires is when a hold opened here lapses; of a journal that takes from a hold, the moment at
-- which the hold must still be alive.
-- Locks: the periods (shared: closing one waits for the postings under way), keys, ids of the journals (in the order
-- given), then holds, then accounts; keys, holds and accounts sorted; all to the end of the transaction. The accounts come
-- last because they are the contended ones.
-- The planner is pinned to index lookups in the order given: a plan made while a table was small must not linger.
CREATE FUNCTION ledger.post(
    p_book bigint[], p_journal uuid[], p_code text[], p_effective timestamptz[], p_reference text[],
    p_link uuid[], p_reverses uuid[], p_key bytea[], p_memo jsonb[],
    p_account text[], p_kind text[], p_amount text[],
    p_hold uuid[] DEFAULT NULL, p_expires timestamptz[] DEFAULT NULL, p_closes boolean[] DEFAULT NULL,
    p_value_date boolean[] DEFAULT NULL, p_digest bytea[] DEFAULT NULL)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
DECLARE
    books bigint[]; accounts text[]; dp bigint[]; dd bigint[]; cp bigint[]; cc bigint[];
    touched bigint;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(119182850745715);
    IF p_value_date IS NOT NULL AND date_trunc('day', clock_timestamp(), 'UTC') > ANY (p_effective) THEN
        SELECT d.effective, d.memo INTO p_effective, p_memo
        FROM ledger.value_dates(p_book, p_effective, p_memo, p_value_date) AS d;
    END IF;
    IF p_key IS NOT NULL THEN
        INSERT INTO ledger.receipt (book_id, idem_key, journal_id, digest)
        SELECT k.book_id, k.idem_key, k.journal_id, k.digest
        FROM unnest(p_book, p_key, p_journal, p_digest) AS k(book_id, idem_key, journal_id, digest)
        WHERE k.idem_key IS NOT NULL
        ORDER BY k.book_id, k.idem_key;
    END IF;

    WITH written AS (
        INSERT INTO ledger.journal (book_id, journal_id, code, effective_at, reference, link, reverses, idem_key, memo,
                                    hold_id, account, kind, amount)
        SELECT j.book_id, j.journal_id, j.code, j.effective_at, j.reference, j.link, j.reverses, j.idem_key, j.memo,
               j.hold_id, j.account::text[], j.kind::"char"[], j.amount::bigint[]
        FROM unnest(p_book, p_journal, p_code, p_effective, p_reference, p_link, p_reverses, p_key, p_memo, p_hold,
                    p_account, p_kind, p_amount)
             AS j(book_id, journal_id, code, effective_at, reference, link, reverses, idem_key, memo, hold_id,
                  account, kind, amount)
        RETURNING book_id, account, kind, amount
    )
    SELECT array_agg(d.book_id), array_agg(d.account), array_agg(d.dp), array_agg(d.dd), array_agg(d.cp), array_agg(d.cc)
    INTO books, accounts, dp, dd, cp, cc
    FROM (
        SELECT w.book_id, l.account COLLATE "C" AS account,
               sum(CASE l.kind WHEN 'd' THEN l.amount WHEN 'x' THEN -l.amount ELSE 0 END)::bigint AS dp,
               sum(CASE l.kind WHEN 'D' THEN l.amount ELSE 0 END)::bigint AS dd,
               sum(CASE l.kind WHEN 'c' THEN l.amount WHEN 'y' THEN -l.amount ELSE 0 END)::bigint AS cp,
               sum(CASE l.kind WHEN 'C' THEN l.amount ELSE 0 END)::bigint AS cc
        FROM written w CROSS JOIN LATERAL unnest(w.account, w.kind, w.amount) AS l(account, kind, amount)
        GROUP BY 1, 2
        ORDER BY 1, 2
    ) AS d;

    IF p_hold IS NOT NULL THEN
        PERFORM ledger.apply_holds(p_book, p_journal, p_hold, p_expires, p_closes);
    END IF;

    PERFORM FROM unnest(books, accounts) AS d(book_id, account)
    JOIN ledger.account a ON a.book_id = d.book_id AND a.account = d.account
    ORDER BY a.book_id, a.account
    FOR NO KEY UPDATE OF a;

    UPDATE ledger.account a
    SET debits_pending = a.debits_pending + d.dp, debits_posted = a.debits_posted + d.dd,
        credits_pending = a.credits_pending + d.cp, credits_posted = a.credits_posted + d.cc
    FROM unnest(books, accounts, dp, dd, cp, cc) AS d(book_id, account, dp, dd, cp, cc)
    WHERE a.book_id = d.book_id AND a.account = d.account AND a.status = 'open';
    GET DIAGNOSTICS touched = ROW_COUNT;

    IF touched IS DISTINCT FROM cardinality(accounts) THEN
        PERFORM ledger.refuse_accounts(books, accounts);
    END IF;
END
$$;

-- Opens and consumes the holds of the journals just written, from the lines of those rows.
CREATE FUNCTION ledger.apply_holds(p_book bigint[], p_journal uuid[], p_hold uuid[], p_expires timestamptz[], p_closes boolean[])
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    books bigint[]; holds uuid[]; debits text[]; credits text[]; amounts bigint[]; closes boolean[];
    alive timestamptz[];
    bad record;
BEGIN
    INSERT INTO ledger.hold (book_id, hold_id, currency, debit_account, credit_account, amount, remaining, expires_at)
    SELECT w.book_id, w.journal_id, right(w.account[at.d], 3), w.account[at.d], w.account[at.c],
           w.amount[at.d], w.amount[at.d], i.expires_at
    FROM unnest(p_book, p_journal, p_hold, p_expires) AS i(book_id, journal_id, hold_id, expires_at)
    JOIN ledger.journal w ON w.book_id = i.book_id AND w.journal_id = i.journal_id
    CROSS JOIN LATERAL (SELECT array_position(w.kind, 'd'::"char"), array_position(w.kind, 'c'::"char")) AS at(d, c)
    WHERE i.hold_id = i.journal_id;

    SELECT array_agg(u.book_id), array_agg(u.hold_id), array_agg(u.debit), array_agg(u.credit), array_agg(u.amount),
           array_agg(u.closes), array_agg(u.alive)
    INTO books, holds, debits, credits, amounts, closes, alive
    FROM (
        SELECT w.book_id, w.hold_id, w.account[at.x] AS debit, w.account[at.y] AS credit,
               sum(w.amount[at.x])::bigint AS amount, coalesce(bool_or(i.closes), false) AS closes, max(i.alive) AS alive
        FROM unnest(p_book, p_journal, p_hold, p_closes, p_expires) AS i(book_id, journal_id, hold_id, closes, alive)
        JOIN ledger.journal w ON w.book_id = i.book_id AND w.journal_id = i.journal_id
        CROSS JOIN LATERAL (SELECT array_position(w.kind, 'x'::"char"), array_position(w.kind, 'y'::"char")) AS at(x, y)
        WHERE i.hold_id <> i.journal_id
        GROUP BY 1, 2, 3, 4
        ORDER BY 1, 2, 3, 4
    ) AS u;
    IF books IS NULL THEN
        RETURN;
    END IF;

    PERFORM FROM ledger.hold h
    WHERE (h.book_id, h.hold_id) IN (SELECT u.book_id, u.hold_id FROM unnest(books, holds) AS u(book_id, hold_id))
    ORDER BY h.book_id, h.hold_id
    FOR NO KEY UPDATE OF h;

    SELECT u.hold_id,
           CASE WHEN h.hold_id IS NULL THEN 'LG003'
                WHEN h.status <> 'open' THEN 'LG004'
                WHEN u.alive >= h.expires_at THEN 'LG014'
                WHEN h.debit_account <> u.debit OR h.credit_account <> u.credit THEN 'LG005'
                WHEN u.amount > h.remaining THEN 'LG006'
                WHEN u.closes AND u.amount <> h.remaining THEN 'LG005' END AS state
    INTO bad
    FROM unnest(books, holds, debits, credits, amounts, closes, alive)
         AS u(book_id, hold_id, debit, credit, amount, closes, alive)
    LEFT JOIN ledger.hold h ON h.book_id = u.book_id AND h.hold_id = u.hold_id
    WHERE h.hold_id IS NULL OR h.status <> 'open' OR h.debit_account <> u.debit OR h.credit_account <> u.credit
       OR u.alive >= h.expires_at OR u.amount > h.remaining OR u.closes AND u.amount <> h.remaining
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the hold refuses' USING ERRCODE = bad.state, DETAIL = bad.hold_id::text;
    END IF;

    UPDATE ledger.hold h
    SET remaining = h.remaining - u.amount,
        status = CASE WHEN h.remaining = u.amount THEN 'closed' ELSE 'open' END
    FROM unnest(books, holds, amounts) AS u(book_id, hold_id, amount)
    WHERE h.book_id = u.book_id AND h.hold_id = u.hold_id;
END
$$;

-- Says which of the touched accounts was unknown or closed.
CREATE FUNCTION ledger.refuse_accounts(p_books bigint[], p_accounts text[])
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    bad record;
BEGIN
    SELECT d.account, a.status INTO bad
    FROM unnest(p_books, p_accounts) WITH ORDINALITY AS d(book_id, account, ord)
    LEFT JOIN ledger.account a ON a.book_id = d.book_id AND a.account = d.account
    WHERE a.status IS DISTINCT FROM 'open'
    ORDER BY a.status IS NOT NULL, d.ord
    LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a call of ledger.post needs at least one journal' USING ERRCODE = 'LG008';
    ELSIF bad.status IS NULL THEN
        RAISE EXCEPTION 'unknown account' USING ERRCODE = 'LG001', DETAIL = bad.account;
    END IF;
    RAISE EXCEPTION 'the account is closed' USING ERRCODE = 'LG002', DETAIL = bad.account;
END
$$;

-- The careful way's locks: holds first, then accounts, each sorted. Reading needs no more than this, so the serving
-- role needs no UPDATE on any table.
CREATE FUNCTION ledger.lock_holds(p_book bigint[], p_hold uuid[])
RETURNS SETOF ledger.hold LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT h.* FROM ledger.hold h
    WHERE (h.book_id, h.hold_id) IN (SELECT u.book_id, u.hold_id FROM unnest(p_book, p_hold) AS u(book_id, hold_id))
    ORDER BY h.book_id, h.hold_id
    FOR NO KEY UPDATE OF h;
$$;

CREATE FUNCTION ledger.lock_accounts(p_book bigint[], p_account text[])
RETURNS SETOF ledger.account LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT a.* FROM ledger.account a
    WHERE (a.book_id, a.account) IN (SELECT u.book_id, u.account FROM unnest(p_book, p_account) AS u(book_id, account))
    ORDER BY a.book_id, a.account
    FOR NO KEY UPDATE OF a;
$$;

-- Open holds whose time has passed by p_now, the oldest first, for the one caller that gets them: others skip them, so
-- that sweeps of several processes never meet, and the release in the caller's transaction is the only one.
CREATE FUNCTION ledger.claim_expired(p_now timestamptz, p_limit bigint)
RETURNS SETOF ledger.hold LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT h.* FROM ledger.hold h
    WHERE h.status = 'open' AND h.expires_at <= p_now
    ORDER BY h.expires_at
    LIMIT p_limit
    FOR NO KEY UPDATE OF h SKIP LOCKED;
$$;

-- Remembers that the journals under these keys were refused; answers how many keys were still free.
CREATE FUNCTION ledger.remember(p_book bigint[], p_key bytea[], p_journal uuid[], p_digest bytea[], p_refusal text[], p_subject text[])
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    remembered bigint;
BEGIN
    INSERT INTO ledger.receipt (book_id, idem_key, journal_id, digest, refusal, subject)
    SELECT r.* FROM unnest(p_book, p_key, p_journal, p_digest, p_refusal, p_subject)
                    AS r(book_id, idem_key, journal_id, digest, refusal, subject)
    WHERE r.refusal IS NOT NULL
    ORDER BY r.book_id, r.idem_key
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS remembered = ROW_COUNT;
    RETURN remembered;
END
$$;

-- Idempotent: the book with this code, created when there is none.
CREATE FUNCTION ledger.open_book(p_code text, p_name text)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    id bigint;
BEGIN
    SELECT book_id INTO id FROM ledger.book WHERE code = p_code;
    IF NOT FOUND THEN -- looked up first: a refused insert would burn a number each time
        INSERT INTO ledger.book (code, name) VALUES (p_code, p_name) ON CONFLICT (code) DO NOTHING RETURNING book_id INTO id;
        IF NOT FOUND THEN
            SELECT book_id INTO id FROM ledger.book WHERE code = p_code;
        END IF;
    END IF;
    RETURN id;
END
$$;

-- Idempotent: opens the accounts that do not exist yet, in sorted order; the chart says side and overdraft.
-- A closed account stays closed. Answers how many were opened.
CREATE FUNCTION ledger.open(p_book bigint, p_accounts text[])
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    opened bigint;
BEGIN
    INSERT INTO ledger.account (book_id, account, currency, number, normal_side, overdraft)
    SELECT b.book_id, n.account, k.currency, left(n.account, 4), c.normal_side, c.overdraft
    FROM (SELECT DISTINCT u.account COLLATE "C" AS account FROM unnest(p_accounts) AS u(account)) AS n
    -- What these do not find stays NULL and fails NOT NULL.
    LEFT JOIN ledger.book b ON b.book_id = p_book
    LEFT JOIN ledger.chart c ON c.number = left(n.account, 4)
    LEFT JOIN ledger.currency k ON k.currency = right(n.account, 3)
    ORDER BY n.account
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS opened = ROW_COUNT;
    RETURN opened;
END
$$;

-- Closes or reopens an account. Closing waits for the counters of pending money to be zero.
CREATE FUNCTION ledger.set_status(p_book bigint, p_account text, p_status text)
RETURNS boolean LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE ledger.account SET status = p_status
    WHERE book_id = p_book AND account = p_account
      AND (p_status = 'open' OR debits_pending = 0 AND credits_pending = 0)
    RETURNING true;
$$;
RESET ROLE;
