//! The statement of a merchant: its money with us (2010 and 2020 less 1210), and every fact that changed it.

use super::{Needs, Report, Span, moment, money, text};

pub(super) static REPORT: Report = Report {
    name: "merchant_statement",
    title: "Merchant statement",
    about: "What the merchant had with us, each sale, fee, refund, dispute and payout, and what it has: pending and available less owed.",
    needs: Needs::Book,
    span: Span::Period,
    merchants: true,
    signed: false,
    columns: &[
        text("currency"),
        moment("at"),
        text("code"),
        text("what"),
        text("reference"),
        money("amount"),
        money("balance"),
    ],
    sql: "
    , moved AS (
        SELECT l.journal_id, l.code, l.effective_at, l.reference, l.currency, coalesce(l.effective_at < $5, false) OR l.journal_id IS NULL AS before,
               sum(l.credit - l.debit)::bigint AS amount
        FROM line l WHERE l.number IN ('2010', '2020', '1210')
        GROUP BY l.journal_id, l.code, l.effective_at, l.reference, l.currency
    ), shown AS (
        SELECT 0 AS part, $5 AS at, NULL AS code, 'opening balance' AS what, NULL AS reference, NULL::uuid AS journal,
               currency, coalesce(sum(amount) FILTER (WHERE before), 0)::bigint AS amount
        FROM moved GROUP BY currency
        UNION ALL
        SELECT 1, m.effective_at, m.code, j.title, m.reference, m.journal_id, m.currency, m.amount
        FROM moved m LEFT JOIN ledger.journal_code j USING (code) WHERE NOT before AND amount <> 0
        UNION ALL
        SELECT DISTINCT 2, $8, NULL, 'closing balance', NULL, NULL::uuid, currency, 0 FROM moved
    )
    SELECT currency, at, code, what, reference, CASE part WHEN 1 THEN amount END AS amount,
           (sum(amount) OVER (PARTITION BY currency ORDER BY part, at, journal))::bigint AS balance
    FROM shown ORDER BY currency COLLATE \"C\", part, at, journal",
};
