-- Payouts told to the bank in files, and what banks told back.

-- A file of payment instructions (pain.001). Its content is made again from rows when it is fetched: account numbers stay sealed.
CREATE TABLE gateway.payout_file (
    book_id        bigint NOT NULL,               -- of the platform's account that made it
    id             text NOT NULL COLLATE "C",
    currency       text NOT NULL CHECK (currency ~ '^[a-z]{3}$'),
    payouts        integer NOT NULL CHECK (payouts > 0),
    amount         bigint NOT NULL CHECK (amount > 0),
    execution_date date NOT NULL,
    debtor         jsonb NOT NULL,                -- our name, account and bank at the time
    digest         text NOT NULL COLLATE "C" CHECK (digest ~ '^[0-9a-f]{64}$'),  -- SHA-256 of the content
    created_by     text NOT NULL COLLATE "C",     -- the key
    created_at     timestamptz NOT NULL,
    PRIMARY KEY (book_id, id)
);

-- Which file a payout is in. The key lets it into one file, ever: a bank that is told twice may pay twice.
CREATE TABLE gateway.payout_instruction (
    book_id    bigint NOT NULL,
    id         text NOT NULL COLLATE "C",         -- the payout
    file_id    text NOT NULL COLLATE "C",
    number     integer NOT NULL,                  -- its place in the file
    name       text NOT NULL,                     -- who is paid, as it was then
    PRIMARY KEY (book_id, id)
);
CREATE INDEX payout_instruction_file ON gateway.payout_instruction (file_id, number);

-- What a bank said of a payout, in a file (pain.002, camt): stored, then processed. The same word is kept once.
CREATE TABLE gateway.payout_notice (
    book_id         bigint NOT NULL,
    id              uuid NOT NULL,
    payout_id       text NOT NULL COLLATE "C",
    outcome         text NOT NULL CHECK (outcome IN ('in_transit','paid','failed','returned')),
    failure_code    text,
    failure_message text CHECK (length(failure_message) <= 255),
    bank_reference  text CHECK (length(bank_reference) <= 255),
    source          text NOT NULL CHECK (length(source) <= 255),   -- the file
    told_at         timestamptz NOT NULL,
    check_at        timestamptz,                  -- NULL once processed
    refused         text,                         -- why it could not be applied when it was tried last
    PRIMARY KEY (book_id, id),
    UNIQUE (book_id, payout_id, outcome),
    CHECK ((outcome IN ('failed','returned')) = (failure_code IS NOT NULL))
);
CREATE INDEX payout_notice_due ON gateway.payout_notice (check_at) WHERE check_at IS NOT NULL;

-- False when this was said before.
CREATE FUNCTION gateway.note_payout(p_book bigint, p_id uuid, p_payout text, p_outcome text, p_code text, p_message text, p_reference text,
                                    p_source text)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO gateway.payout_notice (book_id, id, payout_id, outcome, failure_code, failure_message, bank_reference, source, told_at, check_at)
    SELECT p.book_id, p_id, p.id, p_outcome, p_code, p_message, p_reference, p_source, clock_timestamp(), clock_timestamp()
    FROM gateway.payout p WHERE p.book_id = p_book AND p.id = p_payout
    ON CONFLICT DO NOTHING;
    RETURN FOUND;
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON gateway.payout_file
    FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON gateway.payout_instruction
    FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change();
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON gateway.payout_notice FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change();
ALTER TABLE gateway.payout_file ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE gateway.payout_instruction ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE gateway.payout_notice ENABLE ALWAYS TRIGGER kept;

GRANT SELECT, INSERT ON gateway.payout_file, gateway.payout_instruction TO gateway_app;
GRANT SELECT, UPDATE (check_at, refused) ON gateway.payout_notice TO gateway_app;
GRANT SELECT ON gateway.payout_file, gateway.payout_instruction, gateway.payout_notice TO finance_ro, auditor;
REVOKE ALL ON FUNCTION gateway.note_payout FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gateway.note_payout TO gateway_app, ledger_writer;
