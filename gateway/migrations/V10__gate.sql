-- The gate: what a key demands of its caller, which signatures were seen, and what was refused.

-- What an operator sets per key. NULL: the service's own setting.
ALTER TABLE gateway.api_key
    ADD COLUMN name text NOT NULL DEFAULT '' CHECK (length(name) <= 100),
    -- every request must be signed (RFC 9421); the secret is derived from the vault's pepper and the id, and stored nowhere
    ADD COLUMN signature_required boolean NOT NULL DEFAULT false,
    -- bound here and not chosen by the caller, so that a weaker one cannot be talked into
    ADD COLUMN signature_algorithm text NOT NULL DEFAULT 'hmac-sha256' CHECK (signature_algorithm = 'hmac-sha256'),
    -- the TLS client certificate without which the key is worth nothing
    ADD COLUMN client_certificate text CHECK (client_certificate ~ '^(sha256:[0-9a-f]{64}|cn:.{1,200})$'),
    ADD COLUMN requests_per_second integer CHECK (requests_per_second > 0),
    ADD COLUMN concurrent_requests integer CHECK (concurrent_requests > 0),
    -- the key that this one takes over from
    ADD COLUMN replaces text COLLATE "C" REFERENCES gateway.api_key (id),
    -- to the minute: written at most once a minute per key and process
    ADD COLUMN last_used_at timestamptz;

-- A key is rolled, never rewritten: what it is, it stays, and what ended does not begin again.
CREATE FUNCTION gateway.api_key_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.hash, OLD.id, OLD.book_id, OLD.kind, OLD.platform, OLD.scopes, OLD.signature_required, OLD.signature_algorithm, OLD.created_at)
           IS DISTINCT FROM
       (NEW.hash, NEW.id, NEW.book_id, NEW.kind, NEW.platform, NEW.scopes, NEW.signature_required, NEW.signature_algorithm, NEW.created_at)
       OR OLD.client_certificate IS DISTINCT FROM NEW.client_certificate
       OR OLD.replaces IS DISTINCT FROM NEW.replaces THEN
        RAISE EXCEPTION 'a key is not changed: make another' USING ERRCODE = '42501';
    END IF;
    IF OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS DISTINCT FROM OLD.revoked_at THEN
        RAISE EXCEPTION 'key % was revoked and stays so', OLD.id USING ERRCODE = '42501';
    END IF;
    IF OLD.expires_at <= now() AND NEW.expires_at IS DISTINCT FROM OLD.expires_at THEN
        RAISE EXCEPTION 'key % has expired and stays so', OLD.id USING ERRCODE = '42501';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE UPDATE ON gateway.api_key FOR EACH ROW EXECUTE FUNCTION gateway.api_key_guard();
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON gateway.api_key FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change();

-- The role that serves makes no keys and gives none more rights: it notes when one was used.
REVOKE INSERT, UPDATE ON gateway.api_key FROM gateway_app;
GRANT UPDATE (last_used_at) ON gateway.api_key TO gateway_app;

-- Nonces of signed requests, for as long as their signatures are good: the second use of one is a replay, in every process.
-- Logged, because a crash must not make an old signature good again.
CREATE TABLE gateway.nonce (
    digest     bytea PRIMARY KEY CHECK (octet_length(digest) = 16),   -- of key id and nonce
    expires_at timestamptz NOT NULL
);
CREATE INDEX nonce_expires ON gateway.nonce USING brin (expires_at) WITH (pages_per_range = 16);
GRANT SELECT, INSERT ON gateway.nonce TO gateway_app;
-- The role that serves can forget a nonce only when its signature is no longer good.
CREATE FUNCTION gateway.forget_nonces() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = '' AS $$
    WITH gone AS (DELETE FROM gateway.nonce WHERE expires_at < pg_catalog.now() - interval '1 minute' RETURNING 1)
    SELECT pg_catalog.count(*) FROM gone
$$;
REVOKE ALL ON FUNCTION gateway.forget_nonces() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gateway.forget_nonces() TO gateway_app;

-- What was refused at the gate, for alarms and for whoever looks into it afterwards. A row stands for `times` equal events of one
-- source within a moment, so that a flood costs rows by the second and not by the request.
CREATE TABLE gateway.security_event (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       text NOT NULL CHECK (kind IN ('missing_key','wrong_key','ended_key','foreign_account','forbidden',
                   'certificate_mismatch','signature_missing','signature_invalid','nonce_replayed','throttled')),
    source     inet,                     -- address of the peer; NULL when too many sources were at it at once
    key_id     text COLLATE "C",         -- the key that was shown, when it is one of ours
    request_id text COLLATE "C",         -- of the first of them
    times      bigint NOT NULL CHECK (times > 0),
    first_at   timestamptz NOT NULL,
    last_at    timestamptz NOT NULL CHECK (last_at >= first_at)
);
CREATE INDEX security_event_at ON gateway.security_event USING brin (last_at);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON gateway.security_event
    FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change();
GRANT INSERT ON gateway.security_event TO gateway_app;
GRANT SELECT ON gateway.security_event TO auditor;
