//! Ageing: how old what is owed to us, in transit and in suspense is. What was there first is taken to be settled first.

use super::{Needs, Report, Span, money, text};

pub(super) static REPORT: Report = Report {
    name: "ageing",
    title: "Ageing of receivables and suspense",
    about: "Balances of acquirers, merchants, customers, transit and suspense by age in days; first in, first out.",
    needs: Needs::Nothing,
    span: Span::AsOf,
    merchants: false,
    signed: true,
    columns: &[
        text("book"),
        text("account"),
        text("title"),
        text("currency"),
        money("balance"),
        money("day_1"),
        money("day_2_7"),
        money("day_8_30"),
        money("day_31_90"),
        money("older"),
    ],
    // A balance is made of the newest lines on its side: going back in time, each gives what it has until the balance is reached.
    sql: "
    , balance AS (
        SELECT book_id, account, number, currency, sum(debit - credit)::bigint AS net
        FROM line WHERE number IN ('1110', '1120', '1140', '1210', '1220', '1910', '2120', '2130', '2140', '2220')
        GROUP BY 1, 2, 3, 4 HAVING sum(debit - credit) <> 0
    ), side AS (
        SELECT b.*, l.effective_at, sign(b.net) * CASE WHEN b.net > 0 THEN l.debit ELSE l.credit END AS amount,
               sum(CASE WHEN b.net > 0 THEN l.debit ELSE l.credit END)
                   OVER (PARTITION BY b.book_id, b.account ORDER BY l.effective_at DESC, l.journal_id DESC
                         ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS reached
        FROM balance b JOIN line l USING (book_id, account)
        WHERE CASE WHEN b.net > 0 THEN l.debit ELSE l.credit END > 0
    ), part AS (
        SELECT book_id, account, number, currency, net, extract(epoch FROM $8 - effective_at) / 86400 AS age,
               sign(net) * greatest(0, least(abs(amount), abs(net) - (reached - abs(amount)))) AS amount
        FROM side
    )
    SELECT b.code AS book, p.account, c.title, p.currency, p.net AS balance,
           coalesce(sum(p.amount) FILTER (WHERE age < 1), 0)::bigint AS day_1,
           coalesce(sum(p.amount) FILTER (WHERE age >= 1 AND age < 7), 0)::bigint AS day_2_7,
           coalesce(sum(p.amount) FILTER (WHERE age >= 7 AND age < 30), 0)::bigint AS day_8_30,
           coalesce(sum(p.amount) FILTER (WHERE age >= 30 AND age < 90), 0)::bigint AS day_31_90,
           coalesce(sum(p.amount) FILTER (WHERE age >= 90), 0)::bigint AS older
    FROM part p JOIN ledger.book b USING (book_id) JOIN ledger.chart c USING (number)
    GROUP BY b.code, p.account, c.title, p.currency, p.net
    ORDER BY b.code, p.account COLLATE \"C\"",
};
