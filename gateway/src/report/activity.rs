//! Activity for an authority: how much of what happened in a period, in numbers and sums, and nothing about anybody.

use super::{Needs, Report, Span, count, money, text};

pub(super) static REPORT: Report = Report {
    name: "activity",
    title: "Activity of the period",
    about: "Payments, refunds, chargebacks and payouts by number and sum, how long refunds took in seconds, and customer money at the end; \
            aggregates over all merchants, no personal data.",
    needs: Needs::Nothing,
    span: Span::Period,
    merchants: false,
    signed: false,
    columns: &[text("measure"), text("currency"), count("number"), money("amount")],
    sql: "
    , measure (rank, measure, code, number, sign) AS (VALUES
        (1, 'payments captured', 'J03', '1110', 1), (2, 'refunds requested', 'J08a', '2120', -1), (3, 'refunds completed', 'J08b', '2120', 1),
        (4, 'refunds failed', 'J09', '2120', 1), (5, 'chargebacks taken', 'J11', '1130', 1), (6, 'chargebacks reversed', 'J14a', '1130', -1),
        (7, 'chargebacks lost by merchants', 'J15', '1130', -1), (8, 'chargebacks lost by the platform', 'J16', '1130', -1),
        (9, 'compensation paid', 'J23b', '2130', 1), (10, 'payouts paid', 'J29b', '2140', 1), (11, 'payouts returned', 'J29d', '1010', 1),
        (12, 'fees charged', 'J04', '4010', -1), (13, 'penalties', 'J28', '4030', -1))
    , happened AS (SELECT * FROM line WHERE $5 IS NULL OR effective_at >= $5)
    , refund AS (
        SELECT d.currency, extract(epoch FROM min(d.effective_at) - min(r.effective_at))::bigint AS seconds
        FROM happened d JOIN line r ON (r.book_id, r.reference, r.code, r.number) = (d.book_id, d.reference, 'J08a', '2120')
        WHERE d.code = 'J08b' AND d.number = '2120' GROUP BY d.book_id, d.reference, d.currency
    )
    SELECT measure, currency, number, amount FROM (
        SELECT m.rank, m.measure, h.currency, count(DISTINCT (h.book_id, h.reference)) AS number,
               sum(m.sign * (h.debit - h.credit))::bigint AS amount
        FROM measure m JOIN happened h ON (h.code, h.number) = (m.code, m.number) GROUP BY 1, 2, 3
        UNION ALL
        SELECT 20, 'seconds from request to completion of a refund, half of them', currency,
               percentile_disc(0.5) WITHIN GROUP (ORDER BY seconds), NULL FROM refund GROUP BY currency
        UNION ALL
        SELECT 21, 'seconds from request to completion of a refund, 95 of 100', currency,
               percentile_disc(0.95) WITHIN GROUP (ORDER BY seconds), NULL FROM refund GROUP BY currency
        UNION ALL
        SELECT 22, 'customer money at the end', currency, NULL, sum(credit - debit)::bigint
        FROM line WHERE number IN ('2010', '2020', '2030', '2040', '2110', '2120', '2130', '2140') GROUP BY currency
    ) AS r
    ORDER BY rank, currency COLLATE \"C\"",
};
