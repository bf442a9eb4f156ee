-- Closed periods, reversals and manual journals: what may be booked when, and by whose word.
SET LOCAL ROLE ledger_owner;

-- The acts of closing and reopening, each a row for ever; the last act of a book says up to which day (UTC, inclusive) it
-- is closed. Book 0 stands for every book, also those opened later: a book is closed up to the later of the two.
CREATE TABLE ledger.period (
    book_id  bigint NOT NULL,
    act_no   bigint NOT NULL,
    act      text COLLATE "C" NOT NULL CHECK (act IN ('close', 'reopen')),
    up_to    date NOT NULL,
    reason   text,
    acted_by text NOT NULL CHECK (btrim(acted_by) <> ''),
    acted_at timestamptz NOT NULL,
    PRIMARY KEY (book_id, act_no),
    -- A day that is not over cannot be closed. `ledger.post` and the guard of the journal rely on it: what is dated today
    -- is in an open period, without a look at this table.
    CONSTRAINT period_day_over CHECK (up_to < (acted_at AT TIME ZONE 'UTC')::date),
    CONSTRAINT period_reason CHECK (act = 'close' OR coalesce(btrim(reason), '') <> '')
);
SELECT ledger.guard('period', 'UPDATE OR DELETE', NULL);

-- The first open instant of a book; NULL when nothing was ever closed.
CREATE FUNCTION ledger.closed_until(p_book bigint) RETURNS timestamptz LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT max((last.up_to + 1)::timestamp AT TIME ZONE 'UTC')
    FROM (VALUES (0::bigint), (p_book)) AS b(book_id)
    CROSS JOIN LATERAL (SELECT p.up_to FROM ledger.period p WHERE p.book_id = b.book_id ORDER BY p.act_no DESC LIMIT 1) AS last;
$$;

-- Closes a book (0: every book) up to a day, or reopens it from a day on. Waits for the postings under way, so that none
-- slips behind the close. Answers the number of the act.
CREATE FUNCTION ledger.close_period(p_book bigint, p_up_to date, p_by text, p_reason text)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ledger.act_on_period(p_book, 'close', p_up_to, p_by, p_reason);
END
$$;

CREATE FUNCTION ledger.reopen_period(p_book bigint, p_from date, p_by text, p_reason text)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ledger.act_on_period(p_book, 'reopen', p_from - 1, p_by, p_reason);
END
$$;

CREATE FUNCTION ledger.act_on_period(p_book bigint, p_act text, p_up_to date, p_by text, p_reason text)
RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    last ledger.period;
    forward boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(119182850745715);
    SELECT * INTO last FROM ledger.period p WHERE p.book_id = p_book ORDER BY p.act_no DESC LIMIT 1;
    forward := last.act_no IS NULL OR p_up_to > last.up_to;
    IF p_up_to IS NULL OR (p_act = 'close') <> forward OR last.up_to = p_up_to OR p_act = 'reopen' AND last.act_no IS NULL THEN
        RAISE EXCEPTION 'a close moves the end of the closed period on, a reopening moves it back'
            USING ERRCODE = 'LG015', DETAIL = coalesce(last.up_to::text, '');
    END IF;
    INSERT INTO ledger.period (book_id, act_no, act, up_to, reason, acted_by, acted_at)
    SELECT p_book, coalesce(last.act_no, 0) + 1, p_act, p_up_to, p_reason, p_by, clock_timestamp()
    WHERE p_book = 0 OR EXISTS (SELECT FROM ledger.book b WHERE b.book_id = p_book);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such book' USING ERRCODE = 'LG015', DETAIL = '';
    END IF;
    RETURN coalesce(last.act_no, 0) + 1;
END
$$;

-- Of a batch with old dates: those that are in a closed period, and allow it, move to the first open instant and carry
-- their own date in the memo.
CREATE FUNCTION ledger.value_dates(p_book bigint[], p_effective timestamptz[], p_memo jsonb[], p_value_date boolean[],
                                   OUT effective timestamptz[], OUT memo jsonb[])
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT array_agg(CASE WHEN d.moves THEN d.closed_until ELSE d.effective_at END ORDER BY d.ord),
           array_agg(CASE WHEN NOT d.moves THEN d.memo
                          ELSE CASE jsonb_typeof(d.memo) WHEN 'object' THEN d.memo
                                    ELSE jsonb_strip_nulls(jsonb_build_object('memo', d.memo)) END
                               || jsonb_build_object('value_date', to_char(d.effective_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
                     END ORDER BY d.ord)
    FROM (SELECT j.*, c.closed_until, coalesce(j.value_date AND j.effective_at < c.closed_until, false) AS moves
          FROM unnest(p_book, p_effective, p_memo, p_value_date) WITH ORDINALITY AS j(book_id, effective_at, memo, value_date, ord)
          LEFT JOIN (SELECT b.book_id, ledger.closed_until(b.book_id) AS closed_until
                     FROM (SELECT DISTINCT u.book_id FROM unnest(p_book) AS u(book_id)) AS b) AS c USING (book_id)) AS d;
$$;

-- The end of the closed period of each book, for the careful way: with the lock that a posting takes.
CREATE FUNCTION ledger.lock_periods(p_book bigint[])
RETURNS TABLE (book_id bigint, closed_until timestamptz) LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(119182850745715);
    RETURN QUERY SELECT b.book_id, ledger.closed_until(b.book_id)
                 FROM (SELECT DISTINCT u.book_id FROM unnest(p_book) AS u(book_id)) AS b;
END
$$;

-- A journal is reversed in full at most once: by a J26 that is its mirror.
CREATE TABLE ledger.reversal (
    book_id     bigint NOT NULL,
    journal_id  uuid NOT NULL,   -- the journal reversed
    reversed_by uuid NOT NULL,   -- the J26
    PRIMARY KEY (book_id, journal_id)
);
SELECT ledger.guard('reversal', 'UPDATE OR DELETE', NULL);

-- A manual journal (J32) as one person proposes it. Balanced from the start, never edited: a wrong one is rejected and
-- another proposed.
CREATE TABLE ledger.proposal (
    book_id      bigint NOT NULL,
    proposal_id  uuid NOT NULL,
    effective_at timestamptz NOT NULL,
    reason       text NOT NULL CHECK (btrim(reason) <> ''),
    ticket       text NOT NULL CHECK (btrim(ticket) <> ''),
    maker        text NOT NULL CHECK (btrim(maker) <> ''),
    proposed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    account      text[] COLLATE "C" NOT NULL,
    kind         "char"[] NOT NULL,
    amount       bigint[] NOT NULL,
    PRIMARY KEY (book_id, proposal_id),
    UNIQUE (book_id, proposal_id, maker),
    CONSTRAINT proposal_well_formed CHECK (ledger.well_formed(proposal_id, NULL, account, kind, amount))
);
SELECT ledger.guard('proposal', 'UPDATE OR DELETE', NULL);

-- What another person decided. The maker is repeated here, tied to the proposal by the key, so that a CHECK can see both
-- people: names that differ only in case or outer blanks are one person.
CREATE TABLE ledger.decision (
    book_id     bigint NOT NULL,
    proposal_id uuid NOT NULL,
    verdict     text COLLATE "C" NOT NULL CHECK (verdict IN ('approved', 'rejected')),
    maker       text NOT NULL,
    checker     text NOT NULL CHECK (btrim(checker) <> ''),
    reason      text,
    decided_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    journal_id  uuid,            -- the J32 that an approval books in the same commit
    PRIMARY KEY (book_id, proposal_id),
    CONSTRAINT decision_of_proposal FOREIGN KEY (book_id, proposal_id, maker)
        REFERENCES ledger.proposal (book_id, proposal_id, maker),
    CONSTRAINT decision_journal UNIQUE (book_id, journal_id),
    CONSTRAINT decision_two_people CHECK (lower(btrim(maker)) <> lower(btrim(checker))),
    CONSTRAINT decision_books CHECK ((verdict = 'approved') = (journal_id IS NOT NULL)),
    CONSTRAINT decision_reason CHECK (verdict = 'approved' OR coalesce(btrim(reason), '') <> '')
);
SELECT ledger.guard('decision', 'UPDATE OR DELETE', NULL);

CREATE FUNCTION ledger.propose(p_book bigint, p_proposal uuid, p_effective timestamptz, p_reason text, p_ticket text, p_maker text,
                               p_account text[], p_kind text[], p_amount bigint[])
RETURNS void LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO ledger.proposal (book_id, proposal_id, effective_at, reason, ticket, maker, account, kind, amount)
    VALUES (p_book, p_proposal, p_effective, p_reason, p_ticket, p_maker, p_account, p_kind::"char"[], p_amount);
$$;

CREATE FUNCTION ledger.decide(p_book bigint, p_proposal uuid, p_verdict text, p_checker text, p_reason text, p_journal uuid)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO ledger.decision (book_id, proposal_id, verdict, maker, checker, reason, journal_id)
    SELECT p.book_id, p.proposal_id, p_verdict, p.maker, p_checker, p_reason, p_journal
    FROM ledger.proposal p WHERE p.book_id = p_book AND p.proposal_id = p_proposal;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such proposal' USING ERRCODE = 'LG016', DETAIL = p_proposal::text;
    END IF;
END
$$;

-- What cannot be said by a CHECK, because it needs other rows. The trigger's WHEN is decided in the executor: an everyday
-- journal, dated today, never enters the function. It guards every way into the table, the owner's too.
CREATE FUNCTION ledger.guard_journal() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    closed_until timestamptz := ledger.closed_until(NEW.book_id);
    original ledger.journal;
BEGIN
    IF NEW.effective_at < closed_until THEN
        RAISE EXCEPTION 'the period is closed' USING ERRCODE = 'LG009',
            DETAIL = to_char(closed_until AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"');
    END IF;
    IF NEW.code = 'J26' THEN
        SELECT * INTO original FROM ledger.journal j WHERE j.book_id = NEW.book_id AND j.journal_id = NEW.reverses;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the journal to reverse is unknown' USING ERRCODE = 'LG012', DETAIL = coalesce(NEW.reverses::text, '');
        ELSIF original.hold_id IS NOT NULL OR NEW.hold_id IS NOT NULL OR NOT ledger.mirrored(
                original.account, original.kind, original.amount, NEW.account, NEW.kind, NEW.amount) THEN
            RAISE EXCEPTION 'a reversal is the mirror of its journal' USING ERRCODE = 'LG013', DETAIL = NEW.reverses::text;
        END IF;
        INSERT INTO ledger.reversal (book_id, journal_id, reversed_by) VALUES (NEW.book_id, NEW.reverses, NEW.journal_id)
        ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the journal is reversed already' USING ERRCODE = 'LG011', DETAIL = NEW.reverses::text;
        END IF;
    ELSIF NEW.code = 'J32' AND NOT EXISTS (
            SELECT FROM ledger.decision d JOIN ledger.proposal p USING (book_id, proposal_id)
            WHERE d.book_id = NEW.book_id AND d.journal_id = NEW.journal_id AND d.verdict = 'approved'
              AND (p.account, p.kind::text[], p.amount) = (NEW.account, NEW.kind::text[], NEW.amount)) THEN
        RAISE EXCEPTION 'a manual journal needs an approved proposal' USING ERRCODE = 'LG010', DETAIL = NEW.journal_id::text;
    END IF;
    RETURN NULL;
END
$$;

-- The same lines with their sides swapped, in any order.
CREATE FUNCTION ledger.mirrored(a text[], ak "char"[], aa bigint[], b text[], bk "char"[], ba bigint[])
RETURNS boolean LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (SELECT array_agg(ROW(l.account, l.kind::text, l.amount)::text ORDER BY l.account, l.kind::text, l.amount)
            FROM unnest(a, ak, aa) AS l(account, kind, amount))
         = (SELECT array_agg(ROW(l.account, l.kind, l.amount)::text ORDER BY l.account, l.kind, l.amount)
            FROM (SELECT account, translate(kind::text, 'DC', 'CD') AS kind, amount
                  FROM unnest(b, bk, ba) AS m(account, kind, amount)) AS l);
$$;

CREATE TRIGGER journal_guarded AFTER INSERT ON ledger.journal FOR EACH ROW
WHEN (NEW.code IN ('J26', 'J32') OR NEW.effective_at < date_trunc('day', clock_timestamp(), 'UTC'))
EXECUTE FUNCTION ledger.guard_journal();
ALTER TABLE ledger.journal ENABLE ALWAYS TRIGGER journal_guarded;

REVOKE ALL ON FUNCTION ledger.closed_until, ledger.close_period, ledger.reopen_period, ledger.act_on_period, ledger.value_dates,
    ledger.lock_periods, ledger.propose, ledger.decide, ledger.guard_journal, ledger.mirrored FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.lock_periods TO gateway_app, ledger_writer;
-- Finance's doors: not those of the role that serves payments.
GRANT EXECUTE ON FUNCTION ledger.close_period, ledger.reopen_period, ledger.propose, ledger.decide TO ledger_writer;
RESET ROLE;
