-- A response to a dispute (evidence, or acceptance) is durable before the acquirer is called, as captures and refunds
-- are: `operation` locks out every other one, and `check_at` is when its outcome is asked for.
ALTER TABLE gateway.dispute
    ADD COLUMN operation   text CHECK (operation IN ('submit','close')),
    ADD COLUMN request_key bytea,
    ADD COLUMN swept       smallint NOT NULL DEFAULT 0,
    ADD COLUMN check_at    timestamptz;
CREATE INDEX dispute_due ON gateway.dispute (check_at) WHERE check_at IS NOT NULL;
CREATE INDEX dispute_charge ON gateway.dispute (book_id, charge_id, id);

-- A callback names the acquirer's payment or refund and not the merchant. Hash indexes skip NULL, so a charge costs its
-- one entry when it is approved and a declined attempt none.
CREATE INDEX charge_at_acquirer ON gateway.charge USING hash (acquirer_id);
CREATE INDEX refund_at_acquirer ON gateway.refund USING hash (acquirer_id);
DROP INDEX gateway.charge_acquirer;
