//! The whole service as a test meets it: the real program, on a real PostgreSQL, with the simulator as a process of its own.
//!
//! [`TestApp::shared`] is one instance for every test of a binary that leaves others in peace; a test that kills, stops or
//! breaks things takes its own with [`TestApp::start`]. Nothing here reaches into the service's memory: what a test knows, it
//! knows from HTTPS, from SQL as the owner, from the command line, or from the simulator's admin port.

pub mod description;
mod form;
mod http;
mod program;

use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Output};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

pub use form::encode;
pub use http::{Answer, Request, Unanswered};
pub use program::{binary, ensure_built, workspace};

/// A running `counterfoil dev` in a temporary folder; stopped and removed when dropped, or when this process ends in any way.
pub struct TestApp {
    dir: PathBuf,
    arguments: Vec<String>,
    child: Mutex<Option<Child>>,
    announced: RwLock<Value>,
    client: http::Client,
    _watcher: program::Watcher,
}

impl TestApp {
    /// The instance of this test binary, started by the first who asks. Never stop, kill or fault it.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<TestApp> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    /// An instance of its own.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// An instance of its own with more arguments to `counterfoil dev`, which every restart repeats.
    pub async fn start_with(arguments: &[&str]) -> Self {
        program::ensure_built();
        let dir = std::env::temp_dir().join(format!("counterfoil-it-{}", uuid::Uuid::now_v7().simple()));
        std::fs::create_dir_all(&dir).expect("a temporary folder");
        let watcher = program::Watcher::start(&dir);
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let (child, announced) = launch(&dir, &arguments).await;
        let client = http::Client::new(Path::new(announced["ca_file"].as_str().expect("ca_file")));
        Self {
            dir,
            arguments,
            child: Mutex::new(Some(child)),
            announced: RwLock::new(announced),
            client,
            _watcher: watcher,
        }
    }

    /// Kills the gateway process with SIGKILL; PostgreSQL and the simulator run on.
    pub fn kill9(&self) {
        if let Some(mut child) = self.running().take() {
            child.kill().expect("kill -9");
            child.wait().expect("reaped");
        }
    }

    /// Starts the gateway again in the same folder, on the same ports; asks it to stop first if it runs.
    pub async fn restart(&self) {
        self.stop().await;
        let (child, announced) = launch(&self.dir, &self.arguments).await;
        *self.announced.write().unwrap_or_else(PoisonError::into_inner) = announced;
        *self.running() = Some(child);
    }

    /// Stops everything in order, as SIGTERM does. `None` when the gateway did not run.
    pub async fn stop(&self) -> Option<ExitStatus> {
        let mut child = self.running().take()?;
        program::signal(&child, rustix::process::Signal::TERM);
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().expect("asks") {
                return Some(status);
            }
            assert!(Instant::now() < deadline, "counterfoil dev does not stop");
            sleep(TICK).await;
        }
    }

    /// The folder with `dev.json`, `log.jsonl` and all data.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Process id of the gateway, if it runs.
    pub fn pid(&self) -> Option<u32> {
        self.running().as_ref().map(Child::id)
    }

    /// A text of `dev.json` by its JSON pointer, `/secret_key` or `/merchants/1/id`.
    ///
    /// # Panics
    /// When there is none.
    pub fn told(&self, pointer: &str) -> String {
        let announced = self.announced.read().unwrap_or_else(PoisonError::into_inner);
        let value = announced.pointer(pointer).and_then(Value::as_str);
        value
            .unwrap_or_else(|| panic!("dev.json has no text at {pointer}"))
            .to_owned()
    }

    /// The whole of `dev.json`.
    pub fn announced(&self) -> Value {
        self.announced.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A GET with the secret key.
    pub fn get(&self, path: &str) -> Request<'_> {
        self.request("GET", path)
    }

    /// A POST with the secret key.
    pub fn post(&self, path: &str) -> Request<'_> {
        self.request("POST", path)
    }

    /// A DELETE with the secret key.
    pub fn delete(&self, path: &str) -> Request<'_> {
        self.request("DELETE", path)
    }

    /// Any method with the secret key.
    pub fn request(&self, method: &str, path: &str) -> Request<'_> {
        let url = format!("{}{path}", self.told("/api_url"));
        Request::new(&self.client, method, url)
            .described()
            .key(&self.told("/secret_key"))
    }

    /// Any method with the secret key, to another process on the same database.
    pub fn request_to(&self, api_url: &str, method: &str, path: &str) -> Request<'_> {
        Request::new(&self.client, method, format!("{api_url}{path}")).key(&self.told("/secret_key"))
    }

    /// A request to the operations listener, without a key.
    pub fn ops(&self, method: &str, path: &str) -> Request<'_> {
        Request::new(&self.client, method, format!("{}{path}", self.told("/ops_url")))
    }

    /// A request to the simulator's admin port, `/admin/truth` or `/admin/faults`.
    pub fn simulator(&self, method: &str, path: &str) -> Request<'_> {
        Request::new(
            &self.client,
            method,
            format!("{}{path}", self.told("/simulator_admin_url")),
        )
    }

    /// A new connection as the owner of the database, good for as long as the caller's runtime.
    pub async fn sql(&self) -> tokio_postgres::Client {
        self.sql_as(None).await
    }

    /// A new connection that acts as this role.
    pub async fn sql_as(&self, role: Option<&str>) -> tokio_postgres::Client {
        let mut config: tokio_postgres::Config = self.told("/database_url").parse().expect("a database URL");
        if let Some(role) = role {
            config.options(format!("-c role={role}"));
        }
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.expect("the database");
        tokio::spawn(connection);
        client
    }

    /// Runs `counterfoil ARGUMENTS --dir DIR` to its end.
    pub async fn counterfoil(&self, arguments: &[&str]) -> Output {
        let mut command = program::counterfoil();
        command
            .args(arguments)
            .arg("--dir")
            .arg(&self.dir)
            .env_remove("DATABASE_URL");
        tokio::task::spawn_blocking(move || command.output().expect("runs"))
            .await
            .expect("joins")
    }

    /// `ledger verify`, which must find nothing wrong.
    ///
    /// # Panics
    /// With what it said, when it does.
    pub async fn verify_books(&self) {
        let verified = self.counterfoil(&["ledger", "verify"]).await;
        assert!(verified.status.success(), "the books are wrong:\n{}", said(&verified));
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        if let Some(mut child) = self.running().take() {
            program::signal(&child, rustix::process::Signal::TERM);
            let _ = child.wait();
        }
    }
}

/// Both outputs of a program, for messages.
pub fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Asks until the answer is there.
///
/// # Panics
/// When it is not within a generous deadline; `what` says what was awaited.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {} s: {what}", PATIENCE.as_secs());
        sleep(TICK).await;
    }
}

async fn launch(dir: &Path, arguments: &[String]) -> (Child, Value) {
    let mut child = program::dev(dir, arguments);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = std::fs::read(dir.join("dev.json")).unwrap_or_default();
        let announced: Value = serde_json::from_slice(&text).unwrap_or_default();
        if announced["pid"] == child.id() {
            return (child, announced);
        }
        let ended = child.try_wait().expect("asks");
        assert!(ended.is_none(), "counterfoil dev ended: {ended:?}");
        assert!(Instant::now() < deadline, "counterfoil dev is not ready");
        sleep(TICK).await;
    }
}

/// How long anything may take on the slowest machine; no test passes or fails by speed.
pub const PATIENCE: Duration = Duration::from_secs(90);
const TICK: Duration = Duration::from_millis(50);
