-- A merchant's account has a life: applied for, examined by someone else than who filed it, active, limited, ended. What was
-- active before stays so and is examined again within a year.
ALTER TABLE gateway.merchant
    ADD COLUMN version        integer NOT NULL DEFAULT 1,
    ADD COLUMN status_reason  text CHECK (length(status_reason) <= 500),
    -- who filed the application, who decided last, who asked for the end: keys or people, never the same twice in a row
    ADD COLUMN submitted_by   text,
    ADD COLUMN decided_by     text,
    ADD COLUMN offboarding_by text,
    ADD COLUMN reverify_at    timestamptz,
    ADD COLUMN payouts_paused boolean NOT NULL DEFAULT false,
    ADD COLUMN details        jsonb NOT NULL DEFAULT '{}';
UPDATE gateway.merchant SET reverify_at = now() + interval '1 year' WHERE status = 'active';
CREATE INDEX merchant_reverify ON gateway.merchant (reverify_at) WHERE status = 'active';

-- What must be on file before an account may take payments: the same list as `account::rows::Merchant::missing`.
CREATE FUNCTION gateway.merchant_complete(p_name text, p_details jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN p_name <> '' AND COALESCE(p_details #>> '{company,name}', '') <> ''
   AND COALESCE(p_details #>> '{company,registration_number}', '') <> ''
   AND COALESCE(p_details #>> '{company,address,line1}', '') <> ''
   AND COALESCE(p_details #>> '{company,address,city}', '') <> ''
   AND COALESCE(p_details #>> '{business_profile,support_email}', '') <> ''
   AND COALESCE(p_details #>> '{return_policy,contact}', '') <> ''
   AND COALESCE(p_details #>> '{return_policy,address}', '') <> ''
   AND (p_details #>> '{return_policy,window_days}') IS NOT NULL;

-- The second place of the rules in `account::state`: which status may follow which, and that it takes two.
CREATE FUNCTION gateway.merchant_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE fault text;
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF current_user = 'gateway_app' AND NEW.status <> 'draft' THEN
            fault := 'an account begins as a draft';
        END IF;
    ELSIF (OLD.book_id, OLD.id, OLD.country, OLD.created_at) IS DISTINCT FROM (NEW.book_id, NEW.id, NEW.country, NEW.created_at) THEN
        fault := 'an account stays whose it is';
    ELSIF OLD.status <> NEW.status AND (OLD.status, NEW.status) NOT IN (
            ('draft', 'submitted'), ('restricted', 'submitted'),
            ('submitted', 'under_review'), ('submitted', 'draft'), ('under_review', 'draft'),
            ('under_review', 'active'), ('restricted', 'active'), ('suspended', 'active'),
            ('active', 'restricted'), ('active', 'suspended'), ('restricted', 'suspended'),
            ('draft', 'offboarded'), ('submitted', 'offboarded'), ('under_review', 'offboarded'),
            ('active', 'offboarded'), ('restricted', 'offboarded'), ('suspended', 'offboarded')) THEN
        fault := format('%s does not become %s', OLD.status, NEW.status);
    ELSIF OLD.status = 'under_review' AND NEW.status = 'active' AND NEW.decided_by IS NOT DISTINCT FROM OLD.submitted_by
       OR OLD.status IN ('restricted', 'suspended') AND NEW.status = 'active' AND NEW.decided_by IS NOT DISTINCT FROM OLD.decided_by
       OR OLD.status <> 'offboarded' AND NEW.status = 'offboarded'
          AND (OLD.offboarding_by IS NULL OR NEW.decided_by IS NOT DISTINCT FROM OLD.offboarding_by) THEN
        fault := 'a second person must decide';
    ELSIF NEW.status = 'active' AND (OLD.status <> 'active' OR (OLD.name, OLD.details) IS DISTINCT FROM (NEW.name, NEW.details)
                                                           AND gateway.merchant_complete(OLD.name, OLD.details))
          AND NOT (gateway.merchant_complete(NEW.name, NEW.details) AND NEW.reverify_at IS NOT NULL) THEN
        fault := 'an active account is complete, with a date of its next examination';
    END IF;
    IF fault IS NOT NULL THEN
        RAISE EXCEPTION '%', fault USING ERRCODE = '23514', CONSTRAINT = 'merchant_guard';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE INSERT OR UPDATE ON gateway.merchant FOR EACH ROW EXECUTE FUNCTION gateway.merchant_guard();
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON gateway.merchant FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change();
