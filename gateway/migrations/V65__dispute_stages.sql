-- A dispute follows the network's whole procedure: a win may be taken back (second chargeback), a loss may be fought in
-- pre-arbitration and arbitration. `stage` says where it stands (gateway/src/dispute/stage.rs has the table), `contested` what the
-- network has with the outcome open, `lost` what is gone; the three counts say which of the acquirer's movements are booked.
ALTER TABLE gateway.dispute
    ADD COLUMN stage     text,
    ADD COLUMN rank      smallint NOT NULL DEFAULT 0,
    ADD COLUMN contested bigint NOT NULL DEFAULT 0 CHECK (contested >= 0),
    ADD COLUMN lost      bigint NOT NULL DEFAULT 0 CHECK (lost >= 0),
    ADD COLUMN takings   smallint NOT NULL DEFAULT 0 CHECK (takings >= 0),
    ADD COLUMN returns   smallint NOT NULL DEFAULT 0 CHECK (returns >= 0),
    ADD COLUMN charges   smallint NOT NULL DEFAULT 0 CHECK (charges >= 0),
    ADD COLUMN borne_by  text NOT NULL DEFAULT 'merchant' CHECK (borne_by IN ('merchant','platform')),
    ADD COLUMN answered  smallint NOT NULL DEFAULT 0,
    ADD COLUMN timer     text CHECK (timer IN ('remind7','remind3','remind1','past_due','window')),
    ADD COLUMN timer_at  timestamptz;

UPDATE gateway.dispute SET
    stage = CASE WHEN status = 'lost' THEN 'lost_final' WHEN status = 'prevented' THEN 'prevented'
                 WHEN status = 'won' OR funds = 'reinstated' THEN 'won_provisional'
                 WHEN status = 'warning_needs_response' THEN 'inquiry_open' WHEN status = 'warning_under_review' THEN 'inquiry_review'
                 WHEN status = 'warning_closed' THEN 'inquiry_closed'
                 WHEN status = 'needs_response' AND funds = 'none' THEN 'notified' ELSE status END,
    rank = 100 + CASE status WHEN 'warning_needs_response' THEN 0 WHEN 'warning_under_review' THEN 1 WHEN 'warning_closed' THEN 2
                             WHEN 'needs_response' THEN 3 WHEN 'under_review' THEN 4 ELSE 6 END,
    contested = CASE WHEN funds = 'withdrawn' THEN amount ELSE 0 END,
    lost = CASE WHEN funds = 'lost' OR funds = 'reinstated' AND status = 'lost' THEN amount ELSE 0 END,
    takings = CASE WHEN funds = 'none' THEN 0 ELSE 1 END,
    returns = CASE WHEN funds = 'reinstated' THEN 1 ELSE 0 END,
    answered = CASE WHEN submission_count = 0 THEN 0 WHEN status LIKE 'warning%' THEN 1 ELSE 2 END;
-- Wins from before this table get the longest of the networks' windows; open disputes get their timer with the next message.
UPDATE gateway.dispute SET timer = 'window', timer_at = now() + interval '120 days' WHERE stage = 'won_provisional';

ALTER TABLE gateway.dispute
    ALTER COLUMN stage SET NOT NULL,
    DROP COLUMN funds,
    -- what was given back may be more than what was charged on
    DROP CONSTRAINT dispute_fee_check,
    ADD CONSTRAINT dispute_stage_known CHECK (stage IN ('inquiry_open','inquiry_review','inquiry_closed','notified','needs_response',
        'under_review','won_provisional','lost_provisional','prearb_open','prearb_filed','arbitration','won_final','lost_final','prevented')),
    ADD CONSTRAINT dispute_contested_is_held
        CHECK (contested = 0 OR contested = held_pending + held_available + held_receivable),
    ADD CONSTRAINT dispute_timer_whole CHECK ((timer IS NULL) = (timer_at IS NULL));
CREATE INDEX dispute_timer ON gateway.dispute (timer_at) WHERE timer_at IS NOT NULL;

-- The second place of the rules in `dispute::state`: what is over stays over, and what is booked is never unbooked.
CREATE FUNCTION gateway.dispute_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.stage IN ('won_final','lost_final') AND NEW.stage <> OLD.stage
       OR NEW.takings < OLD.takings OR NEW.returns < OLD.returns OR NEW.charges < OLD.charges OR NEW.lost < OLD.lost
       OR (OLD.book_id, OLD.id, OLD.payment_id, OLD.charge_id, OLD.acquirer_id, OLD.currency)
          IS DISTINCT FROM (NEW.book_id, NEW.id, NEW.payment_id, NEW.charge_id, NEW.acquirer_id, NEW.currency) THEN
        RAISE EXCEPTION 'a dispute that is % does not become %, and what is booked stays booked', OLD.stage, NEW.stage
            USING ERRCODE = '23514', CONSTRAINT = 'dispute_guard';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE UPDATE ON gateway.dispute FOR EACH ROW EXECUTE FUNCTION gateway.dispute_guard();

-- Every movement of disputed money at the acquirer, by the acquirer's own id: booked once, whoever tells it and how often.
CREATE TABLE gateway.dispute_movement (
    book_id     bigint NOT NULL,
    id          text NOT NULL COLLATE "C",
    dispute_id  text NOT NULL COLLATE "C",
    connector   text NOT NULL,
    acquirer_id text NOT NULL COLLATE "C",
    amount      bigint NOT NULL,             -- negative: taken
    fee         bigint NOT NULL,             -- negative: given back
    currency    text NOT NULL,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (book_id, id)
);
CREATE UNIQUE INDEX dispute_movement_acquirer ON gateway.dispute_movement (book_id, connector, acquirer_id);
CREATE INDEX dispute_movement_dispute ON gateway.dispute_movement (book_id, dispute_id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON gateway.dispute_movement
    FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change();
ALTER TABLE gateway.dispute_movement ENABLE ALWAYS TRIGGER append_only;

-- What a person must decide because no rule can: money against a final outcome, or more given back than was captured.
CREATE TABLE gateway.dispute_exception (
    book_id     bigint NOT NULL,
    id          text NOT NULL COLLATE "C",
    version     integer NOT NULL,
    dispute_id  text NOT NULL COLLATE "C",
    payment_id  text NOT NULL COLLATE "C",
    kind        text NOT NULL CHECK (kind IN ('returned_after_loss','taken_after_win','returned_too_much','not_returned','double_credit')),
    amount      bigint NOT NULL CHECK (amount > 0),
    currency    text NOT NULL,
    due_at      timestamptz NOT NULL,
    resolution  text CHECK (length(resolution) BETWEEN 1 AND 2000),
    resolved_by text CHECK (length(resolved_by) BETWEEN 1 AND 200),
    resolved_at timestamptz,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (book_id, id),
    CONSTRAINT dispute_exception_resolved CHECK (num_nulls(resolution, resolved_by, resolved_at) IN (0, 3))
);
CREATE INDEX dispute_exception_open ON gateway.dispute_exception (due_at) WHERE resolved_at IS NULL;
CREATE INDEX dispute_exception_payment ON gateway.dispute_exception (book_id, payment_id);
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON gateway.dispute_exception
    FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change();

GRANT SELECT, INSERT ON gateway.dispute_movement TO gateway_app;
GRANT SELECT, INSERT, UPDATE ON gateway.dispute_exception TO gateway_app;
GRANT SELECT ON gateway.dispute_movement, gateway.dispute_exception TO finance_ro, auditor;
