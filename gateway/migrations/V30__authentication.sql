-- 3-D Secure: what the issuer's challenge of an attempt came to, and the token of the address that the payer comes back to.
-- NULL: the attempt was never challenged and nobody asked for it.
ALTER TABLE gateway.charge ADD COLUMN authentication jsonb;
-- How many operations (captures, voids, increments) an attempt has seen: the next one's idempotency key at the acquirer, so
-- that a second capture is never taken there for a repeat of the first.
ALTER TABLE gateway.charge ADD COLUMN operations smallint NOT NULL DEFAULT 0 CHECK (operations >= 0);
-- What the caller wants expanded: an answer that a crash left owing is written as the request would have had it.
ALTER TABLE gateway.request ADD COLUMN expand text[];
