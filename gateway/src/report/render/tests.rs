//! Files of a small report: what they say, that formulas are inert, and that nothing but the report is in them.

use super::*;
use crate::report::{Ask, Position, REPORTS, find};
use jiff::Timestamp;
use proptest::prelude::*;

fn made(texts: &[&str]) -> Made {
    let report = find("trial_balance").unwrap();
    let rows = texts.iter().map(|text| {
        let mut row: Vec<Cell> = vec![Cell::Text((*text).to_owned()); 4];
        row.extend([1230, 0, -1230].map(|amount| Cell::Money(amount, Currency::USD)));
        row
    });
    Made {
        report,
        ask: Ask::default(),
        position: Position {
            xid: 7,
            book: 1,
            journal: uuid::Uuid::nil(),
            recorded_at: Timestamp::UNIX_EPOCH,
            page: None,
        },
        rows: rows.collect(),
    }
}

#[test]
fn a_file_says_what_it_is_and_from_where() {
    let report = made(&["usd"]);
    let csv = String::from_utf8(report.render(Format::Csv)).unwrap();
    assert_eq!(
        csv,
        "# report: Trial balance\n# book: all books\n# to: the position\n\
         # ledger position: up to journal 00000000-0000-0000-0000-000000000000 of book 1, transaction 7, recorded 1970-01-01T00:00:00Z\n\
         book,account,title,currency,debits,credits,net\nusd,usd,usd,usd,12.30,0.00,-12.30\n"
    );
    let json: Value = serde_json::from_slice(&report.render(Format::Json)).unwrap();
    assert_eq!(json["data"][0]["net"], -1230);
    assert_eq!(json["position"]["id"], "00000000-0000-0000-0000-000000000000");
    let pdf = report.render(Format::Pdf);
    assert!(pdf.starts_with(b"%PDF-") && pdf == report.render(Format::Pdf));
    assert_eq!(
        report.file_name(Format::Pdf),
        "trial_balance_all_00000000-0000-0000-0000-000000000000.pdf"
    );
}

#[test]
fn every_report_of_no_rows_and_of_many_is_a_file() {
    for report in REPORTS {
        let mut made = made(&[]);
        made.report = report;
        for many in [0, 1, 500] {
            made.rows = vec![vec![Cell::Text("x".repeat(90)); report.columns.len()]; many];
            let pages = made.render(Format::Pdf);
            let count = String::from_utf8_lossy(&pages).matches("/Type /Page\n").count();
            assert!(count > many / 60, "{} {many}: {count} pages", report.name);
            assert_eq!(made.body().lines().count(), many + 1);
        }
    }
}

proptest! {
    #[test]
    fn no_cell_is_a_formula_and_every_text_comes_back(text in "\\PC{0,12}|[=+@|%-][a-z(!'\"]{0,8}|[ \t\r\n]{0,2}=1\\+1") {
        let body = made(&[&text]).body();
        let mut reader = csv::Reader::from_reader(body.as_bytes());
        let record = reader.records().next().unwrap().unwrap();
        let cell = &record[0];
        let first = cell.trim_start().chars().next();
        prop_assert!(!matches!(first, Some('=' | '+' | '-' | '@')), "{cell:?}");
        prop_assert!(!cell.starts_with(['\t', '\r', '\n']), "{cell:?}");
        prop_assert_eq!(cell.strip_prefix('\'').filter(|_| !text.starts_with('\'')).unwrap_or(cell), &text);
    }
}
