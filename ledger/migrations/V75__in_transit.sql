-- Settlement in transit (1120) may go below zero: in one merchant's book an acquirer's batch can hold more refunds than sales.
SET LOCAL ROLE ledger_owner;
UPDATE ledger.chart SET overdraft = true WHERE number = '1120';
-- What an account may do is fixed for everyone; a migration alone sets that aside, for this statement.
ALTER TABLE ledger.account DISABLE TRIGGER account_identity;
UPDATE ledger.account SET overdraft = true WHERE number = '1120';
ALTER TABLE ledger.account ENABLE ALWAYS TRIGGER account_identity;
RESET ROLE;
