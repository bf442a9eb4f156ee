//! `/v1/case_reports` described.

use super::operation::Operation;
use super::schema::*;
use crate::case::words::CaseType;

pub(in crate::api) fn retrieve() -> Operation {
    Operation::new("Report on the cases of a period", "case_report")
        .about("Cases opened in the period, of one account or of all: causes, times, shares, and the chargebacks beside them.")
        .takes(
            Fields::new()
                .field("from", moment_asked(), "From this second on; 92 days before `to` when not given.")
                .field("to", moment_asked(), "Until before this second; now when not given.")
                .field("account", id_asked("acct"), "Of this merchant alone."),
        )
}

pub(in crate::api) fn case_report() -> Object {
    let count = || integer_from(0, i64::MAX);
    let cause = Fields::new()
        .field("type", choice(CaseType::WORDS), "")
        .field("opened", count(), "")
        .field("upheld", count(), "")
        .field("settled", count(), "")
        .field("rejected", count(), "")
        .field("open", count(), "");
    let times = || {
        part(
            Fields::new()
                .field("p50", integer().or_null(), "Half of them took no longer.")
                .field("p95", integer().or_null(), "Of a hundred, 95 took no longer."),
        )
    };
    Object::new(
        "case_report",
        "How complaints went in a period.",
        Fields::new()
            .field("account", id("acct").or_null(), "")
            .field("appealed", count(), "")
            .field("breaches", count(), "Deadlines that passed unmet.")
            .field("case_seconds", times(), "From complaint to outcome.")
            .field("causes", list(part(cause)), "By type, the most frequent first.")
            .field("channels", open_object(), "Cases by channel.")
            .field("chargeback_bps", count(), "Chargebacks by captured payments, 0.01 %.")
            .field("chargebacks", count(), "")
            .field("closed", count(), "With an outcome.")
            .field("closed_bps", count(), "0.01 %.")
            .field("for_consumer", count(), "Upheld or settled.")
            .field(
                "for_consumer_bps",
                count(),
                "Of those that were upheld, settled or rejected: 0.01 %.",
            )
            .field("from", moment(), "")
            .field("opened", count(), "")
            .field("payments", count(), "Captured in the period.")
            .field(
                "rating",
                part(Fields::new().field("count", count(), "").field("sum", count(), "")),
                "What consumers gave.",
            )
            .field("refund_seconds", times(), "From complaint to confirmed refund.")
            .field("to", moment(), ""),
    )
}
