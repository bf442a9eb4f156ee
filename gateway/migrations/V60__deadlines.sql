-- What is due, and when: absolute times that any process may find, act upon once, and nobody forgets over a restart. The row ends
-- in the commit of what its time brought about, so that it fires once; the index holds those alone that are still open.
CREATE TABLE gateway.deadline (
    book_id    bigint NOT NULL,
    id         text NOT NULL COLLATE "C",
    version    integer NOT NULL,
    subject_id text NOT NULL COLLATE "C",       -- the object whose deadline it is: its prefix says who acts
    kind       text NOT NULL CHECK (kind ~ '^[a-z_]{1,40}$'),
    due_at     timestamptz NOT NULL,
    state      text NOT NULL CHECK (state IN ('open','fired','canceled')),
    ended_at   timestamptz,
    check_at   timestamptz,                     -- due_at; later while a process has it in hand; NULL once it has ended
    created_at timestamptz NOT NULL,
    PRIMARY KEY (book_id, id),
    CONSTRAINT deadline_ended CHECK ((state = 'open') = (ended_at IS NULL) AND (state = 'open') = (check_at IS NOT NULL)),
    CONSTRAINT deadline_not_early CHECK (state <> 'fired' OR ended_at >= due_at)
) WITH (fillfactor = 80);
CREATE INDEX deadline_due ON gateway.deadline (check_at) WHERE check_at IS NOT NULL;
CREATE INDEX deadline_subject ON gateway.deadline (book_id, subject_id, id);

CREATE FUNCTION gateway.deadline_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state <> 'open'
       OR (OLD.book_id, OLD.id, OLD.subject_id, OLD.kind, OLD.due_at, OLD.created_at) IS DISTINCT FROM
          (NEW.book_id, NEW.id, NEW.subject_id, NEW.kind, NEW.due_at, NEW.created_at) THEN
        RAISE EXCEPTION 'a deadline ends once and is not moved: make another' USING ERRCODE = '23514', CONSTRAINT = 'deadline_guard';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE UPDATE ON gateway.deadline FOR EACH ROW EXECUTE FUNCTION gateway.deadline_guard();
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON gateway.deadline FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change();

GRANT SELECT, INSERT, UPDATE ON gateway.deadline TO gateway_app;
GRANT SELECT ON gateway.deadline TO auditor;
