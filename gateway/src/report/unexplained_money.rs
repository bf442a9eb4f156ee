//! Unexplained money: what clearing accounts hold that has not returned to zero, item by item, with its age.
//!
//! A payment passes through 1110 with its refunds and disputes, a batch through 1120, an unidentified item through 1910, a refund
//! through 2120, a payout through 2140; each is there for a while, and `late` when it is older than that takes.

use super::{Needs, Report, Span, count, moment, money, text};

/// The report.
pub static REPORT: Report = Report {
    name: "unexplained_money",
    title: "Unexplained money",
    about: "What acquirers, transit, suspense, refunds and payouts under way hold, by payment, batch or item, with amount (debit positive) \
            and age; late when it is older than it should be.",
    needs: Needs::Nothing,
    span: Span::AsOf,
    merchants: false,
    signed: false,
    columns: &[
        text("book"),
        text("account"),
        text("item"),
        text("currency"),
        money("amount"),
        moment("since"),
        count("days"),
        text("standing"),
    ],
    sql: "
    , patience (number, days) AS (VALUES ('1110', 7), ('1120', 3), ('1910', 1), ('1920', 0), ('2120', 7), ('2140', 3))
    , item AS (
        SELECT l.book_id, l.account, l.currency, p.days,
               CASE l.number WHEN '1110' THEN coalesce(c.payment_id, r.payment_id, d.payment_id, l.reference)
                             WHEN '1120' THEN coalesce(l.memo->>'batch', l.reference)
                             WHEN '1920' THEN 'all books'
                             ELSE l.reference END AS item, l.debit - l.credit AS net, l.effective_at
        FROM line l JOIN patience p USING (number)
        LEFT JOIN gateway.charge c ON l.number = '1110' AND c.book_id = l.book_id AND c.id = l.reference
        LEFT JOIN gateway.refund r ON l.number = '1110' AND r.book_id = l.book_id AND r.id = l.reference
        LEFT JOIN gateway.dispute d ON l.number = '1110' AND d.book_id = l.book_id AND d.id = l.reference
    ), open AS (
        -- Between books nothing may be left over all of them; in one book it is what that book owes another.
        SELECT CASE WHEN account LIKE '1920.%' THEN NULL ELSE book_id END AS book_id, account, currency, days,
               coalesce(item, 'carried forward') AS item, sum(net)::bigint AS amount, min(effective_at) AS since
        FROM item WHERE $4 IS NULL OR account NOT LIKE '1920.%' GROUP BY 1, 2, 3, 4, 5 HAVING sum(net) <> 0
    )
    SELECT coalesce(b.code, 'all') AS book, o.account, o.item, o.currency, o.amount, o.since,
           floor(extract(epoch FROM $8 - o.since) / 86400)::bigint AS days,
           CASE WHEN $8 - o.since > o.days * interval '1 day' THEN 'late' ELSE 'expected' END AS standing
    FROM open o LEFT JOIN ledger.book b USING (book_id)
    ORDER BY standing DESC, o.since, b.code, o.account COLLATE \"C\", o.item COLLATE \"C\"",
};
