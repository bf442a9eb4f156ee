//! Settlement from the acquirer's report to the bank: nothing stays in clearing accounts, what is left is named, a line is booked once.

use crate::reports::{business, json_of, sell};
use gateway::settlement::accounting::{self, Banked, Because, Fees, Pays, Place, Proof, Settled, Unmatched};
use jiff::Timestamp;
use ledger::journal::Journal;
use ledger::{BookId, Currency};
use serde_json::Value;
use tests::TestApp;

/// Books a confirmed match as reconciliation does: accounts opened, journals posted together.
async fn book(sql: &mut tokio_postgres::Client, journals: Vec<Journal>) {
    for (book, names) in accounting::accounts(&journals) {
        ledger::open(sql, book, &names).await.expect("opens");
    }
    let tx = sql.transaction().await.expect("a transaction");
    ledger::post::post(&tx, &journals.iter().collect::<Vec<_>>())
        .await
        .expect("posts");
    tx.commit().await.expect("commits");
}

#[tokio::test]
async fn settlement_brings_clearing_accounts_back_to_zero_and_what_is_left_is_named() {
    let app = TestApp::start().await;
    let accounts = [app.told("/merchants/0/id"), app.told("/merchants/1/id")];
    for account in &accounts {
        business(&app, account).await;
    }
    let forgotten = sell(&app, &accounts[0], 555, "pm_card_visa").await;
    let mut sql = app.sql().await;
    let now = Timestamp::now();
    // What the acquirer's report says: each object with what 1110 holds for it; one it forgets.
    let rows = sql
        .query(
            "SELECT l.book_id, l.reference, sum(CASE l.kind WHEN 'D' THEN l.amount ELSE -l.amount END)::bigint, min(d.id) IS NOT NULL
             FROM ledger.posting l LEFT JOIN gateway.dispute d ON d.id = l.reference
             WHERE l.account = '1110.stripe.usd' AND l.layer = 'posted' AND l.reference <> $1
             GROUP BY 1, 2 ORDER BY 1, 2",
            &[&forgotten["latest_charge"].as_str()],
        )
        .await
        .expect("rows");
    let objects: Vec<(i64, String, i64, bool)> =
        rows.iter().map(|r| (r.get(0), r.get(1), r.get(2), r.get(3))).collect();
    assert_eq!(
        objects.len(),
        8,
        "two sales, a refund and a dispute of each: {objects:?}"
    );
    let lines: Vec<String> = (0..objects.len()).map(|n| format!("report.csv:{n}")).collect();
    let settled: Vec<Settled<'_>> = objects
        .iter()
        .zip(&lines)
        .map(|((book, reference, amount, disputed), line)| Settled {
            proof: Proof {
                book: BookId(*book),
                acquirer: "stripe",
                batch: "po_acquirer",
                line,
                at: now,
            },
            reference,
            currency: Currency::USD,
            gross: *amount,
            exchanged: None,
            // a dispute's fee is in 1110 already
            fee: if *disputed { 0 } else { 59 },
            fees: if *disputed { Fees::Booked } else { Fees::Netted },
        })
        .collect();
    let shares = accounting::shares(&settled).expect("sums");
    assert_eq!(shares.len(), 2);
    book(
        &mut sql,
        settled
            .iter()
            .flat_map(|line| line.journals().expect("balanced"))
            .collect(),
    )
    .await;

    let unexplained = async |app: &TestApp| -> Vec<(String, String, i64)> {
        let report = json_of(app, &["unexplained-money"]).await;
        let text = |row: &Value, name: &str| row[name].as_str().expect(name).to_owned();
        let rows = report["data"].as_array().expect("rows").iter();
        rows.map(|row| {
            (
                text(row, "account"),
                text(row, "item"),
                row["amount"].as_i64().expect("an amount"),
            )
        })
        .collect()
    };
    let promised: i64 = shares.values().sum();
    let forgotten_id = forgotten["id"].as_str().expect("an id").to_owned();
    let open = unexplained(&app).await;
    let in_transit: i64 = open
        .iter()
        .filter(|(account, ..)| account == "1120.stripe.usd")
        .map(|(.., a)| a)
        .sum();
    assert_eq!(in_transit, promised);
    assert!(
        open.contains(&("1110.stripe.usd".into(), forgotten_id.clone(), 555)),
        "{open:?}"
    );
    assert_eq!(
        open.iter().filter(|(account, ..)| account.starts_with("1110")).count(),
        1,
        "{open:?}"
    );

    // The bank pays the batch less 25 that a bank on the way took, and a sum that nobody knows.
    let (mut journals, mut taken) = (Vec::new(), 25);
    for ((book, currency), share) in &shares {
        let proof = Proof {
            book: *book,
            acquirer: "stripe",
            batch: "po_acquirer",
            line: "camt:1",
            at: now,
        };
        journals.extend(
            Banked {
                proof,
                bank: "bank",
                currency: *currency,
                amount: share - taken,
                pays: Pays::Batch,
            }
            .journal()
            .expect("balanced"),
        );
        let adjusted = accounting::Adjusted {
            proof,
            currency: *currency,
            difference: -taken,
            because: Because::BankFee,
        };
        journals.extend(adjusted.journal().expect("balanced"));
        taken = 0;
    }
    let platform = BookId(
        sql.query_one("SELECT book_id FROM ledger.book WHERE code = 'platform'", &[])
            .await
            .expect("a book")
            .get(0),
    );
    let unknown = Unmatched {
        proof: Proof {
            book: platform,
            acquirer: "stripe",
            batch: "",
            line: "camt:2",
            at: now,
        },
        place: Place::Bank("bank"),
        currency: Currency::USD,
        amount: 555,
    };
    journals.extend(unknown.journal().expect("balanced"));
    book(&mut sql, journals).await;
    let mut open = unexplained(&app).await;
    open.sort();
    assert_eq!(
        open,
        [
            ("1110.stripe.usd".into(), forgotten_id, 555),
            ("1910.bank.usd".into(), "camt:2".into(), -555)
        ],
        "the sale that was forgotten, and the money that came for it under no name"
    );
    // Somebody finds out that they belong together.
    let row = sql
        .query_one(
            "SELECT book_id FROM gateway.charge WHERE id = $1",
            &[&forgotten["latest_charge"].as_str()],
        )
        .await
        .expect("a charge");
    let target = "1110.stripe.usd".parse().expect("an account");
    let resolved = unknown.resolved(BookId(row.get(0)), target, now).expect("balanced");
    book(&mut sql, resolved).await;
    let left = unexplained(&app).await;
    assert_eq!(left.iter().map(|(.., amount)| amount).sum::<i64>(), 0, "{left:?}");
    assert!(!left.iter().any(|(account, ..)| account.starts_with("19")), "{left:?}");
    // The same line told again is booked once.
    let again: Vec<Journal> = settled[0].journals().expect("balanced");
    let tx = sql.transaction().await.expect("a transaction");
    let refused = ledger::post::post(&tx, &again.iter().collect::<Vec<_>>()).await;
    assert!(refused.is_err(), "a line was booked twice");
    drop(tx);
    let sheet = json_of(&app, &["trial-balance", "--consolidated"]).await;
    let of = |account: &str| {
        let rows = sheet["data"].as_array().expect("rows").iter();
        rows.filter(|row| row["account"] == account)
            .map(|row| row["net"].as_i64().expect("net"))
            .sum::<i64>()
    };
    assert_eq!((of("1120.stripe.usd"), of("1910.bank.usd"), of("1920.usd")), (0, 0, 0));
    assert_eq!(
        (of("1010.bank.usd"), of("5070.usd"), of("5010.usd")),
        (promised - 25 + 555, 25, 6 * 59)
    );
    app.verify_books().await;
    app.stop().await;
}
