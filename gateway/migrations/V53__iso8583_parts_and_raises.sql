-- Captures in parts and raises of an authorization over ISO 8583. A completion says whether it is the last; a raise is a 0100 of its
-- own about an authorization, and one without an answer is taken back (unraise) as an authorization without one is reversed.
ALTER TABLE gateway.iso8583_message
    ADD COLUMN last boolean NOT NULL DEFAULT true,
    DROP CONSTRAINT iso8583_message_kind_check,
    ADD CONSTRAINT iso8583_message_kind_check CHECK (kind IN ('authorization','raise','completion','reversal','unraise','refund'));
DROP INDEX gateway.iso8583_message_once;
CREATE UNIQUE INDEX iso8583_message_once ON gateway.iso8583_message (payment) WHERE kind = 'reversal' AND state <> 'refused';

-- Completions of an authorization are within what it was approved for, and none comes after the last, whoever asks for them. The
-- authorization's row is the lock.
CREATE FUNCTION gateway.iso8583_completion() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE approved bigint; taken bigint; ended boolean;
BEGIN
    PERFORM FROM gateway.iso8583_message WHERE payment = NEW.payment AND kind = 'authorization' FOR UPDATE;
    SELECT coalesce(sum(amount) FILTER (WHERE kind IN ('authorization','raise') AND state = 'approved'), 0),
           coalesce(sum(amount) FILTER (WHERE kind = 'completion' AND state IN ('sent','acknowledged')), 0),
           coalesce(bool_or(last) FILTER (WHERE kind = 'completion' AND state IN ('sent','acknowledged')), false)
    INTO approved, taken, ended
    FROM gateway.iso8583_message WHERE payment = NEW.payment AND reference <> NEW.reference;
    IF ended OR taken + NEW.amount > approved THEN
        RAISE EXCEPTION 'completion % is not within what was approved', NEW.reference
            USING ERRCODE = '23514', CONSTRAINT = 'iso8583_completion';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER completion_begins BEFORE INSERT ON gateway.iso8583_message FOR EACH ROW
    WHEN (NEW.kind = 'completion') EXECUTE FUNCTION gateway.iso8583_completion();
CREATE TRIGGER completion_again BEFORE UPDATE ON gateway.iso8583_message FOR EACH ROW
    WHEN (NEW.kind = 'completion' AND OLD.state = 'not_sent' AND NEW.state = 'sent') EXECUTE FUNCTION gateway.iso8583_completion();

CREATE OR REPLACE FUNCTION gateway.iso8583_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.reference, OLD.kind, OLD.payment, OLD.rrn, OLD.stan, OLD.transmitted, OLD.amount, OLD.currency, OLD.last)
           IS DISTINCT FROM
       (NEW.reference, NEW.kind, NEW.payment, NEW.rrn, NEW.stan, NEW.transmitted, NEW.amount, NEW.currency, NEW.last) THEN
        RAISE EXCEPTION 'a message that may have been sent is not rewritten' USING ERRCODE = '42501';
    END IF;
    IF OLD.state NOT IN ('sent','not_sent') AND NEW.state <> OLD.state THEN
        RAISE EXCEPTION 'message % has ended as % and stays so', OLD.reference, OLD.state USING ERRCODE = '42501';
    END IF;
    RETURN NEW;
END $$;
