//! The settlement report: day by day what a merchant sold, what was taken from it and what it was paid, down to its balance.

use super::{Needs, Report, Span, day, money, text};

pub(super) static REPORT: Report = Report {
    name: "settlement",
    title: "Settlement report",
    about: "Per day and currency: sales, fees with tax, refunds, disputes, other changes and payouts, and the balance at the end of the day.",
    needs: Needs::Nothing,
    span: Span::Period,
    merchants: true,
    signed: false,
    columns: &[
        text("book"),
        text("currency"),
        day("day"),
        money("sales"),
        money("fees"),
        money("refunds"),
        money("disputes"),
        money("other"),
        money("payouts"),
        money("change"),
        money("balance"),
    ],
    sql: "
    , days AS (
        SELECT CASE WHEN $9 THEN 'all' ELSE b.code END AS book, l.currency, (l.effective_at AT TIME ZONE 'UTC')::date AS day,
               coalesce(sum(l.credit - l.debit) FILTER (WHERE l.code = 'J03'), 0)::bigint AS sales,
               coalesce(sum(l.credit - l.debit) FILTER (WHERE l.code IN ('J04', 'J10')), 0)::bigint AS fees,
               coalesce(sum(l.credit - l.debit) FILTER (WHERE l.code IN ('J08a', 'J09')), 0)::bigint AS refunds,
               coalesce(sum(l.credit - l.debit) FILTER (WHERE l.code IN ('J11b', 'J12', 'J13', 'J14c', 'J20', 'J22')), 0)::bigint AS disputes,
               coalesce(sum(l.credit - l.debit) FILTER (WHERE l.code IN ('J29a', 'J29c', 'J29d')), 0)::bigint AS payouts,
               sum(l.credit - l.debit)::bigint AS change
        FROM line l JOIN ledger.book b USING (book_id) WHERE l.number IN ('2010', '2020', '1210') GROUP BY 1, 2, 3
    )
    SELECT * FROM (
        SELECT book, currency, day, sales, fees, refunds, disputes, change - sales - fees - refunds - disputes - payouts AS other,
               payouts, change, (sum(change) OVER (PARTITION BY book, currency ORDER BY day))::bigint AS balance
        FROM days
    ) AS r
    WHERE $5 IS NULL OR day >= ($5 AT TIME ZONE 'UTC')::date
    ORDER BY book COLLATE \"C\", currency COLLATE \"C\", day",
};
