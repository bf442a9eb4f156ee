//! Reversal and correction: the mirror, once, and together with what is right.

use ledger::group::{GroupCommitter, Options};
use ledger::post::{LedgerBatch, PostError, admit, post};
use ledger::{JournalCode, Refusal};
use uuid::Uuid;

use crate::postgres::Database;
use crate::{assert_proven, available, book, capture, draft, pending, receivable, release, room};

#[tokio::test]
async fn a_journal_is_reversed_once_and_only_by_its_mirror() {
    let db = Database::new().await;
    let client = db.connect_as("gateway_app").await;
    let book = book(&client, "acct_1").await;
    let wrong = capture(book, 100, 3);
    let hold = draft(book, JournalCode::J01)
        .hold(receivable(), pending(), 5, jiff::Timestamp::MAX)
        .balance()
        .unwrap();
    post(&client, &[&wrong, &hold]).await.unwrap();
    let mirror = |amount| {
        draft(book, JournalCode::J26)
            .reverses(wrong.id())
            .credit(receivable(), amount)
            .debit(pending(), amount)
    };
    let cases = [
        (mirror(100).balance().unwrap(), Refusal::NotAMirror(wrong.id())),
        (
            mirror(100).reverses(hold.id()).balance().unwrap(),
            Refusal::NotAMirror(hold.id()),
        ),
        (
            mirror(100).reverses(Uuid::nil()).balance().unwrap(),
            Refusal::UnknownJournal(Uuid::nil()),
        ),
    ];
    for (journal, expected) in cases {
        client.batch_execute("BEGIN").await.unwrap();
        assert_eq!(
            admit(&client, &[vec![&journal]]).await.unwrap(),
            [Err(expected.clone())]
        );
        assert!(matches!(post(&client, &[&journal]).await, Err(PostError::Refused(found)) if found == expected));
        client.batch_execute("ROLLBACK").await.unwrap();
    }

    // A correction: the reversal and the right journal, in one unit.
    let right = draft(book, JournalCode::J03)
        .debit(receivable(), 90)
        .credit(pending(), 90);
    let [reversal, right] = wrong.correction(right, wrong.effective_at()).unwrap();
    post(&client, &[&reversal, &right]).await.unwrap();
    assert_eq!(right.link(), Some(reversal.id()));
    assert_eq!(room(&client, book, pending()).await, 90);

    let again = wrong.reversal(wrong.effective_at()).unwrap().balance().unwrap();
    let expected = Refusal::AlreadyReversed(wrong.id());
    client.batch_execute("BEGIN").await.unwrap();
    assert_eq!(admit(&client, &[vec![&again]]).await.unwrap(), [Err(expected.clone())]);
    assert!(matches!(post(&client, &[&again]).await, Err(PostError::Refused(found)) if found == expected));
    client.batch_execute("ROLLBACK").await.unwrap();
    // The reversal itself is a journal, and can be reversed once too.
    let back = reversal.reversal(wrong.effective_at()).unwrap().balance().unwrap();
    post(&client, &[&back]).await.unwrap();
    assert_eq!(room(&client, book, pending()).await, 187);
    assert_proven(&db).await;
}

#[tokio::test]
async fn of_many_reversals_at_once_one_is_booked_and_the_others_are_told_so() {
    let db = Database::new().await;
    let client = db.connect().await;
    let book = book(&client, "acct_1").await;
    post(&client, &[&capture(book, 100_000, 3)]).await.unwrap();
    let wrong = release(book, 100);
    post(&client, &[&wrong]).await.unwrap();
    let options = Options {
        writers: 2,
        max_batch: 3,
        ..Options::default()
    };
    let committers = [1, 2].map(|_| GroupCommitter::start(LedgerBatch, db.config.clone(), options));
    let reversals = (0..40).map(|i| {
        let reversal = wrong.reversal(wrong.effective_at()).unwrap().balance().unwrap();
        committers[i % 2].submit(vec![reversal])
    });
    let answers = futures_util::future::join_all(reversals).await;
    let booked = answers.iter().filter(|a| matches!(a, Ok(Ok(())))).count();
    let told = answers
        .iter()
        .filter(|a| matches!(a, Ok(Err(Refusal::AlreadyReversed(_)))))
        .count();
    assert_eq!((booked, told), (1, 39), "{answers:?}");
    for committer in committers {
        committer.shutdown().await;
    }
    assert_eq!(room(&client, book, available()).await, 0);
    assert_proven(&db).await;
}

/// The trigger holds against the owner too, and `verify` finds what even the superuser had to break a guard for.
#[tokio::test]
async fn a_second_reversal_behind_the_guard_is_found_by_verify() {
    let db = Database::new().await;
    let owner = db.connect().await;
    let book = book(&owner, "acct_1").await;
    let wrong = capture(book, 100, 3);
    let reversal = wrong.reversal(wrong.effective_at()).unwrap().balance().unwrap();
    post(&owner, &[&wrong, &reversal]).await.unwrap();
    owner
        .batch_execute("ALTER TABLE ledger.journal DISABLE TRIGGER journal_guarded")
        .await
        .unwrap();
    let again = wrong.reversal(wrong.effective_at()).unwrap().balance().unwrap();
    post(&owner, &[&capture(book, 1000, 3), &again]).await.unwrap();
    let report = ledger::verify::verify(&mut db.connect().await, |_| {}).await.unwrap();
    let wrong_checks: Vec<_> = report.checks.iter().filter(|c| c.wrong > 0).collect();
    assert_eq!(wrong_checks.len(), 1, "{report:#?}");
    assert!(
        wrong_checks[0].name.starts_with("a reversal mirrors"),
        "{wrong_checks:?}"
    );
}
