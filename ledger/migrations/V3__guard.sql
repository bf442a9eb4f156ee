-- History is immutable for everyone, the owner too, and the serving role can do no more than call the door.
-- One list of tables makes the triggers and the grants.
SET LOCAL ROLE ledger_owner;

CREATE FUNCTION ledger.refuse_change() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'ledger.% is history: % is refused, corrections are new journals', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'LG007', DETAIL = TG_TABLE_NAME;
END
$$;

-- Guards one table: the statements refused outright, and the rule by which an update of a row is refused (NULL: none).
-- Every table of the schema passes through here, those of later migrations too; a test holds the schema to it.
CREATE FUNCTION ledger.guard(p_table text, p_refused text, p_row_rule text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Statement triggers fire even where no row is hit; ALWAYS also under session_replication_role = replica.
    EXECUTE format('CREATE TRIGGER %I BEFORE %s ON ledger.%I FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change()',
                   p_table || '_immutable', p_refused, p_table);
    EXECUTE format('ALTER TABLE ledger.%I ENABLE ALWAYS TRIGGER %I', p_table, p_table || '_immutable');
    EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON ledger.%I FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change()',
                   p_table || '_no_truncate', p_table);
    EXECUTE format('ALTER TABLE ledger.%I ENABLE ALWAYS TRIGGER %I', p_table, p_table || '_no_truncate');
    IF p_row_rule IS NOT NULL THEN
        -- AFTER with WHEN: a comparison in the executor, no function call and no extra row lock when all is well.
        EXECUTE format('CREATE TRIGGER %I AFTER UPDATE ON ledger.%I FOR EACH ROW WHEN (%s) EXECUTE FUNCTION ledger.refuse_change()',
                       p_table || '_identity', p_table, p_row_rule);
        EXECUTE format('ALTER TABLE ledger.%I ENABLE ALWAYS TRIGGER %I', p_table, p_table || '_identity');
    END IF;
    EXECUTE format('REVOKE ALL ON ledger.%I FROM PUBLIC', p_table);
    EXECUTE format('GRANT SELECT ON ledger.%I TO gateway_app, ledger_writer, finance_ro, auditor', p_table);
END
$$;

SELECT ledger.guard(list.name, list.refused, list.row_rule)
FROM (VALUES
    -- table, statements refused outright, updates of a row refused when
    ('journal', 'UPDATE OR DELETE', NULL),
    ('journal_rest', 'UPDATE OR DELETE', NULL), -- statement triggers are not inherited; `ledger.extend` makes those of the months
    ('receipt', 'UPDATE OR DELETE', NULL),
    ('book', 'UPDATE OR DELETE', NULL),
    ('account', 'DELETE',
     'ROW(NEW.book_id, NEW.account, NEW.currency, NEW.number, NEW.normal_side, NEW.overdraft)
      IS DISTINCT FROM ROW(OLD.book_id, OLD.account, OLD.currency, OLD.number, OLD.normal_side, OLD.overdraft)
      OR NEW.debits_posted < OLD.debits_posted OR NEW.credits_posted < OLD.credits_posted'),
    ('hold', 'DELETE',
     'ROW(NEW.book_id, NEW.hold_id, NEW.currency, NEW.debit_account, NEW.credit_account, NEW.amount, NEW.expires_at)
      IS DISTINCT FROM ROW(OLD.book_id, OLD.hold_id, OLD.currency, OLD.debit_account, OLD.credit_account, OLD.amount, OLD.expires_at)
      OR NEW.remaining > OLD.remaining'),
    ('chart', 'DELETE', 'NEW.number <> OLD.number OR NEW.normal_side <> OLD.normal_side'),
    ('currency', 'UPDATE OR DELETE', NULL),
    ('journal_code', 'DELETE', 'NEW.code <> OLD.code')
) AS list(name, refused, row_rule);

GRANT USAGE ON SCHEMA ledger TO gateway_app, ledger_writer, finance_ro, auditor;
GRANT SELECT ON ledger.posting, ledger.balance TO gateway_app, ledger_writer, finance_ro, auditor;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ledger FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.post, ledger.lock_holds, ledger.lock_accounts, ledger.claim_expired, ledger.remember, ledger.open,
    ledger.open_book TO gateway_app, ledger_writer;
GRANT EXECUTE ON FUNCTION ledger.set_status TO ledger_writer;
RESET ROLE;
