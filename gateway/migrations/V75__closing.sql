-- Closing a period: what people explained, what they signed, and what was found in order when it was closed. History: added to by
-- three functions, changed by nobody.

-- Why an item of the report `unexplained_money` is right as it is. Of this amount: when it changes, it is unexplained again.
CREATE TABLE gateway.explanation (
    book_id      bigint NOT NULL,                  -- 0: of no book alone
    id           uuid NOT NULL,
    account      text NOT NULL COLLATE "C",
    item         text NOT NULL COLLATE "C",
    amount       bigint NOT NULL,
    reason       text NOT NULL CHECK (btrim(reason) <> '' AND length(reason) <= 1000),
    explained_by text NOT NULL CHECK (btrim(explained_by) <> '' AND length(explained_by) <= 200),
    explained_at timestamptz NOT NULL,
    PRIMARY KEY (book_id, id)
);
CREATE INDEX explanation_of ON gateway.explanation (book_id, account, item);

-- That a person has read a report of a period and stands for it: for its rows, by their hash, not for a title.
CREATE TABLE gateway.report_signature (
    id         uuid PRIMARY KEY,
    report     text NOT NULL COLLATE "C",
    since      date,                               -- the first day; NULL: from the first journal
    up_to      date NOT NULL,                      -- the last day
    position   text NOT NULL,                      -- what the books had when it was read
    digest     bytea NOT NULL CHECK (octet_length(digest) = 32),
    signed_by  text NOT NULL CHECK (btrim(signed_by) <> '' AND length(signed_by) <= 200),
    signed_at  timestamptz NOT NULL
);
-- Names that differ only in case or outer blanks are one person, who signs once.
CREATE UNIQUE INDEX report_signature_once ON gateway.report_signature (up_to, report, since, digest, lower(btrim(signed_by))) NULLS NOT DISTINCT;

-- What was checked when a period was closed, and what was found.
CREATE TABLE gateway.closing (
    id        uuid PRIMARY KEY,
    up_to     date NOT NULL,
    checklist jsonb NOT NULL,
    closed_by text NOT NULL CHECK (btrim(closed_by) <> ''),
    closed_at timestamptz NOT NULL
);

CREATE FUNCTION gateway.explain(p_book bigint, p_id uuid, p_account text, p_item text, p_amount bigint, p_reason text, p_by text)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO gateway.explanation VALUES (p_book, p_id, p_account, p_item, p_amount, p_reason, p_by, clock_timestamp());
$$;

-- False when that person has signed these very rows before.
CREATE FUNCTION gateway.sign_report(p_id uuid, p_report text, p_since date, p_up_to date, p_position text, p_digest bytea, p_by text)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO gateway.report_signature VALUES (p_id, p_report, p_since, p_up_to, p_position, p_digest, p_by, clock_timestamp())
    ON CONFLICT DO NOTHING;
    RETURN FOUND;
END $$;

CREATE FUNCTION gateway.note_closing(p_id uuid, p_up_to date, p_checklist jsonb, p_by text)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO gateway.closing VALUES (p_id, p_up_to, p_checklist, p_by, clock_timestamp());
$$;

DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['explanation', 'report_signature', 'closing'] LOOP
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON gateway.%I
                        FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change()', t);
        EXECUTE format('ALTER TABLE gateway.%I ENABLE ALWAYS TRIGGER append_only', t);
        EXECUTE format('GRANT SELECT ON gateway.%I TO gateway_app, finance_ro, auditor', t);
    END LOOP;
END $$;
REVOKE ALL ON FUNCTION gateway.explain, gateway.sign_report, gateway.note_closing FROM PUBLIC;
-- The service's for its console, where people are proved; finance's own commands come as ledger_writer, which closes periods.
GRANT EXECUTE ON FUNCTION gateway.explain, gateway.sign_report TO gateway_app, ledger_writer;
GRANT EXECUTE ON FUNCTION gateway.note_closing TO ledger_writer;
