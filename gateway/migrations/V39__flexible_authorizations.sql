-- An authorization may be taken in parts, raised, and taken beyond what was authorized: as far as its acquirer grants it, which is
-- on the charge, and which these guards repeat. What is taken in part is a payment that has received and still waits for capture.
ALTER TABLE gateway.charge
    ADD COLUMN multicapture   boolean NOT NULL DEFAULT false,
    ADD COLUMN incremental    boolean NOT NULL DEFAULT false,
    -- the most that may be taken in all, where that is more than was authorized
    ADD COLUMN amount_maximum bigint CHECK (amount_maximum > 0),
    ADD COLUMN capture_before timestamptz,
    DROP CONSTRAINT charge_check,
    DROP CONSTRAINT charge_check1,
    ADD CONSTRAINT charge_captured_within_what_is_allowed
        CHECK (amount_captured BETWEEN 0 AND greatest(amount, coalesce(amount_maximum, 0))),
    ADD CONSTRAINT charge_refunded_within_captured CHECK (amount_refunded BETWEEN 0 AND amount_captured),
    ADD CONSTRAINT charge_in_parts_where_allowed CHECK (captured OR amount_captured = 0 OR multicapture AND amount_captured < amount);

ALTER TABLE gateway.payment
    ADD COLUMN amount_maximum bigint CHECK (amount_maximum > 0),
    DROP CONSTRAINT payment_operation_check,
    ADD CONSTRAINT payment_operation_check CHECK (operation IN ('authorize','capture','capture_part','increment','void')),
    DROP CONSTRAINT payment_check,
    DROP CONSTRAINT payment_check1,
    DROP CONSTRAINT payment_captured_within_amount,
    ADD CONSTRAINT payment_captured_within_amount CHECK (amount_capturable >= 0 AND amount_received >= 0
        AND amount_capturable + amount_received <= greatest(amount, coalesce(amount_maximum, 0)));

-- What was asked of an issuer changes in two ways alone: an authorization that may be raised grows while nothing of it was taken, and
-- people accept what an acquirer says of a mismatched one.
CREATE FUNCTION gateway.charge_raised() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status = 'mismatched' AND NEW.mismatch->'decision'->>'resolution' = 'accept'
       AND NEW.mismatch->'decision'->>'decided_by' IS NOT NULL THEN
        RETURN NEW;
    END IF;
    IF NOT OLD.incremental OR OLD.status <> 'succeeded' OR OLD.captured OR OLD.amount_captured > 0 OR NEW.amount < OLD.amount THEN
        RAISE EXCEPTION 'the amount of charge % is not changed: it was asked for once', OLD.id
            USING ERRCODE = '23514', CONSTRAINT = 'charge_amount_kept';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER amount_kept BEFORE UPDATE ON gateway.charge FOR EACH ROW
    WHEN (OLD.amount <> NEW.amount) EXECUTE FUNCTION gateway.charge_raised();
