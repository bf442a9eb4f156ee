-- What acquirers and banks sent, line by line, which journal each line is about, and what was decided where they differ.
--
-- Files belong to no book: one file speaks about the payments of many merchants. What was read is never changed; a claim can be
-- undone and a break resolved, and each such decision is a row of its own.

-- A file that was proven and read whole. The digest of its content is what makes the same file twice one file.
CREATE TABLE gateway.reconciliation (
    id         text PRIMARY KEY COLLATE "C" CHECK (id ~ '^rec_[a-z0-9]+$'),
    digest     bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    format     text NOT NULL CHECK (format IN ('stripe-itemized','adyen-settlement','csv','camt.053','camt.054','mt940','bai2')),
    name       text NOT NULL CHECK (length(name) <= 200),
    terms      jsonb NOT NULL,                -- tolerance, days, acquirer, book: what the comparison was made with
    lines      bigint NOT NULL CHECK (lines >= 0),
    matched    bigint NOT NULL CHECK (matched BETWEEN 0 AND lines),
    since      timestamptz,                   -- the days that it speaks about
    until      timestamptz,
    created_by text NOT NULL DEFAULT session_user,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Statements of accounts: each is read once, and the next one begins where the last one ended.
CREATE TABLE gateway.settlement_statement (
    reconciliation_id text NOT NULL COLLATE "C",
    number       integer NOT NULL,
    account      text NOT NULL COLLATE "C",
    statement_id text COLLATE "C",
    sequence     bigint,
    currency     text CHECK (currency ~ '^[a-z]{3}$'),
    opening      bigint,
    closing      bigint,
    lines        bigint NOT NULL,
    PRIMARY KEY (reconciliation_id, number)
);
CREATE UNIQUE INDEX settlement_statement_once ON gateway.settlement_statement (account, statement_id) WHERE statement_id IS NOT NULL;

CREATE TABLE gateway.settlement_line (
    reconciliation_id text NOT NULL COLLATE "C",
    line         bigint NOT NULL,             -- its place among the file's lines, from 0
    number       bigint NOT NULL,             -- the line of the file, for people
    kind         text NOT NULL CHECK (kind IN ('payment','refund','refund_returned','dispute','dispute_returned','fee','payout','movement')),
    reference    text,                        -- the most exact one it gives
    named        boolean NOT NULL,            -- whether it gives any
    identity     text COLLATE "C",            -- its sender's own id of the line
    batch        text COLLATE "C",            -- the acquirer's payout or batch
    amount       bigint NOT NULL,             -- minor units, positive in our favour
    currency     text NOT NULL CHECK (currency ~ '^[a-z]{3}$'),
    fee          bigint NOT NULL,
    net          bigint NOT NULL,
    net_currency text NOT NULL CHECK (net_currency ~ '^[a-z]{3}$'),
    at           timestamptz NOT NULL,
    text         text NOT NULL,
    PRIMARY KEY (reconciliation_id, line)
);
CREATE INDEX settlement_line_batch ON gateway.settlement_line (batch) WHERE batch IS NOT NULL;

-- Both sides of a match are claimed, once per series: a pair is one row; what else belongs to the match are rows with one side.
-- Files of one format are a series that tells each thing once. Another format may tell it again, rightly: the acquirer's report and
-- the bank, the bank's notification and its statement.
CREATE TABLE gateway.settlement_claim (
    reconciliation_id text NOT NULL COLLATE "C",
    series     text NOT NULL,                 -- the format
    number     bigint NOT NULL,               -- of the match, within its file
    part       integer NOT NULL,
    line       bigint,
    book_id    bigint,
    journal_id uuid,
    account    text COLLATE "C",
    rule       text NOT NULL CHECK (rule IN ('reference','amount','source','break','person')),
    undone     boolean NOT NULL DEFAULT false,
    PRIMARY KEY (reconciliation_id, number, part),
    CHECK (line IS NOT NULL OR journal_id IS NOT NULL),
    CHECK (num_nonnulls(book_id, journal_id, account) IN (0, 3))
);
CREATE UNIQUE INDEX settlement_claim_line ON gateway.settlement_claim (reconciliation_id, line) WHERE line IS NOT NULL AND NOT undone;
CREATE UNIQUE INDEX settlement_claim_entry ON gateway.settlement_claim (book_id, journal_id, account, series)
    WHERE journal_id IS NOT NULL AND NOT undone;

-- What has to be explained. Open until a person, or a later file, has done so.
CREATE TABLE gateway.settlement_break (
    id          text PRIMARY KEY COLLATE "C" CHECK (id ~ '^brk_[a-z0-9]+$'),
    reconciliation_id text NOT NULL COLLATE "C",
    number      bigint NOT NULL,              -- its place in the report
    series      text NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('amount_mismatch','currency_mismatch','duplicate','theirs_only','ours_only','late')),
    reference   text,
    claim       bigint,                       -- of a break with both sides: the match that holds them
    book_id     bigint,                       -- of a break of ours alone: its entry
    journal_id  uuid,
    account     text COLLATE "C",
    ours        jsonb,
    theirs      jsonb,
    proposal    jsonb,
    since       timestamptz NOT NULL,         -- its age counts from here
    status      text NOT NULL DEFAULT 'open' CHECK (status IN ('open','resolved')),
    version     integer NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CHECK (num_nonnulls(ours, theirs) > 0),
    UNIQUE (reconciliation_id, number)
);
CREATE INDEX settlement_break_open ON gateway.settlement_break (since) WHERE status = 'open';
CREATE INDEX settlement_break_entry ON gateway.settlement_break (book_id, journal_id) WHERE status = 'open' AND journal_id IS NOT NULL;

-- Who decided what, and why. Reopening is a decision too.
CREATE TABLE gateway.settlement_decision (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    break_id   text NOT NULL COLLATE "C",
    version    integer NOT NULL,              -- of the break, before it
    action     text NOT NULL CHECK (action IN ('resolve','reopen','later')),
    person     text NOT NULL CHECK (length(person) BETWEEN 1 AND 200),
    reason     text NOT NULL CHECK (length(reason) BETWEEN 1 AND 1000),
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (break_id, version)                -- one of two who decide at once wins
);

DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['reconciliation','settlement_statement','settlement_line','settlement_decision'] LOOP
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON gateway.%I
                        FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change()', t);
        EXECUTE format('ALTER TABLE gateway.%I ENABLE ALWAYS TRIGGER append_only', t);
    END LOOP;
    FOREACH t IN ARRAY ARRAY['settlement_claim','settlement_break'] LOOP
        EXECUTE format('CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON gateway.%I
                        FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change()', t);
        EXECUTE format('ALTER TABLE gateway.%I ENABLE ALWAYS TRIGGER kept', t);
    END LOOP;
END $$;

GRANT SELECT, INSERT ON gateway.reconciliation, gateway.settlement_statement, gateway.settlement_line, gateway.settlement_claim,
    gateway.settlement_break, gateway.settlement_decision TO gateway_app;
GRANT UPDATE (undone) ON gateway.settlement_claim TO gateway_app;
GRANT UPDATE (status, version) ON gateway.settlement_break TO gateway_app;
GRANT SELECT ON gateway.reconciliation, gateway.settlement_statement, gateway.settlement_line, gateway.settlement_claim,
    gateway.settlement_break, gateway.settlement_decision TO finance_ro, auditor;
