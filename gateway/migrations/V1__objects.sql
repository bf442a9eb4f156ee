-- The gateway's objects. Every table leads its primary key with book_id (the merchant's book in the ledger), so a
-- read that forgets the merchant cannot be written by accident and the schema can be distributed by book_id.
-- Ids are the wire's own: a prefix and a time-ordered suffix, so the primary key also serves "newest first".
-- Amounts are minor units. No foreign keys on the hot tables: `counterfoil ledger verify` proves the references.

CREATE SCHEMA gateway;

-- Who may own books here. `status` gates charging: only `active` merchants take payments.
CREATE TABLE gateway.merchant (
    book_id          bigint PRIMARY KEY,
    id               text NOT NULL COLLATE "C" UNIQUE CHECK (id ~ '^acct_[a-z0-9]+$'),
    name             text NOT NULL,
    status           text NOT NULL CHECK (status IN ('draft','submitted','under_review','active','restricted','suspended','offboarded')),
    country          text NOT NULL,
    default_currency text NOT NULL CHECK (default_currency ~ '^[a-z]{3}$'),
    -- platform fee: basis points of the amount plus a fixed part in minor units of the default currency (J04)
    fee_bps          integer NOT NULL CHECK (fee_bps BETWEEN 0 AND 10000),
    fee_fixed        bigint NOT NULL CHECK (fee_fixed >= 0),
    created_at       timestamptz NOT NULL
);

-- API keys: only a keyed hash is kept; the key itself is shown once, when it is made.
CREATE TABLE gateway.api_key (
    hash       bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    id         text NOT NULL COLLATE "C" UNIQUE,
    book_id    bigint NOT NULL REFERENCES gateway.merchant,
    kind       text NOT NULL CHECK (kind IN ('secret','restricted','publishable')),
    -- a platform key may act for another merchant with the Stripe-Account header
    platform   boolean NOT NULL,
    scopes     text[] NOT NULL,
    hint       text NOT NULL,            -- prefix and last four, for people
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz
);

-- Idempotency: one row per POST with a key. status is NULL while the first request is at work.
CREATE TABLE gateway.request (
    book_id    bigint NOT NULL,
    key        bytea NOT NULL CHECK (octet_length(key) = 16),     -- digest of the caller's key
    digest     bytea NOT NULL CHECK (octet_length(digest) = 16),  -- digest of method, path and parameters
    path       text NOT NULL,
    object_id  text COLLATE "C",
    status     smallint CHECK (status BETWEEN 200 AND 599),
    body       text COMPRESSION lz4,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (book_id, key),
    CHECK ((status IS NULL) = (body IS NULL))
) WITH (fillfactor = 70, toast_tuple_target = 128);
ALTER TABLE gateway.request ALTER COLUMN body SET STORAGE MAIN;

CREATE TABLE gateway.customer (
    book_id    bigint NOT NULL,
    id         text NOT NULL COLLATE "C",
    version    integer NOT NULL,
    deleted    boolean NOT NULL,
    created_at timestamptz NOT NULL,
    details    jsonb NOT NULL,
    PRIMARY KEY (book_id, id)
);

-- What is shown of a card, and where its number is: a vault reference, or one of the published test tokens.
CREATE TABLE gateway.payment_method (
    book_id     bigint NOT NULL,
    id          text NOT NULL COLLATE "C",
    version     integer NOT NULL,
    customer_id text COLLATE "C",
    vault_id    text COLLATE "C",
    test_token  text,
    brand       text NOT NULL,
    bin         text NOT NULL CHECK (bin ~ '^[0-9]{6}$'),
    last4       text NOT NULL CHECK (last4 ~ '^[0-9]{4}$'),
    exp_month   smallint NOT NULL CHECK (exp_month BETWEEN 1 AND 12),
    exp_year    smallint NOT NULL,
    fingerprint text NOT NULL COLLATE "C",
    funding     text NOT NULL,
    country     text NOT NULL,
    created_at  timestamptz NOT NULL,
    details     jsonb NOT NULL,
    PRIMARY KEY (book_id, id),
    CHECK (num_nonnulls(vault_id, test_token) = 1)
);
CREATE INDEX payment_method_customer ON gateway.payment_method (book_id, customer_id, id) WHERE customer_id IS NOT NULL;

CREATE TABLE gateway.payment (
    book_id            bigint NOT NULL,
    id                 text NOT NULL COLLATE "C",
    version            integer NOT NULL,
    status             text NOT NULL CHECK (status IN ('requires_payment_method','requires_confirmation','requires_action',
                                                       'processing','requires_capture','succeeded','canceled')),
    -- the operation at the acquirer that is under way; it locks out every other one (law 1: durable before the call)
    operation          text CHECK (operation IN ('authorize','capture','void')),
    operation_amount   bigint CHECK (operation_amount > 0),
    amount             bigint NOT NULL CHECK (amount BETWEEN 1 AND 99999999),
    currency           text NOT NULL CHECK (currency ~ '^[a-z]{3}$'),
    amount_capturable  bigint NOT NULL CHECK (amount_capturable BETWEEN 0 AND amount),
    amount_received    bigint NOT NULL CHECK (amount_received BETWEEN 0 AND amount),
    amount_refunded    bigint NOT NULL CHECK (amount_refunded >= 0),   -- pending and succeeded
    amount_disputed    bigint NOT NULL CHECK (amount_disputed >= 0),   -- open and lost chargebacks
    -- set when a chargeback debits what a refund already returned: the one exception to the sum below
    double_credit_risk boolean NOT NULL,
    capture_method     text NOT NULL CHECK (capture_method IN ('automatic','manual')),
    customer_id        text COLLATE "C",
    payment_method_id  text COLLATE "C",
    charge_id          text COLLATE "C",
    review_id          text COLLATE "C",
    created_at         timestamptz NOT NULL,
    canceled_at        timestamptz,
    details            jsonb NOT NULL,
    PRIMARY KEY (book_id, id),
    CONSTRAINT payment_captured_within_amount CHECK (amount_capturable + amount_received <= amount),
    CONSTRAINT payment_refunded_within_captured CHECK (amount_refunded <= amount_received),
    CONSTRAINT payment_returned_within_captured
        CHECK (amount_refunded + amount_disputed <= amount_received OR double_credit_risk),
    CONSTRAINT payment_operation_amount CHECK ((operation IS NULL) = (operation_amount IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX payment_customer ON gateway.payment (book_id, customer_id, id) WHERE customer_id IS NOT NULL;

-- One attempt at the acquirer. It is durable as `pending` before the call; a time-out makes it `unknown`, never failed.
CREATE TABLE gateway.charge (
    book_id           bigint NOT NULL,
    id                text NOT NULL COLLATE "C",
    version           integer NOT NULL,
    payment_id        text NOT NULL COLLATE "C",
    status            text NOT NULL CHECK (status IN ('pending','unknown','succeeded','failed','voided')),
    amount            bigint NOT NULL CHECK (amount > 0),
    currency          text NOT NULL,
    amount_captured   bigint NOT NULL CHECK (amount_captured BETWEEN 0 AND amount),
    amount_refunded   bigint NOT NULL CHECK (amount_refunded BETWEEN 0 AND amount_captured),
    captured          boolean NOT NULL,
    disputed          boolean NOT NULL,
    capture_wanted    boolean NOT NULL,           -- the sale form of authorize: capture in the same call
    payment_method_id text NOT NULL COLLATE "C",
    customer_id       text COLLATE "C",
    connector         text NOT NULL,
    acquirer_id       text COLLATE "C",           -- the acquirer's payment
    acquirer_reference text COLLATE "C",          -- the id that the acquirer's files use
    hold_id           uuid,                       -- the ledger's hold (J01) while uncaptured
    fee               bigint NOT NULL CHECK (fee >= 0),
    balance_transaction_id text COLLATE "C",
    failure_code      text,
    decline_code      text,
    failure_message   text,
    card              jsonb NOT NULL,
    risk              jsonb NOT NULL,             -- score, level, decision, rule, reasons
    context           jsonb NOT NULL,             -- hashed keys the scorer saw; no personal data
    request_key       bytea,                      -- the request whose stored answer is still owed
    swept             smallint NOT NULL,          -- how often the sweep has asked
    check_at          timestamptz,                -- when the sweep asks next; NULL once the outcome is known
    created_at        timestamptz NOT NULL,
    PRIMARY KEY (book_id, id)
) WITH (fillfactor = 70);
CREATE INDEX charge_payment ON gateway.charge (book_id, payment_id, id);
CREATE INDEX charge_due ON gateway.charge (check_at) WHERE check_at IS NOT NULL;
CREATE INDEX charge_acquirer ON gateway.charge (book_id, acquirer_id) WHERE disputed;
CREATE INDEX charge_recent ON gateway.charge USING brin (created_at);

CREATE TABLE gateway.refund (
    book_id     bigint NOT NULL,
    id          text NOT NULL COLLATE "C",
    version     integer NOT NULL,
    payment_id  text NOT NULL COLLATE "C",
    charge_id   text NOT NULL COLLATE "C",
    status      text NOT NULL CHECK (status IN ('pending','unknown','succeeded','failed','canceled')),
    amount      bigint NOT NULL CHECK (amount > 0),
    currency    text NOT NULL,
    reason      text,
    -- how J08a was funded, so that a failure returns each part to where it came from (J09)
    from_available bigint NOT NULL CHECK (from_available >= 0),
    from_pending   bigint NOT NULL CHECK (from_pending >= 0),
    from_receivable bigint NOT NULL CHECK (from_receivable >= 0),
    acquirer_id text COLLATE "C",
    balance_transaction_id text COLLATE "C",
    failure_balance_transaction_id text COLLATE "C",
    failure_reason text,
    request_key bytea,
    swept       smallint NOT NULL,
    check_at    timestamptz,
    created_at  timestamptz NOT NULL,
    details     jsonb NOT NULL,
    PRIMARY KEY (book_id, id),
    CONSTRAINT refund_funding_complete CHECK (from_available + from_pending + from_receivable = amount)
);
CREATE INDEX refund_payment ON gateway.refund (book_id, payment_id, id);
CREATE INDEX refund_due ON gateway.refund (check_at) WHERE check_at IS NOT NULL;

CREATE TABLE gateway.dispute (
    book_id     bigint NOT NULL,
    id          text NOT NULL COLLATE "C",
    version     integer NOT NULL,
    payment_id  text NOT NULL COLLATE "C",
    charge_id   text NOT NULL COLLATE "C",
    connector   text NOT NULL,
    acquirer_id text NOT NULL COLLATE "C",
    status      text NOT NULL CHECK (status IN ('warning_needs_response','warning_under_review','warning_closed',
                                                'needs_response','under_review','won','lost','prevented')),
    amount      bigint NOT NULL CHECK (amount > 0),
    currency    text NOT NULL,
    reason      text NOT NULL,
    network_reason_code text,
    -- where the money is: nothing moved, withdrawn by the network, given back, or lost for good
    funds       text NOT NULL CHECK (funds IN ('none','withdrawn','reinstated','lost')),
    held_pending    bigint NOT NULL CHECK (held_pending >= 0),
    held_available  bigint NOT NULL CHECK (held_available >= 0),
    held_receivable bigint NOT NULL CHECK (held_receivable >= 0),
    fee         bigint NOT NULL CHECK (fee >= 0),
    evidence    jsonb NOT NULL,
    submission_count smallint NOT NULL,
    due_by      timestamptz,
    balance_transaction_ids text[] NOT NULL,
    created_at  timestamptz NOT NULL,
    details     jsonb NOT NULL,
    PRIMARY KEY (book_id, id)
);
CREATE UNIQUE INDEX dispute_acquirer ON gateway.dispute (book_id, connector, acquirer_id);
CREATE INDEX dispute_payment ON gateway.dispute (book_id, payment_id, id);

CREATE TABLE gateway.review (
    book_id    bigint NOT NULL,
    id         text NOT NULL COLLATE "C",
    version    integer NOT NULL,
    payment_id text NOT NULL COLLATE "C",
    charge_id  text NOT NULL COLLATE "C",
    open       boolean NOT NULL,
    reason     text NOT NULL,
    closed_reason text,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (book_id, id)
);

-- The merchant's view of its money: one row per journal that touches its balance.
CREATE TABLE gateway.balance_transaction (
    book_id      bigint NOT NULL,
    id           text NOT NULL COLLATE "C",
    type         text NOT NULL,
    amount       bigint NOT NULL,
    fee          bigint NOT NULL,
    net          bigint NOT NULL,
    currency     text NOT NULL,
    source_id    text NOT NULL COLLATE "C",
    payment_id   text COLLATE "C",
    journal_id   uuid NOT NULL,
    description  text,
    available_on timestamptz NOT NULL,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (book_id, id),
    CONSTRAINT balance_transaction_net CHECK (net = amount - fee)
);
CREATE INDEX balance_transaction_source ON gateway.balance_transaction (book_id, source_id, id);

-- What happened, as the wire tells it. The object's snapshot is written in the commit that made it true.
CREATE TABLE gateway.event (
    book_id    bigint NOT NULL,
    id         text NOT NULL COLLATE "C",
    type       text NOT NULL,
    object_id  text NOT NULL COLLATE "C",
    object     text COMPRESSION lz4 NOT NULL,
    previous   text,
    request_id text,
    idempotency_key text,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (book_id, id)
) WITH (toast_tuple_target = 128);
ALTER TABLE gateway.event ALTER COLUMN object SET STORAGE MAIN;

CREATE TABLE gateway.webhook_endpoint (
    book_id    bigint NOT NULL,
    id         text NOT NULL COLLATE "C",
    version    integer NOT NULL,
    url        text NOT NULL,
    secret     bytea NOT NULL,              -- sealed by the vault's key
    enabled_events text[] NOT NULL CHECK (cardinality(enabled_events) > 0),
    status     text NOT NULL CHECK (status IN ('enabled','disabled')),
    deleted    boolean NOT NULL,
    created_at timestamptz NOT NULL,
    details    jsonb NOT NULL,
    PRIMARY KEY (book_id, id)
);

-- One row per event and endpoint, made in the event's own commit: nothing can be forgotten between the two.
CREATE TABLE gateway.delivery (
    book_id     bigint NOT NULL,
    endpoint_id text NOT NULL COLLATE "C",
    event_id    text NOT NULL COLLATE "C",
    attempt     smallint NOT NULL DEFAULT 0,
    due_at      timestamptz,                -- NULL once delivered or given up
    delivered_at timestamptz,
    last_status smallint,
    last_error  text,
    PRIMARY KEY (book_id, endpoint_id, event_id)
) WITH (fillfactor = 70);
-- By endpoint first: the deliverer steps from endpoint to endpoint, so one dead receiver's backlog costs its neighbours nothing.
CREATE INDEX delivery_due ON gateway.delivery (book_id, endpoint_id, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX delivery_event ON gateway.delivery (book_id, event_id);

-- Callbacks of acquirers: stored first, processed after (law 5). The provider's event id makes a repeat a no-op.
CREATE TABLE gateway.callback (
    connector    text NOT NULL,
    id           text NOT NULL COLLATE "C",
    type         text NOT NULL,
    payload      text COMPRESSION lz4 NOT NULL,
    received_at  timestamptz NOT NULL,
    attempt      smallint NOT NULL DEFAULT 0,
    due_at       timestamptz,
    processed_at timestamptz,
    error        text,
    PRIMARY KEY (connector, id)
);
CREATE INDEX callback_due ON gateway.callback (due_at) WHERE due_at IS NOT NULL;

-- People who may sign in to the console.
CREATE TABLE gateway.console_user (
    name          text PRIMARY KEY,
    role          text NOT NULL CHECK (role IN ('admin','operator','risk_analyst','finance','dispute_officer','supervisor','merchant_read_only','auditor')),
    password_hash text NOT NULL,
    created_at    timestamptz NOT NULL
);
