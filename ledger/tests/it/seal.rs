//! The seal under attack: a superuser with all triggers off changes history in every way, and each is found and named.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use ledger::BookId;
use ledger::post::post;
use ledger::seal::verify::{Options, Progress, verify};
use ledger::seal::{Head, HeadLog, Keys, Round, SealError, Sealer, heads, proof};
use ledger::verify::Report;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::postgres::Database;
use crate::{assert_proven, book, capture};

mod bounds;

const PAGES: &str = "each page of the seal continues the one before it";
const JOURNALS: &str = "each sealed journal is what was sealed, and in its place";
const KEYS: &str = "each page is signed with a key of the key file";
const MACS: &str = "the MAC of each page is right";
const EXPORTED: &str = "exported heads are of these books";
const UNSEALED: &str = "journals not sealed yet are younger than the sealed ones";

/// Ten journals in pages of four, sealed; a directory with a key file and the exported heads.
struct Sealed {
    db: Database,
    client: Client,
    book: BookId,
    folder: Folder,
    /// In the order of the seal.
    journals: Vec<Uuid>,
}

impl Sealed {
    async fn new() -> Sealed {
        let db = Database::new().await;
        let client = db.connect().await;
        let book = book(&client, "acct_1").await;
        let folder = Folder::new();
        let mut sealed = Sealed {
            db,
            client,
            book,
            folder,
            journals: Vec::new(),
        };
        sealed.post(10).await;
        let round = sealed.seal().await;
        assert_eq!((round.pages, round.journals), (3, 10));
        sealed
    }

    async fn post(&mut self, n: usize) {
        for i in 0..n {
            let journal = capture(self.book, 1000 + i as i64, 29);
            self.journals.push(journal.id());
            post(&self.client, &[&journal]).await.unwrap();
        }
    }

    /// Seals everything in one round.
    async fn seal(&self) -> Round {
        settled(&self.client).await;
        self.round().await
    }

    async fn round(&self) -> Round {
        let round = self.folder.sealer().round(&mut self.db.connect().await).await.unwrap();
        assert!(round.unexported.is_empty(), "{round:?}");
        round
    }

    /// What a superuser does with every trigger off.
    async fn attack(&self, sql: &str) {
        let attacker = self.db.connect().await;
        let disarm = "SET session_replication_role = replica;
             ALTER TABLE ledger.journal DISABLE TRIGGER ALL; ALTER TABLE ledger.seal DISABLE TRIGGER ALL;";
        attacker.batch_execute(&format!("{disarm} {sql}")).await.unwrap();
    }

    async fn verify(&self) -> Report {
        let keys = self.folder.keys();
        let heads = self.folder.heads();
        let options = Options {
            keys: Some(&keys),
            heads: &heads,
            from_page: 1,
        };
        verify(&mut self.db.connect().await, options, |_| {}).await.unwrap()
    }
}

/// Waits until no transaction is running that began before the newest journal was posted: other tests use the same server.
async fn settled(client: &Client) {
    let sql = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint > max(recorded_xid) FROM ledger.journal";
    while !client.query_one(sql, &[]).await.unwrap().get::<_, bool>(0) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Seals what has been posted, with keys of its own, for tests that need it sealed and no more.
pub(crate) async fn seal_all(db: &Database) {
    let folder = Folder::new();
    settled(&db.connect().await).await;
    let round = folder.sealer().round(&mut db.connect().await).await.unwrap();
    assert!(!round.more && round.unexported.is_empty(), "{round:?}");
}

/// Where the keys and heads of a test are.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let dir = std::env::temp_dir().join(format!("ledger-seal-{}", Uuid::now_v7().simple()));
        std::fs::create_dir(&dir).unwrap();
        Folder(dir)
    }

    fn keys(&self) -> Keys {
        Keys::from_file_or_create(&self.0.join("seal.keys")).unwrap()
    }

    /// Replaces or extends the key file.
    fn write_keys(&self, text: &str) {
        std::fs::write(self.0.join("seal.keys"), text).unwrap(); // keeps the mode
    }

    fn heads(&self) -> Vec<Head> {
        heads::read(&self.0.join("heads.jsonl")).unwrap()
    }

    fn sealer(&self) -> Sealer {
        Sealer::new(self.keys(), vec![HeadLog::open(&self.0).unwrap()], 4)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The checks that failed: name, rows wrong, the first of them.
fn wrong(report: &Report) -> Vec<(&'static str, u64, String)> {
    let failed = report.checks.iter().filter(|c| c.wrong > 0);
    failed
        .map(|c| (c.name, c.wrong, c.first_wrong.clone().unwrap()))
        .collect()
}

#[tokio::test]
async fn what_was_committed_is_sealed_once_and_verifies() {
    let mut sealed = Sealed::new().await;
    let report = sealed.verify().await;
    assert!(report.is_ok(), "{report:#?}");
    let rows = |name| report.checks.iter().find(|c| c.name == name).unwrap().rows;
    assert_eq!((rows(PAGES), rows(JOURNALS), rows(MACS), rows(UNSEALED)), (3, 10, 4, 0));

    let idle = sealed.seal().await;
    assert_eq!((idle.pages, idle.more), (0, false));
    sealed.post(1).await;
    assert_eq!(wrong(&sealed.verify().await), [], "an unsealed journal is not wrong");
    assert_eq!(sealed.seal().await.pages, 1);
    assert_eq!(
        sealed.folder.heads().iter().map(|h| h.journals).collect::<Vec<_>>(),
        [10, 11]
    );
    assert_proven(&sealed.db).await;
}

#[tokio::test]
async fn journals_are_found_behind_many_transactions_that_posted_none() {
    let mut sealed = Sealed::new().await;
    let mut sealer = sealed.folder.sealer();
    let mut client = sealed.db.connect().await;
    let journals: Vec<_> = (0..200).map(|i| capture(sealed.book, 1000 + i, 29)).collect();
    post(&sealed.client, &journals.iter().collect::<Vec<_>>())
        .await
        .unwrap();
    settled(&sealed.client).await;
    let round = sealer.round(&mut client).await.unwrap();
    assert_eq!(
        (round.journals, round.more),
        (128, true),
        "a round takes so much and knows that there is more"
    );
    let round = sealer.round(&mut client).await.unwrap();
    assert_eq!((round.journals, round.more), (72, false));

    let idle = "DO $$ BEGIN FOR i IN 1..2000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$";
    sealed.client.batch_execute(idle).await.unwrap();
    sealed.post(1).await;
    settled(&sealed.client).await;
    assert_eq!(sealer.round(&mut client).await.unwrap().journals, 1);
}

#[tokio::test]
async fn each_way_of_changing_a_journal_is_found_and_named() {
    let cases: [(&str, &str, u64); 8] = [
        (
            "UPDATE ledger.journal SET amount = '{5,4,1}' WHERE journal_id = '$5'",
            "was edited (page 2)",
            1,
        ),
        (
            "UPDATE ledger.journal SET reference = 'ch_9' WHERE journal_id = '$5'",
            "was edited (page 2)",
            1,
        ),
        (
            "UPDATE ledger.journal SET recorded_at = recorded_at + interval '1 microsecond' WHERE journal_id = '$5'",
            "was edited (page 2)",
            1,
        ),
        (
            "UPDATE ledger.journal SET memo = '{}' WHERE journal_id = '$5'",
            "was edited (page 2)",
            1,
        ),
        (
            "DELETE FROM ledger.journal WHERE journal_id = '$5'",
            "was deleted (page 2)",
            1,
        ),
        // Two journals trade places.
        (
            "UPDATE ledger.journal a SET recorded_xid = b.recorded_xid FROM ledger.journal b
          WHERE (a.journal_id, b.journal_id) IN (('$5', '$6'), ('$6', '$5'))",
            "was edited (page 2)",
            2,
        ),
        // Two journals in different pages trade places.
        (
            "UPDATE ledger.journal a SET recorded_xid = b.recorded_xid FROM ledger.journal b
          WHERE (a.journal_id, b.journal_id) IN (('$5', '$9'), ('$9', '$5'))",
            "was moved: it now says that transaction",
            4,
        ),
        // The newest journals are cut off.
        (
            "DELETE FROM ledger.journal WHERE journal_id IN ('$8', '$9')",
            "was deleted (page 3)",
            2,
        ),
    ];
    for (sql, what, rows) in cases {
        let sealed = Sealed::new().await;
        let number = |sql: &str| {
            let at = |n: usize| sealed.journals[n].to_string();
            (0..10).fold(sql.to_owned(), |sql, n| sql.replace(&format!("${n}"), &at(n)))
        };
        sealed.attack(&number(sql)).await;
        let found = wrong(&sealed.verify().await);
        let [(JOURNALS, n, first)] = &found[..] else {
            panic!("{sql}: {found:?}")
        };
        let first_wrong = if what.contains("page 3") { 8 } else { 5 };
        let name = format!("book {} journal {}", sealed.book, sealed.journals[first_wrong]);
        assert!(
            first.starts_with(&name) && first.contains(what) && *n == rows,
            "{sql}: {n} {first}"
        );
    }
}

#[tokio::test]
async fn a_journal_inserted_into_the_past_is_found() {
    // Among the others, before all others, and far in the future, where it would never be sealed.
    for (xid, check, what) in [
        ("recorded_xid", JOURNALS, "was inserted among sealed ones (page 1)"),
        ("1", JOURNALS, "was inserted among sealed ones (page 1)"),
        ("recorded_xid + 1000000", UNSEALED, "inserted by hand"),
    ] {
        let sealed = Sealed::new().await;
        let forged = Uuid::now_v7();
        sealed
            .attack(&format!(
                "INSERT INTO ledger.journal (book_id, journal_id, effective_at, recorded_at, recorded_xid, code, account, kind, amount)
                 SELECT book_id, '{forged}', effective_at, recorded_at, {xid}, code, account, kind, amount
                 FROM ledger.journal WHERE journal_id = '{}'",
                sealed.journals[1]
            ))
            .await;
        let found = wrong(&sealed.verify().await);
        let [(failed, 1, first)] = &found[..] else {
            panic!("{xid}: {found:?}")
        };
        assert!(
            *failed == check && first.contains(what) && first.contains(&forged.to_string()),
            "{xid}: {first}"
        );
    }
}

#[tokio::test]
async fn each_way_of_changing_the_chain_is_found() {
    let cases: [(&str, &str); 6] = [
        ("DELETE FROM ledger.seal WHERE page = 2", "page 3: page 2 is missing"),
        (
            "UPDATE ledger.seal SET root = sha256('x') WHERE page = 2",
            "page 2: its own fields were changed",
        ),
        (
            "UPDATE ledger.seal SET sealed_at = sealed_at + interval '1 s' WHERE page = 2",
            "page 2: its own fields were changed",
        ),
        (
            "UPDATE ledger.seal SET head = sha256('x') WHERE page = 2",
            "page 2: its head is not the root over all pages",
        ),
        (
            "UPDATE ledger.seal SET roll = decode(repeat('00', 128), 'hex') WHERE page = 2",
            "page 2: its roll was changed",
        ),
        (
            "UPDATE ledger.seal SET last_book = last_book + 1 WHERE page = 2",
            "page 2: its own fields were changed",
        ),
    ];
    for (sql, what) in cases {
        let sealed = Sealed::new().await;
        sealed.attack(sql).await;
        let report = sealed.verify().await;
        let pages = report.checks.iter().find(|c| c.name == PAGES).unwrap();
        assert_eq!(pages.first_wrong.as_deref(), Some(what), "{sql}");
        if sql.contains("roll") {
            continue; // The roll is no part of what a new page stands on.
        }
        let refusal = sealed.folder.sealer().round(&mut sealed.db.connect().await).await;
        assert!(matches!(&refusal, Err(SealError::Broken(_))), "{sql}: {refusal:?}");
    }
}

#[tokio::test]
async fn a_chain_rewritten_without_the_key_has_no_right_mac() {
    let sealed = Sealed::new().await;
    // All pages thrown away, a journal changed, and everything sealed again by someone with another key of the same id.
    sealed
        .attack(&format!(
            "DELETE FROM ledger.seal; UPDATE ledger.journal SET reference = 'x' WHERE journal_id = '{}'",
            sealed.journals[0]
        ))
        .await;
    let forger = Folder::new();
    settled(&sealed.client).await;
    forger.sealer().round(&mut sealed.db.connect().await).await.unwrap();
    let own_check = sealed.folder.heads()[0].key_check;
    let found = wrong(&sealed.verify().await);
    assert_eq!(
        found.iter().map(|f| (f.0, f.1)).collect::<Vec<_>>(),
        [(KEYS, 3), (EXPORTED, 1)],
        "{found:?}"
    );
    // Claiming our key makes it a forgery.
    sealed
        .attack(&format!(
            "UPDATE ledger.seal SET key_check = decode('{}', 'hex')",
            own_check.map(|b| format!("{b:02x}")).concat()
        ))
        .await;
    let found = wrong(&sealed.verify().await);
    assert_eq!(
        found.iter().map(|f| (f.0, f.1)).collect::<Vec<_>>(),
        [(MACS, 3), (EXPORTED, 1)],
        "{found:?}"
    );
    let refusal = sealed.folder.sealer().round(&mut sealed.db.connect().await).await;
    assert!(matches!(refusal, Err(SealError::Broken(_))), "{refusal:?}");
}

#[tokio::test]
async fn a_wrong_key_is_told_apart_from_tampering() {
    let sealed = Sealed::new().await;
    let verify_with = async |text: &str| {
        sealed.folder.write_keys(text);
        let keys = sealed.folder.keys();
        let options = Options {
            keys: Some(&keys),
            ..Options::default()
        };
        let report = verify(&mut sealed.db.connect().await, options, |_| {}).await.unwrap();
        wrong(&report)
    };
    let found = verify_with(&format!("key k1 {}", "ab".repeat(32))).await;
    assert!(
        matches!(&found[..], [(KEYS, 3, first)] if first.contains("another key k1")),
        "{found:?}"
    );
    let found = verify_with(&format!("key k7 {}", "ab".repeat(32))).await;
    assert!(
        matches!(&found[..], [(KEYS, 3, first)] if first.contains("does not have")),
        "{found:?}"
    );
    let refusal = sealed.folder.sealer().round(&mut sealed.db.connect().await).await;
    assert!(
        matches!(refusal, Err(SealError::Broken(_))),
        "a wrong key seals nothing: {refusal:?}"
    );
}

#[tokio::test]
async fn keys_rotate() {
    let mut sealed = Sealed::new().await;
    let old = std::fs::read_to_string(sealed.folder.0.join("seal.keys")).unwrap();
    sealed
        .folder
        .write_keys(&format!("{old}\nkey k2 {}\n", "cd".repeat(32)));
    sealed.post(3).await;
    let head = sealed.seal().await.head.unwrap();
    assert_eq!((head.pages, head.key_id.as_str()), (4, "k2"));
    assert_eq!(wrong(&sealed.verify().await), []);
    // Without the old key the old pages cannot be checked, the new ones can.
    sealed.folder.write_keys(&format!("key k2 {}\n", "cd".repeat(32)));
    let found = wrong(&sealed.verify().await);
    assert!(
        matches!(&found[..], [(KEYS, 4, first)] if first.contains("signed with key k1")),
        "{found:?}"
    );
}

#[tokio::test]
async fn an_older_database_is_told_by_an_exported_head() {
    let mut sealed = Sealed::new().await;
    let dump = sealed.db.dump();
    sealed.post(5).await;
    sealed.seal().await;
    let older = sealed.db.restored(&dump).await;

    let keys = sealed.folder.keys();
    let heads = sealed.folder.heads();
    assert_eq!(heads.len(), 2);
    let against = |heads| Options {
        keys: Some(&keys),
        heads,
        from_page: 1,
    };
    let own = verify(&mut older.connect().await, against(&heads[..1]), |_| {})
        .await
        .unwrap();
    assert_eq!(wrong(&own), [], "the old backup by itself is whole");
    let found = wrong(
        &verify(&mut older.connect().await, against(&heads), |_| {})
            .await
            .unwrap(),
    );
    assert!(
        matches!(&found[..], [(EXPORTED, 1, first)] if first.contains("end at page 3 with 10") && first.contains("older backup")),
        "{found:?}"
    );
    let refusal = sealed.folder.sealer().round(&mut older.connect().await).await;
    assert!(matches!(refusal, Err(SealError::Rewound { .. })), "{refusal:?}");

    // It goes on for a while where the heads are not: then another history stands where the head was.
    let client = older.connect().await;
    for _ in 0..5 {
        post(&client, &[&capture(sealed.book, 77, 7)]).await.unwrap();
    }
    settled(&client).await;
    Sealer::new(keys.clone(), Vec::new(), 4)
        .round(&mut older.connect().await)
        .await
        .unwrap();
    let found = wrong(
        &verify(&mut older.connect().await, against(&heads), |_| {})
            .await
            .unwrap(),
    );
    assert!(
        matches!(&found[..], [(EXPORTED, 1, first)] if first.contains("rewritten")),
        "{found:?}"
    );
    let refusal = sealed.folder.sealer().round(&mut older.connect().await).await;
    assert!(matches!(refusal, Err(SealError::Rewound { .. })), "{refusal:?}");
    // Truncation of rows and pages together is the same thing.
    sealed
        .attack("DELETE FROM ledger.journal USING ledger.seal WHERE page = 3 AND (recorded_xid, book_id, journal_id) > (last_xid, last_book, last_journal);
                 DELETE FROM ledger.seal WHERE page > 3")
        .await;
    let found = wrong(&sealed.verify().await);
    assert!(
        matches!(&found[..], [(EXPORTED, 1, first)] if first.contains("truncated")),
        "{found:?}"
    );
}

#[tokio::test]
async fn what_commits_late_is_sealed_later() {
    let mut sealed = Sealed::new().await;
    let mut late_client = sealed.db.connect().await;
    let late_tx = late_client.transaction().await.unwrap();
    // Its transaction has its number before the others have theirs; in another book, so that they do not wait for it.
    let late = capture(book(&sealed.client, "acct_2").await, 5000, 1);
    post(&late_tx, &[&late]).await.unwrap();
    sealed.post(3).await;
    assert_eq!(sealed.round().await.pages, 0, "nothing behind an open transaction");
    late_tx.commit().await.unwrap();
    assert_eq!(sealed.seal().await.journals, 4);
    assert_eq!(wrong(&sealed.verify().await), []);
    let order = sealed.order().await;
    assert_eq!(order[10], late.id(), "in the order of transactions, not of commits");
    assert_eq!(order.len(), 14);
}

impl Sealed {
    /// The journals of all rolls.
    async fn order(&self) -> Vec<Uuid> {
        let rows = self
            .client
            .query("SELECT roll FROM ledger.seal ORDER BY page", &[])
            .await
            .unwrap();
        let rolls = rows.iter().flat_map(|r| r.get::<_, Vec<u8>>(0));
        let rolls: Vec<u8> = rolls.collect();
        rolls.chunks(32).map(|e| Uuid::from_slice(&e[8..24]).unwrap()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_sealers_under_load_put_every_journal_into_one_page() {
    let mut sealed = Sealed::new().await;
    let mut posting = Vec::new();
    for n in 0..4 {
        let client = sealed.db.connect().await;
        posting.push(tokio::spawn(async move {
            let book = book(&client, &format!("load_{n}")).await;
            let mut ids = Vec::new();
            for i in 0..60 {
                let journals: Vec<_> = (0..=i % 5).map(|_| capture(book, 500, 5)).collect();
                post(&client, &journals.iter().collect::<Vec<_>>()).await.unwrap();
                ids.extend(journals.iter().map(ledger::journal::Journal::id));
            }
            ids
        }));
    }
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut sealing = Vec::new();
    for _ in 0..3 {
        let (mut sealer, mut client, stopped) = (sealed.folder.sealer(), sealed.db.connect().await, stopped.clone());
        sealing.push(tokio::spawn(async move {
            let mut pages = 0;
            while !*stopped.borrow() {
                let round = sealer.round(&mut client).await.unwrap();
                assert!(round.unexported.is_empty(), "{round:?}");
                pages += round.pages;
            }
            pages
        }));
    }
    for task in posting {
        sealed.journals.extend(task.await.unwrap());
    }
    let total = "SELECT coalesce(max(total), 0) FROM ledger.seal";
    while sealed.client.query_one(total, &[]).await.unwrap().get::<_, i64>(0) < sealed.journals.len() as i64 {
        assert!(sealing.iter().all(|task| !task.is_finished()), "a sealer failed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.send_replace(true);
    let mut pages = 3;
    for task in sealing {
        pages += i64::from(task.await.unwrap());
    }
    assert_eq!(
        sealed.folder.heads().last().unwrap().pages,
        pages,
        "no page was made twice"
    );
    let mut order = sealed.order().await;
    order.sort();
    sealed.journals.sort();
    assert_eq!(order, sealed.journals, "each exactly once");
    assert_eq!(wrong(&sealed.verify().await), []);
    let heads = sealed.folder.heads();
    assert!(heads.is_sorted_by(|a, b| a.pages < b.pages), "each head once, in order");
}

impl Database {
    /// A logical dump of it, as a backup makes one.
    fn dump(&self) -> Vec<u8> {
        let output = self.tool("pg_dump").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Another database of the same server, from a dump.
    async fn restored(&self, dump: &[u8]) -> Database {
        let name = format!("restored_{}", Uuid::now_v7().simple());
        self.connect()
            .await
            .batch_execute(&format!("CREATE DATABASE {name}"))
            .await
            .unwrap();
        let mut config = self.config.clone();
        config.dbname(&name);
        let restored = Database { config };
        let mut psql = restored.tool("psql");
        psql.args(["-qX", "-v", "ON_ERROR_STOP=1"])
            .stdin(std::process::Stdio::piped());
        let mut child = psql.stdout(std::process::Stdio::null()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), dump).unwrap();
        assert!(child.wait().unwrap().success());
        restored
    }

    fn tool(&self, program: &str) -> Command {
        let [tokio_postgres::config::Host::Unix(socket)] = self.config.get_hosts() else {
            panic!("a socket")
        };
        let mut command = Command::new(program);
        command
            .arg("-h")
            .arg(socket)
            .args(["-U", "postgres"])
            .arg(self.config.get_dbname().unwrap());
        command
    }
}
