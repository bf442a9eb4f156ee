-- The books: schema `ledger`, its roles, its tables and the only door through which money moves.
--
-- * Every key leads with book_id, so that the schema can be distributed by it unchanged.
-- * A journal is ONE row that carries its lines as parallel arrays: one row and one index entry per journal instead of
--   one per line. The view `ledger.posting` gives the lines back as rows.
-- * No foreign key and no extra index on the journal: they cost up to 45 % of the throughput. Each line has to find its
--   account inside `ledger.post`, which proves the same thing.

-- Roles are cluster-wide while this runs per database: two databases may migrate at the same moment.
DO $$
DECLARE
    r text;
BEGIN
    FOREACH r IN ARRAY ARRAY['ledger_owner', 'gateway_app', 'ledger_writer', 'finance_ro', 'auditor'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', r);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- created by another database's migration in the meantime
            END;
        END IF;
    END LOOP;
    -- A migrator that is no superuser needs the membership to hand objects to the owner.
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('GRANT ledger_owner TO %I', current_user);
    END IF;
END
$$;

CREATE SCHEMA ledger AUTHORIZATION ledger_owner;
SET LOCAL ROLE ledger_owner;

-- ISO 4217; the exponent says how many decimals a minor unit has. Held equal to money.rs by a test.
CREATE TABLE ledger.currency (
    currency text COLLATE "C" PRIMARY KEY CHECK (currency ~ '^[a-z]{3}$'),
    exponent smallint NOT NULL CHECK (exponent BETWEEN 0 AND 4)
);

-- The chart of accounts. Held equal to chart.rs by a test.
CREATE TABLE ledger.chart (
    number      text COLLATE "C" PRIMARY KEY CHECK (number ~ '^[1-5][0-9]{3}$'),
    title       text NOT NULL UNIQUE,
    type        text NOT NULL CHECK (type IN ('asset', 'liability', 'equity', 'income', 'expense')),
    normal_side "char" NOT NULL CHECK (normal_side IN ('D', 'C')),
    overdraft   boolean NOT NULL
);

-- What each journal code means. Held equal to code.rs by a test.
CREATE TABLE ledger.journal_code (
    code  text COLLATE "C" PRIMARY KEY CHECK (code ~ '^J[0-9]{2}[a-d]?$'),
    title text NOT NULL
);

CREATE TABLE ledger.book (
    book_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code    text COLLATE "C" NOT NULL UNIQUE CHECK (code ~ '^[A-Za-z0-9_-]{1,64}$'), -- a merchant account id, or 'platform'
    name    text NOT NULL
);

-- Four counters that only `ledger.post` moves; a balance is derived, so the books always show how they got there.
-- Book, number and currency are looked up once, by `ledger.open`: a foreign key would be looked at by every update.
CREATE TABLE ledger.account (
    book_id         bigint NOT NULL,
    account         text COLLATE "C" NOT NULL, -- number[.dimension].currency: deterministic, no surrogate and no lookup
    currency        text COLLATE "C" NOT NULL,
    number          text COLLATE "C" NOT NULL,
    normal_side     "char" NOT NULL CHECK (normal_side IN ('D', 'C')),
    overdraft       boolean NOT NULL,
    status          text COLLATE "C" NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'closed')),
    debits_pending  bigint NOT NULL DEFAULT 0,
    debits_posted   bigint NOT NULL DEFAULT 0,
    credits_pending bigint NOT NULL DEFAULT 0,
    credits_posted  bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (book_id, account),
    CONSTRAINT account_name CHECK (account ~ '^[1-5][0-9]{3}([.][A-Za-z0-9_-]{1,40})?[.][a-z]{3}$'
                                   AND left(account, 4) = number AND right(account, 3) = currency),
    CONSTRAINT account_counters CHECK (debits_pending >= 0 AND debits_posted >= 0 AND credits_pending >= 0 AND credits_posted >= 0),
    CONSTRAINT account_no_overdraft CHECK (overdraft OR CASE normal_side
        WHEN 'C' THEN credits_posted - debits_posted - debits_pending >= 0
        ELSE debits_posted - credits_posted - credits_pending >= 0 END)
) WITH (fillfactor = 50); -- room on the page keeps updates of the counters heap-only

-- One authorization's pending money. hold_id is the journal that opened it.
CREATE TABLE ledger.hold (
    book_id        bigint NOT NULL,
    hold_id        uuid NOT NULL,
    currency       text COLLATE "C" NOT NULL,
    debit_account  text COLLATE "C" NOT NULL,
    credit_account text COLLATE "C" NOT NULL,
    amount         bigint NOT NULL CHECK (amount > 0),
    remaining      bigint NOT NULL,
    status         text COLLATE "C" NOT NULL DEFAULT 'open',
    expires_at     timestamptz NOT NULL,
    PRIMARY KEY (book_id, hold_id),
    CONSTRAINT hold_remaining CHECK (remaining >= 0 AND remaining <= amount),
    CONSTRAINT hold_status CHECK (status = CASE WHEN remaining = 0 THEN 'closed' ELSE 'open' END)
) WITH (fillfactor = 80);

-- What has lapsed is found by it; a hold leaves it when it closes.
CREATE INDEX hold_expiry ON ledger.hold (expires_at) WHERE status = 'open';

-- Is a journal complete and balanced? At least two lines; lengths equal; amounts positive; per currency (the account's
-- suffix) the posted layer sums to zero and the pending layer sums to zero; pending lines only with a hold, as exactly
-- one pair. Kinds: D, C posted debit and credit; d, c pending; x, y release of d, of c.
-- Two proofs, because a CHECK runs for every row. `plainly_balanced` is one expression without a function call (it is
-- inlined) and proves the everyday journal: two to four posted lines of one currency. What it cannot prove,
-- `well_formed` decides. Measured per journal: 1 us against 8 us. Neither is ever NULL: a CHECK lets NULL pass.
CREATE FUNCTION ledger.plain_line(p_first text, p_account text, p_kind "char", p_amount bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN p_amount > 0 AND right(p_account, 4) = right(p_first, 4) AND p_account LIKE '%.___'
            THEN CASE p_kind WHEN 'D' THEN p_amount WHEN 'C' THEN -p_amount END END;

CREATE FUNCTION ledger.plainly_balanced(p_hold uuid, p_account text[], p_kind "char"[], p_amount bigint[]) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN COALESCE(
    p_hold IS NULL AND cardinality(p_account) BETWEEN 2 AND 4
    AND cardinality(p_kind) = cardinality(p_account) AND cardinality(p_amount) = cardinality(p_account)
    AND ledger.plain_line(p_account[1], p_account[1], p_kind[1], p_amount[1])
      + ledger.plain_line(p_account[1], p_account[2], p_kind[2], p_amount[2])
      + CASE WHEN cardinality(p_account) < 3 THEN 0 ELSE ledger.plain_line(p_account[1], p_account[3], p_kind[3], p_amount[3]) END
      + CASE WHEN cardinality(p_account) < 4 THEN 0 ELSE ledger.plain_line(p_account[1], p_account[4], p_kind[4], p_amount[4]) END
      = 0, false);

CREATE FUNCTION ledger.well_formed(p_journal uuid, p_hold uuid, p_account text[], p_kind "char"[], p_amount bigint[])
RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    n       integer := cardinality(p_account);
    suffix  text := right(p_account[1], 4);
    posted  bigint := 0;
    pending bigint := 0;
    shape   text := '';
    mixed   boolean := false;
    m       bigint;
    k       "char";
BEGIN
    IF n IS NULL OR n < 2 OR cardinality(p_kind) IS DISTINCT FROM n OR cardinality(p_amount) IS DISTINCT FROM n
       OR array_lower(p_account, 1) <> 1 OR array_lower(p_kind, 1) <> 1 OR array_lower(p_amount, 1) <> 1
       OR array_ndims(p_account) <> 1 OR array_ndims(p_kind) <> 1 OR array_ndims(p_amount) <> 1
       OR suffix IS NULL OR suffix !~ '^[.][a-z]{3}$' THEN
        RETURN false;
    END IF;
    FOR i IN 1..n LOOP
        m := p_amount[i];
        k := p_kind[i];
        IF p_account[i] IS NULL OR k IS NULL OR m IS NULL OR m <= 0 THEN
            RETURN false;
        ELSIF k = 'D' THEN
            posted := posted + m;
        ELSIF k = 'C' THEN
            posted := posted - m;
        ELSIF k = 'd' OR k = 'y' THEN
            pending := pending + m;
            shape := shape || k::text;
        ELSIF k = 'c' OR k = 'x' THEN
            pending := pending - m;
            shape := shape || k::text;
        ELSE
            RETURN false;
        END IF;
        IF right(p_account[i], 4) <> suffix THEN
            mixed := true;
        END IF;
    END LOOP;
    IF posted <> 0 OR pending <> 0
       OR shape <> (CASE WHEN p_hold IS NULL THEN '' WHEN p_hold = p_journal THEN 'dc' ELSE 'xy' END) THEN
        RETURN false;
    END IF;
    -- More than one currency (exchange through 1310) is rare: prove each by itself.
    RETURN NOT mixed OR NOT EXISTS (
        SELECT FROM unnest(p_account, p_kind, p_amount) AS l(account, kind, amount)
        GROUP BY right(l.account, 4)
        HAVING right(l.account, 4) !~ '^[.][a-z]{3}$'
            OR sum(CASE l.kind WHEN 'D' THEN amount WHEN 'C' THEN -amount ELSE 0 END) <> 0
            OR sum(CASE WHEN l.kind IN ('d', 'y') THEN amount WHEN l.kind IN ('c', 'x') THEN -amount ELSE 0 END) <> 0);
END
$$;

CREATE TABLE ledger.journal (
    book_id      bigint NOT NULL,
    journal_id   uuid NOT NULL,                         -- version 7: time-ordered, so the key is also the order of the book
    effective_at timestamptz NOT NULL,                  -- when it happened
    recorded_at  timestamptz NOT NULL DEFAULT now(),    -- when the books learned it
    recorded_xid bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint, -- by which transaction: the order of the seal (V10)
    link         uuid,                                  -- another journal of the same fact (a fee of its capture)
    reverses     uuid,                                  -- the journal that this one corrects
    hold_id      uuid,                                  -- the hold it opens (its own id) or consumes
    code         text COLLATE "C" NOT NULL,
    reference    text COLLATE "C",                      -- the gateway's object, opaque here; never personal data
    idem_key     bytea,                                 -- 16-byte digest; a fact that carries one is booked once (ledger.receipt)
    memo         jsonb,
    account      text[] COLLATE "C" NOT NULL,
    kind         "char"[] NOT NULL,
    amount       bigint[] NOT NULL,
    PRIMARY KEY (book_id, journal_id),
    CONSTRAINT journal_well_formed CHECK (ledger.plainly_balanced(hold_id, account, kind, amount)
                                          OR ledger.well_formed(journal_id, hold_id, account, kind, amount)),
    CONSTRAINT journal_idem_key_digest CHECK (octet_length(idem_key) = 16),
    CONSTRAINT journal_memo_small CHECK (pg_column_size(memo) <= 4096)
) PARTITION BY RANGE (journal_id); -- a partition per month, see V30: time-ordered ids fall into months by themselves

-- Ids of months that nobody has made a partition for. Empty while `ledger.extend` runs; a posting never fails for it.
CREATE TABLE ledger.journal_rest PARTITION OF ledger.journal DEFAULT;

-- Which keys are taken, and what became of each: booked, or refused for a reason that is remembered. The key is unique
-- here, for all time, which no index over months can say; a journal without a key pays for nothing.
-- The digest is 8 bytes for each of the 8 fields of a journal (receipt.rs), so that another content can be told from the
-- same, and what differs can be named.
CREATE TABLE ledger.receipt (
    book_id     bigint NOT NULL,
    idem_key    bytea NOT NULL,
    journal_id  uuid NOT NULL,                       -- of a refused journal: the id that it would have had
    digest      bytea,
    refusal     text COLLATE "C",                    -- NULL: booked
    subject     text,                                -- what the refusal names
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (book_id, idem_key),
    CONSTRAINT receipt_key_digest CHECK (octet_length(idem_key) = 16),
    CONSTRAINT receipt_content_digest CHECK (digest IS NOT NULL AND octet_length(digest) = 64)
);

-- The lines as rows, for readers.
CREATE VIEW ledger.posting AS
SELECT j.book_id, j.journal_id, l.line, l.account, right(l.account, 3) AS currency,
       CASE WHEN l.kind IN ('D', 'd', 'x') THEN 'debit' ELSE 'credit' END AS side,
       CASE WHEN l.kind IN ('D', 'C') THEN 'posted' WHEN l.kind IN ('d', 'c') THEN 'pending' ELSE 'release' END AS layer,
       l.amount, l.kind, j.code, j.effective_at, j.recorded_at, j.reference
FROM ledger.journal j
CROSS JOIN LATERAL unnest(j.account, j.kind, j.amount) WITH ORDINALITY AS l(account, kind, amount, line);

CREATE VIEW ledger.balance AS
SELECT book_id, account, currency, normal_side, status,
       CASE normal_side WHEN 'C' THEN credits_posted - debits_posted ELSE debits_posted - credits_posted END AS posted,
       CASE normal_side WHEN 'C' THEN credits_posted - debits_posted - debits_pending
                        ELSE debits_posted - credits_posted - credits_pending END AS available,
       debits_pending, debits_posted, credits_pending, credits_posted
FROM ledger.account;

RESET ROLE;
