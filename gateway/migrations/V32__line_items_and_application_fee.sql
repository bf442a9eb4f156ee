-- What was sold, with list and deal price, as it was when it was sold: written with the payment, never again, and it adds up.
-- What a platform takes of a payment beside its own fee schedule.
CREATE FUNCTION gateway.line_items_total(items jsonb) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog AS $$
    SELECT sum((i->>'quantity')::numeric * (i->>'deal_price')::numeric) FROM jsonb_array_elements(items) AS i;
$$;
ALTER TABLE gateway.payment
    ADD COLUMN line_items jsonb,
    ADD COLUMN application_fee_amount bigint,
    ADD CONSTRAINT payment_line_items_add_up CHECK (line_items IS NULL OR gateway.line_items_total(line_items) = amount),
    ADD CONSTRAINT payment_application_fee_within_amount CHECK (application_fee_amount BETWEEN 0 AND amount);
-- Fires only for a statement that names the column: the serving function never does.
CREATE TRIGGER line_items_once BEFORE UPDATE OF line_items ON gateway.payment
    FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change();
ALTER TABLE gateway.payment ENABLE ALWAYS TRIGGER line_items_once;
