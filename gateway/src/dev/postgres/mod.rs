//! A real PostgreSQL, run from the installed server's own programs, for development and for tests.
//!
//! It keeps every promise of the production database: fsync is on and nothing is relaxed. It refuses no one his root shell:
//! PostgreSQL does not run as root, so then it runs as an unprivileged account. It outlives a killed parent, and the next start
//! on the same folder adopts it; data is never removed here.

mod install;
mod place;
pub mod testing;

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, NoTls};

use install::{Account, Programs};
use place::Place;

/// What a caller may choose.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether a new cluster is flushed to disk while it is made. Tests throw theirs away; the running server syncs always.
    pub sync_new_cluster: bool,
    /// Further `postgresql.conf` settings; they win over ours.
    pub settings: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sync_new_cluster: true,
            settings: Vec::new(),
        }
    }
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// No installation was found (or none of the version that made the data).
    #[error(
        "no PostgreSQL server programs found{0}: install postgresql (initdb and postgres are looked for on PATH and in the usual folders)"
    )]
    NotInstalled(String),
    /// Running as root, and there is no account to become.
    #[error("PostgreSQL does not run as root, and neither the account postgres nor nobody exists")]
    NoAccount,
    /// A file or folder is in the way.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A program could not be started or reported a failure; the text is its own.
    #[error("{program} failed: {output}")]
    Program {
        /// Which.
        program: &'static str,
        /// The end of what it printed.
        output: String,
    },
    /// The server did not accept connections, or did not stop, in time.
    #[error("PostgreSQL did not {what} within {seconds} s; its log is {log}")]
    Slow {
        /// What it was to do.
        what: &'static str,
        /// How long we waited.
        seconds: u64,
        /// Where to look.
        log: PathBuf,
    },
    /// The server is there, but refuses.
    #[error("the embedded PostgreSQL refused: {0}")]
    Refused(#[from] tokio_postgres::Error),
}

/// A running server.
#[derive(Debug)]
pub struct EmbeddedPostgres {
    place: Place,
    postmaster: Postmaster,
    password: String,
    /// Ours to reap, unless it was adopted.
    child: Option<Child>,
}

/// Name of the role that owns the cluster.
pub const OWNER: &str = "counterfoil";

impl EmbeddedPostgres {
    /// Starts the server of `dir`, making its cluster on the first use; one that already runs there is adopted.
    ///
    /// # Errors
    /// [`PostgresError`], with the server's own words where it has any.
    pub async fn start(dir: &Path, options: &Options) -> Result<Self, PostgresError> {
        let place = Place::prepare(dir)?;
        let password = place.password()?;
        if let Some(postmaster) = Postmaster::running(&place) {
            let mut adopted = Self {
                place: place.clone(),
                postmaster,
                password: password.clone(),
                child: None,
            };
            match adopted.wait_until_ready().await {
                Ok(()) => return Ok(adopted),
                Err(PostgresError::Program { .. }) => {} // it was on its way out: start another
                Err(error) => return Err(error),
            }
        }
        let programs = Programs::find(&place.data)?;
        if !place.data.join("PG_VERSION").exists() {
            initialise(&programs, &place, options)?;
        }
        let deadline = Instant::now() + EXIT_PATIENCE;
        loop {
            let mut server = Self::launch(&programs, place.clone(), &password, options)?;
            match server.wait_until_ready().await {
                Ok(()) => return Ok(server),
                // The port was taken in between, or backends of a killed server still hold its memory: both pass.
                Err(PostgresError::Program { .. }) if Instant::now() < deadline => sleep(RETRY).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether the server was already running.
    #[must_use]
    pub fn adopted(&self) -> bool {
        self.child.is_none()
    }

    /// Where data, socket and log lie.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.place.base
    }

    /// URL of a database for the owner over TCP on 127.0.0.1, with the password: any tool on this machine can use it.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgresql://{OWNER}:{}@127.0.0.1:{}/{database}",
            self.password, self.postmaster.port
        )
    }

    /// Connection settings of a database for the owner over the Unix socket.
    #[must_use]
    pub fn config(&self, database: &str) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config
            .host_path(&self.place.socket)
            .port(self.postmaster.port)
            .user(OWNER)
            .dbname(database);
        config
    }

    /// Creates a database, as a copy of `template` if one is named; an existing one is left as it is.
    ///
    /// # Errors
    /// When the server refuses, for example because someone is connected to the template.
    pub async fn create_database(&self, name: &str, template: Option<&str>) -> Result<(), PostgresError> {
        let client = self.connect("postgres").await?;
        let known = client
            .query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&name])
            .await?;
        if known.is_none() {
            let template = template
                .map(|template| format!(" TEMPLATE {}", quoted(template)))
                .unwrap_or_default();
            client
                .batch_execute(&format!("CREATE DATABASE {}{template}", quoted(name)))
                .await?;
        }
        Ok(())
    }

    /// Stops the server in an orderly way: sessions are cut, everything acknowledged is on disk already.
    ///
    /// # Errors
    /// When it does not stop in time; it is then left running.
    pub async fn stop(mut self) -> Result<(), PostgresError> {
        let _ = kill_process(self.postmaster.pid, Signal::INT);
        let deadline = Instant::now() + PATIENCE;
        while self.alive() {
            if Instant::now() > deadline {
                return Err(self.slow("stop"));
            }
            sleep(TICK).await;
        }
        Ok(())
    }

    async fn connect(&self, database: &str) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = self.config(database).connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    fn launch(programs: &Programs, place: Place, password: &str, options: &Options) -> Result<Self, PostgresError> {
        place.clear_stale_locks()?;
        let port = place.free_port()?;
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&place.log)
            .map_err(|e| place::file(&place.log, e))?;
        let errors = log.try_clone().map_err(|error| place::file(&place.log, error))?;
        let mut command = command(&programs.postgres, &place.account);
        command.arg("-D").arg(&place.data);
        let own = [
            ("port", port.to_string()),
            ("unix_socket_directories", place.socket.display().to_string()),
        ];
        let ours = SETTINGS.iter().map(|(name, value)| (*name, (*value).to_string()));
        let theirs = options
            .settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()));
        for (name, value) in ours
            .chain(own.iter().map(|(name, value)| (*name, value.clone())))
            .chain(theirs)
        {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        command.process_group(0); // Ctrl-C on the terminal is for us: we stop the server, in order
        let child = command.spawn().map_err(|error| started("postgres", &error))?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| started("postgres", &io::Error::other("no process id")))?;
        Ok(Self {
            place,
            postmaster: Postmaster { pid, port },
            password: password.to_string(),
            child: Some(child),
        })
    }

    async fn wait_until_ready(&mut self) -> Result<(), PostgresError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.connect("postgres").await {
                Ok(client) => return Ok(client.batch_execute("SELECT 1").await?),
                Err(_) if !self.alive() => {
                    return Err(PostgresError::Program {
                        program: "postgres",
                        output: self.place.log_tail(),
                    });
                }
                Err(_) if Instant::now() > deadline => return Err(self.slow("accept connections")),
                Err(_) => sleep(TICK).await,
            }
        }
    }

    fn alive(&mut self) -> bool {
        match &mut self.child {
            Some(child) => matches!(child.try_wait(), Ok(None)), // also reaps it
            None => Postmaster::running(&self.place).is_some(), // not by its pid: a container may have nobody to reap it
        }
    }

    fn slow(&self, what: &'static str) -> PostgresError {
        PostgresError::Slow {
            what,
            seconds: PATIENCE.as_secs(),
            log: self.place.log.clone(),
        }
    }
}

/// The server's main process, as its lock file describes it.
#[derive(Clone, Copy, Debug)]
struct Postmaster {
    pid: Pid,
    port: u16,
}

impl Postmaster {
    /// The postmaster of this place if it is alive: a process id alone proves nothing after a reboot, its working directory does.
    fn running(place: &Place) -> Option<Self> {
        let lines = fs::read_to_string(place.pid_file()).ok()?;
        let mut lines = lines.lines();
        let pid = Pid::from_raw(lines.next()?.trim().parse().ok()?)?;
        let port = lines.nth(2)?.trim().parse().ok()?;
        let socket = lines.next()?.trim();
        let ours = match fs::read_link(format!("/proc/{pid}/cwd")) {
            Ok(cwd) => cwd == place.data,
            Err(_) if cfg!(target_os = "linux") => false,
            Err(_) => test_kill_process(pid).is_ok(),
        };
        (ours && Path::new(socket) == place.socket).then_some(Self { pid, port })
    }
}

/// Makes the cluster under another name and renames it when it is whole: a half-made one is never mistaken for data.
fn initialise(programs: &Programs, place: &Place, options: &Options) -> Result<(), PostgresError> {
    let unfinished = place.base.join("data.unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(|error| place::file(&unfinished, error))?;
    }
    let mut command = command(&programs.initdb, &place.account);
    command
        .arg("-D")
        .arg(&unfinished)
        .args(["--username", OWNER, "--encoding", "UTF8", "--locale", "C"]);
    command.args(["--auth-local", "trust"]); // the socket's folder admits its owner and root only
    command.args(["--auth-host", "scram-sha-256", "--data-checksums", "--no-instructions"]);
    command.arg("--pwfile").arg(&place.password_file);
    if !options.sync_new_cluster {
        command.arg("--no-sync");
    }
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| started("initdb", &error))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).trim().to_string();
        return Err(PostgresError::Program {
            program: "initdb",
            output: text,
        });
    }
    fs::rename(&unfinished, &place.data).map_err(|error| place::file(&place.data, error))
}

fn command(program: &Path, account: &Option<Account>) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir("/")
        .env("LC_ALL", "C")
        .env_remove("PGDATA")
        .env_remove("PGPORT");
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
    command
}

fn started(program: &'static str, error: &io::Error) -> PostgresError {
    PostgresError::Program {
        program,
        output: error.to_string(),
    }
}

fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// Sized for one developer's machine. Durability settings are PostgreSQL's own and stay on.
const SETTINGS: &[(&str, &str)] = &[
    ("listen_addresses", "127.0.0.1"),
    ("fsync", "on"),
    ("synchronous_commit", "on"),
    ("full_page_writes", "on"),
    ("max_connections", "200"),
    ("shared_buffers", "256MB"),
    ("max_wal_size", "4GB"), // a checkpoint in the middle of a load test measures the disk
    ("wal_compression", "on"),
    ("checkpoint_timeout", "15min"),
    ("random_page_cost", "1.1"),   // solid-state disks
    ("autovacuum_naptime", "10s"), // counters change all the time; without vacuum each change costs more than the last
    ("jit", "off"),                // our statements are short; compiling them costs more than running them
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("log_checkpoints", "off"),
    ("log_parameter_max_length", "0"), // parameters are customers' data and never belong in a log
    ("log_parameter_max_length_on_error", "0"),
    ("log_min_error_statement", "panic"),
];
const PATIENCE: Duration = Duration::from_secs(60);
const EXIT_PATIENCE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(200);
const TICK: Duration = Duration::from_millis(20);
