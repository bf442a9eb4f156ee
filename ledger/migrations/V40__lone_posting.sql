-- A posting by itself: what one caller waits for when nobody else is there.
--
-- Measured with EXPLAIN, perf and one connection: of the 0.3 ms that `ledger.post` took on the server, a third was spent
-- on *preparing* the CHECK of the journal (an inlined expression is read, inlined and folded again by every statement),
-- a tenth on the regular expression of account names, that cannot change, and most of the rest on starting the plans of
-- statements made for arrays. A batch shares all that; a lone journal does not.
SET LOCAL ROLE ledger_owner;

-- The same proof, now kept by plpgsql as one prepared expression per session. It names everything in full or has been
-- resolved when it was created, so that it needs no SET, which would cost each row more than the proof.
CREATE FUNCTION ledger.plain_sum_is_zero(p_hold uuid, p_account text[], p_kind "char"[], p_amount bigint[]) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN COALESCE(
    p_hold IS NULL AND cardinality(p_account) BETWEEN 2 AND 4
    AND cardinality(p_kind) = cardinality(p_account) AND cardinality(p_amount) = cardinality(p_account)
    AND ledger.plain_line(p_account[1], p_account[1], p_kind[1], p_amount[1])
      + ledger.plain_line(p_account[1], p_account[2], p_kind[2], p_amount[2])
      + CASE WHEN cardinality(p_account) < 3 THEN 0 ELSE ledger.plain_line(p_account[1], p_account[3], p_kind[3], p_amount[3]) END
      + CASE WHEN cardinality(p_account) < 4 THEN 0 ELSE ledger.plain_line(p_account[1], p_account[4], p_kind[4], p_amount[4]) END
      = 0, false);

CREATE OR REPLACE FUNCTION ledger.plainly_balanced(p_hold uuid, p_account text[], p_kind "char"[], p_amount bigint[]) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    RETURN ledger.plain_sum_is_zero(p_hold, p_account, p_kind, p_amount);
END
$$;

-- The name of an account is proven when it is inserted; `account_identity` refuses to change it. As a CHECK it was
-- proven again whenever a counter moved. The error is the same.
CREATE FUNCTION ledger.refuse_account_name() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '% is no name of an account', NEW.account
        USING ERRCODE = '23514', SCHEMA = 'ledger', TABLE = 'account', CONSTRAINT = 'account_name';
END
$$;

CREATE TRIGGER account_name AFTER INSERT ON ledger.account FOR EACH ROW
WHEN ((NEW.account ~ '^[1-5][0-9]{3}([.][A-Za-z0-9_-]{1,40})?[.][a-z]{3}$'
       AND left(NEW.account, 4) = NEW.number AND right(NEW.account, 3) = NEW.currency) IS NOT TRUE)
EXECUTE FUNCTION ledger.refuse_account_name();
ALTER TABLE ledger.account ENABLE ALWAYS TRIGGER account_name;
ALTER TABLE ledger.account DROP CONSTRAINT account_name;

-- `ledger.post` for one journal without a hold and without a value date, whose lines are of different accounts; whatever
-- else is refused as malformed. The same locks in the same order: periods, key, journal, accounts (the index is scanned
-- for the sorted names, so they are taken in sorted order; no other plan is left to choose). Without a hold the CHECK of
-- the journal lets in no kinds but D and C.
CREATE FUNCTION ledger.post_one(
    p_book bigint, p_journal uuid, p_code text, p_effective timestamptz, p_reference text, p_link uuid, p_reverses uuid,
    p_key bytea, p_digest bytea, p_memo jsonb, p_account text[], p_kind "char"[], p_amount bigint[])
RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
DECLARE
    touched bigint;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(119182850745715);
    IF p_key IS NOT NULL THEN
        INSERT INTO ledger.receipt (book_id, idem_key, journal_id, digest) VALUES (p_book, p_key, p_journal, p_digest);
    END IF;
    INSERT INTO ledger.journal (book_id, journal_id, code, effective_at, reference, link, reverses, idem_key, memo,
                                account, kind, amount)
    VALUES (p_book, p_journal, p_code, p_effective, p_reference, p_link, p_reverses, p_key, p_memo,
            p_account, p_kind, p_amount);
    UPDATE ledger.account a
    SET debits_posted = a.debits_posted
                      + CASE p_kind[array_position(p_account, a.account)]
                            WHEN 'D' THEN p_amount[array_position(p_account, a.account)] ELSE 0 END,
        credits_posted = a.credits_posted
                       + CASE p_kind[array_position(p_account, a.account)]
                             WHEN 'C' THEN p_amount[array_position(p_account, a.account)] ELSE 0 END
    WHERE a.book_id = p_book AND a.account = ANY (p_account) AND a.status = 'open';
    GET DIAGNOSTICS touched = ROW_COUNT;

    IF touched IS DISTINCT FROM cardinality(p_account) THEN
        PERFORM ledger.refuse_accounts(array_fill(p_book, ARRAY[cardinality(p_account)]), p_account);
    END IF;
END
$$;

-- Says which of the touched accounts was unknown or closed, or that one came twice.
CREATE OR REPLACE FUNCTION ledger.refuse_accounts(p_books bigint[], p_accounts text[])
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
        RAISE EXCEPTION 'no journal, or a lone one with two lines of one account (that is for ledger.post)' USING ERRCODE = 'LG008';
    ELSIF bad.status IS NULL THEN
        RAISE EXCEPTION 'unknown account' USING ERRCODE = 'LG001', DETAIL = bad.account;
    END IF;
    RAISE EXCEPTION 'the account is closed' USING ERRCODE = 'LG002', DETAIL = bad.account;
END
$$;

REVOKE ALL ON FUNCTION ledger.plain_sum_is_zero, ledger.refuse_account_name, ledger.post_one FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.post_one TO gateway_app, ledger_writer;
RESET ROLE;
