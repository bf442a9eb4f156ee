//! The income statement: what was earned and spent in a period, by book or consolidated.

use super::{Needs, Report, Span, money, text};

pub(super) static REPORT: Report = Report {
    name: "income",
    title: "Income statement",
    about: "Income and expenses of the period, each positive on its own side, and what is left of it.",
    needs: Needs::Nothing,
    span: Span::Period,
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
        SELECT CASE WHEN $9 THEN 'all' ELSE b.code END AS book, l.currency, CASE c.type WHEN 'income' THEN 1 ELSE 2 END AS section,
               c.number, c.title, sum(CASE c.type WHEN 'income' THEN l.credit - l.debit ELSE l.debit - l.credit END)::bigint AS amount
        FROM line l JOIN ledger.book b USING (book_id) JOIN ledger.chart c USING (number)
        WHERE c.type IN ('income', 'expense') AND ($5 IS NULL OR l.effective_at >= $5) GROUP BY 1, 2, 3, 4, 5
    )
    SELECT book, currency, (ARRAY['income', 'expenses', 'result'])[section] AS section, number, title, amount FROM (
        SELECT 0 AS part, * FROM sums
        UNION ALL
        SELECT 1, book, currency, section, '', 'total', sum(amount)::bigint FROM sums GROUP BY book, currency, section
        UNION ALL
        SELECT 2, book, currency, 3, '', 'income less expenses', sum(CASE section WHEN 1 THEN amount ELSE -amount END)::bigint
        FROM sums GROUP BY book, currency
    ) AS r
    ORDER BY book COLLATE \"C\", currency COLLATE \"C\", section, part, number COLLATE \"C\"",
};
