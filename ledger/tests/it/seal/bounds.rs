//! The edges of the seal: resuming, roles, servers that counted further, proofs that would not hold, detached months.

use super::*;

#[tokio::test]
async fn verifying_resumes_and_still_checks_the_chain() {
    let sealed = Sealed::new().await;
    let mut heads = Vec::new();
    let mut seen = |p: Progress<'_>| {
        assert!(p.good);
        heads.push(p.head.clone());
    };
    verify(&mut sealed.db.connect().await, Options::default(), &mut seen)
        .await
        .unwrap();
    assert_eq!(heads.iter().map(|h| h.journals).collect::<Vec<_>>(), [4, 8, 10]);
    sealed
        .attack(&format!(
            "UPDATE ledger.journal SET reference = 'x' WHERE journal_id = '{}'",
            sealed.journals[0]
        ))
        .await;
    let resume = Options {
        heads: &heads[1..2],
        from_page: heads[1].pages + 1,
        keys: None,
    };
    let report = verify(&mut sealed.db.connect().await, resume, |_| {}).await.unwrap();
    assert_eq!(wrong(&report), [], "page 1 was verified before and is not read");
    assert_eq!(report.checks.iter().find(|c| c.name == JOURNALS).unwrap().rows, 2);
    sealed
        .attack("UPDATE ledger.seal SET root = sha256('x') WHERE page = 1")
        .await;
    let report = verify(&mut sealed.db.connect().await, resume, |_| {}).await.unwrap();
    assert!(!report.is_ok(), "the chain is always checked");
}

#[tokio::test]
async fn the_serving_role_can_add_to_the_chain_and_nothing_else() {
    let sealed = Sealed::new().await;
    let mut client = sealed.db.connect_as("gateway_app").await;
    post(&client, &[&capture(sealed.book, 10, 1)]).await.unwrap();
    settled(&client).await;
    assert_eq!(sealed.folder.sealer().round(&mut client).await.unwrap().pages, 1);
    let call = "SELECT ledger.seal_page(page + $1, journals, total + journals, last_xid, last_book, last_journal, root, roll_digest,
                hash, sealed_at, hash, head, key_id, key_check, mac, roll) FROM ledger.seal ORDER BY page DESC LIMIT 1";
    for skip in [0i64, 1, 2] {
        let error = client.execute(call, &[&skip]).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "LG008", "the bounds do not advance");
    }
    for role in ["finance_ro", "auditor"] {
        let error = sealed
            .db
            .connect_as(role)
            .await
            .execute(call, &[&1i64])
            .await
            .unwrap_err();
        assert_eq!(error.code().unwrap().code(), "42501", "{role}");
    }
    for role in ["postgres", "ledger_owner"] {
        let owner = sealed.db.connect_as(role).await;
        for sql in [
            "UPDATE ledger.seal SET key_id = 'x'",
            "DELETE FROM ledger.seal",
            "TRUNCATE ledger.seal",
        ] {
            let error = owner.batch_execute(sql).await.unwrap_err();
            assert_eq!(error.code().unwrap().code(), "LG007", "{role}: {sql}");
        }
    }
}

#[tokio::test]
async fn the_database_takes_no_page_that_does_not_continue_the_chain() {
    let sealed = Sealed::new().await;
    let client = sealed.db.connect_as("gateway_app").await;
    let good = [
        "page + 1",
        "journals",
        "total + journals",
        "last_xid",
        "last_book",
        "'ffffffff-ffff-7fff-bfff-ffffffffffff'",
        "root",
        "roll_digest",
        "hash",
        "sealed_at",
        "hash",
        "head",
        "key_id",
        "key_check",
        "mac",
        "roll",
    ];
    let call = |arguments: &[&str]| {
        let arguments = arguments.join(", ");
        format!("SELECT ledger.seal_page({arguments}) FROM ledger.seal ORDER BY page DESC LIMIT 1")
    };
    for (at, wrong) in [
        (0, "page + 2"),
        (0, "page"),
        (0, "NULL"),
        (2, "total"),
        (2, "NULL"),
        (3, "last_xid - 1"),
        (3, "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"),
        (5, "last_journal"),
        (8, "previous"),
        (8, "NULL"),
    ] {
        let mut arguments = good;
        arguments[at] = wrong;
        let error = client.batch_execute(&call(&arguments)).await.expect_err(wrong);
        assert_eq!(error.code().unwrap().code(), "LG008", "argument {at}: {wrong}");
    }
    // The same without a fault is taken, so that each of the above is refused for its own.
    client.batch_execute(&call(&good)).await.unwrap();
}

#[tokio::test]
async fn a_sealer_at_work_notices_that_what_it_knows_is_gone_or_another() {
    for attack in [
        "DELETE FROM ledger.seal WHERE page = 3",
        "DELETE FROM ledger.seal",
        "UPDATE ledger.seal SET hash = sha256('x') WHERE page = 3",
    ] {
        let mut sealed = Sealed::new().await;
        // No head is kept anywhere: it has nothing but its memory.
        let mut sealer = Sealer::new(sealed.folder.keys(), Vec::new(), 4);
        sealer.round(&mut sealed.db.connect().await).await.unwrap();
        sealed.attack(attack).await;
        sealed.post(1).await;
        settled(&sealed.client).await;
        let refusal = sealer.round(&mut sealed.db.connect().await).await;
        assert!(
            matches!(&refusal, Err(SealError::Broken(what)) if what.contains("not what it was")),
            "{attack}: {refusal:?}"
        );
        let pages: i64 = sealed
            .client
            .query_one("SELECT count(*) FROM ledger.seal", &[])
            .await
            .unwrap()
            .get(0);
        assert!(pages <= 3, "nothing was sealed on top");
    }
}

/// Who deletes a journal and lets the sums look as if its month had been detached.
#[tokio::test]
async fn a_forged_horizon_excuses_nothing() {
    let sealed = Sealed::new().await;
    let victim = sealed.journals[4];
    sealed
        .attack(&format!(
            "ALTER TABLE ledger.carried DISABLE TRIGGER ALL;
             INSERT INTO ledger.carried (book_id, account, month, debits_pending, debits_posted, credits_pending, credits_posted)
             SELECT j.book_id, l.account, date_trunc('month', now())::date, 0, coalesce(sum(l.amount) FILTER (WHERE l.kind = 'D'), 0), 0,
                    coalesce(sum(l.amount) FILTER (WHERE l.kind = 'C'), 0)
             FROM ledger.journal j CROSS JOIN LATERAL unnest(j.account, j.kind::text[], j.amount) AS l(account, kind, amount)
             WHERE j.journal_id = '{victim}' GROUP BY 1, 2"
        ))
        .await;
    sealed
        .attack(&format!("DELETE FROM ledger.journal WHERE journal_id = '{victim}'"))
        .await;
    let found = wrong(&sealed.verify().await);
    assert!(
        found
            .iter()
            .any(|f| f.0 == JOURNALS && f.2.contains(&format!("{victim} was deleted"))),
        "{found:?}"
    );
    assert!(
        found.iter().any(|f| f.2.contains("was not detached with its month")),
        "{found:?}"
    );
}

#[tokio::test]
async fn books_from_a_server_that_counted_further_are_refused() {
    let sealed = Sealed::new().await;
    // As after a logical restore into a new server: the same rows, their transactions far ahead of its counter.
    sealed
        .attack("DELETE FROM ledger.seal; UPDATE ledger.journal SET recorded_xid = recorded_xid + 1000000000")
        .await;
    let found = wrong(&sealed.verify().await);
    assert!(found.iter().any(|f| f.0 == UNSEALED && f.1 == 10), "{found:?}");
}

#[tokio::test]
async fn proofs_are_refused_where_they_would_not_hold() {
    let mut sealed = Sealed::new().await;
    sealed.post(1).await;
    let mut client = sealed.db.connect().await;
    let head = sealed.folder.heads()[0].clone();
    let first = sealed.journals[0];
    let proven = proof::prove(&mut client, None, first, Some(&head)).await.unwrap();
    assert_eq!((&proven["leaf_index"], &proven["page"]["page"]), (&0.into(), &1.into()));
    let refused = |e: Result<serde_json::Value, proof::ProofError>| e.unwrap_err().to_string();
    let unsealed = sealed.journals[10];
    assert!(refused(proof::prove(&mut client, None, unsealed, None).await).contains("not sealed yet"));
    assert!(refused(proof::prove(&mut client, None, Uuid::now_v7(), None).await).contains("no journal"));
    sealed.seal().await;
    assert!(refused(proof::prove(&mut client, None, unsealed, Some(&head)).await).contains("after the head"));
    let newer = sealed.folder.heads()[1].clone();
    proof::consistency(&mut client, &head, &newer).await.unwrap();
    assert!(refused(proof::consistency(&mut client, &newer, &head).await).contains("older head"));
    let foreign = Head { root: [0; 32], ..head };
    assert!(refused(proof::consistency(&mut client, &foreign, &newer).await).contains("not of these books"));
    sealed
        .attack(&format!(
            "UPDATE ledger.journal SET reference = 'x' WHERE journal_id = '{first}'"
        ))
        .await;
    assert!(refused(proof::prove(&mut client, None, sealed.journals[1], None).await).contains("not what was sealed"));
}

#[tokio::test]
async fn a_detached_month_excuses_its_own_journals_alone() {
    let db = Database::new().await;
    let client = db.connect().await;
    let book = book(&client, "acct_1").await;
    let owner = db.connect_as("ledger_owner").await;
    let month = jiff::civil::date(2025, 3, 1);
    owner
        .query_one("SELECT ledger.make_month($1)", &[&month])
        .await
        .unwrap();
    let second = month.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_second();
    let old = |n: u32| {
        let id = Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, second.unsigned_abs(), n));
        let draft = crate::draft(book, ledger::JournalCode::J03).id(id);
        draft
            .debit(crate::receivable(), 10)
            .credit(crate::pending(), 10)
            .balance()
            .unwrap()
    };
    let young = [capture(book, 100, 1), capture(book, 200, 2)];
    // Both in one page, and a page of old ones alone.
    for journal in [
        &old(1),
        &young[0],
        &old(2),
        &young[1],
        &old(3),
        &old(4),
        &old(5),
        &old(6),
    ] {
        post(&client, &[journal]).await.unwrap();
    }
    let mut sealed = Sealed {
        client: db.connect().await,
        db,
        book,
        folder: Folder::new(),
        journals: young.iter().map(ledger::journal::Journal::id).collect(),
    };
    sealed.seal().await;
    assert_eq!(wrong(&sealed.verify().await), []);
    ledger::partition::detach(&sealed.db.connect().await, month)
        .await
        .unwrap();
    let report = sealed.verify().await;
    assert_eq!(wrong(&report), []);
    let unread = report.checks.last().unwrap();
    assert_eq!(
        (unread.name, unread.rows),
        ("sealed journals of detached months, which are not read", 6)
    );
    let edited = sealed.journals.remove(0);
    sealed
        .attack(&format!(
            "UPDATE ledger.journal SET reference = 'x' WHERE journal_id = '{edited}'"
        ))
        .await;
    let found = wrong(&sealed.verify().await);
    assert!(
        matches!(&found[..], [(JOURNALS, 1, first)] if first.contains(&edited.to_string())),
        "{found:?}"
    );
}

/// The leaf is made of what the database stores, not of how a session shows it.
#[tokio::test]
async fn any_text_and_any_date_is_sealed_as_it_is_stored_whatever_a_session_shows() {
    let db = Database::new().await;
    let client = db.connect().await;
    let book = book(&client, "acct_1").await;
    let mut journals = Vec::new();
    for (n, reference) in [
        "na\u{ef}ve \u{3c0} \u{1f4b6}",
        "nai\u{308}ve",
        "\u{202e}txt",
        "a|b\n{c},\"d\"",
        "",
    ]
    .into_iter()
    .enumerate()
    {
        let second = [-86_400 * 365 * 100, 0, 1_709_164_800, 1_711_846_800, 4_102_444_799][n];
        let at = jiff::Timestamp::new(second, 999_999_000).unwrap();
        let memo = serde_json::json!({ "note": reference, "nested": [null, true, { "k\u{e9}": 1 }] });
        let draft = ledger::journal::Draft::new(book, ledger::JournalCode::J03, at)
            .reference(reference)
            .memo(memo);
        journals.push(
            draft
                .debit(crate::receivable(), 10)
                .credit(crate::pending(), 10)
                .balance()
                .unwrap(),
        );
    }
    post(&client, &journals.iter().collect::<Vec<_>>()).await.unwrap();
    let sealed = Sealed {
        client: db.connect().await,
        db,
        book,
        folder: Folder::new(),
        journals: Vec::new(),
    };
    sealed.seal().await;
    let database: String = sealed
        .client
        .query_one("SELECT current_database()::text", &[])
        .await
        .unwrap()
        .get(0);
    for setting in [
        "DateStyle = 'German, DMY'",
        "TimeZone = 'Asia/Kathmandu'",
        "bytea_output = 'escape'",
        "IntervalStyle = 'iso_8601'",
    ] {
        sealed
            .client
            .batch_execute(&format!("ALTER DATABASE {database} SET {setting}"))
            .await
            .unwrap();
    }
    assert_eq!(wrong(&sealed.verify().await), []);
    // And two spellings of one word are two texts.
    sealed
        .attack("UPDATE ledger.journal SET reference = normalize(reference, NFC) WHERE reference = 'nai\u{308}ve'")
        .await;
    assert_eq!(wrong(&sealed.verify().await).len(), 1);
}
