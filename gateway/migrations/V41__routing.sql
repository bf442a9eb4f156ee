-- Which acquirer a payment goes to. Rules are a document; each change is a new row, and the newest holds: who routed what, when
-- and why can be read back from the version that a charge names.
CREATE TABLE gateway.routing (
    version    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rules      jsonb NOT NULL CHECK (jsonb_typeof(rules) = 'object'),
    note       text NOT NULL DEFAULT '' CHECK (length(note) <= 500),
    created_by text NOT NULL DEFAULT session_user,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON gateway.routing
    FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change();
-- The role that serves follows rules; it does not make them.
GRANT SELECT ON gateway.routing TO gateway_app, finance_ro, auditor;

-- The decision, and every acquirer that was asked before the one that the charge names now.
ALTER TABLE gateway.charge ADD COLUMN routing jsonb NOT NULL DEFAULT '{}';
