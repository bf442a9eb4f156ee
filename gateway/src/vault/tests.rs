//! The vault over a real PostgreSQL, with both keepers: the key file, and a server that speaks the transit engine's HTTP.

use super::*;
use crate::test_postgres::{Postgres, TempDir};
use proptest::prelude::*;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use transit::TransitServer;

mod transit;

/// A vault whose database is never asked.
fn offline(name: &str) -> Vault {
    let manager = deadpool_postgres::Manager::new(tokio_postgres::Config::new(), tokio_postgres::NoTls);
    let dir = TempDir::new(name);
    let file = key_file(&dir);
    let vault = Vault::open(
        Pool::builder(manager).build().unwrap(),
        Keys::from_file(&file).unwrap(),
        Arc::new(FileKms::open(&file).unwrap()),
        Clock::default(),
    );
    vault.secrets.store(Arc::new(vec![SecretKey {
        id: "secrets:1".into(),
        created_at: Timestamp::UNIX_EPOCH,
        key: fresh_key().unwrap(),
    }]));
    vault
}

fn key_file(dir: &TempDir) -> std::path::PathBuf {
    let file = dir.path().join("vault.keys");
    Keys::from_file_or_create(&file).unwrap();
    file
}

/// A server, and a vault and a keeper over it; `kms` makes each of the two its own, as two processes have.
struct House {
    server: Postgres,
    file: std::path::PathBuf,
    kms: Box<dyn Fn() -> Arc<dyn Kms>>,
    _dir: TempDir,
}

impl House {
    async fn with_file(name: &str) -> Self {
        let (server, dir) = (Postgres::start(name).await, TempDir::new(name));
        let file = key_file(&dir);
        let path = file.clone();
        Self {
            server,
            kms: Box::new(move || Arc::new(FileKms::open(&path).unwrap())),
            file,
            _dir: dir,
        }
    }

    async fn with_transit(name: &str, transit: &TransitServer) -> Self {
        let mut house = Self::with_file(name).await;
        let token_file = house.file.with_extension("token");
        std::fs::write(&token_file, "s.token\n").unwrap();
        let config = TransitConfig {
            address: transit.address.clone(),
            mount: "transit".into(),
            key: "cards".into(),
            token_file,
            roots: Arc::new(rustls::RootCertStore::empty()),
        };
        house.kms = Box::new(move || Arc::new(Transit::new(config.clone()).unwrap()));
        house
    }

    fn vault(&self) -> Vault {
        let keys = Keys::from_file(&self.file).unwrap();
        Vault::open(self.server.pool("vault_app"), keys, (self.kms)(), Clock::default())
    }

    async fn keeper(&self) -> Keeper {
        let client = self.server.connect("postgres").await;
        Keeper::open(client, Keys::from_file(&self.file).unwrap(), (self.kms)())
            .await
            .unwrap()
    }

    async fn owner(&self) -> tokio_postgres::Client {
        self.server.connect("postgres").await
    }
}

fn card(number: &str) -> Card {
    Card::parse(number, 12, 2040, Some("123"), Clock::default().now()).unwrap()
}

/// Valid Visa numbers, all different.
fn number(n: u64) -> String {
    let body = format!("4{n:014}");
    (0..10)
        .map(|check| format!("{body}{check}"))
        .find(|number| card::luhn(number.bytes()))
        .unwrap()
}

#[tokio::test]
async fn a_stored_card_opens_in_its_place_alone() {
    let house = House::with_file("vault").await;
    let vault = house.vault();
    let stored = vault.store(7, &card("4242424242424242")).await.unwrap();
    assert_eq!(id::kind(&stored.vault_id), Some("card"));
    assert_eq!(
        (
            stored.facts.bin.as_str(),
            stored.facts.last4.as_str(),
            stored.facts.funding.as_str()
        ),
        ("424242", "4242", "credit")
    );
    let revealed = vault.reveal(7, &stored.vault_id).await.unwrap();
    assert_eq!(
        (revealed.number().as_str(), revealed.expiry()),
        ("4242424242424242", (12, 2040))
    );
    let missing = vault.reveal(8, &stored.vault_id).await;
    assert!(matches!(missing, Err(VaultError::Missing)));

    // The owner of the database moves the rows to another book, then alters them: none opens.
    let owner = house.owner().await;
    let copy = "INSERT INTO vault.card SELECT 8, id, key_id, nonce, sealed, created_at FROM vault.card;
                INSERT INTO vault.data_key SELECT 8, subject, kek, false, wrapped, created_at FROM vault.data_key WHERE book_id = 7";
    owner.batch_execute(copy).await.unwrap();
    let moved = vault.reveal(8, &stored.vault_id).await;
    assert!(matches!(moved, Err(VaultError::Kms(KmsError::Refused(_)))), "{moved:?}");
    for (table, column) in [("data_key", "wrapped"), ("card", "sealed")] {
        let flip = |table: &str, column: &str| {
            format!(
                "UPDATE vault.{table} SET {column} = set_byte({column}, 14, get_byte({column}, 14) # 1) WHERE book_id = 7"
            )
        };
        owner.batch_execute(&flip(table, column)).await.unwrap();
        assert!(vault.reveal(7, &stored.vault_id).await.is_err(), "{table}");
        owner.batch_execute(&flip(table, column)).await.unwrap();
        vault.reveal(7, &stored.vault_id).await.unwrap();
    }
    // Two cards of one book exchange their data keys.
    let second = vault.store(7, &card("5555555555554444")).await.unwrap();
    let swap = "UPDATE vault.data_key k SET wrapped = o.wrapped FROM vault.data_key o
                WHERE k.book_id = 7 AND o.book_id = 7 AND k.subject <> o.subject";
    owner.batch_execute(swap).await.unwrap();
    for id in [&stored.vault_id, &second.vault_id] {
        assert!(vault.reveal(7, id).await.is_err());
    }

    // Nothing in the rows shows the number.
    let rows = "SELECT string_agg(t::text, ' ') FROM (SELECT c::text FROM vault.card c UNION ALL SELECT k::text FROM vault.data_key k) t";
    let rows: String = owner.query_one(rows, &[]).await.unwrap().get(0);
    assert!(!rows.contains(&hex::encode("4242424242424242")) && !rows.contains("4242424242424242"));
}

/// Every step of a key's life, with traffic all the while: cards are stored and revealed without one failure.
async fn both_keys_rotate_under_traffic(house: House) {
    let vault = house.vault();
    vault.load().await.unwrap();
    let mut stored = Vec::new();
    for n in 0..450 {
        let book = 1 + (n % 3) as i64;
        let typed = card(&number(n));
        stored.push((book, vault.store(book, &typed).await.unwrap().vault_id, number(n)));
    }
    let secret = vault.seal("webhook_endpoint", "we_1", b"whsec_1").unwrap();
    let owner = house.owner().await;
    owner
        .execute(
            "INSERT INTO gateway.webhook_endpoint VALUES (1, 'we_1', 1, 'https://a', $1, ARRAY['*'], 'enabled', false, now(), '{}')",
            &[&secret],
        )
        .await
        .unwrap();
    let before = rows(&owner).await;

    let (stop, revealed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let traffic = {
        let (vault, stored, stop, revealed) = (vault.clone(), stored.clone(), stop.clone(), revealed.clone());
        tokio::spawn(async move {
            let mut added = Vec::new();
            for n in 1000.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                vault.load().await.expect("the secrets' keys are there");
                let (book, id, number) = &stored[n as usize % stored.len()];
                let card = vault.reveal(*book, id).await.expect("readable all the while");
                assert_eq!(card.number().as_str(), number);
                let new = vault
                    .store(9, &super::tests::card(&super::tests::number(n)))
                    .await
                    .expect("storable all the while");
                added.push((9, new.vault_id, super::tests::number(n)));
                revealed.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            added
        })
    };

    let mut keeper = house.keeper().await;
    let first = keeper.status().await.unwrap().keks[0].id.clone();
    let mut seen = Vec::new();
    let second = keeper.rotate_kek(|done, total| seen.push((done, total))).await.unwrap();
    assert_ne!(first, second);
    assert!(
        seen.len() > 2 && seen.is_sorted() && seen.last().is_some_and(|(done, total)| done == total && *done >= 451),
        "{seen:?}"
    );
    let middle = rows(&owner).await;
    assert!(
        before
            .iter()
            .all(|(id, (sealed, wrapped))| middle[id].0 == *sealed && middle[id].1 != *wrapped),
        "wrapped anew, sealed as before"
    );
    // Another keeper has to wait its turn.
    let busy = house.keeper().await.rotate_kek(|_, _| {}).await;
    assert!(matches!(busy, Err(KeeperError::Busy)), "{busy:?}");

    assert!(keeper.rotate_data(|_, _| {}).await.unwrap() >= 450);
    let after = rows(&owner).await;
    assert!(
        middle
            .iter()
            .all(|(id, (sealed, wrapped))| after[id].0 != *sealed && after[id].1 != *wrapped),
        "sealed anew"
    );
    let resealed: Vec<u8> = owner
        .query_one("SELECT secret FROM gateway.webhook_endpoint", &[])
        .await
        .unwrap()
        .get(0);
    assert_ne!(resealed, secret);
    assert_eq!(
        &**vault.unseal("webhook_endpoint", "we_1", &resealed).unwrap(),
        b"whsec_1"
    );
    assert_eq!(
        &**vault.unseal("webhook_endpoint", "we_1", &secret).unwrap(),
        b"whsec_1",
        "a record read a moment ago"
    );

    // The old key-encryption key wraps nothing and is destroyed; the new one cannot be.
    let in_use = keeper.retire(&second).await;
    assert!(matches!(in_use, Err(KeeperError::InUse { .. })), "{in_use:?}");
    keeper.retire(&first).await.unwrap();
    let status = keeper.status().await.unwrap();
    assert!(status.is_sound() && status.unfinished.is_empty(), "{status:?}");
    let states: Vec<_> = status.keks.iter().map(|kek| (kek.id.as_str(), kek.state)).collect();
    assert_eq!(states, [(first.as_str(), "retired"), (second.as_str(), "wraps")]);
    let late = owner
        .execute(
            "INSERT INTO vault.data_key (book_id, subject, kek, wrapped) VALUES (1, 'x', $1, '')",
            &[&first],
        )
        .await
        .unwrap_err();
    assert_eq!(
        late.code().map(|c| c.code()),
        Some("23503"),
        "nothing is ever wrapped by a retired key again"
    );

    stop.store(true, Ordering::Relaxed);
    let added = traffic.await.expect("no request failed");
    assert!(revealed.load(Ordering::Relaxed) > 0 && added.len() == revealed.load(Ordering::Relaxed));
    let fresh = house.vault(); // a process that starts now
    fresh.load().await.unwrap();
    for (book, id, number) in stored.iter().chain(&added) {
        assert_eq!(fresh.reveal(*book, id).await.unwrap().number().as_str(), number);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_keys_rotate_under_traffic_with_a_key_file() {
    both_keys_rotate_under_traffic(House::with_file("rotate-file").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_keys_rotate_under_traffic_with_a_transit_engine() {
    let transit = TransitServer::start("s.token").await;
    both_keys_rotate_under_traffic(House::with_transit("rotate-transit", &transit).await).await;
    assert!(transit.largest_batch() >= 200, "batches, not a call per card");
}

/// Card id to what is sealed and wrapped.
async fn rows(owner: &tokio_postgres::Client) -> std::collections::HashMap<String, (Vec<u8>, Vec<u8>)> {
    let sql = "SELECT c.id, c.sealed, k.wrapped FROM vault.card c JOIN vault.data_key k ON k.book_id = c.book_id AND k.subject = c.id";
    let rows = owner.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect()
}

#[tokio::test]
async fn an_interrupted_rotation_goes_on_where_it_stopped() {
    let house = House::with_file("resume").await;
    let vault = house.vault();
    vault.load().await.unwrap();
    let mut ids = Vec::new();
    for n in 0..420 {
        ids.push(vault.store(1, &card(&number(n))).await.unwrap().vault_id);
    }
    let owner = house.owner().await;
    for kind in ["kek", "data"] {
        let keeper = Arc::new(tokio::sync::Mutex::new(house.keeper().await));
        let (worker, (told, mut heard)) = (keeper.clone(), tokio::sync::mpsc::unbounded_channel());
        let work = tokio::spawn(async move {
            let mut keeper = worker.lock().await;
            let progress = move |done: u64, _: u64| {
                let _ = told.send(done);
            };
            match kind {
                "kek" => keeper.rotate_kek(progress).await.map(drop),
                _ => keeper.rotate_data(progress).await.map(drop),
            }
        });
        while heard.recv().await.is_some_and(|done| done == 0) {}
        work.abort(); // a batch is done, and the process dies
        let _ = work.await;
        drop(keeper);
        let mut keeper = house.keeper().await;
        let unfinished = keeper.status().await.unwrap().unfinished;
        assert!(
            unfinished.len() == 1 && unfinished[0].kind == kind && unfinished[0].done >= 200,
            "{unfinished:?}"
        );
        let busy = async |keeper: &mut Keeper| match kind {
            "kek" => keeper.rotate_kek(|_, _| {}).await.map(drop),
            _ => keeper.rotate_data(|_, _| {}).await.map(drop),
        };
        // The server notices that the first connection is gone a moment later.
        while let Err(error) = busy(&mut keeper).await {
            assert!(matches!(error, KeeperError::Busy), "{error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let count =
            "SELECT count(*), sum(done)::bigint FROM vault.rotation WHERE kind = $1 AND finished_at IS NOT NULL";
        let row = owner.query_one(count, &[&kind]).await.unwrap();
        let (rotations, done): (i64, i64) = (row.get(0), row.get(1));
        assert!(rotations == 1 && done >= 420, "one rotation, nothing left out: {done}");
        assert_eq!(keeper.status().await.unwrap().keks.len(), 2, "and one new key");
    }
    for id in &ids {
        vault.reveal(1, id).await.unwrap();
    }
}

#[tokio::test]
async fn a_shredded_card_is_gone_and_its_neighbours_are_not() {
    let house = House::with_file("shred").await;
    let vault = house.vault();
    let mut ids = Vec::new();
    for (book, n) in [(1, 1), (1, 2), (2, 3)] {
        ids.push((book, vault.store(book, &card(&number(n))).await.unwrap().vault_id));
    }
    let mut keeper = house.keeper().await;
    let owner = house.owner().await;
    let before = rows(&owner).await;
    assert_eq!(keeper.shred(&Shred::Card(ids[0].1.clone())).await.unwrap(), 1);
    assert!(matches!(vault.reveal(1, &ids[0].1).await, Err(VaultError::Shredded)));
    for (book, id) in &ids[1..] {
        vault.reveal(*book, id).await.unwrap();
    }
    // What sealed it is nowhere in the database, and the ciphertext of an old backup opens with nothing that is left.
    let (sealed, wrapped) = &before[&ids[0].1];
    let left = "SELECT count(*) FROM vault.data_key WHERE wrapped = $1 OR subject = $2";
    let left: i64 = owner.query_one(left, &[wrapped, &ids[0].1]).await.unwrap().get(0);
    assert_eq!(left, 0);
    owner
        .execute(
            "UPDATE vault.card SET sealed = $1, shredded_at = NULL WHERE id = $2",
            &[sealed, &ids[0].1],
        )
        .await
        .unwrap();
    assert!(matches!(vault.reveal(1, &ids[0].1).await, Err(VaultError::Broken)));
    owner
        .execute(
            "UPDATE vault.card SET sealed = '', shredded_at = now() WHERE id = $1",
            &[&ids[0].1],
        )
        .await
        .unwrap();

    assert_eq!(keeper.shred(&Shred::Book(1)).await.unwrap(), 1);
    assert!(matches!(vault.reveal(1, &ids[1].1).await, Err(VaultError::Shredded)));
    vault.reveal(2, &ids[2].1).await.unwrap();
    assert!(matches!(
        keeper.shred(&Shred::Book(1)).await,
        Err(KeeperError::Missing(_))
    ));
    keeper.rotate_kek(|_, _| {}).await.unwrap();
    assert_eq!(keeper.rotate_data(|_, _| {}).await.unwrap(), 1);
    vault.reveal(2, &ids[2].1).await.unwrap();
    let status = keeper.status().await.unwrap();
    assert_eq!((status.cards, status.shredded), (1, 2));
}

#[tokio::test]
async fn a_lost_or_exchanged_key_encryption_key_is_named() {
    let house = House::with_file("lost").await;
    let stored = house.vault().store(1, &card("4242424242424242")).await.unwrap();
    let good = std::fs::read_to_string(&house.file).unwrap();
    let write = |text: &str| std::fs::write(&house.file, text).unwrap();
    let other = format!("key k1 {}\n", "ab".repeat(32));
    let without: String = good
        .lines()
        .filter(|line| !line.starts_with("key k1"))
        .map(|line| format!("{line}\n"))
        .collect();
    for (file, says) in [
        (format!("{without}{}", other.replace("k1", "k9")), "`k1` is not there"),
        (format!("{without}{other}"), "another key of that name"),
    ] {
        write(&file);
        let error = house.vault().reveal(1, &stored.vault_id).await.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        let status = house.keeper().await.status().await.unwrap();
        assert!(!status.is_sound());
        assert_eq!((status.keks[0].state, status.keks[0].data_keys), ("lost", 1));
        assert!(status.keks[0].problem.as_ref().unwrap().contains(says));
    }
    write(&good);
    house.vault().reveal(1, &stored.vault_id).await.unwrap();
    assert!(house.keeper().await.status().await.unwrap().is_sound());
}

#[tokio::test]
async fn cards_and_secrets_from_before_data_keys_open_and_are_brought_over() {
    let house = House::with_file("legacy").await;
    let (keys, owner) = (Keys::from_file(&house.file).unwrap(), house.owner().await);
    let key = keys.by_id("k1").unwrap();
    let nonce = fresh_nonce().unwrap();
    let sealed = seal(key, CARD_PURPOSE, 3, "card_old", nonce, b"1220404242424242424242").unwrap();
    owner
        .execute(
            "INSERT INTO vault.card VALUES (3, 'card_old', 'k1', $1, $2, now())",
            &[&&nonce[..], &sealed],
        )
        .await
        .unwrap();
    let mut secret = vec![DIRECT, 2, b'k', b'1'];
    secret.extend_from_slice(&nonce);
    secret.extend(seal(key, "webhook_endpoint", 0, "we_1", nonce, b"whsec_1").unwrap());
    owner
        .execute(
            "INSERT INTO gateway.webhook_endpoint VALUES (3, 'we_1', 1, 'https://a', $1, ARRAY['*'], 'enabled', false, now(), '{}')",
            &[&secret],
        )
        .await
        .unwrap();
    let vault = house.vault();
    assert!(matches!(vault.seal("p", "i", b"s"), Err(VaultError::NotLoaded)));
    vault.load().await.unwrap();
    assert_eq!(
        vault.reveal(3, "card_old").await.unwrap().number().as_str(),
        "4242424242424242"
    );
    assert_eq!(
        &**vault.unseal("webhook_endpoint", "we_1", &secret).unwrap(),
        b"whsec_1"
    );

    let mut keeper = house.keeper().await;
    keeper.rotate_kek(|_, _| {}).await.unwrap();
    let held = keeper.retire("k1").await.unwrap_err().to_string();
    assert!(held.contains("1 cards and 1 secrets"), "{held}");
    keeper.rotate_data(|_, _| {}).await.unwrap();
    keeper.retire("k1").await.unwrap();
    assert!(
        Keys::from_file(&house.file).unwrap().by_id("k1").is_none(),
        "it is in the file no more"
    );
    let vault = house.vault();
    vault.load().await.unwrap();
    assert_eq!(
        vault.reveal(3, "card_old").await.unwrap().number().as_str(),
        "4242424242424242"
    );
    let secret: Vec<u8> = owner
        .query_one("SELECT secret FROM gateway.webhook_endpoint", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(
        &**vault.unseal("webhook_endpoint", "we_1", &secret).unwrap(),
        b"whsec_1"
    );
}

#[tokio::test]
async fn a_transit_engine_that_refuses_or_is_gone_is_told_apart() {
    let transit = TransitServer::start("s.token").await;
    let house = House::with_transit("transit-down", &transit).await;
    let vault = house.vault();
    let stored = vault.store(1, &card("4242424242424242")).await.unwrap();
    vault.reveal(1, &stored.vault_id).await.unwrap();
    let ask = async || vault.reveal(1, &stored.vault_id).await.unwrap_err();
    transit.seal(true);
    let sealed = ask().await;
    assert!(matches!(sealed, VaultError::Kms(KmsError::Unreachable(_))), "{sealed}");
    transit.seal(false);
    std::fs::write(house.file.with_extension("token"), "wrong").unwrap();
    let denied = ask().await;
    assert!(
        matches!(&denied, VaultError::Kms(KmsError::Denied(why)) if why.contains("permission denied")),
        "{denied}"
    );
    std::fs::write(house.file.with_extension("token"), "s.token").unwrap();
    vault.reveal(1, &stored.vault_id).await.unwrap();
    // Someone raises the least version that decrypts without a rotation here.
    transit.lose_versions();
    let lost = ask().await;
    assert!(matches!(lost, VaultError::Kms(KmsError::Lost(_))), "{lost}");
    drop(transit);
    let gone = house.vault().reveal(1, &stored.vault_id).await.unwrap_err();
    assert!(matches!(gone, VaultError::Kms(KmsError::Unreachable(_))), "{gone}");
}

#[test]
fn a_transit_address_without_tls_is_loopback_or_refused() {
    let config = |address: &str, key: &str| TransitConfig {
        address: address.into(),
        mount: "transit".into(),
        key: key.into(),
        token_file: Path::new("/nowhere").into(),
        roots: Arc::new(rustls::RootCertStore::empty()),
    };
    for (address, key, good) in [
        ("https://vault.internal:8200", "cards", true),
        ("http://127.0.0.1:8200", "cards", true),
        ("http://vault.internal:8200", "cards", false),
        ("http://localhost:8200", "cards", false), // a name can be made to mean anything
        ("ftp://127.0.0.1", "cards", false),
        ("https://vault.internal", "../../sys", false),
        ("https://vault.internal", "", false),
    ] {
        assert_eq!(Transit::new(config(address, key)).is_ok(), good, "{address} {key}");
    }
}

#[test]
fn fingerprints_are_of_the_number_alone() {
    let vault = offline("fingerprint");
    let typed = vault.facts(&Card::parse("5555 5555 5555 4444", 1, 2031, None, Clock::default().now()).unwrap());
    let token = vault.test_card("pm_card_mastercard").unwrap();
    assert_eq!((typed.fingerprint.len(), &typed.fingerprint), (16, &token.fingerprint));
    assert_eq!(
        (token.brand.as_str(), token.bin.as_str(), token.last4.as_str()),
        ("mastercard", "555555", "4444")
    );
    assert_ne!(typed.fingerprint, vault.fingerprint("4242424242424242"));
    assert_ne!(
        typed.fingerprint,
        offline("fingerprint-other").fingerprint("5555555555554444")
    );
    assert!(vault.test_card("pm_0123").is_none());
}

#[test]
fn key_hashes_depend_on_key_and_pepper() {
    let vault = offline("pepper");
    assert_eq!(vault.hash_key("sk_a"), vault.hash_key("sk_a"));
    assert_ne!(vault.hash_key("sk_a"), vault.hash_key("sk_b"));
    assert_ne!(vault.hash_key("sk_a"), offline("pepper-other").hash_key("sk_a"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn small_secrets_open_where_they_were_sealed(secret in proptest::collection::vec(any::<u8>(), 0..64), at in any::<proptest::sample::Index>(), flip in 1u8..) {
        let vault = offline("seal");
        let mut record = vault.seal("webhook", "we_1", &secret).unwrap();
        let opened = vault.unseal("webhook", "we_1", &record).unwrap();
        prop_assert_eq!(&*opened, &secret);
        prop_assert!(vault.unseal("webhook", "we_2", &record).is_err());
        prop_assert!(vault.unseal("webhoo", "kwe_1", &record).is_err());
        prop_assert_ne!(&record, &vault.seal("webhook", "we_1", &secret).unwrap());
        let at = at.index(record.len());
        record[at] ^= flip;
        prop_assert!(vault.unseal("webhook", "we_1", &record).is_err());
        prop_assert!(vault.unseal("webhook", "we_1", &record[..at]).is_err());
    }
}
