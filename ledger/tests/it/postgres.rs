//! A PostgreSQL for the tests: the installed server binaries, data in a temporary directory, removed at the end.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio_postgres::{Client, Config, NoTls};

/// A migrated database of its own for one test.
pub struct Database {
    /// How its superuser connects.
    pub config: Config,
}

impl Database {
    /// A new database on the shared server, migrated.
    pub async fn new() -> Database {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let config = server();
        let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
        connect(&config)
            .await
            .batch_execute(&format!("CREATE DATABASE {name}"))
            .await
            .unwrap();
        let mut config = config;
        config.dbname(&name);
        ledger::migrate(&mut connect(&config).await).await.unwrap();
        Database { config }
    }

    /// A connection as superuser.
    pub async fn connect(&self) -> Client {
        connect(&self.config).await
    }

    /// A connection that acts as `role`.
    pub async fn connect_as(&self, role: &str) -> Client {
        let client = self.connect().await;
        client.batch_execute(&format!("SET ROLE {role}")).await.unwrap();
        client
    }
}

async fn connect(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(async move {
        let _ = connection.await; // ends with the client, or by a test's own pg_terminate_backend
    });
    client
}

/// The shared server, started by the first test. A guard process stops it and removes its directory once this process
/// has ended, however it ended: statics are not dropped.
fn server() -> Config {
    static SERVER: OnceLock<Config> = OnceLock::new();
    SERVER.get_or_init(start).clone()
}

#[expect(
    clippy::zombie_processes,
    reason = "the guard ends the server once this process is gone, so nobody here can wait"
)]
fn start() -> Config {
    let bin = binaries();
    let dir = std::env::temp_dir().join(format!("ledger-test-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let owner = unprivileged();
    if let Some((uid, gid)) = owner {
        std::os::unix::fs::chown(&dir, Some(uid), Some(gid)).unwrap();
    }
    let data = dir.join("data");
    let init = command(&bin.join("initdb"), owner)
        .args([
            "--auth=trust",
            "--no-sync",
            "--no-instructions",
            "--locale=C.UTF-8",
            "-U",
            "postgres",
            "-D",
        ])
        .arg(&data)
        .output()
        .unwrap();
    assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
    let log = std::fs::File::create(dir.join("log")).unwrap();
    let server: Child = command(&bin.join("postgres"), owner)
        .arg("-D")
        .arg(&data)
        .args([
            "-c",
            "listen_addresses=",
            "-c",
            "max_connections=200",
            "-c",
            "deadlock_timeout=100ms",
        ])
        .arg("-k")
        .arg(&dir)
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    Command::new("sh")
        .arg("-c")
        .arg("while kill -0 $1 2>/dev/null; do sleep 0.2; done; kill -INT $2; while kill -0 $2 2>/dev/null; do sleep 0.1; done; rm -rf $3")
        .arg("guard")
        .args([std::process::id().to_string(), server.id().to_string()])
        .arg(&dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let socket = dir.join(".s.PGSQL.5432");
    let mut config = Config::new();
    config.host_path(&dir).user("postgres").dbname("postgres");
    // postmaster.pid says "ready" in its last line; until then connections are refused.
    for _ in 0..200 {
        let ready = std::fs::read_to_string(data.join("postmaster.pid")).is_ok_and(|s| s.contains("ready"));
        if ready && socket.exists() {
            return config;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!(
        "the server did not start: {}",
        std::fs::read_to_string(dir.join("log")).unwrap_or_default()
    );
}

fn command(program: &Path, owner: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/").env("LC_ALL", "C.UTF-8").process_group(0);
    if let Some((uid, gid)) = owner {
        command.uid(uid).gid(gid);
    }
    command
}

/// The newest installed server.
fn binaries() -> PathBuf {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL server binaries under /usr/lib/postgresql")
        .filter_map(|e| {
            let path = e.ok()?.path();
            Some((path.file_name()?.to_str()?.parse().ok()?, path.join("bin")))
        })
        .filter(|(_, bin)| bin.join("initdb").exists())
        .collect();
    versions.sort();
    versions.pop().expect("an installed server").1
}

/// The server refuses to run as root: then it runs as `postgres`, or `nobody`.
fn unprivileged() -> Option<(u32, u32)> {
    let id = Command::new("id").arg("-u").output().unwrap();
    if String::from_utf8_lossy(&id.stdout).trim() != "0" {
        return None;
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    ["postgres", "nobody"].iter().find_map(|user| {
        let line = passwd.lines().find(|l| l.split(':').next() == Some(user))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}
