-- People who sign in to the console. Who somebody is and what they may do is the operator's to say (`counterfoil users`): the role
-- that serves can read it and can neither add a person nor give one another role. What signing in moves is beside it.

-- A development database from before this has a merchant's reader without a merchant: it gets the first one.
ALTER TABLE gateway.console_user
    ADD COLUMN account_id  text COLLATE "C",      -- of a merchant's reader: whose affairs, and no one else's
    ADD COLUMN disabled_at timestamptz,
    ADD COLUMN created_by  text NOT NULL DEFAULT 'seed' CHECK (length(created_by) <= 200);
UPDATE gateway.console_user SET account_id = (SELECT m.id FROM gateway.merchant m ORDER BY m.book_id LIMIT 1)
WHERE role = 'merchant_read_only';
DELETE FROM gateway.console_user WHERE role = 'merchant_read_only' AND account_id IS NULL;
ALTER TABLE gateway.console_user
    ADD CONSTRAINT console_user_account CHECK ((role = 'merchant_read_only') = (account_id IS NOT NULL)),
    ADD CONSTRAINT console_user_name CHECK (name ~ '^[a-z][a-z0-9._-]{0,49}$');
REVOKE INSERT ON gateway.console_user FROM gateway_app;

-- What a person proves themselves with. No secret of the second factor is here: it is derived from the vault's pepper, the name and
-- the generation, which is why a reset is nothing but the next generation.
CREATE TABLE gateway.console_credential (
    user_name       text PRIMARY KEY COLLATE "C" REFERENCES gateway.console_user (name),
    password_hash   text NOT NULL,
    must_change     boolean NOT NULL DEFAULT false,  -- it was made by somebody else
    totp_generation integer NOT NULL DEFAULT 1 CHECK (totp_generation > 0),
    totp_since      timestamptz,                     -- NULL: no second factor yet
    totp_step       bigint NOT NULL DEFAULT 0,       -- the last code that was taken: each is good once
    failures        integer NOT NULL DEFAULT 0 CHECK (failures >= 0),
    locked_until    timestamptz,
    preferences     jsonb NOT NULL DEFAULT '{}' CHECK (pg_column_size(preferences) <= 8192)
);
INSERT INTO gateway.console_credential (user_name, password_hash) SELECT name, password_hash FROM gateway.console_user;
ALTER TABLE gateway.console_user DROP COLUMN password_hash;

-- One row per browser that is signed in, known by a hash of its cookie.
CREATE TABLE gateway.console_session (
    hash       bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    user_name  text NOT NULL COLLATE "C" REFERENCES gateway.console_user (name),
    -- what was proven: the password, or all that is asked for
    stage      text NOT NULL CHECK (stage IN ('password','full')),
    origin     text CHECK (length(origin) <= 100),
    created_at timestamptz NOT NULL,
    seen_at    timestamptz NOT NULL,       -- to the minute; quiet for a quarter of an hour and it is locked
    expires_at timestamptz NOT NULL CHECK (expires_at <= created_at + interval '12 hours'),
    ended_at   timestamptz
);
CREATE INDEX console_session_user ON gateway.console_session (user_name) WHERE ended_at IS NULL;
CREATE INDEX console_session_expires ON gateway.console_session (expires_at);

-- An ended session stays ended, and none becomes somebody else's.
CREATE FUNCTION gateway.console_session_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.hash, OLD.user_name, OLD.created_at, OLD.expires_at) IS DISTINCT FROM (NEW.hash, NEW.user_name, NEW.created_at, NEW.expires_at)
       OR OLD.ended_at IS NOT NULL THEN
        RAISE EXCEPTION 'a session is not revived, prolonged or handed on' USING ERRCODE = '42501';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE UPDATE ON gateway.console_session FOR EACH ROW EXECUTE FUNCTION gateway.console_session_guard();

-- What takes two people: one asks, another one decides.
CREATE TABLE gateway.approval (
    book_id     bigint NOT NULL,
    id          text NOT NULL COLLATE "C",
    kind        text NOT NULL CHECK (kind IN ('refund','journal','key_revocation')),
    subject     text NOT NULL COLLATE "C" CHECK (length(subject) <= 200),   -- the object it is about
    amount      bigint CHECK (amount > 0),
    currency    text CHECK (currency ~ '^[a-z]{3}$'),
    content     jsonb NOT NULL CHECK (pg_column_size(content) <= 8192),     -- all that is needed to carry it out
    reason      text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
    maker       text NOT NULL CHECK (length(maker) BETWEEN 1 AND 100),
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    status      text NOT NULL DEFAULT 'open' CHECK (status IN ('open','approved','rejected','done','failed')),
    checker     text CHECK (length(checker) BETWEEN 1 AND 100),
    note        text CHECK (length(note) <= 500),
    decided_at  timestamptz,
    outcome     text CHECK (length(outcome) <= 500),
    PRIMARY KEY (book_id, id),
    CONSTRAINT approval_amount CHECK ((amount IS NULL) = (currency IS NULL)),
    CONSTRAINT approval_decided CHECK ((status = 'open') = (checker IS NULL) AND (status = 'open') = (decided_at IS NULL)),
    -- names that differ only in case or outer blanks are one person
    CONSTRAINT approval_two_people CHECK (lower(btrim(maker)) IS DISTINCT FROM lower(btrim(checker)))
);
CREATE INDEX approval_open ON gateway.approval (created_at) WHERE status IN ('open','approved');
CREATE INDEX approval_recent ON gateway.approval (created_at);

-- What was asked for is not edited, and a decision is not taken back.
CREATE FUNCTION gateway.approval_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.book_id, OLD.id, OLD.kind, OLD.subject, OLD.amount, OLD.currency, OLD.content, OLD.reason, OLD.maker, OLD.created_at, OLD.expires_at)
           IS DISTINCT FROM
       (NEW.book_id, NEW.id, NEW.kind, NEW.subject, NEW.amount, NEW.currency, NEW.content, NEW.reason, NEW.maker, NEW.created_at, NEW.expires_at)
       OR (OLD.status, NEW.status) NOT IN (('open','approved'), ('open','rejected'), ('approved','done'), ('approved','failed'))
       OR OLD.checker IS NOT NULL AND (OLD.checker, OLD.decided_at) IS DISTINCT FROM (NEW.checker, NEW.decided_at) THEN
        RAISE EXCEPTION 'a request that is % does not become %, and what it asks for is not changed', OLD.status, NEW.status
            USING ERRCODE = '23514', CONSTRAINT = 'approval_guard';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE UPDATE ON gateway.approval FOR EACH ROW EXECUTE FUNCTION gateway.approval_guard();
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON gateway.approval FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change();

-- Ends a key that two people have agreed to end: the one thing about keys that the role that serves may do, and only so.
CREATE FUNCTION gateway.revoke_key(p_book bigint, p_approval text, p_at timestamptz) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH ended AS (
        UPDATE gateway.api_key k SET revoked_at = p_at
        FROM gateway.approval a
        WHERE a.book_id = p_book AND a.id = p_approval AND a.kind = 'key_revocation' AND a.status = 'approved'
          AND k.id = a.subject AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
        RETURNING 1)
    SELECT EXISTS (SELECT FROM ended)
$$;
REVOKE ALL ON FUNCTION gateway.revoke_key FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gateway.revoke_key TO gateway_app;

-- Sessions that ended a month ago are forgotten; the role that serves can delete no other.
CREATE FUNCTION gateway.forget_console_sessions() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH gone AS (DELETE FROM gateway.console_session WHERE expires_at < now() - interval '30 days' RETURNING 1)
    SELECT count(*) FROM gone
$$;
REVOKE ALL ON FUNCTION gateway.forget_console_sessions FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gateway.forget_console_sessions TO gateway_app;

-- What the console's lists begin with. The number of rows is that of open work, and none of these can stand in for a key.
CREATE INDEX review_waiting ON gateway.review (created_at) WHERE open;
CREATE INDEX dispute_waiting ON gateway.dispute (due_by) WHERE status IN ('needs_response','warning_needs_response');

GRANT SELECT ON gateway.console_user TO gateway_app;
GRANT SELECT ON gateway.console_credential TO gateway_app;
GRANT UPDATE (password_hash, must_change, totp_generation, totp_since, totp_step, failures, locked_until, preferences)
    ON gateway.console_credential TO gateway_app;
GRANT SELECT, INSERT ON gateway.console_session, gateway.approval TO gateway_app;
GRANT UPDATE (stage, seen_at, ended_at) ON gateway.console_session TO gateway_app;
GRANT UPDATE (status, checker, note, decided_at, outcome) ON gateway.approval TO gateway_app;
GRANT SELECT ON gateway.approval TO auditor;
