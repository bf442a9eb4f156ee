//! Fees and tax: what merchants were charged, the tax on it, and what acquirers, networks and banks charged us.

use super::{Needs, Report, Span, money, text};

pub(super) static REPORT: Report = Report {
    name: "fees_and_tax",
    title: "Fees and tax",
    about: "Per book and currency: fees and dispute fees charged, tax collected, and the costs of acquirers, disputes and banks.",
    needs: Needs::Nothing,
    span: Span::Period,
    merchants: true,
    signed: true,
    columns: &[
        text("book"),
        text("currency"),
        money("fees"),
        money("dispute_fees"),
        money("penalties"),
        money("tax"),
        money("acquirer_costs"),
        money("dispute_costs"),
        money("bank_costs"),
        money("margin"),
    ],
    sql: "
    , sums AS (
        SELECT CASE WHEN $9 THEN 'all' ELSE b.code END AS book, l.currency,
               coalesce(sum(l.credit - l.debit) FILTER (WHERE l.number = '4010'), 0)::bigint AS fees,
               coalesce(sum(l.credit - l.debit) FILTER (WHERE l.number = '4020'), 0)::bigint AS dispute_fees,
               coalesce(sum(l.credit - l.debit) FILTER (WHERE l.number = '4030'), 0)::bigint AS penalties,
               coalesce(sum(l.credit - l.debit) FILTER (WHERE l.number = '2210'), 0)::bigint AS tax,
               coalesce(sum(l.debit - l.credit) FILTER (WHERE l.number = '5010'), 0)::bigint AS acquirer_costs,
               coalesce(sum(l.debit - l.credit) FILTER (WHERE l.number = '5020'), 0)::bigint AS dispute_costs,
               coalesce(sum(l.debit - l.credit) FILTER (WHERE l.number = '5070'), 0)::bigint AS bank_costs
        FROM line l JOIN ledger.book b USING (book_id)
        WHERE l.number IN ('4010', '4020', '4030', '2210', '5010', '5020', '5070') AND ($5 IS NULL OR l.effective_at >= $5)
        GROUP BY 1, 2
    )
    SELECT book, currency, fees, dispute_fees, penalties, tax, acquirer_costs, dispute_costs, bank_costs,
           fees + dispute_fees + penalties - acquirer_costs - dispute_costs - bank_costs AS margin FROM (
        SELECT 0 AS part, * FROM sums
        UNION ALL
        SELECT 1, 'total', currency, sum(fees)::bigint, sum(dispute_fees)::bigint, sum(penalties)::bigint, sum(tax)::bigint,
               sum(acquirer_costs)::bigint, sum(dispute_costs)::bigint, sum(bank_costs)::bigint FROM sums GROUP BY currency
    ) AS r
    ORDER BY part, book COLLATE \"C\", currency COLLATE \"C\"",
};
