-- What a platform takes of a charge beside its fee schedule (J04), and what it gives back of it (J10). One row a charge: captures in
-- parts raise its amount. What was given back is history.
CREATE TABLE gateway.application_fee (
    book_id         bigint NOT NULL,
    id              text NOT NULL COLLATE "C",
    version         integer NOT NULL,
    charge_id       text NOT NULL COLLATE "C",
    amount          bigint NOT NULL CHECK (amount > 0),
    amount_refunded bigint NOT NULL,
    currency        text NOT NULL CHECK (currency ~ '^[a-z]{3}$'),
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (book_id, id),
    CONSTRAINT application_fee_refunded_within_amount CHECK (amount_refunded BETWEEN 0 AND amount)
);
CREATE UNIQUE INDEX application_fee_charge ON gateway.application_fee (book_id, charge_id) INCLUDE (id);
-- the platform's own list goes over all books
CREATE INDEX application_fee_newest ON gateway.application_fee (id);
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON gateway.application_fee
    FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change();

CREATE TABLE gateway.fee_refund (
    book_id    bigint NOT NULL,
    id         text NOT NULL COLLATE "C",
    fee_id     text NOT NULL COLLATE "C",
    amount     bigint NOT NULL CHECK (amount > 0),
    currency   text NOT NULL CHECK (currency ~ '^[a-z]{3}$'),
    balance_transaction_id text NOT NULL COLLATE "C",
    metadata   jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (book_id, id)
);
CREATE INDEX fee_refund_fee ON gateway.fee_refund (book_id, fee_id) INCLUDE (id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON gateway.fee_refund
    FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change();
ALTER TABLE gateway.fee_refund ENABLE ALWAYS TRIGGER append_only;

ALTER TABLE gateway.charge ADD COLUMN application_fee_id text COLLATE "C";
-- the platform's part of a line's fee
ALTER TABLE gateway.balance_transaction
    ADD COLUMN application_fee bigint NOT NULL DEFAULT 0,
    ADD CONSTRAINT balance_transaction_application_fee CHECK (application_fee BETWEEN 0 AND greatest(fee, 0));

GRANT SELECT, INSERT, UPDATE ON gateway.application_fee TO gateway_app;
GRANT SELECT, INSERT ON gateway.fee_refund TO gateway_app;
GRANT SELECT ON gateway.application_fee, gateway.fee_refund TO finance_ro, auditor;
