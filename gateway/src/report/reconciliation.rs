//! Reconciliation: each file of acquirers and banks about the period, how many of its lines are matched, and what is open.

use super::{Needs, Report, Span, count, moment, text};

pub(super) static REPORT: Report = Report {
    name: "reconciliation",
    title: "Reconciliation report",
    about: "Files of acquirers and banks about the period by the hash of their content: lines, matched, differences, how many of those are \
            explained and how many open.",
    needs: Needs::Nothing,
    span: Span::Period,
    merchants: false,
    signed: true,
    columns: &[
        text("file"),
        text("name"),
        text("format"),
        moment("since"),
        moment("until"),
        count("lines"),
        count("matched"),
        count("breaks"),
        count("explained"),
        count("open"),
        moment("oldest_open"),
        text("sha256"),
    ],
    // Files, breaks and decisions are history; how a break stood is told by the decisions that were made when the last journal of the
    // position was recorded. A file about the period may have come after its end.
    sql: "
    , moment AS (SELECT $10::timestamptz AS at)
    , break AS (
        SELECT b.reconciliation_id, b.since,
               coalesce((SELECT d.action FROM gateway.settlement_decision d
                         WHERE d.break_id = b.id AND d.created_at <= (SELECT at FROM moment) ORDER BY d.id DESC LIMIT 1), 'reopen') = 'reopen' AS open
        FROM gateway.settlement_break b WHERE b.created_at <= (SELECT at FROM moment)
    )
    SELECT r.id AS file, r.name, r.format, r.since, r.until, r.lines, r.matched, count(b.since) AS breaks,
           count(b.since) FILTER (WHERE NOT b.open) AS explained, count(b.since) FILTER (WHERE b.open) AS open,
           min(b.since) FILTER (WHERE b.open) AS oldest_open, encode(r.digest, 'hex') AS sha256
    FROM gateway.reconciliation r LEFT JOIN break b ON b.reconciliation_id = r.id
    WHERE r.created_at <= (SELECT at FROM moment) AND ($5 IS NULL OR r.until >= $5) AND ($6 IS NULL OR r.since < $6)
    GROUP BY r.id ORDER BY r.created_at, r.id",
};
