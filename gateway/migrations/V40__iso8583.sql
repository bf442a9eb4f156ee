-- What was said to a bank's host over ISO 8583, by our own reference. That protocol has no inquiry: what is not known can only be
-- reversed, and what must arrive (an advice) is repeated until it is acknowledged. Both have to survive a crash, so a message is a
-- row here before it is sent. No card number: a message about an earlier one names it by RRN, STAN and time.
CREATE SEQUENCE gateway.iso8583_trace;
CREATE TABLE gateway.iso8583_message (
    reference     text PRIMARY KEY COLLATE "C",    -- ours: the charge, its capture, its void, the refund
    kind          text NOT NULL CHECK (kind IN ('authorization','completion','reversal','refund')),
    payment       text NOT NULL COLLATE "C" CHECK (payment ~ '^[0-9]{12}$'),   -- RRN of the authorization that it is about
    rrn           text NOT NULL COLLATE "C" CHECK (rrn ~ '^[0-9]{12}$'),       -- DE 37: a refund has its own
    stan          text NOT NULL CHECK (stan ~ '^[0-9]{6}$'),                   -- DE 11
    transmitted   text NOT NULL CHECK (transmitted ~ '^[0-9]{10}$'),           -- DE 7, which DE 90 of a later message repeats
    amount        bigint NOT NULL CHECK (amount BETWEEN 1 AND 999999999999),
    currency      text NOT NULL CHECK (currency ~ '^[a-z]{3}$'),
    -- sent: no answer yet. not_sent: nothing was written to the line. timed_out: reversed, whatever the host says later
    state         text NOT NULL CHECK (state IN ('sent','not_sent','approved','declined','timed_out','acknowledged','refused')),
    response_code text,                            -- DE 39
    approval_code text,                            -- DE 38
    attempts      smallint NOT NULL,               -- how often it was repeated
    due_at        timestamptz,                     -- when it is repeated, or reversed, next
    sent_at       timestamptz NOT NULL,
    answered_at   timestamptz,
    CHECK ((state = 'sent') = (due_at IS NOT NULL))
);
CREATE INDEX iso8583_message_due ON gateway.iso8583_message (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX iso8583_message_payment ON gateway.iso8583_message (payment);
-- A number names one transaction, at the host and in its files.
CREATE UNIQUE INDEX iso8583_message_rrn ON gateway.iso8583_message (rrn) WHERE kind IN ('authorization','refund');
-- One completion and one reversal for an authorization, whoever asks for it and however often.
CREATE UNIQUE INDEX iso8583_message_once ON gateway.iso8583_message (payment, kind)
    WHERE kind IN ('completion','reversal') AND state <> 'refused';

CREATE FUNCTION gateway.iso8583_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.reference, OLD.kind, OLD.payment, OLD.rrn, OLD.stan, OLD.transmitted, OLD.amount, OLD.currency)
           IS DISTINCT FROM
       (NEW.reference, NEW.kind, NEW.payment, NEW.rrn, NEW.stan, NEW.transmitted, NEW.amount, NEW.currency) THEN
        RAISE EXCEPTION 'a message that may have been sent is not rewritten' USING ERRCODE = '42501';
    END IF;
    IF OLD.state NOT IN ('sent','not_sent') AND NEW.state <> OLD.state THEN
        RAISE EXCEPTION 'message % has ended as % and stays so', OLD.reference, OLD.state USING ERRCODE = '42501';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE UPDATE ON gateway.iso8583_message FOR EACH ROW EXECUTE FUNCTION gateway.iso8583_guard();
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON gateway.iso8583_message
    FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change();

GRANT USAGE ON SEQUENCE gateway.iso8583_trace TO gateway_app;
GRANT SELECT, INSERT, UPDATE ON gateway.iso8583_message TO gateway_app;
GRANT SELECT ON gateway.iso8583_message TO finance_ro, auditor;
