-- Who may do what. gateway_app serves traffic: it adds history and moves state, and can remove nothing.
-- vault_app reaches the vault and nothing else. Roles belong to the whole server, hence "if absent".
DO $$
DECLARE r text;
BEGIN
    FOREACH r IN ARRAY ARRAY['gateway_app','vault_app','finance_ro','auditor'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I LOGIN', r);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END LOOP;
END $$;

REVOKE ALL ON SCHEMA gateway, vault FROM PUBLIC;
GRANT USAGE ON SCHEMA gateway TO gateway_app, finance_ro, auditor;
GRANT USAGE ON SCHEMA vault TO vault_app;
GRANT SELECT, INSERT ON vault.card TO vault_app;

GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA gateway TO gateway_app;
-- state moves; history (event, balance_transaction) does not
GRANT UPDATE ON gateway.merchant, gateway.api_key, gateway.request, gateway.customer, gateway.payment_method,
    gateway.payment, gateway.charge, gateway.refund, gateway.dispute, gateway.review, gateway.webhook_endpoint,
    gateway.delivery, gateway.callback TO gateway_app;
-- an expired idempotency key may be pruned; nothing else can be deleted
GRANT DELETE ON gateway.request TO gateway_app;

GRANT SELECT ON gateway.merchant, gateway.payment, gateway.charge, gateway.refund, gateway.dispute,
    gateway.balance_transaction TO finance_ro;
GRANT SELECT ON ALL TABLES IN SCHEMA gateway TO auditor;
REVOKE SELECT ON gateway.api_key, gateway.console_user, gateway.webhook_endpoint, gateway.request FROM auditor;

-- History is append-only for everyone, the owner too.
CREATE FUNCTION gateway.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of %.% is refused: history is append-only', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = '42501';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON gateway.event
    FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON gateway.balance_transaction
    FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change();
-- also under session_replication_role = replica, which switches ordinary triggers off
ALTER TABLE gateway.event ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE gateway.balance_transaction ENABLE ALWAYS TRIGGER append_only;
