//! What the database refuses to those who go around the Rust code: the serving role, the owner and the superuser.

use jiff::Timestamp;
use ledger::JournalCode;
use tokio_postgres::Client;

use crate::postgres::Database;
use crate::{assert_proven, book, capture, draft, pending, receivable};

/// SQLSTATE and, for a violated constraint, its name.
async fn refused(client: &Client, sql: &str) -> String {
    let error = client.batch_execute(sql).await.expect_err(sql);
    let db = error.as_db_error().unwrap_or_else(|| panic!("{sql}: {error:?}"));
    match db.constraint() {
        Some(name) => name.to_owned(),
        None => db.code().code().to_owned(),
    }
}

async fn booked() -> (Database, i64) {
    let db = Database::new().await;
    let client = db.connect().await;
    let book = book(&client, "acct_1").await;
    let expires = Timestamp::from_second(1_800_000_000).unwrap();
    let held = draft(book, JournalCode::J01)
        .hold(receivable(), pending(), 50, expires)
        .balance()
        .unwrap();
    let part = draft(book, JournalCode::J02)
        .consume(held.id(), receivable(), pending(), 10, None)
        .balance()
        .unwrap();
    ledger::post::post(&client, &[&capture(book, 1000, 29), &held, &part])
        .await
        .unwrap();
    (db, book.0)
}

/// Every table of the schema, whichever migration made it.
async fn tables(client: &Client) -> Vec<String> {
    let sql = "SELECT relname::text FROM pg_class WHERE relnamespace = 'ledger'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY 1";
    let tables: Vec<String> = client
        .query(sql, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert!(tables.len() >= 12, "{tables:?}");
    tables
}

#[tokio::test]
async fn the_one_list_covers_every_table_and_no_function_is_everyones() {
    let (db, _) = booked().await;
    let client = db.connect().await;
    for table in tables(&client).await {
        let sql =
            "SELECT tgname::text FROM pg_trigger WHERE tgrelid = ('ledger.' || $1::text)::regclass AND tgenabled = 'A'
                   AND tgfoid = 'ledger.refuse_change'::regproc";
        let guards: Vec<String> = client
            .query(sql, &[&table])
            .await
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect();
        for guard in ["immutable", "no_truncate"] {
            assert!(guards.contains(&format!("{table}_{guard}")), "{table}: {guards:?}");
        }
        let sql = "SELECT DISTINCT privilege_type::text FROM information_schema.table_privileges
                   WHERE table_schema = 'ledger' AND table_name = $1 AND grantee <> 'ledger_owner'";
        let granted: Vec<String> = client
            .query(sql, &[&table])
            .await
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect();
        assert_eq!(granted, ["SELECT"], "{table}");
        // The owner can neither delete nor empty; what may change at all has its own rule.
        for sql in [
            format!("DELETE FROM ledger.{table}"),
            format!("TRUNCATE ledger.{table} CASCADE"),
        ] {
            assert_eq!(refused(&client, &sql).await, "LG007", "{sql}");
        }
    }
    let sql = "SELECT proname::text FROM pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner))) AS acl
               WHERE pronamespace = 'ledger'::regnamespace AND acl.grantee = 0";
    let open: Vec<String> = client
        .query(sql, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(open, [""; 0]);
}

#[tokio::test]
async fn history_cannot_be_changed_by_anyone() {
    let (db, _) = booked().await;
    for role in ["postgres", "ledger_owner"] {
        let client = db.connect_as(role).await;
        for sql in [
            "UPDATE ledger.journal SET reference = 'x'",
            "UPDATE ledger.journal SET reference = 'x' WHERE false",
            "DELETE FROM ledger.journal",
            "TRUNCATE ledger.journal",
            "TRUNCATE ledger.account",
            "TRUNCATE ledger.book, ledger.hold",
            "DELETE FROM ledger.account",
            "DELETE FROM ledger.hold",
            "DELETE FROM ledger.book",
            "UPDATE ledger.book SET code = 'acct_2'",
            "UPDATE ledger.account SET credits_posted = credits_posted - 1 WHERE account = '4010.usd'",
            "UPDATE ledger.account SET overdraft = true WHERE account = '2010.usd'",
            "UPDATE ledger.account SET book_id = book_id + 1",
            "UPDATE ledger.account SET normal_side = 'D' WHERE account = '4010.usd'",
            "UPDATE ledger.hold SET amount = amount + 1",
            "UPDATE ledger.hold SET remaining = amount",
            "UPDATE ledger.hold SET expires_at = now()",
            "UPDATE ledger.currency SET exponent = 0",
        ] {
            assert_eq!(refused(&client, sql).await, "LG007", "{role}: {sql}");
        }
    }
    // Not even where ordinary triggers are asleep.
    let client = db.connect().await;
    client
        .batch_execute("SET session_replication_role = replica")
        .await
        .unwrap();
    assert_eq!(refused(&client, "DELETE FROM ledger.journal").await, "LG007");
    assert_eq!(refused(&client, "TRUNCATE ledger.journal").await, "LG007");
    assert_proven(&db).await;
}

#[tokio::test]
async fn the_serving_roles_have_no_hand_on_the_tables() {
    let (db, _) = booked().await;
    for role in ["gateway_app", "ledger_writer", "finance_ro", "auditor"] {
        let client = db.connect_as(role).await;
        for table in tables(&client).await {
            client
                .batch_execute(&format!("SELECT FROM ledger.{table} LIMIT 1"))
                .await
                .unwrap();
            for sql in [
                format!("INSERT INTO ledger.{table} DEFAULT VALUES"),
                format!("DELETE FROM ledger.{table}"),
                format!("TRUNCATE ledger.{table}"),
                format!("SELECT FROM ledger.{table} FOR UPDATE"),
                format!("ALTER TABLE ledger.{table} DISABLE TRIGGER ALL"),
            ] {
                assert_eq!(refused(&client, &sql).await, "42501", "{role}: {sql}");
            }
        }
        let update = "UPDATE ledger.account SET credits_posted = 1000000";
        assert_eq!(refused(&client, update).await, "42501", "{role}");
        client
            .batch_execute("SELECT FROM ledger.posting; SELECT FROM ledger.balance")
            .await
            .unwrap();
        for inner in [
            "ledger.apply_holds(NULL, NULL, NULL, NULL, NULL)",
            "ledger.refuse_accounts(NULL, NULL)",
        ] {
            assert_eq!(
                refused(&client, &format!("SELECT {inner}")).await,
                "42501",
                "{role}: {inner}"
            );
        }
    }
    for role in ["finance_ro", "auditor"] {
        let client = db.connect_as(role).await;
        assert_eq!(
            refused(&client, "SELECT ledger.open_book('x', 'x')").await,
            "42501",
            "{role}"
        );
    }
    let client = db.connect_as("gateway_app").await;
    assert_eq!(
        refused(
            &client,
            "SELECT ledger.act_on_account(1, '2010.usd', 'close', 'x', 'x')"
        )
        .await,
        "42501"
    );
}

/// `ledger.post` called by hand, with these lines.
fn call(book: i64, accounts: &str, kinds: &str, amounts: &str) -> String {
    format!(
        "SELECT ledger.post(ARRAY[{book}], ARRAY[gen_random_uuid()], ARRAY['J03'], ARRAY[now()], NULL, NULL, NULL, NULL, NULL,
                            ARRAY[{accounts}], ARRAY[{kinds}], ARRAY[{amounts}])"
    )
}

/// The same by the short way for one journal.
fn lone(book: i64, account: &str, kind: &str, amount: &str) -> String {
    format!(
        "SELECT ledger.post_one({book}, gen_random_uuid(), 'J03', now(), NULL, NULL, NULL, NULL, NULL, NULL,
                                {account}, {kind}, {amount})"
    )
}

#[tokio::test]
async fn the_door_refuses_what_is_not_a_balanced_journal() {
    let (db, book) = booked().await;
    let client = db.connect_as("gateway_app").await;
    let cases = [
        (
            "'{1110.acme.usd,2010.usd}'",
            "'{D,C}'",
            "'{5,4}'",
            "journal_well_formed",
        ),
        (
            "'{1110.acme.usd,2010.usd}'",
            "'{D,D}'",
            "'{5,5}'",
            "journal_well_formed",
        ),
        (
            "'{1110.acme.usd,2010.usd}'",
            "'{D,C}'",
            "'{0,0}'",
            "journal_well_formed",
        ),
        (
            "'{1110.acme.usd,2010.usd}'",
            "'{C,D}'",
            "'{-5,-5}'",
            "journal_well_formed",
        ),
        (
            "'{1110.acme.usd,2010.usd}'",
            "'{D,Z}'",
            "'{5,5}'",
            "journal_well_formed",
        ),
        (
            "'{1110.acme.usd,2010.usd}'",
            "'{D,C}'",
            "'{5,NULL}'",
            "journal_well_formed",
        ),
        (
            "'{1110.acme.usd,2010.usd}'",
            "'{D,NULL}'",
            "'{5,5}'",
            "journal_well_formed",
        ),
        ("'{1110.acme.usd,NULL}'", "'{D,C}'", "'{5,5}'", "journal_well_formed"),
        (
            "'{1110.acme.usd,2010.usd}'",
            "'{D,C,C}'",
            "'{5,5}'",
            "journal_well_formed",
        ),
        (
            "'{1110.acme.usd,2010.usd}'",
            "'{D,C}'",
            "'{5,3,2}'",
            "journal_well_formed",
        ),
        (
            "'{1110.acme.usd,2010.usd,4010.usd}'",
            "'{D,C}'",
            "'{5,5}'",
            "journal_well_formed",
        ),
        ("'{1110.acme.usd}'", "'{D}'", "'{5}'", "journal_well_formed"),
        ("'{}'", "'{}'", "'{}'", "journal_well_formed"),
        (
            "'{{1110.acme.usd,2010.usd}}'",
            "'{{D,C}}'",
            "'{{5,5}}'",
            "journal_well_formed",
        ),
        (
            "'[0:1]={1110.acme.usd,2010.usd}'",
            "'[0:1]={D,C}'",
            "'[0:1]={5,5}'",
            "journal_well_formed",
        ),
        // One currency pays for the other: each layer and currency stands alone.
        (
            "'{1110.acme.usd,1310.eur}'",
            "'{D,C}'",
            "'{5,5}'",
            "journal_well_formed",
        ),
        // Pending lines without a hold, and a pending leg against a posted one.
        (
            "'{1110.acme.usd,2010.usd}'",
            "'{d,c}'",
            "'{5,5}'",
            "journal_well_formed",
        ),
        (
            "'{1110.acme.usd,2010.usd}'",
            "'{D,c}'",
            "'{5,5}'",
            "journal_well_formed",
        ),
        (
            "'{1110.acme.usd,2010.usd}'",
            "'{x,y}'",
            "'{5,5}'",
            "journal_well_formed",
        ),
        // Longer than the plain proof takes.
        (
            "'{1110.acme.usd,2010.usd,2010.usd,2010.usd,2010.usd}'",
            "'{D,C,C,C,C}'",
            "'{5,1,1,1,1}'",
            "journal_well_formed",
        ),
        (
            "'{1110.acme.usd,nonsense}'",
            "'{D,C}'",
            "'{5,5}'",
            "journal_well_formed",
        ),
        ("'{1110.acme.usd,9999.usd}'", "'{D,C}'", "'{5,5}'", "LG001"),
        ("'{1110.acme.xyz,2010.xyz}'", "'{D,C}'", "'{5,5}'", "LG001"),
        (
            "'{2020.usd,1110.acme.usd}'",
            "'{D,C}'",
            "'{5,5}'",
            "account_no_overdraft",
        ),
        ("NULL", "NULL", "NULL", "23502"),
    ];
    for (accounts, kinds, amounts, expected) in cases {
        assert_eq!(
            refused(&client, &call(book, accounts, kinds, amounts)).await,
            expected,
            "{accounts} {kinds} {amounts}"
        );
        assert_eq!(
            refused(&client, &lone(book, accounts, kinds, amounts)).await,
            expected,
            "alone: {accounts} {kinds} {amounts}"
        );
    }
    // The short way cannot add up two lines of one account, and says so.
    let twice = lone(book, "'{1110.acme.usd,2010.usd,2010.usd}'", "'{D,C,C}'", "'{5,2,3}'");
    assert_eq!(refused(&client, &twice).await, "LG008");
    let empty = "SELECT ledger.post(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)";
    assert_eq!(refused(&client, empty).await, "LG008");
    // The same lines straight into the table, as superuser: the table itself refuses.
    let owner = db.connect().await;
    for (accounts, kinds, amounts, expected) in cases.into_iter().filter(|c| c.3 == "journal_well_formed") {
        let insert = format!(
            "INSERT INTO ledger.journal (book_id, journal_id, code, effective_at, account, kind, amount)
             VALUES ({book}, gen_random_uuid(), 'J03', now(), {accounts}, {kinds}, {amounts})"
        );
        assert_eq!(refused(&owner, &insert).await, expected, "{accounts} {kinds} {amounts}");
    }
    // And the plainest good one passes, so that the cases above fail for their own reason.
    client
        .batch_execute(&call(book, "'{1110.acme.usd,2010.usd}'", "'{D,C}'", "'{5,5}'"))
        .await
        .unwrap();
    client
        .batch_execute(&call(
            book,
            "'{1110.acme.usd,2010.usd,2010.usd,2010.usd,4010.usd}'",
            "'{D,C,C,C,C}'",
            "'{10,1,2,3,4}'",
        ))
        .await
        .unwrap();
    assert_proven(&db).await;
}

#[tokio::test]
async fn accounts_outside_the_chart_or_the_currencies_cannot_be_opened() {
    let (db, book) = booked().await;
    let client = db.connect_as("gateway_app").await;
    for name in [
        "9999.usd",
        "2010.xyz",
        "2010.USD",
        "2010",
        "2010.a b.usd",
        "2010.{x}.usd",
        "",
    ] {
        let refusal = refused(&client, &format!("SELECT ledger.open({book}, ARRAY['{name}'])")).await;
        assert!(
            ["23502", "account_name"].contains(&refusal.as_str()),
            "{name}: {refusal}"
        );
    }
    assert_eq!(
        refused(&client, "SELECT ledger.open(424242, ARRAY['2010.usd'])").await,
        "23502"
    );
}

#[tokio::test]
async fn a_hostile_search_path_changes_nothing() {
    let (db, book) = booked().await;
    let owner = db.connect().await;
    owner
        .batch_execute("CREATE SCHEMA evil; GRANT ALL ON SCHEMA evil TO gateway_app")
        .await
        .unwrap();
    let client = db.connect_as("gateway_app").await;
    let evil = "SET search_path = evil, pg_catalog, public;
         CREATE FUNCTION evil.cardinality(anyarray) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2';
         CREATE FUNCTION evil.right(text, int) RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT '.usd'$$;
         CREATE FUNCTION evil.plus(bigint, bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT 0::bigint';
         CREATE OPERATOR evil.+ (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = evil.plus)";
    client.batch_execute(evil).await.unwrap();
    for call in [call, lone] {
        let unbalanced = call(book, "'{1110.acme.usd,2010.usd}'", "'{D,C}'", "'{5,4}'");
        assert_eq!(refused(&client, &unbalanced).await, "journal_well_formed");
    }
    // Nor for the owner: the CHECK was understood when it was made.
    owner
        .batch_execute("SET search_path = evil, pg_catalog, public")
        .await
        .unwrap();
    let insert = format!(
        "INSERT INTO ledger.journal (book_id, journal_id, code, effective_at, account, kind, amount)
         VALUES ({book}, gen_random_uuid(), 'J03', now(), '{{1110.acme.usd,2010.usd}}', '{{D,C}}', '{{5,4}}')"
    );
    assert_eq!(refused(&owner, &insert).await, "journal_well_formed");
}

#[tokio::test]
async fn verify_names_the_first_wrong_row_when_the_guards_are_taken_away() {
    let (db, book) = booked().await;
    let client = db.connect().await;
    client.batch_execute("ALTER TABLE ledger.account DISABLE TRIGGER ALL; ALTER TABLE ledger.journal DROP CONSTRAINT journal_well_formed").await.unwrap();
    let wrong = async |sql: &str| {
        client.batch_execute(sql).await.unwrap();
        let report = ledger::verify::verify(&mut db.connect().await, |_| {}).await.unwrap();
        report
            .checks
            .into_iter()
            .filter_map(|c| c.first_wrong)
            .collect::<Vec<_>>()
    };
    assert_eq!(wrong("SELECT").await, [""; 0]);
    let found = wrong("UPDATE ledger.account SET credits_posted = credits_posted + 1 WHERE account = '4010.usd'").await;
    assert_eq!(
        found,
        [format!(
            "book {book} account 4010.usd: counters [0, 0, 0, 30], lines [0, 0, 0, 29]"
        )]
    );
    let found =
        wrong("UPDATE ledger.account SET credits_posted = 29, debits_pending = 5 WHERE account = '4010.usd'").await;
    assert_eq!(found.len(), 2, "{found:?}"); // against the lines and against the holds
    let found = wrong(&format!(
        "UPDATE ledger.account SET debits_pending = 0 WHERE account = '4010.usd';
         INSERT INTO ledger.journal (book_id, journal_id, code, effective_at, account, kind, amount)
         VALUES ({book}, '01900000-0000-7000-8000-000000000000', 'J03', now(), '{{2040.usd,1110.acme.usd}}', '{{D,C}}', '{{5,4}}')"
    ))
    .await;
    assert_eq!(
        found[0],
        format!("book {book} journal 01900000-0000-7000-8000-000000000000")
    );
    assert!(
        found.iter().any(|f| f.contains("2040.usd, which it does not have")),
        "{found:?}"
    );
}
