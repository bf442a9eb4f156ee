-- Measures against a merchant whose cases were upheld, each with its calculation and with what it changed, so that an appeal can undo it.
CREATE TABLE gateway.sanction (
    book_id     bigint NOT NULL,
    id          text NOT NULL COLLATE "C",
    version     integer NOT NULL,
    step        text NOT NULL CHECK (step IN ('warn','reserve','payouts_paused','restricted','offboard')),
    case_id     text NOT NULL COLLATE "C",
    basis       jsonb NOT NULL,
    before      jsonb NOT NULL,
    created_at  timestamptz NOT NULL,
    reversed_at timestamptz,
    PRIMARY KEY (book_id, id)
);
-- a step is in force once
CREATE UNIQUE INDEX sanction_in_force ON gateway.sanction (book_id, step) WHERE reversed_at IS NULL;
CREATE FUNCTION gateway.sanction_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.reversed_at IS NOT NULL
       OR (OLD.book_id, OLD.id, OLD.step, OLD.case_id, OLD.basis, OLD.before, OLD.created_at) IS DISTINCT FROM
          (NEW.book_id, NEW.id, NEW.step, NEW.case_id, NEW.basis, NEW.before, NEW.created_at) THEN
        RAISE EXCEPTION 'a measure is undone once and not rewritten' USING ERRCODE = '23514', CONSTRAINT = 'sanction_guard';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE UPDATE ON gateway.sanction FOR EACH ROW EXECUTE FUNCTION gateway.sanction_guard();
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON gateway.sanction FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change();
CREATE INDEX case_upheld ON gateway.consumer_case (book_id, closed_at) WHERE outcome = 'upheld';
GRANT SELECT, INSERT, UPDATE ON gateway.sanction TO gateway_app;
GRANT SELECT ON gateway.sanction TO auditor, finance_ro;
