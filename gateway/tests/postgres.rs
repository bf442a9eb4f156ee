//! The embedded PostgreSQL on the real server: adoption, restarts, crashes, and folders that root hides.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use gateway::dev::postgres::testing::TestServer;
use gateway::dev::postgres::{EmbeddedPostgres, Options};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tokio_postgres::{Client, NoTls};

#[tokio::test]
async fn a_server_outlives_its_parent_and_keeps_its_data() {
    let dir = Folder::new("adopt");
    let options = Options {
        sync_new_cluster: false,
        ..Options::default()
    };
    let first = EmbeddedPostgres::start(&dir.0, &options).await.expect("starts");
    assert!(!first.adopted());
    first.create_database("books", None).await.expect("creates");
    first
        .create_database("books", None)
        .await
        .expect("an existing database is left as it is");
    let url = first.url("books");
    let client = connect(&url).await;
    client
        .batch_execute("CREATE TABLE t (n int); INSERT INTO t VALUES (7)")
        .await
        .expect("writes");
    drop(first); // a parent that is killed tells its server nothing

    let second = EmbeddedPostgres::start(&dir.0, &options).await.expect("adopts");
    assert!(second.adopted());
    assert_eq!(second.url("books"), url);
    assert_eq!(number(&client).await, 7, "the old session goes on");
    drop(client);
    second.stop().await.expect("an adopted server stops too");
    assert!(tokio_postgres::connect(&url, NoTls).await.is_err());

    let third = EmbeddedPostgres::start(&dir.0, &options).await.expect("starts again");
    assert!(!third.adopted());
    assert_eq!(third.url("books"), url, "same port, same password");
    assert_eq!(number(&connect(&url).await).await, 7);
    assert!(
        tokio_postgres::connect(&url.replace("counterfoil:", "counterfoil:x"), NoTls)
            .await
            .is_err()
    );
    third.stop().await.expect("stops");
}

#[tokio::test]
async fn it_is_durable_and_keeps_parameters_out_of_its_log() {
    let server = TestServer::shared().await.expect("starts");
    let name = server.database(None).await.expect("creates");
    let client = connect(&server.postgres().url(&name)).await;
    for (setting, value) in [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
    ] {
        let row = client
            .query_one("SELECT current_setting($1)", &[&setting])
            .await
            .expect("reads");
        assert_eq!(row.get::<_, &str>(0), value, "{setting}");
    }
    client
        .query_one("SELECT 1 / $1::int", &[&0])
        .await
        .expect_err("division by zero");
    let card = "4242424242424242";
    client
        .query_one("SELECT $1::text::int2", &[&card])
        .await
        .expect_err("out of range");
    let log = fs::read_to_string(server.postgres().path().join("log")).expect("log");
    assert!(log.contains("division by zero"), "errors are logged: {log}");
    assert!(!log.contains("STATEMENT"), "statements are not: {log}");
}

#[tokio::test]
async fn databases_are_copies_of_a_template_and_apart_from_each_other() {
    let server = TestServer::shared().await.expect("starts");
    let template = server.database(None).await.expect("creates");
    let (client, connection) = server
        .postgres()
        .config(&template)
        .connect(NoTls)
        .await
        .expect("connects by socket");
    let session = tokio::spawn(connection);
    client
        .batch_execute("CREATE TABLE t (n int); INSERT INTO t VALUES (1)")
        .await
        .expect("writes");
    drop(client);
    let _ = session.await;
    let (a, b) = tokio::join!(server.database(Some(&template)), server.database(Some(&template)));
    let (a, b) = (a.expect("copies"), b.expect("copies"));
    let a = connect(&server.postgres().url(&a)).await;
    a.batch_execute("UPDATE t SET n = 2").await.expect("writes");
    assert_eq!(number(&a).await, 2);
    assert_eq!(number(&connect(&server.postgres().url(&b)).await).await, 1);
}

#[tokio::test]
async fn a_killed_server_recovers_and_a_recycled_process_id_does_not_fool_it() {
    let dir = Folder::new("crash");
    let options = Options {
        sync_new_cluster: false,
        ..Options::default()
    };
    let server = EmbeddedPostgres::start(&dir.0, &options).await.expect("starts");
    let client = connect(&server.url("postgres")).await;
    client
        .batch_execute("CREATE TABLE t (n int); INSERT INTO t VALUES (3)")
        .await
        .expect("acknowledged");
    let lock = server.path().join("data/postmaster.pid");
    let text = fs::read_to_string(&lock).expect("lock file");
    let pid: i32 = text.lines().next().expect("a line").parse().expect("a number");
    kill_process(Pid::from_raw(pid).expect("positive"), Signal::KILL).expect("kill -9");
    drop(server);

    let server = EmbeddedPostgres::start(&dir.0, &options).await.expect("recovers");
    assert!(!server.adopted());
    assert_eq!(number(&connect(&server.url("postgres")).await).await, 3);
    server.stop().await.expect("stops");

    fs::write(
        &lock,
        text.replacen(&pid.to_string(), &std::process::id().to_string(), 1),
    )
    .expect("forge the lock");
    let server = EmbeddedPostgres::start(&dir.0, &options)
        .await
        .expect("a living stranger is not the postmaster");
    assert!(!server.adopted());
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn a_folder_that_the_account_cannot_enter_gets_its_data_elsewhere() {
    let dir = Folder::new("hidden");
    fs::set_permissions(&dir.0, Permissions::from_mode(0o700)).expect("close the folder to others");
    let options = Options {
        sync_new_cluster: false,
        ..Options::default()
    };
    let server = EmbeddedPostgres::start(&dir.0, &options).await.expect("starts");
    let path = server.path().to_path_buf();
    assert_eq!(dir.0.join("postgres").canonicalize().expect("exists"), path);
    assert_eq!(
        path.starts_with(dir.0.canonicalize().expect("exists")),
        !geteuid().is_root()
    );
    assert_eq!(fs::metadata(&path).expect("exists").permissions().mode() & 0o777, 0o700);
    server.stop().await.expect("stops");
    EmbeddedPostgres::start(&dir.0, &options)
        .await
        .expect("finds it again")
        .stop()
        .await
        .expect("stops");
    fs::remove_dir_all(path).expect("clean up");
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .expect("connects over TCP with its password");
    tokio::spawn(connection);
    client
}

async fn number(client: &Client) -> i32 {
    client.query_one("SELECT n FROM t", &[]).await.expect("reads").get(0)
}

/// A folder that the server's account may enter, removed afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("counterfoil-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("temporary folder");
        fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("open to the account");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
