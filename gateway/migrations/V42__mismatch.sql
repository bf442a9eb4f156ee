-- An acquirer's answer about another amount, currency or payment than was asked: neither an approval nor a decline. The charge says so,
-- and stays so until the acquirer tells what was asked, or that there is nothing.
ALTER TABLE gateway.charge
    DROP CONSTRAINT charge_status_check,
    ADD CONSTRAINT charge_status_check CHECK (status IN ('pending','unknown','mismatched','succeeded','failed','voided')),
    ADD COLUMN mismatch jsonb CHECK (jsonb_typeof(mismatch) = 'object'),
    ADD CONSTRAINT charge_mismatch_says_what CHECK (status <> 'mismatched' OR mismatch IS NOT NULL);
