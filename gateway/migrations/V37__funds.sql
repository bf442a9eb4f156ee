-- A merchant's money after the sale: when it becomes available, what is kept in reserve, and how it is paid out.
ALTER TABLE gateway.merchant
    -- days from sale until available; NULL: the service's own setting
    ADD COLUMN delay_days      smallint CHECK (delay_days BETWEEN 0 AND 90),
    ADD COLUMN payout_interval text NOT NULL DEFAULT 'manual' CHECK (payout_interval IN ('manual','daily','weekly')),
    -- of weekly payouts: 1 Monday .. 7 Sunday
    ADD COLUMN payout_weekday  smallint CHECK (payout_weekday BETWEEN 1 AND 7),
    -- rolling reserve: part of what becomes available, in hundredths of a per cent, and for how many days it is kept
    ADD COLUMN reserve_bps     integer NOT NULL DEFAULT 0 CHECK (reserve_bps BETWEEN 0 AND 10000),
    ADD COLUMN reserve_days    smallint NOT NULL DEFAULT 0 CHECK (reserve_days BETWEEN 0 AND 730),
    ADD CONSTRAINT merchant_reserve CHECK ((reserve_bps = 0) = (reserve_days = 0)),
    ADD CONSTRAINT merchant_weekday CHECK ((payout_interval = 'weekly') = (payout_weekday IS NOT NULL));

-- One row per book and currency: where the round that makes money available stands. Its version lets one of two processes win.
CREATE TABLE gateway.funds (
    book_id         bigint NOT NULL,
    id              text NOT NULL COLLATE "C" CHECK (id ~ '^[a-z]{3}$'),  -- the currency
    version         integer NOT NULL,
    settled_through text NOT NULL COLLATE "C",   -- every sale up to this balance transaction is available
    paid_through    text NOT NULL COLLATE "C",   -- every movement up to this one is in an automatic payout
    payout_at       timestamptz,                 -- of the next automatic payout
    check_at        timestamptz NOT NULL,
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (book_id, id)
);
CREATE INDEX funds_due ON gateway.funds (check_at);
INSERT INTO gateway.funds (book_id, id, version, settled_through, paid_through, check_at, created_at)
SELECT DISTINCT book_id, currency, 1, '', '', now(), now() FROM gateway.balance_transaction;

-- What a rolling reserve keeps, and until when.
CREATE TABLE gateway.reserve_lot (
    book_id    bigint NOT NULL,
    id         text NOT NULL COLLATE "C",
    version    integer NOT NULL,
    currency   text NOT NULL CHECK (currency ~ '^[a-z]{3}$'),
    amount     bigint NOT NULL CHECK (amount > 0),
    remaining  bigint NOT NULL CHECK (remaining BETWEEN 0 AND amount),
    release_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (book_id, id)
);
CREATE INDEX reserve_lot_held ON gateway.reserve_lot (book_id, currency, release_at) WHERE remaining > 0;

-- Where a merchant is paid. The number is sealed; people see its last four.
CREATE TABLE gateway.bank_account (
    book_id     bigint NOT NULL,
    id          text NOT NULL COLLATE "C",
    version     integer NOT NULL,
    country     text NOT NULL CHECK (country ~ '^[A-Z]{2}$'),
    currency    text NOT NULL CHECK (currency ~ '^[a-z]{3}$'),
    last4       text NOT NULL CHECK (length(last4) <= 4),
    routing_number text,
    bank_name   text,
    fingerprint text NOT NULL COLLATE "C",
    number      bytea NOT NULL,
    default_since timestamptz,                   -- the latest of a currency is its default
    deleted     boolean NOT NULL,
    created_at  timestamptz NOT NULL,
    details     jsonb NOT NULL,
    PRIMARY KEY (book_id, id)
);

-- Money on its way to a merchant's bank. The amount has left 2020 when the row is there (J29a).
CREATE TABLE gateway.payout (
    book_id        bigint NOT NULL,
    id             text NOT NULL COLLATE "C",
    version        integer NOT NULL,
    status         text NOT NULL CHECK (status IN ('pending','in_transit','paid','failed','canceled','returned')),
    amount         bigint NOT NULL CHECK (amount > 0),
    currency       text NOT NULL CHECK (currency ~ '^[a-z]{3}$'),
    destination_id text NOT NULL COLLATE "C",
    automatic      boolean NOT NULL,
    balance_transaction_id text NOT NULL COLLATE "C",
    failure_balance_transaction_id text COLLATE "C",
    failure_code    text,
    failure_message text,
    bank_reference  text,                        -- the bank's own, when it told one
    arrival_at     timestamptz NOT NULL,         -- when it is expected to arrive
    sent_at        timestamptz,
    ended_at       timestamptz,
    created_at     timestamptz NOT NULL,
    details        jsonb NOT NULL,
    PRIMARY KEY (book_id, id)
);
CREATE INDEX payout_open ON gateway.payout (status, created_at) WHERE status IN ('pending','in_transit');

-- The second place of the rules in `funds::state`.
CREATE FUNCTION gateway.payout_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.book_id, OLD.id, OLD.amount, OLD.currency, OLD.destination_id, OLD.automatic, OLD.balance_transaction_id, OLD.created_at)
           IS DISTINCT FROM
       (NEW.book_id, NEW.id, NEW.amount, NEW.currency, NEW.destination_id, NEW.automatic, NEW.balance_transaction_id, NEW.created_at)
       OR OLD.status <> NEW.status AND (OLD.status, NEW.status) NOT IN (
           ('pending', 'in_transit'), ('pending', 'paid'), ('pending', 'failed'), ('pending', 'canceled'),
           ('in_transit', 'paid'), ('in_transit', 'failed'), ('paid', 'returned')) THEN
        RAISE EXCEPTION 'a payout that is % does not become %, and its amount is not changed', OLD.status, NEW.status
            USING ERRCODE = '23514', CONSTRAINT = 'payout_guard';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE UPDATE ON gateway.payout FOR EACH ROW EXECUTE FUNCTION gateway.payout_guard();
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON gateway.payout FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change();

GRANT SELECT, INSERT, UPDATE ON gateway.funds, gateway.reserve_lot, gateway.bank_account, gateway.payout TO gateway_app;
GRANT SELECT ON gateway.funds, gateway.reserve_lot, gateway.payout TO finance_ro, auditor;
GRANT SELECT (book_id, id, number), UPDATE (number) ON gateway.bank_account TO vault_keeper;
