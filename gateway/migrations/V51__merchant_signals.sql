-- What a merchant's own traffic says about the merchant: a day in one row, and what was noticed.

CREATE TABLE risk.merchant_day (
    book_id       bigint NOT NULL,
    day           date NOT NULL,            -- UTC
    currency      text NOT NULL,
    attempts      bigint NOT NULL CHECK (attempts >= 0),
    approved      bigint NOT NULL CHECK (approved >= 0),
    amount        bigint NOT NULL CHECK (amount >= 0),           -- of the approved, minor units
    refunds       bigint NOT NULL CHECK (refunds >= 0),
    refund_amount bigint NOT NULL CHECK (refund_amount >= 0),
    PRIMARY KEY (book_id, day, currency)
);

CREATE TABLE risk.signal (
    book_id    bigint NOT NULL,
    id         text NOT NULL COLLATE "C",
    version    integer NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('refund_spike','volume_change','amount_change','decline_change',
                   'fake_discount','list_price_never_charged','price_differs_by_consumer')),
    subject    text NOT NULL,               -- a currency, or an item and a currency
    day        date NOT NULL,               -- at most one of a kind, subject and day
    evidence   jsonb NOT NULL,              -- the numbers, enough to repeat the finding
    status     text NOT NULL CHECK (status IN ('open','acknowledged')),
    note       text CHECK (length(note) <= 2000),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (book_id, id),
    CONSTRAINT signal_acknowledged_with_a_note CHECK ((status = 'acknowledged') = (note IS NOT NULL))
);
CREATE UNIQUE INDEX signal_once_a_day ON risk.signal (book_id, kind, subject, day);

-- Refunds of a day are found by time.
CREATE INDEX refund_recent ON gateway.refund USING brin (created_at);

GRANT SELECT, INSERT ON risk.merchant_day, risk.signal TO gateway_app;
GRANT UPDATE ON risk.signal TO gateway_app;
GRANT SELECT ON risk.merchant_day, risk.signal TO auditor;
-- A day that is over does not change.
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON risk.merchant_day
    FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change();
ALTER TABLE risk.merchant_day ENABLE ALWAYS TRIGGER append_only;
