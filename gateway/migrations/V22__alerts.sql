-- Security events that cannot be seen at the gate alone, and the alarms made of all of them.
ALTER TABLE gateway.security_event
    DROP CONSTRAINT security_event_kind_check,
    ADD CONSTRAINT security_event_kind_check CHECK (kind IN ('missing_key','wrong_key','ended_key','foreign_account','forbidden',
        'certificate_mismatch','signature_missing','signature_invalid','nonce_replayed','throttled','forged_callback','egress_refused',
        'tampered')),
    ADD COLUMN detail text CHECK (length(detail) <= 300);   -- in our words, never the peer's

-- One alarm per kind and key at a time: it collects until it is due, is closed into a batch, and the next one begins. A flood is
-- one alarm with a count.
CREATE TABLE gateway.alert (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       text NOT NULL,
    key_id     text NOT NULL COLLATE "C",        -- '': no key of ours
    source     inet,                             -- of the first
    request_id text COLLATE "C",
    detail     text,
    times      bigint NOT NULL CHECK (times > 0),
    first_at   timestamptz NOT NULL,
    last_at    timestamptz NOT NULL,
    due_at     timestamptz NOT NULL,
    batch      uuid,
    closed_at  timestamptz,
    CHECK ((batch IS NULL) = (closed_at IS NULL))
);
CREATE UNIQUE INDEX alert_open ON gateway.alert (kind, key_id) WHERE batch IS NULL;
CREATE INDEX alert_closed ON gateway.alert (kind, key_id, closed_at) WHERE batch IS NOT NULL;
CREATE INDEX alert_batch ON gateway.alert (batch) WHERE batch IS NOT NULL;

-- A batch told to a receiver: claimed by a lease, as deliveries of webhooks are.
CREATE TABLE gateway.alert_delivery (
    batch        uuid NOT NULL,
    target       text NOT NULL COLLATE "C",
    due_at       timestamptz,                    -- NULL once delivered
    attempt      integer NOT NULL DEFAULT 0,
    delivered_at timestamptz,
    last_error   text,
    PRIMARY KEY (batch, target)
);
CREATE INDEX alert_delivery_due ON gateway.alert_delivery (due_at) WHERE due_at IS NOT NULL;

-- Keeps events and makes alarms of them, in one commit. Keys in one order, so that two processes never wait for each other.
CREATE FUNCTION gateway.note_security_events(
    p_kinds text[], p_sources inet[], p_keys text[], p_requests text[], p_details text[], p_times bigint[],
    p_first timestamptz[], p_last timestamptz[], p_quiet interval)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH e AS MATERIALIZED (
        SELECT * FROM unnest(p_kinds, p_sources, p_keys, p_requests, p_details, p_times, p_first, p_last)
                      AS e (kind, source, key_id, request_id, detail, times, first_at, last_at)
    ), kept AS (
        INSERT INTO gateway.security_event (kind, source, key_id, request_id, detail, times, first_at, last_at)
        SELECT kind, source, key_id, request_id, detail, times, first_at, last_at FROM e
    )
    , s AS (
        SELECT kind, coalesce(key_id, '') AS key, (array_agg(source ORDER BY first_at))[1] AS source,
               (array_agg(request_id ORDER BY first_at))[1] AS request_id, (array_agg(detail ORDER BY first_at))[1] AS detail,
               sum(times)::bigint AS times, min(first_at) AS first_at, max(last_at) AS last_at
        FROM e GROUP BY 1, 2
    )
    INSERT INTO gateway.alert AS a (kind, key_id, source, request_id, detail, times, first_at, last_at, due_at)
    SELECT s.kind, s.key, s.source, s.request_id, s.detail, s.times, s.first_at, s.last_at,
           greatest(now(), (SELECT max(c.closed_at) + p_quiet FROM gateway.alert c
                            WHERE c.kind = s.kind AND c.key_id = s.key AND c.batch IS NOT NULL))
    FROM s ORDER BY s.kind, s.key
    ON CONFLICT (kind, key_id) WHERE batch IS NULL
    DO UPDATE SET times = a.times + excluded.times, last_at = greatest(a.last_at, excluded.last_at)
$$;
REVOKE ALL ON FUNCTION gateway.note_security_events FROM PUBLIC;
-- the auditor's: who finds that something was changed raises the alarm
GRANT EXECUTE ON FUNCTION gateway.note_security_events TO gateway_app, auditor;
GRANT SELECT, UPDATE (batch, closed_at) ON gateway.alert TO gateway_app;
GRANT SELECT, INSERT, UPDATE ON gateway.alert_delivery TO gateway_app;
GRANT SELECT ON gateway.alert, gateway.alert_delivery TO auditor;
