//! The trial balance: every account with its debits and credits, by book or consolidated, and the totals that must agree.

use super::{Needs, Report, Span, money, text};

pub(super) static REPORT: Report = Report {
    name: "trial_balance",
    title: "Trial balance",
    about: "Debits and credits of every account, and per currency the totals, which are equal in sound books.",
    needs: Needs::Nothing,
    span: Span::AsOf,
    merchants: false,
    signed: true,
    columns: &[
        text("book"),
        text("account"),
        text("title"),
        text("currency"),
        money("debits"),
        money("credits"),
        money("net"),
    ],
    sql: "
    , sums AS (
        SELECT CASE WHEN $9 THEN 'all' ELSE b.code END AS book, l.account, c.title, l.currency,
               sum(l.debit)::bigint AS debits, sum(l.credit)::bigint AS credits
        FROM line l JOIN ledger.book b USING (book_id) JOIN ledger.chart c USING (number) GROUP BY 1, 2, 3, 4
    )
    SELECT book, account, title, currency, debits, credits, debits - credits AS net FROM (
        SELECT 0 AS part, * FROM sums
        UNION ALL
        SELECT 1, 'total', '', '', currency, sum(debits)::bigint, sum(credits)::bigint FROM sums GROUP BY currency
    ) AS r
    ORDER BY part, book COLLATE \"C\", account COLLATE \"C\", currency COLLATE \"C\"",
};
