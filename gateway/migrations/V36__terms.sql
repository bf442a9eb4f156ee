-- What the platform and a merchant have agreed, in versions: fees, and terms of service. In the platform's own book they hold for
-- every merchant that has none of its own. A version is never rewritten; each payment keeps the one in force when it was made.
CREATE TABLE gateway.terms (
    book_id         bigint NOT NULL,
    id              text NOT NULL COLLATE "C",
    version         integer NOT NULL,
    account_id      text COLLATE "C",             -- NULL: the platform's, for everyone
    kind            text NOT NULL CHECK (kind IN ('fee_schedule','terms_of_service')),
    number          integer NOT NULL CHECK (number > 0),
    status          text NOT NULL CHECK (status IN ('proposed','approved','rejected')),
    effective_at    timestamptz NOT NULL,
    created_at      timestamptz NOT NULL,
    created_by      text NOT NULL,
    decided_by      text,
    decided_at      timestamptz,
    override_reason text CHECK (length(override_reason) BETWEEN 1 AND 500),
    content         jsonb NOT NULL,
    PRIMARY KEY (book_id, id),
    UNIQUE (book_id, kind, number),
    -- thirty days' notice of a change, unless two people say why not
    CONSTRAINT terms_notice CHECK (status <> 'approved' OR number = 1 OR effective_at >= created_at + interval '30 days'
        OR (override_reason IS NOT NULL AND decided_by IS NOT NULL AND decided_by <> created_by))
);

CREATE FUNCTION gateway.terms_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status <> 'proposed'
       OR (OLD.book_id, OLD.id, OLD.account_id, OLD.kind, OLD.number, OLD.created_at, OLD.created_by, OLD.override_reason, OLD.content)
          IS DISTINCT FROM
          (NEW.book_id, NEW.id, NEW.account_id, NEW.kind, NEW.number, NEW.created_at, NEW.created_by, NEW.override_reason, NEW.content)
       OR NEW.effective_at < OLD.effective_at THEN
        RAISE EXCEPTION 'terms are not rewritten: make the next version' USING ERRCODE = '23514', CONSTRAINT = 'terms_guard';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE UPDATE ON gateway.terms FOR EACH ROW EXECUTE FUNCTION gateway.terms_guard();
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON gateway.terms FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change();
GRANT SELECT, INSERT ON gateway.terms TO gateway_app;
GRANT UPDATE (version, status, effective_at, decided_by, decided_at) ON gateway.terms TO gateway_app;
GRANT SELECT ON gateway.terms TO finance_ro, auditor;

-- The fees that merchants have are their first version.
INSERT INTO gateway.terms (book_id, id, version, account_id, kind, number, status, effective_at, created_at, created_by, content)
SELECT book_id, 'trm_' || book_id, 1, id, 'fee_schedule', 1, 'approved', created_at, now(), 'migration',
       jsonb_build_object('percent', (fee_bps / 100.0)::numeric(7,2)::text,
                          'rates', jsonb_build_object(default_currency, jsonb_build_object('percent', (fee_bps / 100.0)::numeric(7,2)::text, 'fixed', fee_fixed)))
FROM gateway.merchant;
ALTER TABLE gateway.merchant DROP COLUMN fee_bps, DROP COLUMN fee_fixed;
