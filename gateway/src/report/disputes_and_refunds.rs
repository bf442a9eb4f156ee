//! Disputes and refunds: each with its amount, when it began, how it stands in the books and when that was reached.

use super::{Needs, Report, Span, moment, money, text};

pub(super) static REPORT: Report = Report {
    name: "disputes_and_refunds",
    title: "Disputes and refunds",
    about: "Refunds requested and chargebacks taken in the period, and what became of them by its end, as the books have it.",
    needs: Needs::Nothing,
    span: Span::Period,
    merchants: true,
    signed: false,
    columns: &[
        text("book"),
        text("kind"),
        text("id"),
        text("payment"),
        text("reason"),
        text("currency"),
        money("amount"),
        money("fee"),
        moment("began_at"),
        text("outcome"),
        moment("ended_at"),
    ],
    // The state is told by journals: they are what the position fixes. Columns of the objects are those that never change.
    sql: "
    , fact AS (
        SELECT book_id, reference, currency, code, min(effective_at) AS first_at, max(effective_at) AS last_at, sum(debit)::bigint AS debit
        FROM line WHERE code IN ('J08a', 'J08b', 'J09', 'J11', 'J12', 'J14a', 'J14b', 'J15', 'J16') GROUP BY 1, 2, 3, 4
    ), fee AS (
        SELECT book_id, reference, sum(debit)::bigint AS fee FROM line WHERE code = 'J12' AND number = '5020' GROUP BY 1, 2
    ), lost AS (
        SELECT book_id, reference, max(last_at) AS last_at FROM fact WHERE code IN ('J15', 'J16') GROUP BY 1, 2
    ), refund AS (
        SELECT a.book_id, 'refund' AS kind, a.reference AS id, r.payment_id, r.reason, a.currency, a.debit AS amount, NULL::bigint AS fee,
               a.first_at AS began_at,
               CASE WHEN f.last_at IS NOT NULL THEN 'failed' WHEN b.last_at IS NOT NULL THEN 'succeeded' ELSE 'pending' END AS outcome,
               coalesce(f.last_at, b.last_at) AS ended_at
        FROM fact a
        LEFT JOIN fact b ON (b.book_id, b.reference, b.code) = (a.book_id, a.reference, 'J08b')
        LEFT JOIN fact f ON (f.book_id, f.reference, f.code) = (a.book_id, a.reference, 'J09')
        LEFT JOIN gateway.refund r ON (r.book_id, r.id) = (a.book_id, a.reference)
        WHERE a.code = 'J08a'
    ), chargeback AS (
        SELECT a.book_id, 'chargeback' AS kind, a.reference AS id, d.payment_id, d.reason, a.currency, a.debit AS amount,
               e.fee, a.first_at AS began_at,
               CASE WHEN l.last_at IS NOT NULL THEN 'lost' WHEN w.last_at > coalesce(x.last_at, '-infinity') THEN 'won' ELSE 'open' END AS outcome,
               CASE WHEN l.last_at IS NOT NULL THEN l.last_at WHEN w.last_at > coalesce(x.last_at, '-infinity') THEN w.last_at END AS ended_at
        FROM fact a
        LEFT JOIN fee e ON (e.book_id, e.reference) = (a.book_id, a.reference)
        LEFT JOIN fact w ON (w.book_id, w.reference, w.code) = (a.book_id, a.reference, 'J14a')
        LEFT JOIN fact x ON (x.book_id, x.reference, x.code) = (a.book_id, a.reference, 'J14b')
        LEFT JOIN lost l ON (l.book_id, l.reference) = (a.book_id, a.reference)
        LEFT JOIN gateway.dispute d ON (d.book_id, d.id) = (a.book_id, a.reference)
        WHERE a.code = 'J11'
    )
    SELECT b.code AS book, kind, id, payment_id AS payment, reason, currency, amount, fee, began_at, outcome, ended_at
    FROM (SELECT * FROM refund UNION ALL SELECT * FROM chargeback) AS r JOIN ledger.book b USING (book_id)
    WHERE $5 IS NULL OR began_at >= $5
    ORDER BY b.code, kind COLLATE \"C\", began_at, id COLLATE \"C\"",
};
