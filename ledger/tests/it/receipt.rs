//! Idempotent posting: one booking per key, the first answer for ever, and other content told from the same.

use ledger::group::{GroupCommitter, Options};
use ledger::journal::{Draft, Journal};
use ledger::receipt::{self, Once, Receipt};
use ledger::{BookId, JournalCode, Refusal};

use crate::postgres::Database;
use crate::{assert_proven, available, book, draft, pending, receivable, room};

fn captured(book: BookId, key: u8, amount: i64) -> Draft {
    draft(book, JournalCode::J03)
        .key([key; 16])
        .debit(receivable(), amount)
        .credit(pending(), amount)
}

fn released(book: BookId, key: u8, amount: i64) -> Journal {
    draft(book, JournalCode::J07)
        .key([key; 16])
        .debit(pending(), amount)
        .credit(available(), amount)
        .balance()
        .unwrap()
}

#[tokio::test]
async fn the_same_key_returns_the_first_answer_also_a_refusal_and_other_content_is_named() {
    let db = Database::new().await;
    let client = db.connect().await;
    let (book, elsewhere) = (book(&client, "acct_1").await, book(&client, "acct_2").await);
    let committer = GroupCommitter::start(Once, db.config.clone(), Options::default());
    let submit = async |journal: Journal| committer.submit(vec![journal]).await.unwrap();

    // Refused for want of money, and so for ever under this key, though the money comes.
    let short = released(book, 1, 50);
    let refusal = Refusal::Overdraft("2010.usd".into());
    assert_eq!(submit(short.clone()).await, Err(refusal.clone()));
    let first = captured(book, 2, 100).balance().unwrap();
    let receipt = |replayed| {
        Ok(vec![Receipt {
            journal: first.id(),
            replayed,
        }])
    };
    assert_eq!(submit(first.clone()).await, receipt(false));
    assert_eq!(submit(released(book, 1, 50)).await, Err(refusal.clone()));
    let known = receipt::find(&client, book, &[1; 16]).await.unwrap().unwrap();
    assert_eq!((known.journal, known.refusal), (short.id(), Some(refusal)));

    // The same content under another id is the same journal; the key comes before state, so a closed account is no matter.
    ledger::close(&client, book, &receivable(), "ann", "merged")
        .await
        .unwrap();
    assert_eq!(submit(captured(book, 2, 100).balance().unwrap()).await, receipt(true));
    // In another book the key is another key.
    assert!(submit(captured(elsewhere, 2, 100).balance().unwrap()).await.is_ok());

    let later = first.effective_at() + std::time::Duration::from_micros(1);
    let base = || Draft::new(book, JournalCode::J03, first.effective_at()).key([2; 16]);
    let cases = [
        (captured(book, 2, 101), "lines"),
        (captured(book, 2, 100).reference("ch_2"), "reference"),
        (captured(book, 2, 100).memo(serde_json::json!({})), "memo"),
        (captured(book, 2, 100).link(first.id()), "link"),
        (base().debit(pending(), 100).credit(receivable(), 100), "lines"),
        (
            Draft::new(book, JournalCode::J04, later)
                .key([2; 16])
                .debit(receivable(), 100)
                .credit(pending(), 100),
            "code, effective_at",
        ),
    ];
    for (draft, fields) in cases {
        let expected = Err(Refusal::KeyReused(fields.into()));
        assert_eq!(submit(draft.balance().unwrap()).await, expected, "{fields}");
    }
    // A journal without a key has no place here.
    let keyless = draft(book, JournalCode::J07).debit(pending(), 1).credit(available(), 1);
    assert_eq!(submit(keyless.balance().unwrap()).await, Err(Refusal::Malformed));
    assert_eq!(room(&client, book, pending()).await, 100);
    committer.shutdown().await;
    assert_proven(&db).await;
}

#[tokio::test]
async fn in_one_batch_and_in_many_processes_one_of_the_same_key_is_booked() {
    let db = Database::new().await;
    let client = db.connect().await;
    let book = book(&client, "acct_1").await;
    let options = Options {
        writers: 2,
        max_batch: 8,
        ..Options::default()
    };
    let committers = [1, 2].map(|_| GroupCommitter::start(Once, db.config.clone(), options));
    // Ten keys, twelve callers each; the odd keys are refused, and stay so.
    let calls = (0..120u8).map(|i| {
        let key = i % 10;
        let journal = match key % 2 {
            0 => captured(book, key, 10).balance().unwrap(),
            _ => released(book, key, 1_000),
        };
        let answer = committers[usize::from(i / 10) % 2].submit(vec![journal]);
        async move { (key, answer.await.unwrap()) }
    });
    let answers = futures_util::future::join_all(calls).await;
    for key in 0..10 {
        let of_key: Vec<_> = answers.iter().filter(|(k, _)| *k == key).map(|(_, a)| a).collect();
        if key % 2 == 1 {
            assert!(
                of_key.iter().all(|a| matches!(a, Err(Refusal::Overdraft(_)))),
                "{of_key:?}"
            );
            continue;
        }
        let receipts: Vec<Receipt> = of_key.iter().map(|a| a.as_ref().unwrap()[0]).collect();
        assert!(
            receipts.iter().all(|r| r.journal == receipts[0].journal),
            "{receipts:?}"
        );
        assert_eq!(receipts.iter().filter(|r| !r.replayed).count(), 1, "{receipts:?}");
    }
    for committer in committers {
        committer.shutdown().await;
    }
    assert_eq!(room(&client, book, pending()).await, 50);
    assert_proven(&db).await;
}
