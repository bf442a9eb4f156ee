-- The scorer's tables: what it learns from, the rules and lists that people keep, and what came of its decisions.

CREATE SCHEMA risk;
REVOKE ALL ON SCHEMA risk FROM PUBLIC;
GRANT USAGE ON SCHEMA risk TO gateway_app, auditor;

-- What the scorer knows, in the order in which it became true: one row per attempt whose outcome is known (or known to be
-- unknown), and one per label. Every process reads it from where it stopped, its own attempts too, so that all have the same
-- state and a restart changes nothing. A log is read by position, across merchants, hence the key: `recorded` is the transaction
-- that committed the row, and with a snapshot of the server tells exactly what a reader has not seen. `id` is the charge's.
CREATE TABLE risk.history (
    recorded xid8 NOT NULL DEFAULT pg_current_xact_id(),
    book_id  bigint NOT NULL,
    id       text NOT NULL COLLATE "C",
    fact     text NOT NULL CHECK (fact IN ('approved','blocked','unknown','declined','declined_incorrect_number','declined_incorrect_cvc',
                 'declined_expired','declined_insufficient_funds','declined_lost_or_stolen','declined_fraudulent',
                 'fraud','genuine','withdrawn')),
    -- of a label: who says so
    source   text CHECK (source IN ('review','refund','dispute','early_fraud_warning')),
    at       timestamptz NOT NULL,            -- when it became known
    PRIMARY KEY (recorded, book_id, id, fact),
    CONSTRAINT history_labels_have_a_source CHECK ((source IS NOT NULL) = (fact IN ('fraud','genuine','withdrawn')))
);
CREATE INDEX history_label ON risk.history (book_id, id, at) WHERE source IS NOT NULL;
CREATE INDEX history_at ON risk.history USING brin (at);

-- The attempts that were made before this table, as far as they are known.
INSERT INTO risk.history (book_id, id, fact, at)
SELECT book_id, id,
       CASE WHEN status IN ('succeeded','voided') THEN 'approved'
            WHEN status = 'unknown' THEN 'unknown'
            WHEN risk->>'decision' = 'block' THEN 'blocked'
            WHEN decline_code = 'insufficient_funds' THEN 'declined_insufficient_funds'
            WHEN decline_code IN ('incorrect_number','invalid_number') THEN 'declined_incorrect_number'
            WHEN decline_code IN ('incorrect_cvc','invalid_cvc') OR failure_code = 'incorrect_cvc' THEN 'declined_incorrect_cvc'
            ELSE 'declined' END,
       created_at
FROM gateway.charge WHERE status <> 'pending';

-- Which database a snapshot of the scorer belongs to: one of another is worth nothing here.
CREATE TABLE risk.identity (singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton), id uuid NOT NULL DEFAULT gen_random_uuid());
INSERT INTO risk.identity DEFAULT VALUES;

-- A rule of a merchant: one of its own, or a shipped one that it has changed.
CREATE TABLE risk.rule (
    book_id    bigint NOT NULL,
    id         text NOT NULL COLLATE "C",
    version    integer NOT NULL,
    name       text NOT NULL CHECK (name ~ '^[a-z][a-z0-9_]{0,63}$'),
    code       text NOT NULL CHECK (code ~ '^[a-z][a-z0-9_]{0,63}$'),
    action     text NOT NULL CHECK (action IN ('score','allow','challenge','review','block')),
    weight     smallint NOT NULL CHECK (weight BETWEEN 0 AND 100),
    condition  text NOT NULL CHECK (length(condition) <= 2000),
    message    text NOT NULL CHECK (length(message) <= 300),
    state      text NOT NULL CHECK (state IN ('active','shadow','disabled')),
    beats_allow boolean NOT NULL,
    deleted    boolean NOT NULL,
    -- what the last trial on history said, and of which condition
    backtest   jsonb,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (book_id, id)
);
CREATE UNIQUE INDEX rule_name ON risk.rule (book_id, name) WHERE NOT deleted;

-- Every version that a rule ever had. `id` is the rule's id, a dot, the version.
CREATE TABLE risk.rule_version (
    book_id    bigint NOT NULL,
    id         text NOT NULL COLLATE "C",
    rule       jsonb NOT NULL,
    changed_by text COLLATE "C",            -- the request that made it
    created_at timestamptz NOT NULL,
    PRIMARY KEY (book_id, id)
);

CREATE TABLE risk.value_list (
    book_id    bigint NOT NULL,
    id         text NOT NULL COLLATE "C",
    version    integer NOT NULL,
    alias      text NOT NULL CHECK (alias ~ '^[a-z][a-z0-9_]{0,99}$'),
    name       text NOT NULL,
    item_type  text NOT NULL CHECK (item_type IN ('card_fingerprint','card_bin','customer_id','email','ip_address','device')),
    deleted    boolean NOT NULL,
    created_at timestamptz NOT NULL,
    details    jsonb NOT NULL,
    PRIMARY KEY (book_id, id)
);
CREATE UNIQUE INDEX value_list_alias ON risk.value_list (book_id, alias) WHERE NOT deleted;

CREATE TABLE risk.value_list_item (
    book_id    bigint NOT NULL,
    id         text NOT NULL COLLATE "C",
    version    integer NOT NULL,
    list_id    text NOT NULL COLLATE "C",
    subject    text NOT NULL,               -- what the scorer compares: a hash, an address or a BIN
    value      bytea NOT NULL,              -- as it was given, sealed by the vault: it may be an e-mail address
    deleted    boolean NOT NULL,
    expires_at timestamptz,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (book_id, id)
);
CREATE UNIQUE INDEX value_list_item_subject ON risk.value_list_item (book_id, list_id, subject) WHERE NOT deleted;

-- One number that moves with every change of rules and lists: a process compares it once a second and reads all of them anew.
CREATE TABLE risk.revision (singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton), number bigint NOT NULL);
INSERT INTO risk.revision VALUES (true, 0);
CREATE FUNCTION risk.revise() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    UPDATE risk.revision SET number = number + 1;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION risk.revise() FROM PUBLIC;
CREATE TRIGGER revised AFTER INSERT OR UPDATE ON risk.rule FOR EACH STATEMENT EXECUTE FUNCTION risk.revise();
CREATE TRIGGER revised AFTER INSERT OR UPDATE ON risk.value_list FOR EACH STATEMENT EXECUTE FUNCTION risk.revise();
CREATE TRIGGER revised AFTER INSERT OR UPDATE ON risk.value_list_item FOR EACH STATEMENT EXECUTE FUNCTION risk.revise();

-- What an acquirer passed on from a card network (TC40, SAFE) before any dispute.
CREATE TABLE risk.early_fraud_warning (
    book_id     bigint NOT NULL,
    id          text NOT NULL COLLATE "C",
    charge_id   text NOT NULL COLLATE "C",
    payment_id  text NOT NULL COLLATE "C",
    connector   text NOT NULL,
    acquirer_id text NOT NULL COLLATE "C",
    fraud_type  text NOT NULL,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (book_id, id)
);
CREATE UNIQUE INDEX early_fraud_warning_acquirer ON risk.early_fraud_warning (book_id, connector, acquirer_id);
CREATE INDEX early_fraud_warning_charge ON risk.early_fraud_warning (book_id, charge_id) INCLUDE (id);

-- Somebody who was blocked by a machine asks for a person (PIPL art. 24).
CREATE TABLE risk.block_appeal (
    book_id    bigint NOT NULL,
    id         text NOT NULL COLLATE "C",
    version    integer NOT NULL,
    charge_id  text NOT NULL COLLATE "C",
    payment_id text NOT NULL COLLATE "C",
    requested_by text NOT NULL CHECK (requested_by IN ('consumer','merchant')),
    statement  text NOT NULL CHECK (length(statement) <= 2000),
    status     text NOT NULL CHECK (status IN ('open','lifted','upheld')),
    reason     text CHECK (length(reason) <= 2000),    -- of the decision, for whoever asked
    overdue    boolean NOT NULL,
    due_at     timestamptz NOT NULL,
    decided_at timestamptz,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (book_id, id),
    CONSTRAINT block_appeal_decided CHECK ((status = 'open') = (decided_at IS NULL) AND (status = 'open' OR reason IS NOT NULL))
);
CREATE UNIQUE INDEX block_appeal_charge ON risk.block_appeal (book_id, charge_id);
CREATE INDEX block_appeal_due ON risk.block_appeal (due_at) WHERE status = 'open' AND NOT overdue;

GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA risk TO gateway_app;
REVOKE INSERT ON risk.identity, risk.revision FROM gateway_app;
GRANT UPDATE ON risk.rule, risk.value_list, risk.value_list_item, risk.block_appeal TO gateway_app;
GRANT SELECT ON ALL TABLES IN SCHEMA risk TO auditor;
REVOKE SELECT ON risk.value_list_item FROM auditor;
-- a rotation of the vault's keys seals the values again
GRANT USAGE ON SCHEMA risk TO vault_keeper;
GRANT SELECT (book_id, id, value), UPDATE (value) ON risk.value_list_item TO vault_keeper;

-- History is append-only for everyone, the owner too.
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON risk.history
    FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON risk.rule_version
    FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON risk.early_fraud_warning
    FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change();
ALTER TABLE risk.history ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE risk.rule_version ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE risk.early_fraud_warning ENABLE ALWAYS TRIGGER append_only;
