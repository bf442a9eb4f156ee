//! The audit: gateway states against the books, object by object. It believes neither; it compares.
//!
//! The ledger's own proof (`ledger::verify`) shows that the books are consistent in themselves; this shows that they are
//! about these payments. Every check is one query over committed rows that lists what is wrong. Reads only.

use ledger::verify::Check;
use tokio_postgres::{Client, IsolationLevel};

/// Runs every check on one snapshot of the database.
///
/// # Errors
/// When the database fails.
pub async fn audit(client: &mut Client) -> Result<Vec<Check>, tokio_postgres::Error> {
    let tx = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    let mut checks = Vec::with_capacity(CHECKS.len());
    for Query { name, rows, wrong } in CHECKS {
        let sql = format!(
            "WITH wrong AS ({wrong}) SELECT ({rows})::bigint, (SELECT count(*) FROM wrong), (SELECT min(what) FROM wrong)"
        );
        let row = tx.query_one(&sql, &[]).await?;
        let (rows, wrong): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        checks.push(Check {
            name,
            rows: rows.unsigned_abs(),
            wrong: wrong.unsigned_abs(),
            first_wrong: row.try_get(2)?,
        });
    }
    tx.commit().await?;
    Ok(checks)
}

struct Query {
    /// what must hold
    name: &'static str,
    /// counts what is looked at
    rows: &'static str,
    /// lists what is wrong, as one text column `what`
    wrong: &'static str,
}

/// Amount of a journal code per object: the sum of its posted debits.
macro_rules! booked {
    ($code:literal) => {
        concat!(
            "(SELECT book_id, reference, sum(amount) AS amount FROM ledger.posting WHERE code = '",
            $code,
            "' AND layer = 'posted' AND side = 'debit' GROUP BY 1, 2)"
        )
    };
}

const CHECKS: &[Query] = &[
    Query {
        name: "what a charge captured is what J03 booked",
        rows: "SELECT count(*) FROM gateway.charge",
        wrong: concat!(
            "SELECT coalesce(c.id, j.reference) || ': captured ' || coalesce(c.amount_captured, 0) || ', booked ' || coalesce(j.amount, 0) AS what
             FROM gateway.charge c FULL JOIN ",
            booked!("J03"),
            " j ON j.book_id = c.book_id AND j.reference = c.id
             WHERE coalesce(c.amount_captured, 0) <> coalesce(j.amount, 0)"
        ),
    },
    Query {
        name: "the fee of a charge is what J04 booked",
        rows: "SELECT count(*) FROM gateway.charge WHERE fee > 0",
        wrong: concat!(
            "SELECT coalesce(c.id, j.reference) || ': fee ' || coalesce(c.fee, 0) || ', booked ' || coalesce(j.amount, 0) AS what
             FROM gateway.charge c FULL JOIN (SELECT * FROM ",
            booked!("J04"),
            " b WHERE reference !~ '^fee_') j ON j.book_id = c.book_id AND j.reference = c.id
             WHERE coalesce(c.fee, 0) <> coalesce(j.amount, 0)"
        ),
    },
    Query {
        name: "an application fee is what J04 booked, and what J10 gave back",
        rows: "SELECT count(*) FROM gateway.application_fee",
        wrong: concat!(
            "SELECT coalesce(f.id, t.reference, g.fee_id) || ': fee ' || coalesce(f.amount, 0) || ' refunded ' || coalesce(f.amount_refunded, 0)
                || ', booked ' || coalesce(t.amount, 0) || ' and ' || coalesce(g.booked, 0) || ', refunds ' || coalesce(g.amount, 0) AS what
             FROM gateway.application_fee f
             FULL JOIN (SELECT * FROM ",
            booked!("J04"),
            " b WHERE reference ~ '^fee_') t ON t.book_id = f.book_id AND t.reference = f.id
             FULL JOIN (SELECT r.book_id, r.fee_id, sum(r.amount) AS amount, sum(j.amount) AS booked FROM gateway.fee_refund r LEFT JOIN ",
            booked!("J10"),
            " j ON j.book_id = r.book_id AND j.reference = r.id GROUP BY 1, 2) g ON g.book_id = f.book_id AND g.fee_id = f.id
             WHERE coalesce(f.amount, 0) <> coalesce(t.amount, 0) OR coalesce(f.amount_refunded, 0) <> coalesce(g.amount, 0)
                OR coalesce(g.amount, 0) <> coalesce(g.booked, 0)"
        ),
    },
    Query {
        name: "an application fee names its charge, which names it, and its lines show it",
        rows: "SELECT count(*) FROM gateway.application_fee",
        wrong: "SELECT f.id || ': fee ' || f.amount || ', lines ' || coalesce(t.amount, 0) AS what FROM gateway.application_fee f
                LEFT JOIN gateway.charge c ON c.book_id = f.book_id AND c.id = f.charge_id AND c.application_fee_id = f.id
                LEFT JOIN (SELECT book_id, source_id, sum(application_fee) AS amount FROM gateway.balance_transaction GROUP BY 1, 2) t
                    ON t.book_id = f.book_id AND t.source_id = f.charge_id
                WHERE c.id IS NULL OR f.amount <> coalesce(t.amount, 0)",
    },
    Query {
        name: "a payment received what its charges captured",
        rows: "SELECT count(*) FROM gateway.payment",
        wrong: "SELECT p.id || ': received ' || p.amount_received || ', captured ' || coalesce(c.captured, 0) AS what
                FROM gateway.payment p LEFT JOIN (SELECT book_id, payment_id, sum(amount_captured) AS captured,
                    count(*) FILTER (WHERE status IN ('succeeded', 'pending', 'unknown')) AS live FROM gateway.charge GROUP BY 1, 2) c
                ON c.book_id = p.book_id AND c.payment_id = p.id
                WHERE p.amount_received <> coalesce(c.captured, 0) OR c.live > 1
                   OR (p.status = 'succeeded') <> (p.amount_received > 0) AND p.status <> 'requires_capture'",
    },
    Query {
        name: "an uncaptured authorization has its hold open, and no other charge has",
        rows: "SELECT count(*) FROM gateway.charge WHERE hold_id IS NOT NULL",
        wrong: "SELECT coalesce(c.id, h.hold_id::text) || ': hold remains ' || coalesce(h.remaining, 0) AS what
                FROM (SELECT * FROM gateway.charge WHERE hold_id IS NOT NULL) c
                FULL JOIN (SELECT * FROM ledger.hold WHERE remaining > 0) h ON h.book_id = c.book_id AND h.hold_id = c.hold_id
                WHERE coalesce(h.remaining, 0) <> CASE WHEN c.status = 'succeeded' AND NOT c.captured THEN c.amount - c.amount_captured ELSE 0 END",
    },
    Query {
        name: "a refund was requested once in the books (J08a), that of a case by its decision (J21, J24)",
        rows: "SELECT count(*) FROM gateway.refund",
        wrong: concat!(
            "SELECT coalesce(r.id, j.reference) || ': refund ' || coalesce(r.amount, 0) || ', booked ' || coalesce(j.amount, 0) AS what
             FROM gateway.refund r FULL JOIN ",
            "(SELECT book_id, reference, sum(amount) AS amount FROM ledger.posting WHERE code IN ('J08a', 'J21', 'J24') AND layer = 'posted'
                AND side = 'credit' AND account LIKE '2120.%' GROUP BY 1, 2)",
            " j ON j.book_id = r.book_id AND j.reference = r.id WHERE coalesce(r.amount, 0) <> coalesce(j.amount, 0)"
        ),
    },
    Query {
        // A case's refund that failed is owed by bank: what is to be paid is in the case.
        name: "a succeeded refund is confirmed in the books (J08b), a failed one given back (J09)",
        rows: "SELECT count(*) FROM gateway.refund",
        wrong: concat!(
            "SELECT r.id || ': ' || r.status || ', confirmed ' || coalesce(b.amount, 0) || ', given back ' || coalesce(f.amount, 0) AS what
             FROM gateway.refund r
             LEFT JOIN ",
            booked!("J08b"),
            " b ON b.book_id = r.book_id AND b.reference = r.id LEFT JOIN ",
            booked!("J09"),
            " f ON f.book_id = r.book_id AND f.reference = r.id
             WHERE (r.status = 'succeeded' AND (coalesce(b.amount, 0) <> r.amount OR f.amount IS NOT NULL))
                OR (r.status IN ('failed', 'canceled') AND coalesce(f.amount, 0) <> r.amount
                    AND (r.case_id IS NULL OR r.failure_balance_transaction_id IS NOT NULL))
                OR (r.status IN ('pending', 'unknown') AND (b.amount IS NOT NULL OR f.amount IS NOT NULL))"
        ),
    },
    Query {
        name: "a payment's refunded amount is the sum of its refunds that stand",
        rows: "SELECT count(*) FROM gateway.payment WHERE amount_refunded > 0",
        wrong: "SELECT p.id || ': refunded ' || p.amount_refunded || ', refunds ' || coalesce(r.amount, 0) AS what
                FROM gateway.payment p LEFT JOIN (SELECT book_id, payment_id, sum(amount) AS amount FROM gateway.refund
                    WHERE status NOT IN ('failed', 'canceled') OR case_id IS NOT NULL AND failure_balance_transaction_id IS NULL GROUP BY 1, 2) r
                    ON r.book_id = p.book_id AND r.payment_id = p.id
                WHERE p.amount_refunded <> coalesce(r.amount, 0)",
    },
    Query {
        name: "refund payable (2120) is the sum of the refunds under way, and of those that the bank must pay",
        rows: "SELECT count(*) FROM ledger.account WHERE account LIKE '2120.%'",
        wrong: "SELECT 'book ' || b.book_id || ' ' || b.account || ': balance ' || b.posted || ', refunds under way ' || coalesce(r.amount, 0) AS what
                FROM ledger.balance b LEFT JOIN (SELECT book_id, currency, sum(amount) AS amount FROM (
                    SELECT book_id, currency, amount FROM gateway.refund WHERE status IN ('pending', 'unknown')
                    UNION ALL SELECT book_id, currency, refund_due FROM gateway.consumer_case WHERE refund_due > 0) x GROUP BY 1, 2) r ON r.book_id = b.book_id AND r.currency = b.currency
                WHERE b.account LIKE '2120.%' AND b.posted <> coalesce(r.amount, 0)",
    },
    Query {
        name: "contested principal (1130) is the sum of the chargebacks whose outcome is open",
        rows: "SELECT count(*) FROM gateway.dispute",
        wrong: "SELECT 'book ' || b.book_id || ' ' || b.account || ': balance ' || b.posted || ', disputes ' || coalesce(d.amount, 0) AS what
                FROM ledger.balance b LEFT JOIN (SELECT book_id, '1130.' || connector || '.' || currency AS account, sum(contested) AS amount
                    FROM gateway.dispute GROUP BY 1, 2) d ON d.book_id = b.book_id AND d.account = b.account
                WHERE b.account LIKE '1130.%' AND b.posted <> coalesce(d.amount, 0)",
    },
    Query {
        name: "dispute hold (2110) is the sum of what the disputes and the cases hold",
        rows: "SELECT (SELECT count(*) FROM gateway.dispute) + (SELECT count(*) FROM gateway.consumer_case)",
        wrong: "SELECT 'book ' || b.book_id || ' ' || b.account || ': balance ' || b.posted || ', held ' || coalesce(d.amount, 0) AS what
                FROM ledger.balance b LEFT JOIN (SELECT book_id, currency, sum(amount) AS amount FROM (
                    SELECT book_id, currency, held_pending + held_available + held_receivable AS amount FROM gateway.dispute
                    UNION ALL SELECT book_id, currency, held_pending + held_available + held_receivable FROM gateway.consumer_case) x
                    GROUP BY 1, 2) d ON d.book_id = b.book_id AND d.currency = b.currency
                WHERE b.account LIKE '2110.%' AND b.posted <> coalesce(d.amount, 0)",
    },
    Query {
        // Before the debit what is frozen counts, and what was lost whatever came back later: until a person has decided.
        name: "a payment's disputed amount is the sum of its chargebacks open and lost",
        rows: "SELECT count(*) FROM gateway.payment WHERE amount_disputed > 0",
        wrong: "SELECT p.id || ': disputed ' || p.amount_disputed || ', chargebacks ' || coalesce(d.amount, 0) AS what
                FROM gateway.payment p LEFT JOIN (SELECT book_id, payment_id, sum(greatest(contested, held_pending + held_available + held_receivable) + lost) AS amount
                    FROM gateway.dispute GROUP BY 1, 2) d ON d.book_id = p.book_id AND d.payment_id = p.id
                WHERE p.amount_disputed <> coalesce(d.amount, 0)",
    },
    Query {
        name: "what a payment holds for cases is the sum of what its cases hold",
        rows: "SELECT count(*) FROM gateway.consumer_case",
        wrong: "SELECT p.id || ': held ' || p.amount_held || ', cases ' || coalesce(c.amount, 0) AS what
                FROM gateway.payment p FULL JOIN (SELECT book_id, payment_id, sum(held_pending + held_available + held_receivable) AS amount
                    FROM gateway.consumer_case GROUP BY 1, 2) c ON c.book_id = p.book_id AND c.payment_id = p.id
                WHERE coalesce(p.amount_held, 0) <> coalesce(c.amount, 0)",
    },
    Query {
        // One by one: what was frozen for this payment in the books is what its open objects hold. A refund of a case is booked under its own id.
        name: "each payment's part of the dispute hold (2110) is held by its open cases and disputes",
        rows: "SELECT (SELECT count(*) FROM gateway.dispute) + (SELECT count(*) FROM gateway.consumer_case)",
        wrong: "SELECT coalesce(b.payment_id, h.payment_id) || ': frozen ' || coalesce(b.amount, 0) || ', held ' || coalesce(h.amount, 0) AS what
                FROM (SELECT o.book_id, o.payment_id, sum(CASE p.side WHEN 'credit' THEN p.amount ELSE -p.amount END) AS amount
                      FROM ledger.posting p JOIN (
                          SELECT book_id, id, payment_id FROM gateway.dispute UNION ALL SELECT book_id, id, payment_id FROM gateway.consumer_case
                          UNION ALL SELECT book_id, id, payment_id FROM gateway.refund WHERE case_id IS NOT NULL) o
                          ON o.book_id = p.book_id AND o.id = p.reference
                      WHERE p.account LIKE '2110.%' AND p.layer = 'posted' GROUP BY 1, 2) b
                FULL JOIN (SELECT book_id, payment_id, sum(amount) AS amount FROM (
                        SELECT book_id, payment_id, held_pending + held_available + held_receivable AS amount FROM gateway.dispute
                        UNION ALL SELECT book_id, payment_id, held_pending + held_available + held_receivable FROM gateway.consumer_case) x
                        GROUP BY 1, 2) h ON h.book_id = b.book_id AND h.payment_id = b.payment_id
                WHERE coalesce(b.amount, 0) <> coalesce(h.amount, 0) AND ledger.horizon() IS NULL",
    },
    Query {
        name: "compensation payable (2130) is the sum of what the cases owe",
        rows: "SELECT count(*) FROM ledger.account WHERE account LIKE '2130.%'",
        wrong: "SELECT 'book ' || b.book_id || ' ' || b.account || ': balance ' || b.posted || ', owed ' || coalesce(c.amount, 0) AS what
                FROM ledger.balance b LEFT JOIN (SELECT book_id, currency, sum(compensation_due) AS amount FROM gateway.consumer_case
                    GROUP BY 1, 2) c ON c.book_id = b.book_id AND c.currency = b.currency
                WHERE b.account LIKE '2130.%' AND b.posted <> coalesce(c.amount, 0)",
    },
    Query {
        name: "advances (1220) are the sum of what merchants owe for cases",
        rows: "SELECT count(*) FROM ledger.account WHERE account LIKE '1220.%'",
        wrong: "SELECT 'book ' || b.book_id || ' ' || b.account || ': balance ' || b.posted || ', owed ' || coalesce(c.amount, 0) AS what
                FROM ledger.balance b LEFT JOIN (SELECT book_id, currency, sum(recourse_due) AS amount FROM gateway.consumer_case
                    GROUP BY 1, 2) c ON c.book_id = b.book_id AND c.currency = b.currency
                WHERE b.account LIKE '1220.%' AND b.posted <> coalesce(c.amount, 0)",
    },
    Query {
        name: "the principal of a dispute is what its journals say, one by one: contested (J11, J14b less J14a, J15, J16), lost (J15, J16)",
        rows: "SELECT count(*) FROM gateway.dispute",
        wrong: "SELECT d.id || ': contested ' || d.contested || ', lost ' || d.lost || ', booked ' || coalesce(j.taken, 0) || ' taken, '
                || coalesce(j.back, 0) || ' back, ' || coalesce(j.gone, 0) || ' lost' AS what
             FROM gateway.dispute d LEFT JOIN (SELECT book_id, reference,
                    sum(amount) FILTER (WHERE side = 'debit' AND code IN ('J11', 'J14b')) AS taken,
                    sum(amount) FILTER (WHERE side = 'credit' AND code = 'J14a') AS back,
                    sum(amount) FILTER (WHERE side = 'credit' AND code IN ('J15', 'J16')) AS gone
                FROM ledger.posting WHERE account LIKE '1130.%' AND layer = 'posted' GROUP BY 1, 2) j
                ON j.book_id = d.book_id AND j.reference = d.id
             WHERE (d.contested <> coalesce(j.taken, 0) - coalesce(j.back, 0) - coalesce(j.gone, 0) OR d.lost <> coalesce(j.gone, 0))
               AND ledger.horizon() IS NULL",
    },
    Query {
        name: "whatever gives back more than was captured has an exception that says so",
        rows: "SELECT count(*) FROM gateway.payment WHERE amount_refunded + amount_disputed > amount_received",
        wrong: "SELECT p.id || ': captured ' || p.amount_received || ', refunded ' || p.amount_refunded || ', disputed ' || p.amount_disputed AS what
                FROM gateway.payment p WHERE p.amount_refunded + p.amount_disputed > p.amount_received
                  AND NOT EXISTS (SELECT FROM gateway.dispute_exception e
                                  WHERE e.book_id = p.book_id AND e.payment_id = p.id AND e.kind = 'double_credit')",
    },
    Query {
        name: "a payout was booked once (J29a), and ended in the books as it did at the bank (J29b, J29c, J29d)",
        rows: "SELECT count(*) FROM gateway.payout",
        wrong: concat!(
            "SELECT coalesce(p.id, a.reference) || ': ' || coalesce(p.status, 'unknown') || ' ' || coalesce(p.amount, 0) || ', created ' || coalesce(a.amount, 0)
                || ', paid ' || coalesce(b.amount, 0) || ', rejected ' || coalesce(c.amount, 0) || ', returned ' || coalesce(d.amount, 0) AS what
             FROM gateway.payout p FULL JOIN ",
            booked!("J29a"),
            " a ON a.book_id = p.book_id AND a.reference = p.id LEFT JOIN ",
            booked!("J29b"),
            " b ON b.book_id = p.book_id AND b.reference = p.id LEFT JOIN ",
            booked!("J29c"),
            " c ON c.book_id = p.book_id AND c.reference = p.id LEFT JOIN ",
            booked!("J29d"),
            " d ON d.book_id = p.book_id AND d.reference = p.id
             WHERE coalesce(p.amount, 0) <> coalesce(a.amount, 0)
                OR coalesce(b.amount, 0) <> CASE WHEN p.status IN ('paid', 'returned') THEN p.amount ELSE 0 END
                OR coalesce(c.amount, 0) <> CASE WHEN p.status IN ('failed', 'canceled') THEN p.amount ELSE 0 END
                OR coalesce(d.amount, 0) <> CASE WHEN p.status = 'returned' THEN 2 * p.amount ELSE 0 END" // through 2140: two debits
        ),
    },
    Query {
        name: "payouts in transit (2140) is the sum of the payouts under way",
        rows: "SELECT count(*) FROM ledger.account WHERE account LIKE '2140.%'",
        wrong: "SELECT 'book ' || b.book_id || ' ' || b.account || ': balance ' || b.posted || ', payouts under way ' || coalesce(p.amount, 0) AS what
                FROM ledger.balance b LEFT JOIN (SELECT book_id, currency, sum(amount) AS amount FROM gateway.payout
                    WHERE status IN ('pending', 'in_transit') GROUP BY 1, 2) p ON p.book_id = b.book_id AND p.currency = b.currency
                WHERE b.account LIKE '2140.%' AND b.posted <> coalesce(p.amount, 0)",
    },
    Query {
        name: "the reserve (2030) is the sum of the lots that are held",
        rows: "SELECT count(*) FROM gateway.reserve_lot",
        wrong: "SELECT 'book ' || b.book_id || ' ' || b.account || ': balance ' || b.posted || ', lots ' || coalesce(l.amount, 0) AS what
                FROM ledger.balance b LEFT JOIN (SELECT book_id, currency, sum(remaining) AS amount FROM gateway.reserve_lot
                    GROUP BY 1, 2) l ON l.book_id = b.book_id AND l.currency = b.currency
                WHERE b.account LIKE '2030.%' AND b.posted <> coalesce(l.amount, 0)",
    },
    Query {
        // What is frozen before a debit has no line yet; what people book by hand has none.
        name: "a merchant's balance is the sum of its lines",
        rows: "SELECT count(*) FROM gateway.balance_transaction",
        wrong: "SELECT 'book ' || b.book_id || ' ' || b.currency || ': balance ' || b.amount || ', lines ' || coalesce(t.amount, 0) || ', frozen '
                    || coalesce(d.amount, 0) || ', by hand ' || coalesce(m.amount, 0) AS what
                FROM (SELECT book_id, currency, sum(CASE WHEN account LIKE '1210.%' THEN -posted ELSE posted END) AS amount FROM ledger.balance
                      WHERE account ~ '^(2010|2020|1210)[.]' GROUP BY 1, 2) b
                LEFT JOIN (SELECT book_id, currency, sum(net) AS amount FROM gateway.balance_transaction GROUP BY 1, 2) t
                    ON t.book_id = b.book_id AND t.currency = b.currency
                LEFT JOIN (SELECT book_id, currency, sum(amount) AS amount FROM (
                               SELECT book_id, currency, held_pending + held_available + held_receivable - contested AS amount FROM gateway.dispute
                               UNION ALL SELECT book_id, currency, held_pending + held_available + held_receivable FROM gateway.consumer_case) x
                           GROUP BY 1, 2) d ON d.book_id = b.book_id AND d.currency = b.currency
                LEFT JOIN (SELECT book_id, currency, sum(CASE side WHEN 'credit' THEN amount ELSE -amount END) AS amount FROM ledger.posting j
                           WHERE code IN ('J26', 'J32') AND NOT EXISTS (SELECT FROM gateway.balance_transaction x
                                   WHERE x.book_id = j.book_id AND x.journal_id = j.journal_id) AND layer = 'posted' AND account ~ '^(2010|2020|1210)[.]' GROUP BY 1, 2) m
                    ON m.book_id = b.book_id AND m.currency = b.currency
                WHERE b.amount <> coalesce(t.amount, 0) - coalesce(d.amount, 0) + coalesce(m.amount, 0) AND ledger.horizon() IS NULL",
    },
    Query {
        name: "each line of a merchant's balance names a journal of its book",
        rows: "SELECT count(*) FROM gateway.balance_transaction",
        wrong: "SELECT t.id || ': no journal ' || t.journal_id AS what FROM gateway.balance_transaction t
                WHERE NOT EXISTS (SELECT FROM ledger.journal j WHERE j.book_id = t.book_id AND j.journal_id = t.journal_id)
                  AND (ledger.horizon() IS NULL OR t.journal_id >= ledger.horizon())",
    },
];
