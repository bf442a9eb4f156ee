//! The statement of an account: what it held, every journal that touched it, and what it holds.

use super::{Needs, Report, Span, moment, money, text};

pub(super) static REPORT: Report = Report {
    name: "account_statement",
    title: "Account statement",
    about: "Opening balance, journals and closing balance of one account, positive on its own side.",
    needs: Needs::Account,
    span: Span::Period,
    merchants: false,
    signed: false,
    columns: &[
        moment("at"),
        text("code"),
        text("what"),
        text("reference"),
        text("journal"),
        text("currency"),
        money("amount"),
        money("balance"),
    ],
    sql: "
    , moved AS (
        SELECT l.journal_id, l.code, l.effective_at, l.reference, l.currency, coalesce(l.effective_at < $5, false) OR l.journal_id IS NULL AS before,
               (CASE c.normal_side WHEN 'D' THEN 1 ELSE -1 END * sum(l.debit - l.credit))::bigint AS amount
        FROM line l JOIN ledger.chart c USING (number) WHERE l.account = $7
        GROUP BY l.journal_id, l.code, l.effective_at, l.reference, l.currency, c.normal_side
    ), shown AS (
        SELECT 0 AS part, $5 AS at, NULL AS code, 'opening balance' AS what, NULL AS reference, NULL::uuid AS journal,
               right($7, 3) AS currency, coalesce(sum(amount), 0)::bigint AS amount
        FROM moved WHERE before
        UNION ALL
        SELECT 1, m.effective_at, m.code, j.title, m.reference, m.journal_id, m.currency, m.amount
        FROM moved m LEFT JOIN ledger.journal_code j USING (code) WHERE NOT before
        UNION ALL
        SELECT 2, $8, NULL, 'closing balance', NULL, NULL, right($7, 3), 0
    )
    SELECT at, code, what, reference, journal::text, currency, CASE part WHEN 1 THEN amount END AS amount,
           (sum(amount) OVER (ORDER BY part, at, journal))::bigint AS balance
    FROM shown ORDER BY part, at, shown.journal",
};
