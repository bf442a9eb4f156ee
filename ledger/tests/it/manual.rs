//! Manual journals: two people, in the database.

use ledger::journal::{Line, LineKind};
use ledger::manual::{ManualError, Proposal, approve, list, propose, reject};
use ledger::post::{PostError, admit, post};
use ledger::{AccountName, BookId, JournalCode, Refusal};
use uuid::Uuid;

use crate::postgres::Database;
use crate::{assert_proven, available, book, capture, draft, pending, room};

fn line(account: AccountName, kind: LineKind, amount: i64) -> Line {
    Line { account, kind, amount }
}

fn proposal(book: BookId, amount: i64) -> Proposal {
    Proposal {
        book,
        id: Uuid::now_v7(),
        effective_at: "2026-01-02T03:04:05Z".parse().unwrap(),
        lines: vec![
            line(pending(), LineKind::Debit, amount),
            line(available(), LineKind::Credit, amount),
        ],
        reason: "paid out by hand".into(),
        ticket: "FIN-7".into(),
        maker: "Ann".into(),
    }
}

#[tokio::test]
async fn one_proposes_another_approves_and_only_then_it_is_booked() {
    let db = Database::new().await;
    let mut client = db.connect_as("ledger_writer").await;
    let book = book(&client, "acct_1").await;
    post(&client, &[&capture(book, 100, 3)]).await.unwrap();
    let (good, bad, large) = (proposal(book, 40), proposal(book, 41), proposal(book, 98));
    for p in [&good, &bad, &large] {
        propose(&client, p).await.unwrap();
    }
    assert_eq!(room(&client, book, available()).await, 0);
    assert_eq!(list(&client, book, true).await.unwrap().len(), 3);

    for me in ["Ann", " ann ", "ANN"] {
        assert!(matches!(
            approve(&client, book, good.id, me).await,
            Err(ManualError::SamePerson)
        ));
    }
    assert!(matches!(
        reject(&client, book, bad.id, "bob", "  ").await,
        Err(ManualError::Unexplained)
    ));
    reject(&client, book, bad.id, "bob", "wrong amount").await.unwrap();
    assert!(matches!(
        approve(&client, book, bad.id, "bob").await,
        Err(ManualError::AlreadyDecided)
    ));
    assert!(matches!(
        approve(&client, book, Uuid::nil(), "bob").await,
        Err(ManualError::UnknownProposal)
    ));
    // Refused by the ledger: the approval does not stand either.
    let tx = client.transaction().await.unwrap();
    assert!(matches!(
        approve(&tx, book, large.id, "bob").await,
        Err(ManualError::Refused(Refusal::Overdraft(_)))
    ));
    tx.rollback().await.unwrap();
    let tx = client.transaction().await.unwrap();
    let journal = approve(&tx, book, good.id, "bob").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(room(&client, book, available()).await, 40);

    let all = list(&client, book, false).await.unwrap();
    let of = |p: &Proposal| all.iter().find(|(found, _)| found == p).unwrap().1.clone();
    assert_eq!(
        of(&good).map(|d| (d.checker, d.journal)),
        Some(("bob".into(), Some(journal)))
    );
    assert_eq!(
        of(&bad).map(|d| (d.reason, d.journal)),
        Some((Some("wrong amount".into()), None))
    );
    assert_eq!(of(&large), None);
    let memo: serde_json::Value = client
        .query_one("SELECT memo FROM ledger.journal WHERE journal_id = $1", &[&journal])
        .await
        .unwrap()
        .get(0);
    assert_eq!(
        (&memo["maker"], &memo["checker"], &memo["ticket"]),
        (&"Ann".into(), &"bob".into(), &"FIN-7".into())
    );
    assert_proven(&db).await;
}

#[tokio::test]
async fn what_is_incomplete_cannot_be_proposed() {
    let db = Database::new().await;
    let client = db.connect_as("ledger_writer").await;
    let book = book(&client, "acct_1").await;
    let mut unbalanced = proposal(book, 5);
    unbalanced.lines[0].amount = 6;
    assert!(matches!(
        propose(&client, &unbalanced).await,
        Err(ManualError::Refused(Refusal::Unbalanced(_)))
    ));
    let mut pending_line = proposal(book, 5);
    pending_line.lines[0].kind = LineKind::PendingDebit;
    assert!(matches!(
        propose(&client, &pending_line).await,
        Err(ManualError::Refused(Refusal::Malformed))
    ));
    for blank in [0, 1, 2] {
        let mut p = proposal(book, 5);
        *[&mut p.reason, &mut p.ticket, &mut p.maker][blank] = " ".into();
        assert!(
            matches!(propose(&client, &p).await, Err(ManualError::Unexplained)),
            "{blank}"
        );
    }
}

#[tokio::test]
async fn no_manual_journal_without_an_approval_of_exactly_its_lines() {
    let db = Database::new().await;
    let owner = db.connect().await;
    let book = book(&owner, "acct_1").await;
    post(&owner, &[&capture(book, 100, 3)]).await.unwrap();
    let by_hand = |id: Uuid, amount| {
        draft(book, JournalCode::J32)
            .id(id)
            .debit(pending(), amount)
            .credit(available(), amount)
            .balance()
            .unwrap()
    };
    let id = Uuid::now_v7();
    for role in ["gateway_app", "ledger_writer", "ledger_owner", "postgres"] {
        let client = db.connect_as(role).await;
        assert!(
            matches!(post(&client, &[&by_hand(id, 5)]).await, Err(PostError::Refused(Refusal::NotApproved(found))) if found == id),
            "{role}"
        );
    }
    owner.batch_execute("BEGIN").await.unwrap();
    assert_eq!(
        admit(&owner, &[vec![&by_hand(id, 5)]]).await.unwrap(),
        [Err(Refusal::NotApproved(id))]
    );
    owner.batch_execute("ROLLBACK").await.unwrap();
    // Approved for 5, written for 6: the trigger compares the lines.
    let five = proposal(book, 5);
    propose(&owner, &five).await.unwrap();
    let code = async |sql: String| {
        let error = owner.batch_execute(&sql).await.expect_err(&sql);
        let db = error.as_db_error().unwrap();
        db.constraint().unwrap_or(db.code().code()).to_owned()
    };
    let decide = |maker: &str, checker: &str| {
        format!(
            "INSERT INTO ledger.decision (book_id, proposal_id, verdict, maker, checker, journal_id)
             VALUES ({book}, '{}', 'approved', '{maker}', '{checker}', '{id}')",
            five.id
        )
    };
    assert_eq!(code(decide("Ann", "ann")).await, "decision_two_people");
    assert_eq!(code(decide("Carl", "ann")).await, "decision_of_proposal"); // the maker cannot be another one
    owner.batch_execute(&decide("Ann", "bob")).await.unwrap();
    assert!(matches!(
        post(&owner, &[&by_hand(id, 6)]).await,
        Err(PostError::Refused(Refusal::NotApproved(_)))
    ));
    assert_eq!(
        code("UPDATE ledger.proposal SET amount = '{6,6}'".into()).await,
        "LG007"
    );
    post(&owner, &[&by_hand(id, 5)]).await.unwrap();
    assert_proven(&db).await;
}
