-- A card network's warning of fraud (TC40, SAFE) asks for a decision within a day: give the money back before it becomes a chargeback,
-- or stand by the payment. A refund and a dispute are rows of their own; that the merchant stands by the payment is one here.
CREATE TABLE risk.alert_dismissal (
    book_id    bigint NOT NULL,
    id         text NOT NULL COLLATE "C",      -- of the early fraud warning
    reason     text NOT NULL CHECK (length(reason) BETWEEN 1 AND 2000),
    by_key     text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (book_id, id)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON risk.alert_dismissal
    FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change();
ALTER TABLE risk.alert_dismissal ENABLE ALWAYS TRIGGER append_only;
GRANT SELECT, INSERT ON risk.alert_dismissal TO gateway_app;
GRANT SELECT ON risk.alert_dismissal TO auditor;
