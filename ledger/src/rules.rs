//! Proofs of what journals owe to other rows: reversals, approvals, receipts, closed periods. Part of
//! [`verify`](crate::verify::verify); one query each, that lists what is wrong. Never writes.
//!
//! Journals below `ledger.horizon()` may be in detached months: that one of them is not there says nothing. What it once
//! was, its seal says.

use tokio_postgres::Transaction;

use crate::verify::Check;

/// Every rule on the transaction's snapshot.
pub(crate) async fn check(tx: &Transaction<'_>) -> Result<Vec<Check>, tokio_postgres::Error> {
    let mut checks = Vec::with_capacity(RULES.len());
    for (name, rows, wrong) in RULES {
        let sql = format!(
            "WITH wrong AS ({wrong}) SELECT ({rows}), (SELECT count(*) FROM wrong), (SELECT min(what) FROM wrong)"
        );
        let row = tx.query_typed_one(&sql, &[]).await?;
        checks.push(Check {
            name,
            rows: row.try_get::<_, i64>(0)?.unsigned_abs(),
            wrong: row.try_get::<_, i64>(1)?.unsigned_abs(),
            first_wrong: row.try_get(2)?,
        });
    }
    Ok(checks)
}

/// What must hold, how many rows are looked at, and those that are wrong as one text column `what`.
const RULES: [(&str, &str, &str); 4] = [
    (
        "a reversal mirrors its journal, and no journal has two",
        "SELECT count(*) FROM ledger.reversal",
        "SELECT 'book ' || r.book_id || ' journal ' || r.journal_id || ' reversed by ' || r.reversed_by AS what
         FROM (SELECT book_id, journal_id AS reversed_by, reverses AS journal_id FROM ledger.journal WHERE code = 'J26') m
         FULL JOIN ledger.reversal r USING (book_id, journal_id, reversed_by)
         LEFT JOIN ledger.journal j USING (book_id, journal_id)
         LEFT JOIN ledger.journal n ON n.book_id = r.book_id AND n.journal_id = r.reversed_by
         CROSS JOIN (SELECT ledger.horizon() AS horizon) h
         WHERE m.reversed_by IS NULL AND (r.reversed_by < h.horizon) IS NOT TRUE OR r.reversed_by IS NULL
            OR j.journal_id IS NULL AND (r.journal_id < h.horizon) IS NOT TRUE
            OR j.journal_id IS NOT NULL AND n.journal_id IS NOT NULL AND
               (SELECT array_agg(ROW(l.account, l.kind::text, l.amount)::text ORDER BY l.account, l.kind::text, l.amount)
                FROM unnest(j.account, j.kind, j.amount) AS l(account, kind, amount))
               IS DISTINCT FROM
               (SELECT array_agg(ROW(l.account, l.kind, l.amount)::text ORDER BY l.account, l.kind, l.amount)
                FROM (SELECT u.account, translate(u.kind::text, 'DC', 'CD') AS kind, u.amount
                      FROM unnest(n.account, n.kind, n.amount) AS u(account, kind, amount)) AS l)",
    ),
    (
        "a manual journal is what another person approved",
        "SELECT count(*) FROM ledger.decision",
        "SELECT 'book ' || coalesce(j.book_id, d.book_id) || ' journal ' || coalesce(j.journal_id, d.journal_id) AS what
         FROM (SELECT * FROM ledger.journal WHERE code = 'J32') j
         FULL JOIN (SELECT d.*, p.account, p.kind, p.amount FROM ledger.decision d JOIN ledger.proposal p USING (book_id, proposal_id)
                    WHERE d.verdict = 'approved') d ON d.book_id = j.book_id AND d.journal_id = j.journal_id
         CROSS JOIN (SELECT ledger.horizon() AS horizon) h
         WHERE j.journal_id IS NULL AND (d.journal_id < h.horizon) IS NOT TRUE OR d.journal_id IS NULL
            OR lower(btrim(d.maker)) = lower(btrim(d.checker))
            OR j.journal_id IS NOT NULL AND (j.account, j.kind::text[], j.amount) IS DISTINCT FROM (d.account, d.kind::text[], d.amount)",
    ),
    (
        "each journal with a key has its receipt, and each receipt of a booked journal its journal",
        "SELECT count(*) FROM ledger.receipt",
        "SELECT 'book ' || coalesce(j.book_id, r.book_id) || ' journal ' || coalesce(j.journal_id, r.journal_id) AS what
         FROM (SELECT book_id, journal_id, idem_key FROM ledger.journal WHERE idem_key IS NOT NULL) j
         FULL JOIN (SELECT * FROM ledger.receipt WHERE refusal IS NULL) r
              ON r.book_id = j.book_id AND r.journal_id = j.journal_id AND r.idem_key = j.idem_key
         CROSS JOIN (SELECT ledger.horizon() AS horizon) h
         WHERE j.journal_id IS NULL AND (r.journal_id < h.horizon) IS NOT TRUE OR r.journal_id IS NULL",
    ),
    // `recorded_at` is when the transaction began: one that began just before a reopening may post after it.
    (
        "no journal was recorded in a period that was closed at that time",
        "SELECT count(*) FROM ledger.period",
        "SELECT 'book ' || j.book_id || ' journal ' || j.journal_id || ': dated ' || j.effective_at || ', closed since ' || p.acted_at AS what
         FROM (SELECT book_id, act, up_to, acted_at, lead(acted_at) OVER (PARTITION BY book_id ORDER BY act_no) AS ended_at
               FROM ledger.period) p
         JOIN ledger.journal j ON (p.book_id = 0 OR j.book_id = p.book_id)
              AND j.effective_at < (p.up_to + 1)::timestamp AT TIME ZONE 'UTC'
              AND j.recorded_at > p.acted_at AND (p.ended_at IS NULL OR j.recorded_at < p.ended_at - interval '1 minute')",
    ),
];
