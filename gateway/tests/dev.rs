//! `counterfoil dev` as people and scripts use it: the program itself, its files, its signals and its exit codes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

#[test]
fn it_starts_everything_survives_a_kill_and_stops_everything() {
    let folder = Folder::new("life");
    let first = Dev::start(&folder);
    let announced = first.announced.clone();
    for key in [
        "api_url",
        "ops_url",
        "ca_file",
        "secret_key",
        "publishable_key",
        "restricted_keys",
        "merchants",
        "webhook_secret",
        "database_url",
        "simulator_url",
        "console_users",
        "pid",
    ] {
        assert!(!announced[key].is_null(), "dev.json lacks {key}: {announced}");
    }
    for secret in [
        "dev.json",
        "credentials.json",
        "tls/ca.key",
        "tls/server.key",
        "log.jsonl",
    ] {
        let mode = fs::metadata(folder.0.join(secret)).expect(secret).permissions().mode();
        assert_eq!(mode & 0o077, 0, "{secret} is readable by others");
    }

    let refused = counterfoil(&["dev", "--api-port", "0", "--ops-port", "0", "--dir"], &folder.0);
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        said.contains("already runs") && said.contains(&first.pid().to_string()),
        "{said}"
    );
    let verified = counterfoil(&["ledger", "verify", "--dir"], &folder.0);
    assert!(verified.status.success(), "{verified:?}");

    let helpers = first.helpers(&folder);
    first.kill();
    for helper in &helpers {
        assert!(alive(*helper), "helpers outlive a killed parent");
    }
    let second = Dev::start(&folder);
    assert_eq!(second.helpers(&folder), helpers, "and are adopted, not doubled");
    for key in [
        "secret_key",
        "publishable_key",
        "merchants",
        "webhook_secret",
        "database_url",
        "simulator_url",
    ] {
        assert_eq!(second.announced[key], announced[key], "{key} stays");
    }
    let status = second.stop(Signal::TERM);
    assert_eq!(status.code(), Some(0));
    assert!(
        helpers.iter().all(|helper| !alive(*helper)),
        "nothing that it started is left"
    );
    assert!(
        !folder.0.join("dev.json").exists(),
        "dev.json exists while its addresses answer"
    );

    let third = Dev::start(&folder);
    assert_eq!(
        third.announced["secret_key"], announced["secret_key"],
        "data and keys stay over a stop"
    );
    assert_eq!(third.stop(Signal::INT).code(), Some(0));
}

#[test]
fn a_taken_port_is_named_and_leaves_nothing_running() {
    let folder = Folder::new("port");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let port = taken.local_addr().expect("bound").port().to_string();
    let refused = counterfoil(&["dev", "--ops-port", "0", "--api-port", &port, "--dir"], &folder.0);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains(&port), "{refused:?}");
    assert!(
        !folder.0.join("postgres").exists(),
        "the port was looked at before anything was started"
    );
}

/// A disk that fills up must not stop payments because of a log: `/dev/full` takes no byte.
#[test]
fn a_log_that_cannot_be_written_stops_nothing() {
    let folder = Folder::new("full");
    fs::create_dir_all(&folder.0).expect("folder");
    std::os::unix::fs::symlink("/dev/full", folder.0.join("log.jsonl")).expect("a link");
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("a device");
    let running = Dev::start_with(&folder, full.into());
    assert_eq!(running.stop(Signal::TERM).code(), Some(0));
}

#[test]
fn settings_are_checked_without_serving() {
    let folder = Folder::new("check");
    fs::create_dir_all(&folder.0).expect("folder");
    let file = folder.0.join("counterfoil.toml");
    fs::write(&file, "[limits]\nbody_byte = 1\n").expect("writes");
    let refused = counterfoil(&["serve", "--check", "--config"], &file);
    assert!(!refused.status.success());
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("body_byte"),
        "{refused:?}"
    );
}

/// A running `counterfoil dev`, ready.
struct Dev {
    child: Child,
    announced: Value,
}

impl Dev {
    fn start(folder: &Folder) -> Self {
        Self::start_with(folder, Stdio::inherit())
    }

    fn start_with(folder: &Folder, errors: Stdio) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_counterfoil"));
        command
            .args(["dev", "--api-port", "0", "--ops-port", "0", "--dir"])
            .arg(&folder.0);
        let mut child = command.stdout(Stdio::null()).stderr(errors).spawn().expect("starts");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = fs::read(folder.0.join("dev.json")).unwrap_or_default();
            let announced: Value = serde_json::from_slice(&text).unwrap_or_default();
            if announced["pid"] == child.id() {
                return Self { child, announced };
            }
            let ended = child.try_wait().expect("asks");
            assert!(ended.is_none(), "counterfoil dev ended: {ended:?}");
            assert!(Instant::now() < deadline, "counterfoil dev is not ready");
            thread::sleep(TICK);
        }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Process ids of the database and the simulator.
    fn helpers(&self, folder: &Folder) -> [i32; 2] {
        let lock = fs::read_to_string(folder.0.join("postgres/data/postmaster.pid")).expect("a running database");
        let ready = fs::read(folder.0.join("simulator/ready.json")).expect("a running simulator");
        let ready: Value = serde_json::from_slice(&ready).expect("JSON");
        let simulator = ready["pid"]
            .as_i64()
            .and_then(|pid| i32::try_from(pid).ok())
            .expect("a process id");
        [
            lock.lines()
                .next()
                .and_then(|line| line.parse().ok())
                .expect("a process id"),
            simulator,
        ]
    }

    fn kill(mut self) {
        self.child.kill().expect("kill -9");
        self.child.wait().expect("reaped");
    }

    fn stop(mut self, signal: Signal) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), signal).expect("signals");
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("asks") {
                return status;
            }
            assert!(Instant::now() < deadline, "counterfoil dev does not stop");
            thread::sleep(TICK);
        }
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // Only after a failed assertion: an orderly stop also stops the helpers.
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
            let _ = self.child.wait();
        }
    }
}

fn counterfoil(arguments: &[&str], last: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_counterfoil"));
    command
        .args(arguments)
        .arg(last)
        .env_remove("DATABASE_URL")
        .output()
        .expect("runs")
}

/// Whether a process runs; one that ended but was not yet reaped does not.
fn alive(pid: i32) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let zombie = state
        .rsplit(')')
        .next()
        .is_some_and(|rest| rest.trim_start().starts_with('Z'));
    !zombie && Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid).is_ok())
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("counterfoil-dev-{name}-{}", std::process::id())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const PATIENCE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(50);
