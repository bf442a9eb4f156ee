//! Statements and balances as of a time: against a second, slower way to add the same lines up.

use jiff::Timestamp;
use ledger::balance::{self, AsOf};
use ledger::journal::Draft;
use ledger::post::post;
use ledger::statement::{Query, StatementError, statement};
use ledger::{BookId, JournalCode, report};
use tokio_postgres::Client;

use crate::postgres::Database;
use crate::{available, book, capture, pending, receivable};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

/// Two books; 60 journals each, dated back and forth, recorded one by one.
async fn fixture() -> (Database, Client, [BookId; 2]) {
    let db = Database::new().await;
    let client = db.connect().await;
    let books = [book(&client, "acct_1").await, book(&client, "acct_2").await];
    for i in 0..60i64 {
        for (b, book) in books.into_iter().enumerate() {
            let effective = at((i * 37) % 60);
            let draft = Draft::new(book, JournalCode::J03, effective).reference(format!("ch_{i}"));
            let journal = draft
                .debit(receivable(), 10 + i)
                .credit(pending(), 8 + i)
                .credit(pending(), 2)
                .balance()
                .unwrap();
            let moved = Draft::new(book, JournalCode::J07, effective)
                .debit(pending(), 1 + b as i64)
                .credit(available(), 1 + b as i64)
                .balance()
                .unwrap();
            post(&client, &[&journal, &moved]).await.unwrap();
        }
    }
    (db, client, books)
}

async fn net(client: &Client, book: BookId, account: &str, condition: &str) -> i128 {
    let sql = format!(
        "SELECT coalesce(sum(CASE side WHEN 'credit' THEN amount ELSE -amount END), 0)::bigint FROM ledger.posting
         WHERE book_id = {book} AND account = '{account}' AND layer = 'posted' AND {condition}"
    );
    client.query_one(&sql, &[]).await.unwrap().get::<_, i64>(0).into()
}

#[tokio::test]
async fn pages_of_any_size_make_the_whole_statement() {
    let (db, client, books) = fixture().await;
    let query = |from: Option<Timestamp>, to: Option<Timestamp>, limit| Query {
        book: books[0],
        account: pending(),
        from,
        to,
        after: None,
        limit,
    };
    for (from, to) in [
        (None, None),
        (Some(at(10)), None),
        (Some(at(10)), Some(at(20))),
        (Some(at(99)), None),
    ] {
        let whole = statement(&client, &query(from, to, 1000)).await.unwrap();
        let before = |t: Option<Timestamp>| t.map_or("false".into(), |t| format!("effective_at < '{t}'"));
        assert_eq!(whole.opening, net(&client, books[0], "2010.usd", &before(from)).await);
        let end = to.map_or("true".into(), |t| format!("effective_at < '{t}'"));
        assert_eq!(whole.closing, net(&client, books[0], "2010.usd", &end).await);
        assert_eq!(whole.next, None);
        assert!(whole.lines.is_sorted_by_key(|l| (l.effective_at, l.journal)));
        for limit in [1, 7, whole.lines.len().max(1) as u32] {
            let (mut paged, mut next) = (Vec::new(), query(from, to, limit));
            loop {
                let page = statement(&client, &next).await.unwrap();
                assert_eq!((page.opening, page.closing), (whole.opening, whole.closing));
                paged.extend(page.lines);
                match page.next {
                    Some(cursor) => next.after = Some(cursor),
                    None => break,
                }
            }
            assert_eq!(paged, whole.lines, "{limit}");
        }
    }
    let all = statement(&client, &query(None, None, 1000)).await.unwrap();
    assert_eq!(all.lines.len(), 120);
    assert_eq!(all.closing, crate::room(&client, books[0], pending()).await);
    let unknown = Query {
        account: crate::fee(),
        book: BookId(99),
        ..query(None, None, 1)
    };
    assert!(matches!(
        statement(&client, &unknown).await,
        Err(StatementError::UnknownAccount(_))
    ));
    // A counter that somebody turned is not papered over.
    db.connect()
        .await
        .batch_execute("UPDATE ledger.account SET credits_posted = credits_posted + 1 WHERE account = '2010.usd'")
        .await
        .unwrap();
    assert!(matches!(
        statement(&client, &query(None, None, 5)).await,
        Err(StatementError::Unreconciled { .. })
    ));
}

#[tokio::test]
async fn balances_as_of_either_time_are_the_sums_of_the_lines_until_then() {
    let (_db, client, books) = fixture().await;
    let recorded: Timestamp = client
        .query_one(
            "SELECT recorded_at FROM ledger.journal ORDER BY recorded_at OFFSET 100 LIMIT 1",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    for (effective, recorded) in [
        (None, None),
        (Some(at(30)), None),
        (None, Some(recorded)),
        (Some(at(30)), Some(recorded)),
        (Some(at(0)), None),
    ] {
        let as_of = AsOf { effective, recorded };
        let mut condition = String::from("true");
        for (column, at) in [("effective_at", effective), ("recorded_at", recorded)] {
            if let Some(at) = at {
                condition += &format!(" AND {column} < '{at}'");
            }
        }
        for book in books {
            let balances = balance::as_of(&client, book, as_of).await.unwrap();
            for account in ["2010.usd", "2020.usd"] {
                let found = balances.iter().find(|b| b.account.as_str() == account).unwrap();
                assert_eq!(
                    found.posted(),
                    net(&client, book, account, &condition).await,
                    "{as_of:?} {account}"
                );
            }
        }
        let trial = report::trial_balance_as_of(&client, None, as_of).await.unwrap();
        assert!(trial.is_balanced());
        let sum = |trial: &report::TrialBalance| trial.rows.iter().map(|r| r.debits).sum::<i128>();
        let consolidated = trial.clone().consolidated();
        assert_eq!(sum(&trial), sum(&consolidated));
        assert_eq!(consolidated.totals, trial.totals);
        assert_eq!(consolidated.rows.len() * 2, trial.rows.len());
        let both: i128 = trial
            .rows
            .iter()
            .filter(|r| r.account == available())
            .map(|r| r.net())
            .sum();
        let one = consolidated.rows.iter().find(|r| r.account == available());
        assert_eq!(one.map_or(0, |r| r.net()), both);
    }
    // Now is the same from the counters and from the lines, holds included.
    let hold = crate::draft(books[0], JournalCode::J01)
        .hold(receivable(), pending(), 5, Timestamp::MAX)
        .balance()
        .unwrap();
    post(&client, &[&hold, &capture(books[0], 9, 1)]).await.unwrap();
    let now = balance::as_of(&client, books[0], AsOf::default()).await.unwrap();
    assert_eq!(now, balance::of_book(&client, books[0]).await.unwrap());
}
