//! Safeguarding: day by day, what customers and merchants are owed against what is at the bank and on its way there.

use super::{Needs, Report, Span, day, money, text};

pub(super) static REPORT: Report = Report {
    name: "safeguarding",
    title: "Safeguarding of customer money",
    about: "Per day and currency: money of others (2010 to 2140), what covers it at the bank, at acquirers and contested, and the gap to \
            be funded; of the last 31 days when no beginning is given.",
    needs: Needs::Nothing,
    span: Span::Period,
    merchants: false,
    signed: true,
    columns: &[
        day("day"),
        text("currency"),
        money("bank"),
        money("at_acquirers"),
        money("in_transit"),
        money("contested"),
        money("covered"),
        money("owed"),
        money("gap"),
    ],
    sql: "
    , moved AS (
        SELECT currency, (effective_at AT TIME ZONE 'UTC')::date AS day,
               coalesce(sum(debit - credit) FILTER (WHERE number = '1010'), 0) AS bank,
               coalesce(sum(debit - credit) FILTER (WHERE number = '1110'), 0) AS at_acquirers,
               coalesce(sum(debit - credit) FILTER (WHERE number = '1120'), 0) AS in_transit,
               coalesce(sum(debit - credit) FILTER (WHERE number = '1130'), 0) AS contested,
               coalesce(sum(credit - debit) FILTER (WHERE number LIKE '2%'), 0) AS owed
        FROM line
        WHERE number IN ('1010', '1110', '1120', '1130', '2010', '2020', '2030', '2040', '2110', '2120', '2130', '2140')
        GROUP BY 1, 2
    ), last AS (
        SELECT (($8 - interval '1 microsecond') AT TIME ZONE 'UTC')::date AS day
    ), days AS (
        SELECT currency, d::date AS day
        FROM (SELECT DISTINCT currency FROM moved) AS c CROSS JOIN last
        CROSS JOIN generate_series(coalesce(($5 AT TIME ZONE 'UTC')::date, last.day - 30), last.day, interval '1 day') AS d
    ), held AS (
        SELECT d.day, d.currency, coalesce(sum(m.bank), 0)::bigint AS bank, coalesce(sum(m.at_acquirers), 0)::bigint AS at_acquirers,
               coalesce(sum(m.in_transit), 0)::bigint AS in_transit, coalesce(sum(m.contested), 0)::bigint AS contested,
               coalesce(sum(m.owed), 0)::bigint AS owed
        FROM days d LEFT JOIN moved m ON m.currency = d.currency AND m.day <= d.day GROUP BY 1, 2
    )
    SELECT day, currency, bank, at_acquirers, in_transit, contested, bank + at_acquirers + in_transit + contested AS covered, owed,
           greatest(0, owed - bank - at_acquirers - in_transit - contested) AS gap
    FROM held ORDER BY day, currency COLLATE \"C\"",
};
