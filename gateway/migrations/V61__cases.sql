-- A dispute between a consumer and a merchant that the platform decides. It is linked to the chargebacks of the same payment and is
-- never one of them; of the merchant's money there is one hold for both.
CREATE TABLE gateway.consumer_case (
    book_id     bigint NOT NULL,
    id          text NOT NULL COLLATE "C",
    version     integer NOT NULL,
    status      text NOT NULL CHECK (status IN ('submitted','not_accepted','verifying','merchant_response','mediation','decided',
                    'executing','linked_suspended','closed','appeal_review','closed_final','archived')),
    type        text NOT NULL CHECK (type IN ('quality','not_received','not_as_described','price','service','unauthorized','other')),
    channel     text NOT NULL CHECK (channel IN ('in_app','phone','mail','social')),
    payment_id  text NOT NULL COLLATE "C",
    charge_id   text NOT NULL COLLATE "C",
    customer_id text COLLATE "C",
    amount      bigint NOT NULL CHECK (amount > 0),
    currency    text NOT NULL CHECK (currency ~ '^[a-z]{3}$'),
    reason      text NOT NULL CHECK (length(reason) BETWEEN 1 AND 5000),
    -- what is frozen for it, by where it came from (J20)
    held_pending    bigint NOT NULL CHECK (held_pending >= 0),
    held_available  bigint NOT NULL CHECK (held_available >= 0),
    held_receivable bigint NOT NULL CHECK (held_receivable >= 0),
    owner        text,
    duplicate_of text COLLATE "C",
    verify_due   timestamptz,
    verified_at  timestamptz,
    decided_at   timestamptz,
    closed_at    timestamptz,
    outcome      text CHECK (outcome IN ('upheld','settled','rejected','withdrawn','not_accepted','lapsed','charged_back','chargeback_won')),
    appealed     boolean NOT NULL,
    refund_id    text COLLATE "C",
    refund_progress  text CHECK (refund_progress IN ('open','done','failed')),
    refund_due       bigint NOT NULL CHECK (refund_due >= 0),         -- of 2120: a failed refund that the bank must pay
    compensation_due bigint NOT NULL CHECK (compensation_due >= 0),   -- of 2130
    recourse_due     bigint NOT NULL CHECK (recourse_due >= 0),       -- of 1220
    external_ref text,
    frozen       boolean NOT NULL,
    seal         text CHECK (seal ~ '^[0-9a-f]{64}$'),
    created_at   timestamptz NOT NULL,
    details      jsonb NOT NULL,
    PRIMARY KEY (book_id, id),
    CONSTRAINT case_sealed CHECK ((status = 'archived') = (seal IS NOT NULL)),
    CONSTRAINT case_over CHECK (status NOT IN ('not_accepted','closed','closed_final','archived')
        OR (closed_at IS NOT NULL AND outcome IS NOT NULL AND held_pending + held_available + held_receivable = 0)),
    CONSTRAINT case_archived_paid CHECK (status <> 'archived'
        OR (NOT frozen AND refund_due = 0 AND compensation_due = 0 AND refund_progress IS DISTINCT FROM 'open')),
    -- while the network decides, the hold is the chargeback's
    CONSTRAINT case_suspended_holds_nothing CHECK (status <> 'linked_suspended' OR held_pending + held_available + held_receivable = 0),
    CONSTRAINT case_frozen CHECK (NOT frozen OR external_ref IS NOT NULL)
) WITH (fillfactor = 80);
CREATE INDEX case_payment ON gateway.consumer_case (book_id, payment_id, id);
CREATE INDEX case_customer ON gateway.consumer_case (book_id, customer_id, id) WHERE customer_id IS NOT NULL;
CREATE INDEX case_open ON gateway.consumer_case (book_id, id) WHERE status NOT IN ('not_accepted','closed','closed_final','archived');
CREATE INDEX case_recourse ON gateway.consumer_case (book_id, id) WHERE recourse_due > 0;
CREATE INDEX case_words ON gateway.consumer_case
    USING gin (to_tsvector('simple', reason || ' ' || coalesce(details -> 'decision' ->> 'reasons', '')));
CREATE INDEX case_closed ON gateway.consumer_case (closed_at) WHERE closed_at IS NOT NULL;

-- The timeline: what happened to a case, and what was said in it. History.
CREATE TABLE gateway.case_entry (
    book_id    bigint NOT NULL,
    id         text NOT NULL COLLATE "C",
    case_id    text NOT NULL COLLATE "C",
    kind       text NOT NULL CHECK (kind ~ '^[a-z_]{1,40}$'),
    party      text NOT NULL CHECK (party IN ('consumer','merchant','platform','system')),
    actor      text,
    status     text NOT NULL,
    told       text[] NOT NULL,
    journals   uuid[] NOT NULL,
    digest     text CHECK (digest ~ '^[0-9a-f]{64}$'),
    body       jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (book_id, id)
);
CREATE INDEX case_entry_case ON gateway.case_entry (book_id, case_id, id);
CREATE INDEX case_entry_digest ON gateway.case_entry (book_id, digest) WHERE digest IS NOT NULL;

-- The second place of the table in `case::table`, and of the seal: what is archived is not changed.
CREATE FUNCTION gateway.case_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.book_id, OLD.id, OLD.type, OLD.channel, OLD.payment_id, OLD.charge_id, OLD.amount, OLD.currency, OLD.reason, OLD.created_at)
           IS DISTINCT FROM
       (NEW.book_id, NEW.id, NEW.type, NEW.channel, NEW.payment_id, NEW.charge_id, NEW.amount, NEW.currency, NEW.reason, NEW.created_at)
       OR OLD.appealed AND NOT NEW.appealed
       OR OLD.status <> NEW.status AND (OLD.status, NEW.status) NOT IN (
           ('submitted','verifying'), ('submitted','not_accepted'), ('submitted','closed'), ('submitted','linked_suspended'),
           ('not_accepted','appeal_review'), ('not_accepted','archived'),
           ('verifying','merchant_response'), ('verifying','closed'), ('verifying','linked_suspended'),
           ('merchant_response','decided'), ('merchant_response','mediation'), ('merchant_response','closed'), ('merchant_response','linked_suspended'),
           ('mediation','decided'), ('mediation','closed'), ('mediation','linked_suspended'),
           ('decided','executing'), ('decided','closed'), ('decided','linked_suspended'),
           ('executing','closed'), ('executing','linked_suspended'),
           ('linked_suspended','closed'),
           ('closed','appeal_review'), ('closed','archived'),
           ('appeal_review','closed_final'), ('appeal_review','linked_suspended'),
           ('closed_final','archived')) THEN
        RAISE EXCEPTION 'a case that is % does not become %, and what it is about does not change', OLD.status, NEW.status
            USING ERRCODE = '23514', CONSTRAINT = 'case_guard';
    END IF;
    -- after the seal: a consumer may still rate it and the platform get back what it advanced, and the hash is about neither
    IF OLD.status = 'archived' AND (OLD.seal, OLD.outcome, OLD.closed_at, OLD.decided_at, OLD.refund_id, OLD.appealed, OLD.external_ref,
            OLD.details - 'rating') IS DISTINCT FROM
           (NEW.seal, NEW.outcome, NEW.closed_at, NEW.decided_at, NEW.refund_id, NEW.appealed, NEW.external_ref, NEW.details - 'rating') THEN
        RAISE EXCEPTION 'case % is sealed', OLD.id USING ERRCODE = '23514', CONSTRAINT = 'case_is_sealed';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE UPDATE ON gateway.consumer_case FOR EACH ROW EXECUTE FUNCTION gateway.case_guard();
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON gateway.consumer_case FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON gateway.case_entry
    FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change();
ALTER TABLE gateway.case_entry ENABLE ALWAYS TRIGGER append_only;

-- What is frozen for cases cannot be refunded beside them; a refund of a case says whose, and who paid for it.
ALTER TABLE gateway.payment
    ADD COLUMN amount_held bigint NOT NULL DEFAULT 0 CHECK (amount_held >= 0),
    ADD CONSTRAINT payment_held_within_captured CHECK (amount_refunded + amount_held <= amount_received);
ALTER TABLE gateway.refund
    ADD COLUMN case_id text COLLATE "C",
    ADD COLUMN from_platform bigint NOT NULL DEFAULT 0 CHECK (from_platform >= 0),
    DROP CONSTRAINT refund_funding_complete,
    ADD CONSTRAINT refund_funding_complete CHECK (from_available + from_pending + from_receivable + from_platform = amount),
    ADD CONSTRAINT refund_of_the_platform CHECK (from_platform = 0 OR case_id IS NOT NULL);

-- The rules that cases are run by are agreed in versions like other terms.
ALTER TABLE gateway.terms DROP CONSTRAINT terms_kind_check,
    ADD CONSTRAINT terms_kind_check CHECK (kind IN ('fee_schedule','terms_of_service','case_rules'));

GRANT SELECT, INSERT ON gateway.consumer_case, gateway.case_entry TO gateway_app;
GRANT UPDATE ON gateway.consumer_case TO gateway_app;
GRANT SELECT ON gateway.consumer_case, gateway.case_entry TO auditor;
GRANT SELECT ON gateway.consumer_case TO finance_ro;
