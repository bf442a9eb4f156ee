//! `/v1/reports` and `/v1/reporting/report_types` described.

use super::operation::Operation;
use super::schema::*;

pub(in crate::api) fn types() -> Operation {
    let list = Fields::new()
        .field("object", always("list"), "")
        .field(
            "data",
            list(object("reporting.report_type")),
            "All that the key may ask for.",
        )
        .field("has_more", boolean(), "")
        .field("url", text(), "");
    Operation::giving("List report types", part(list))
}

pub(in crate::api) fn make() -> Operation {
    Operation::new("Make a report", "report")
        .about(
            "From the books as they stand, or as they stood at `position`: the same position gives the same bytes for ever. A merchant's key \
             gets its own book, a platform's key without Stripe-Account all books. With `format` csv or pdf the answer is that file. \
             In Stripe's API a report is run and fetched later; here it is made at once.",
        )
        .takes(
            Fields::new()
                .required("report_type", text(), "From the list of report types.")
                .field("interval_start", moment_asked(), "What happened from this second on; all when not given.")
                .field("interval_end", moment_asked(), "What happened before this second; all when not given.")
                .field("consolidated", boolean(), "All books as one.")
                .field("ledger_account", text(), "Of an account statement.")
                .field(
                    "position",
                    text(),
                    "What the books had recorded: `newest`, `sealed`, `page:N` for a sealed page, or the id of the last journal that counts.",
                )
                .field("format", choice(&["json", "csv", "pdf"]), "`json` when not given."),
        )
        .files(&["text/csv", "application/pdf"])
}

pub(in crate::api) fn report_type() -> Object {
    Object::new(
        "reporting.report_type",
        "A report that can be asked for.",
        Fields::new()
            .field("id", text(), "")
            .field("about", text(), "What it tells.")
            .field("columns", list(text()), "")
            .field("default_columns", list(text()), "All of them.")
            .field("livemode", boolean(), "")
            .field("name", text(), "")
            .field("of_period", boolean(), "It has a beginning; others are as of the end.")
            .field("required", list(text()), "What has to be said to make it.")
            .field("version", always(1), ""),
    )
}

pub(in crate::api) fn report() -> Object {
    let position = Fields::new()
        .field("id", text(), "As it is asked for again.")
        .field("journal", text(), "The last journal that counts.")
        .field(
            "page",
            integer_from(1, i64::MAX).or_null(),
            "The sealed page that ends there.",
        )
        .field("page_hash", text().or_null(), "And its hash.")
        .field("recorded_at", text(), "When that journal was recorded.");
    let column = Fields::new().field("name", text(), "").field(
        "type",
        choice(&["text", "count", "minor_units", "day", "moment"]),
        "Minor units are of the row's `currency`.",
    );
    Object::new(
        "report",
        "What the books tell, from one position of them.",
        Fields::new()
            .field("report_type", text(), "")
            .field("title", text(), "")
            .field(
                "book",
                text().or_null(),
                "The account whose book it is of; of all when null.",
            )
            .field("consolidated", boolean(), "")
            .field("account", text().or_null(), "Of a statement.")
            .field("from", text().or_null(), "")
            .field("to", text().or_null(), "The end, which is not in it.")
            .field("position", part(position), "What it was made from.")
            .field("columns", list(part(column)), "")
            .field("data", list(open_object()), "The rows, by name of column."),
    )
}
