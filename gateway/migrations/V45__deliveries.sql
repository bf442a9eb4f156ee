-- Webhooks out: secrets that are rolled with an overlap, a log of every attempt, and deliveries made again on request.

-- A rolled secret. The newest row of an endpoint signs; what signed before it signs beside it until `previous_until`. The secret that
-- the endpoint was made with stays in its own row. Rows are added, never changed, but for being sealed anew by a rotation of keys.
CREATE TABLE gateway.webhook_secret (
    book_id        bigint NOT NULL,
    id             text NOT NULL COLLATE "C",      -- time-ordered
    endpoint_id    text NOT NULL COLLATE "C",
    secret         bytea NOT NULL,                 -- sealed by the vault's key
    previous_until timestamptz NOT NULL,
    created_at     timestamptz NOT NULL,
    PRIMARY KEY (book_id, id)
);
CREATE INDEX webhook_secret_endpoint ON gateway.webhook_secret (book_id, endpoint_id, id);

-- `base`: attempts made before the delivery was asked for again; the schedule counts from there.
ALTER TABLE gateway.delivery ADD COLUMN base smallint NOT NULL DEFAULT 0;

-- How each attempt went: what a merchant's people look at when something did not arrive.
CREATE TABLE gateway.delivery_attempt (
    book_id     bigint NOT NULL,
    endpoint_id text NOT NULL COLLATE "C",
    event_id    text NOT NULL COLLATE "C",
    attempt     smallint NOT NULL,
    at          timestamptz NOT NULL,
    duration_ms integer NOT NULL,
    status      smallint,               -- of the answer; NULL: there was none
    error       text,                   -- why it does not count
    PRIMARY KEY (book_id, endpoint_id, event_id, attempt)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON gateway.delivery_attempt
    FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change();

GRANT SELECT, INSERT ON gateway.webhook_secret, gateway.delivery_attempt TO gateway_app;
GRANT SELECT (book_id, id, secret), UPDATE (secret) ON gateway.webhook_secret TO vault_keeper;
GRANT SELECT ON gateway.delivery_attempt TO auditor;
