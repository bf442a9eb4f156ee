-- One receipt per capture whose payer left an e-mail address: written in the capture's own commit, sent afterwards. Its id is that of the
-- capture's balance transaction under another prefix, so that there can be no second one.
CREATE TABLE gateway.receipt (
    book_id    bigint NOT NULL,
    id         text NOT NULL COLLATE "C",
    version    integer NOT NULL,
    payment_id text NOT NULL COLLATE "C",
    charge_id  text NOT NULL COLLATE "C",
    balance_transaction_id text NOT NULL COLLATE "C",
    number     text NOT NULL,
    email      text NOT NULL,
    locale     text NOT NULL CHECK (locale IN ('en','zh-CN')),
    amount     bigint NOT NULL CHECK (amount > 0),
    currency   text NOT NULL,
    status     text NOT NULL CHECK (status IN ('queued','sent','failed')),
    attempts   smallint NOT NULL,
    last_error text,
    sent_at    timestamptz,
    check_at   timestamptz,                  -- when it is tried next; NULL once sent or given up
    created_at timestamptz NOT NULL,
    details    jsonb NOT NULL,               -- what it says, as it was at the capture
    PRIMARY KEY (book_id, id),
    CHECK ((status = 'sent') = (sent_at IS NOT NULL))
) WITH (fillfactor = 70);
CREATE INDEX receipt_due ON gateway.receipt (check_at) WHERE check_at IS NOT NULL;
GRANT SELECT, INSERT, UPDATE ON gateway.receipt TO gateway_app;
GRANT SELECT ON gateway.receipt TO auditor;

-- Where the payer sees it; the last part of the address is what makes it unguessable.
ALTER TABLE gateway.charge ADD COLUMN receipt_url text;
