//! Every format: a good file gives its lines, a wrong one is refused with the line and the reason, and no bytes make it panic.

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::Path;

use proptest::prelude::*;
use reconcile::{Format, Item, Kind, Line, Mapping, Options, Refused, Statement, read};

fn items(format: Format, text: &str, options: &Options) -> Result<Vec<Item>, Refused> {
    let mut items = Vec::new();
    read(format, text.as_bytes(), options, &mut |item| {
        items.push(item);
        ControlFlow::Continue(())
    })?;
    Ok(items)
}

fn lines(format: Format, text: &str) -> Vec<Line> {
    let items = items(format, text, &Options::default()).unwrap_or_else(|e| panic!("{format}: {e}"));
    let line = |item| match item {
        Item::Line(line) => Some(line),
        Item::Statement(_) => None,
    };
    items.into_iter().filter_map(line).collect()
}

fn refused(format: Format, text: &str) -> String {
    match items(format, text, &Options::default()) {
        Err(refused) => refused.to_string(),
        Ok(_) => panic!("{format} took:\n{text}"),
    }
}

fn corpus(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(format!("reconcile_{name}"));
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    std::fs::read_to_string(&files[0]).unwrap()
}

const CORPORA: [(&str, Format); 6] = [
    ("stripe", Format::StripeItemized),
    ("adyen", Format::AdyenSettlement),
    ("csv", Format::Csv),
    ("camt", Format::Camt053),
    ("mt940", Format::Mt940),
    ("bai2", Format::Bai2),
];

/// `(kind, amount, currency, net, references)`, for a look at a glance.
fn short(line: &Line) -> (Kind, i64, &str, i64, Vec<&str>) {
    let references = line.references.iter().map(String::as_str).collect();
    (line.kind, line.amount, line.currency.as_str(), line.net, references)
}

#[test]
fn good_files_give_their_lines() {
    use Kind::*;
    let of = |name| {
        let (_, format) = CORPORA.into_iter().find(|(n, _)| *n == name).unwrap();
        lines(format, &corpus(name))
    };
    let stripe = of("stripe");
    assert_eq!(
        short(&stripe[0]),
        (Payment, 1000, "usd", 941, vec!["ch_1", "ch_1", "pi_1"])
    );
    assert_eq!(
        short(&stripe[1]),
        (Refund, -1000, "jpy", -1000, vec!["re_1", "ch_2", "pi_2"])
    );
    assert_eq!(stripe[1].at.to_string(), "2026-11-02T00:00:00Z");
    assert_eq!(
        (stripe[0].number, stripe[1].number, stripe[0].batch.as_deref()),
        (2, 3, Some("po_1"))
    );

    let adyen = of("adyen");
    assert_eq!(short(&adyen[0]), (Payment, 1000, "eur", 950, vec!["P1"]));
    assert_eq!(adyen[0].at.to_string(), "2026-11-01T09:00:00Z", "CET");
    assert_eq!(short(&adyen[1]), (Fee, -10, "eur", -10, vec![]));
    assert_eq!(adyen[2].kind, Payout);

    let csv = of("csv");
    assert_eq!(short(&csv[0]), (Payment, 1000, "usd", 1000, vec!["ch_1"]));
    assert_eq!(short(&csv[1]), (Refund, -450, "usd", -450, vec!["re_1"]));

    let camt = of("camt");
    assert_eq!(short(&camt[0]), (Movement, 400, "eur", 400, vec!["po_1"]));
    assert_eq!((camt[1].amount, camt[1].text.as_str()), (600, "a & b"));

    let mt940 = of("mt940");
    assert_eq!(
        short(&mt940[0]),
        (Movement, 1000, "eur", 1000, vec!["ch-1", "NONREF", "B1"])
    );
    assert_eq!(mt940[0].at.to_string(), "2026-11-02T00:00:00Z", "the entry date");
    assert!(mt940[0].text.contains("ch-1"), "{}", mt940[0].text);

    let bai2 = of("bai2");
    assert_eq!(short(&bai2[0]), (Movement, 1000, "usd", 1000, vec!["ch_1", "B1"]));
    assert_eq!(bai2[0].text, "TEXT, MORE,END");
}

#[test]
fn statements_are_told_with_their_balances() {
    let found = items(Format::Camt053, &corpus("camt"), &Options::default()).unwrap();
    let Some(Item::Statement(statement)) = found.last() else {
        panic!("{found:?}");
    };
    let expected = Statement {
        id: Some("S1".into()),
        sequence: Some(1),
        account: Some("DE89370400440532013000".into()),
        currency: "eur".parse().ok(),
        opening: Some(100),
        closing: Some(1100),
        lines: 2,
    };
    assert_eq!(*statement, expected);
    let mut options = Options {
        account: Some("DE89 3704 0044 0532 0130 00".into()),
        ..Options::default()
    };
    assert!(items(Format::Camt053, &corpus("camt"), &options).is_ok());
    options.account = Some("DE00".into());
    assert!(
        items(Format::Camt053, &corpus("camt"), &options)
            .unwrap_err()
            .reason
            .contains("not of DE00")
    );
}

/// What is changed in a good file, and the words of its refusal.
#[test]
fn wrong_files_are_refused_with_the_reason() {
    for (name, from, to, reason) in [
        ("stripe", "9.41", "9.42", "line 2: net is not gross less fee"),
        (
            "stripe",
            "10.00,0.59",
            "10.001,0.59",
            "line 2: `10.001` has more decimals than usd",
        ),
        ("stripe", "usd", "zzz", "line 2: `zzz` is no currency"),
        ("stripe", "2026-11-02", "yesterday", "line 3: `yesterday` is not a date"),
        ("stripe", "gross", "grass", "line 1: column `gross` is missing"),
        ("stripe", "fee", "gross", "line 1: column `gross` is there twice"),
        (
            "stripe",
            ",ch_2,pi_2",
            "",
            "line 3: the row has 9 fields and the heading 11: is the file cut off?",
        ),
        (
            "adyen",
            "9.50",
            "9.60",
            "line 2: the net amount is not the gross amount less the fees",
        ),
        (
            "adyen",
            "9.40",
            "9.41",
            "line 4: batch `7` was paid out, and -0.01 eur of it is not accounted for",
        ),
        (
            "adyen",
            "EUR,,10.00",
            "EUR,1.00,10.00",
            "line 2: it is both a debit and a credit",
        ),
        ("adyen", "CET", "MEZ", "line 2: `MEZ` is no time zone"),
        (
            "csv",
            ",10.00,usd",
            ",1O.00,usd",
            "line 2: `1O.00` is not an amount in usd",
        ),
        ("csv", "10.00", "", "line 2: `amount` is empty"),
        (
            "camt",
            ">11.00<",
            ">11.01<",
            "do not make the closing balance 11.01 eur",
        ),
        (
            "camt",
            "Ccy=\"EUR\">10.00",
            "Ccy=\"USD\">10.00",
            "an entry in usd on an account in eur",
        ),
        (
            "camt",
            ">6.00<",
            ">5.00<",
            "the transactions of an entry are 9.00 eur together, and the entry is 10.00 eur",
        ),
        (
            "camt",
            "<Document",
            "<!DOCTYPE x [<!ENTITY a \"b\">]><Document",
            "a DTD is not accepted",
        ),
        ("camt", "&amp;", "&other;", "an entity that XML does not define"),
        (
            "camt",
            "BkToCstmrStmt",
            "BkToCstmrDbtCdtNtfctn",
            "where camt.053 has `BkToCstmrStmt`",
        ),
        ("camt", "</Document>", "", "is it cut off?"),
        ("camt", "<Sts><Cd>BOOK</Cd></Sts>", "", "an entry without a status"),
        ("camt", "CLBD", "CLAV", "no opening (OPBD) or closing (CLBD) balance"),
        ("mt940", "C10,00", "C10,01", "do not make the closing balance"),
        ("mt940", "C10,00", "X10,00", "line 5: neither C nor D"),
        ("mt940", "C10,00", "C1000", "it has no comma"),
        (
            "mt940",
            ":62F:C261101EUR11,00",
            "",
            "no closing balance (:62F:): is the file cut off?",
        ),
        ("mt940", "261101EUR11", "261101USD11", "in two currencies"),
        ("mt940", "261101EUR11", "261301EUR11", "is not a date"),
        (
            "bai2",
            "16,195,1000",
            "16,195,1001",
            "line 6: record 49 says a control total of 2200, and it is 2201",
        ),
        (
            "bai2",
            "49,2200,4",
            "49,2200,3",
            "line 6: record 49 says a number of records of 3, and it is 4",
        ),
        (
            "bai2",
            "98,2200,1,6",
            "98,2200,2,6",
            "line 7: record 98 says a number of accounts of 2, and it is 1",
        ),
        (
            "bai2",
            "99,2200,1,8/\n",
            "",
            "there is no file trailer (99): is the file cut off?",
        ),
        ("bai2", "16,195", "16,095", "type code `095` has no direction"),
        ("bai2", "02,US,BANK,1", "02,US,BANK,4", "a deletion or a test"),
    ] {
        let (_, format) = CORPORA.into_iter().find(|(n, _)| *n == name).unwrap();
        let text = corpus(name);
        let changed = text.replacen(from, to, usize::MAX);
        assert_ne!(text, changed, "{name}: {from}");
        let told = refused(format, &changed);
        assert!(told.contains(reason), "{name}, {from} -> {to}: {told}");
    }
}

#[test]
fn statements_of_an_account_have_no_gap() {
    let one = corpus("mt940");
    let next = |number: &str, opening: &str, closing: &str| {
        one.replace(":28C:1/1", &format!(":28C:{number}/1"))
            .replace("EUR11,00", closing)
            .replace("EUR1,00", opening)
    };
    let two = format!("{one}{}", next("2", "EUR11,00", "EUR21,00"));
    assert_eq!(lines(Format::Mt940, &two).len(), 2);
    let gap = format!("{one}{}", next("3", "EUR11,00", "EUR21,00"));
    assert!(refused(Format::Mt940, &gap).contains("what is between is missing"));
    // Pages of one statement join: 62M is the next page's 60M.
    let first = one.replace(":62F:", ":62M:");
    let page = |opening: &str| next("1", opening, "EUR21,00").replace(":60F:", ":60M:");
    assert_eq!(lines(Format::Mt940, &format!("{first}{}", page("EUR11,00"))).len(), 2);
    assert!(
        refused(Format::Mt940, &format!("{first}{}", page("EUR12,00"))).contains("does not begin with the balance")
    );
    assert!(refused(Format::Mt940, &first).contains("the last page of the statement is missing"));
}

#[test]
fn reversals_and_directions_keep_their_sign() {
    let of = |mark: &str, closing: &str| {
        let text = corpus("mt940")
            .replace("C10,00", &format!("{mark}10,00"))
            .replace("C261101EUR11,00", closing);
        lines(Format::Mt940, &text)[0].amount
    };
    assert_eq!(of("D", "D261101EUR9,00"), -1000);
    assert_eq!(of("RC", "D261101EUR9,00"), -1000);
    assert_eq!(of("RD", "C261101EUR11,00"), 1000);
    assert_eq!(of("CR", "C261101EUR11,00"), 1000, "a funds code");
    // An entry that is announced is in no balance.
    let pending = corpus("camt").replace("BOOK", "PDNG").replace(">11.00<", ">1.00<");
    assert!(lines(Format::Camt053, &pending).is_empty());
}

#[test]
fn a_csv_is_read_as_its_mapping_says() {
    let mapping: Mapping = serde_json::from_value(serde_json::json!({
        "delimiter": ";", "decimal": ",", "grouping": ".", "date": "%d.%m.%Y", "currency": "eur",
        "kinds": { "Verkauf": "payment", "Gutschrift": "refund" },
        "columns": { "reference": "Beleg", "amount": "Betrag", "date": "Tag", "kind": "Art", "fee": "Gebühr" },
    }))
    .unwrap();
    mapping.check().unwrap();
    let options = Options { mapping, account: None };
    let text =
        "Tag;Beleg;Art;Betrag;Gebühr\n01.11.2026;ch_1;Verkauf;1.234,50;3,70\n02.11.2026;re_1;Gutschrift;-10,00;\n";
    let found = items(Format::Csv, text, &options).unwrap();
    let [Item::Line(sale), Item::Line(refund), Item::Statement(_)] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(
        (sale.amount, sale.fee, sale.net, sale.kind),
        (123_450, 370, 123_080, Kind::Payment)
    );
    assert_eq!(
        (refund.amount, refund.at.to_string().as_str()),
        (-1000, "2026-11-02T00:00:00Z")
    );
    let unknown = items(Format::Csv, &text.replace("Gutschrift", "Storno"), &options).unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "line 3: `Storno` is no kind that the mapping knows"
    );
    for wrong in [
        serde_json::json!({ "kinds": { "a": "sale" } }),
        serde_json::json!({ "delimiter": "x" }),
        serde_json::json!({ "decimal": ",", "grouping": "," }),
        serde_json::json!({ "currency": "xyz" }),
        serde_json::json!({ "time_zone": "Middle Earth" }),
    ] {
        let mapping: Mapping = serde_json::from_value(wrong.clone()).unwrap();
        assert!(mapping.check().is_err(), "{wrong}");
    }
}

/// Endless input of one piece is refused before it fills the memory.
#[test]
fn what_has_no_end_is_refused() {
    for (format, start) in [
        (Format::StripeItemized, "balance_transaction_id,\""),
        (Format::Camt053, "<Document><BkToCstmrStmt a=\""),
        (Format::Camt053, "<Document><BkToCstmrStmt>"),
        (Format::Mt940, ":20:"),
        (Format::Bai2, "01,"),
    ] {
        let input = start.as_bytes().chain(io::repeat(b'x')).take(1 << 30);
        let outcome = read(format, input, &Options::default(), &mut |_| ControlFlow::Continue(()));
        assert!(outcome.is_err(), "{format}");
    }
    let deep = format!("<Document><BkToCstmrStmt>{}", "<a>".repeat(1000));
    assert!(refused(Format::Camt053, &deep).contains("nested deeper"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_are_lines_or_a_refusal(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for format in Format::ALL {
            let _ = read(format, bytes.as_slice(), &Options::default(), &mut |_| ControlFlow::Continue(()));
        }
    }

    /// Cut off, with a byte changed, with a piece twice: no panic, and what is taken adds up.
    #[test]
    fn any_harm_to_a_good_file_is_taken_whole_or_refused(which in 0usize..CORPORA.len(), at in any::<prop::sample::Index>(), to in any::<prop::sample::Index>(), byte in any::<u8>(), harm in 0u8..3) {
        let (name, format) = CORPORA[which];
        let mut bytes = corpus(name).into_bytes();
        let (at, to) = (at.index(bytes.len()), to.index(bytes.len()));
        match harm {
            0 => bytes.truncate(at),
            1 => bytes[at] = byte,
            _ => {
                let piece = bytes[at.min(to)..at.max(to)].to_vec();
                bytes.splice(at..at, piece);
            }
        }
        let mut sum = 0i64;
        let _ = read(format, bytes.as_slice(), &Options::default(), &mut |item| {
            match item {
                Item::Line(line) => sum = sum.saturating_add(line.net),
                Item::Statement(statement) => {
                    if let (Some(opening), Some(closing)) = (statement.opening, statement.closing) {
                        assert_eq!(opening + sum, closing);
                    }
                    sum = 0;
                }
            }
            ControlFlow::Continue(())
        });
    }
}
