//! The balance sheet: what is owned, what is owed, and what is ours, by book or consolidated.

use super::{Needs, Report, Span, money, text};

pub(super) static REPORT: Report = Report {
    name: "balance_sheet",
    title: "Balance sheet",
    about: "Assets, liabilities and equity with the result to date, each positive on its own side; assets equal the other two.",
    needs: Needs::Nothing,
    span: Span::AsOf,
    merchants: false,
    signed: true,
    columns: &[
        text("book"),
        text("currency"),
        text("section"),
        text("number"),
        text("title"),
        money("amount"),
    ],
    sql: "
    , sums AS (
        SELECT CASE WHEN $9 THEN 'all' ELSE b.code END AS book, l.currency,
               CASE c.type WHEN 'asset' THEN 1 WHEN 'liability' THEN 2 ELSE 3 END AS section,
               CASE WHEN c.type IN ('income', 'expense') THEN '' ELSE c.number END AS number,
               CASE WHEN c.type IN ('income', 'expense') THEN 'result to date' ELSE c.title END AS title,
               sum(CASE c.type WHEN 'asset' THEN l.debit - l.credit ELSE l.credit - l.debit END)::bigint AS amount
        FROM line l JOIN ledger.book b USING (book_id) JOIN ledger.chart c USING (number) GROUP BY 1, 2, 3, 4, 5
    )
    SELECT book, currency, (ARRAY['assets', 'liabilities', 'equity'])[section] AS section, number, title, amount FROM (
        SELECT 0 AS part, * FROM sums
        UNION ALL
        SELECT 1, book, currency, section, '', 'total', sum(amount)::bigint FROM sums GROUP BY book, currency, section
    ) AS r
    ORDER BY book COLLATE \"C\", currency COLLATE \"C\", section, part, number COLLATE \"C\", title COLLATE \"C\"",
};
