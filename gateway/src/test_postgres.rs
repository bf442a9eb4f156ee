//! A real PostgreSQL for the tests of this crate: its own data directory and socket, fsync on, gone when dropped.

use deadpool_postgres::{Manager, Pool};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use tokio_postgres::NoTls;

/// A directory of this test alone, removed when dropped.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("counterfoil-{name}-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running server with all our schemas in database `postgres`.
pub struct Postgres {
    server: Child,
    dir: TempDir,
}

impl Postgres {
    pub async fn start(name: &str) -> Self {
        let dir = TempDir::new(name);
        let user = unprivileged();
        if let Some((uid, gid)) = user {
            chown(dir.path(), Some(uid), Some(gid)).unwrap();
        }
        let command = |program: &str| {
            let mut command = Command::new(bin_dir().join(program));
            command
                .current_dir("/")
                .env("LC_ALL", "C.UTF-8")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            if let Some((uid, gid)) = user {
                command.uid(uid).gid(gid);
            }
            command
        };
        let data = dir.path().join("data");
        let made = command("initdb")
            .args([
                "--auth=trust",
                "--no-sync",
                "--no-instructions",
                "--locale=C.UTF-8",
                "--encoding=UTF8",
                "--username=postgres",
            ])
            .arg(&data)
            .status()
            .unwrap();
        assert!(made.success(), "initdb failed");
        let server = command("postgres")
            .args(["-c", "listen_addresses=", "-c", "shared_buffers=32MB", "-k"])
            .arg(dir.path())
            .arg("-D")
            .arg(&data)
            .process_group(0)
            .spawn()
            .unwrap();
        let postgres = Self { server, dir };
        let mut tries = 0;
        while let Err(e) = postgres.pool("postgres").get().await {
            assert!(tries < 600, "the server does not answer: {e}");
            tries += 1;
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let mut owner = postgres.connect("postgres").await;
        crate::service::migrate(&mut owner).await.unwrap();
        // Which roles log in is for who sets a server up.
        owner.batch_execute("ALTER ROLE gateway_app LOGIN").await.unwrap();
        postgres
    }

    /// A connection as this role.
    pub async fn connect(&self, role: &str) -> tokio_postgres::Client {
        let mut config = tokio_postgres::Config::new();
        config.host_path(self.dir.path()).user(role).dbname("postgres");
        let (client, connection) = config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// A pool as this role.
    pub fn pool(&self, role: &str) -> Pool {
        let mut config = tokio_postgres::Config::new();
        config.host_path(self.dir.path()).user(role).dbname("postgres");
        Pool::builder(Manager::new(config, NoTls)).max_size(4).build().unwrap()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.server.id() as i32) {
            let _ = kill_process(pid, Signal::INT);
        }
        let _ = self.server.wait();
    }
}

/// PostgreSQL refuses to run as root: then it runs as its own user, or as nobody.
fn unprivileged() -> Option<(u32, u32)> {
    if !geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let ids = |name: &str| {
        let fields: Vec<&str> = users
            .lines()
            .map(|l| l.split(':').collect::<Vec<_>>())
            .find(|f| f[0] == name)?;
        Some((fields[2].parse().ok()?, fields[3].parse().ok()?))
    };
    ids("postgres").or_else(|| ids("nobody"))
}

/// The newest installed server.
fn bin_dir() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed");
    let newest = versions
        .flatten()
        .filter_map(|v| v.file_name().to_str()?.parse::<u32>().ok())
        .max();
    PathBuf::from(format!(
        "/usr/lib/postgresql/{}/bin",
        newest.expect("PostgreSQL is installed")
    ))
}
