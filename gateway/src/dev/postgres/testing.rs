//! One server per test binary, one database per test.
//!
//! A static has no destructor, and a test binary may be killed: so a small watcher process holds the other end of a pipe, and
//! when this process is gone, however it went, it stops the server and removes its folder.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::{Mutex, OnceCell};

use super::{EmbeddedPostgres, Options, PostgresError};

/// A server of this process alone, gone with it.
#[derive(Debug)]
pub struct TestServer {
    postgres: EmbeddedPostgres,
    databases: AtomicU32,
    /// `CREATE DATABASE` wants its template to itself.
    creating: Mutex<()>,
    _watcher: Child,
}

impl TestServer {
    /// The server of this process, started by the first who asks.
    ///
    /// # Errors
    /// [`PostgresError`]; the next caller tries again.
    pub async fn shared() -> Result<&'static Self, PostgresError> {
        static SHARED: OnceCell<TestServer> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// Starts a server with a folder of its own; fsync is on.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub async fn start() -> Result<Self, PostgresError> {
        let dir = std::env::temp_dir().join(format!("counterfoil-test-{}", hex::encode(rand::random::<[u8; 6]>())));
        let options = Options {
            sync_new_cluster: false,
            ..Options::default()
        };
        let postgres = EmbeddedPostgres::start(&dir, &options).await?;
        let watcher = Command::new("/bin/sh")
            .arg("-c")
            .arg(WATCH)
            .arg("watch")
            .arg(postgres.postmaster.pid.to_string())
            .arg(&dir)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(|error: io::Error| super::started("/bin/sh", &error))?;
        Ok(Self {
            postgres,
            databases: AtomicU32::new(0),
            creating: Mutex::new(()),
            _watcher: watcher,
        })
    }

    /// A new database with a name of its own, as a copy of `template` if one is named; returns the name.
    ///
    /// # Errors
    /// [`PostgresError::Refused`], for example because someone is connected to the template.
    pub async fn database(&self, template: Option<&str>) -> Result<String, PostgresError> {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let _alone = self.creating.lock().await;
        self.postgres.create_database(&name, template).await?;
        Ok(name)
    }

    /// The server itself, for its URLs and connection settings.
    #[must_use]
    pub fn postgres(&self) -> &EmbeddedPostgres {
        &self.postgres
    }
}

/// `read` returns when the pipe's other end is closed, that is when the test process has ended.
const WATCH: &str = r#"read -r _; kill -INT "$1"
n=0; while kill -0 "$1" 2>/dev/null && [ $n -lt 200 ]; do sleep 0.05; n=$((n + 1)); done
rm -rf "$2""#;
