-- The audit log: who did what, when, from where, to what, and how it ended, for every privileged act and every read of
-- protected data. It is history: nobody changes it, and it is sealed like the books (`counterfoil audit verify`).
CREATE TABLE gateway.audit_event (
    book_id      bigint NOT NULL,       -- whose affairs; 0: the platform's own
    id           uuid NOT NULL,         -- time-ordered
    at           timestamptz NOT NULL,
    actor        text NOT NULL COLLATE "C" CHECK (length(actor) BETWEEN 1 AND 200),  -- key_.., operator:NAME@HOST, system
    role         text NOT NULL CHECK (length(role) <= 500),     -- kind and scopes of the key, or role in the database
    action       text NOT NULL CHECK (length(action) BETWEEN 1 AND 200),   -- route or command, without its parameters
    object       text COLLATE "C" CHECK (length(object) <= 200),           -- an id
    origin       text CHECK (length(origin) <= 100),            -- address
    request_id   text COLLATE "C" CHECK (length(request_id) <= 100),
    -- begun: it goes on, and another row tells its end
    result       text NOT NULL CHECK (result IN ('begun','done','refused','failed')),
    detail       text CHECK (length(detail) <= 200),            -- status and code of the answer
    recorded_xid bigint NOT NULL,                               -- by which transaction: the order of the seal
    PRIMARY KEY (book_id, id)
);
CREATE INDEX audit_event_id ON gateway.audit_event (id);        -- all books, newest first
CREATE INDEX audit_event_recorded_xid ON gateway.audit_event USING brin (recorded_xid) WITH (pages_per_range = 16, autosummarize = on);

-- The order of the seal is the database's to say, not the writer's.
CREATE FUNCTION gateway.stamp_audit_event() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.recorded_xid := pg_current_xact_id()::text::bigint;
    RETURN NEW;
END $$;
CREATE TRIGGER stamp BEFORE INSERT ON gateway.audit_event FOR EACH ROW EXECUTE FUNCTION gateway.stamp_audit_event();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON gateway.audit_event
    FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change();

-- Its pages, of the shape that the seal of the books has.
CREATE TABLE gateway.audit_seal (LIKE ledger.seal INCLUDING ALL);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON gateway.audit_seal
    FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change();

-- also under session_replication_role = replica, which switches ordinary triggers off
ALTER TABLE gateway.audit_event ENABLE ALWAYS TRIGGER stamp;
ALTER TABLE gateway.audit_event ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE gateway.audit_seal ENABLE ALWAYS TRIGGER append_only;

-- Appends a page, as ledger.seal_page does for the books: what is added has to continue the chain.
CREATE FUNCTION gateway.seal_audit_page(
    p_page bigint, p_journals integer, p_total bigint, p_last_xid bigint, p_last_book bigint, p_last_journal uuid,
    p_root bytea, p_roll_digest bytea, p_previous bytea, p_sealed_at timestamptz, p_hash bytea, p_head bytea,
    p_key_id text, p_key_check bytea, p_mac bytea, p_roll bytea)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    last gateway.audit_seal;
BEGIN
    SELECT * INTO last FROM gateway.audit_seal ORDER BY page DESC LIMIT 1;
    IF p_page IS DISTINCT FROM coalesce(last.page, 0) + 1
       OR p_total IS DISTINCT FROM coalesce(last.total, 0) + p_journals
       OR p_previous IS DISTINCT FROM coalesce(last.hash, decode(repeat('00', 32), 'hex'))
       OR last.page IS NOT NULL AND NOT (p_last_xid, p_last_book, p_last_journal) > (last.last_xid, last.last_book, last.last_journal)
       OR p_last_xid >= pg_snapshot_xmin(pg_current_snapshot())::text::bigint THEN
        RAISE EXCEPTION 'page % does not continue the seal', p_page USING ERRCODE = '42501';
    END IF;
    INSERT INTO gateway.audit_seal (page, journals, total, last_xid, last_book, last_journal, root, roll_digest, previous,
                                    sealed_at, hash, head, key_id, key_check, mac, roll)
    VALUES (p_page, p_journals, p_total, p_last_xid, p_last_book, p_last_journal, p_root, p_roll_digest, p_previous,
            p_sealed_at, p_hash, p_head, p_key_id, p_key_check, p_mac, p_roll);
END $$;

-- Notes the act of a command. Every role may, also those that may write nothing else: what they look at is noted too. As whom and
-- from where is said by the server, not by the caller.
CREATE FUNCTION gateway.note_act(
    p_id uuid, p_at timestamptz, p_actor text, p_action text, p_object text, p_account text, p_result text, p_detail text)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO gateway.audit_event (book_id, id, at, actor, role, action, object, origin, result, detail, recorded_xid)
    SELECT coalesce((SELECT m.book_id FROM gateway.merchant m WHERE m.id = coalesce(p_account, p_object)),
                    (SELECT k.book_id FROM gateway.api_key k WHERE k.id = p_object), 0),
           p_id, p_at, p_actor, session_user, p_action, p_object, coalesce(host(inet_client_addr()), 'local'), p_result, p_detail, 0
$$;

-- How far the log has been told to a receiver; a file knows by its own last line.
CREATE TABLE gateway.audit_export (
    target     text PRIMARY KEY COLLATE "C",
    xid        bigint NOT NULL,
    book       bigint NOT NULL,
    event      uuid NOT NULL,
    leased_until timestamptz NOT NULL    -- one process tells at a time; a lease ends by itself
);

GRANT SELECT, INSERT ON gateway.audit_event TO gateway_app;
GRANT SELECT ON gateway.audit_seal TO gateway_app;
GRANT SELECT, INSERT, UPDATE ON gateway.audit_export TO gateway_app;
GRANT SELECT ON gateway.audit_event, gateway.audit_seal, gateway.audit_export TO auditor;
REVOKE ALL ON FUNCTION gateway.seal_audit_page, gateway.note_act FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gateway.seal_audit_page TO gateway_app;
GRANT EXECUTE ON FUNCTION gateway.note_act TO gateway_app, ledger_writer, vault_app, vault_keeper, finance_ro, auditor;
GRANT USAGE ON SCHEMA gateway TO ledger_writer, vault_app;
