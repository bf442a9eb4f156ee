//! The acquirer simulator as a process of its own: the outside world must not live in the process that it is to test.
//!
//! It outlives a killed parent and is adopted by the next start, if it was started with the same arguments; else it is replaced.
//! Its state is on disk, so that replacing it loses nothing.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

/// Where the simulator reports to.
#[derive(Clone, Debug)]
pub struct Callbacks {
    /// Our endpoint for an acquirer's webhooks.
    pub url: String,
    /// Secret that signs them.
    pub secret: String,
    /// Authority of our certificate.
    pub authority: PathBuf,
}

/// A running simulator.
#[derive(Debug)]
pub struct Simulator {
    ready: Ready,
    arguments: Vec<Vec<u8>>,
    child: Option<Child>,
}

/// What the simulator writes when it listens.
#[derive(Debug, Deserialize)]
struct Ready {
    api_url: String,
    admin_url: String,
    bank_address: String,
    pid: i32,
}

/// What an acquirer must tell by itself: what happens after a payment was answered. Payments are answered in the call,
/// and what is not known is asked for.
const CALLBACK_EVENTS: &str = "charge.dispute.created,charge.dispute.updated,charge.dispute.closed,\
    charge.dispute.funds_withdrawn,charge.dispute.funds_reinstated,charge.refund.updated,refund.updated,refund.failed,\
    radar.early_fraud_warning.created";

impl Simulator {
    /// Starts `program simulator` with its state in `dir`, or adopts the one that still runs there.
    ///
    /// # Errors
    /// When it cannot be started, or is not ready in time; its log is in `dir`.
    pub async fn start(program: &Path, dir: &Path, callbacks: &Callbacks) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
        let dir = dir.canonicalize()?;
        let (ready_file, log) = (dir.join("ready.json"), dir.join("log"));
        let mut command = Command::new(program);
        command
            .args([
                "simulator",
                "--listen",
                "127.0.0.1:0",
                "--admin-listen",
                "127.0.0.1:0",
                "--dir",
            ])
            .arg(&dir);
        command.arg("--ready-file").arg(&ready_file).args([
            "--webhook-url",
            &callbacks.url,
            "--webhook-events",
            CALLBACK_EVENTS,
        ]);
        command
            .args(["--webhook-secret", &callbacks.secret, "--webhook-ca"])
            .arg(&callbacks.authority);
        let arguments: Vec<Vec<u8>> = command
            .get_args()
            .map(|argument| argument.as_bytes().to_vec())
            .collect();

        if let Some(ready) = read(&ready_file) {
            let left = Self {
                ready,
                arguments: arguments.clone(),
                child: None,
            };
            match left.running() {
                Running::Same => return Ok(left),
                Running::Other => left.stop().await?,
                Running::Gone => {}
            }
        }
        let _ = fs::remove_file(&ready_file);
        let output = OpenOptions::new().create(true).append(true).mode(0o600).open(&log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        command.process_group(0); // Ctrl-C on the terminal is for us: we stop it, after our own drain
        let mut child = command.spawn().context("starting the simulator")?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(ready) = read(&ready_file) {
                return Ok(Self {
                    ready,
                    arguments,
                    child: Some(child),
                });
            }
            if let Some(status) = child.try_wait()? {
                bail!("the simulator ended at once ({status}); its log is {}", log.display());
            }
            if Instant::now() > deadline {
                bail!(
                    "the simulator is not ready after {} s; its log is {}",
                    PATIENCE.as_secs(),
                    log.display()
                );
            }
            sleep(TICK).await;
        }
    }

    /// Where it speaks Stripe's wire.
    #[must_use]
    pub fn api_url(&self) -> &str {
        &self.ready.api_url
    }

    /// Where its bank's host speaks ISO 8583.
    #[must_use]
    pub fn bank_address(&self) -> &str {
        &self.ready.bank_address
    }

    /// Where faults are ordered and the truth is read.
    #[must_use]
    pub fn admin_url(&self) -> &str {
        &self.ready.admin_url
    }

    /// Whether it was already running.
    #[must_use]
    pub fn adopted(&self) -> bool {
        self.child.is_none()
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn stop(mut self) -> Result<()> {
        if let Some(pid) = Pid::from_raw(self.ready.pid) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + PATIENCE;
        while self.alive()? {
            if Instant::now() > deadline {
                bail!("the simulator (process {}) does not end", self.ready.pid);
            }
            sleep(TICK).await;
        }
        Ok(())
    }

    fn alive(&mut self) -> io::Result<bool> {
        match &mut self.child {
            Some(child) => Ok(child.try_wait()?.is_none()),
            None => Ok(!matches!(self.running(), Running::Gone)),
        }
    }

    /// What the process of that id is now: after a reboot it may be anyone, and only a simulator of this folder is ours to end.
    fn running(&self) -> Running {
        let Ok(command) = fs::read(format!("/proc/{}/cmdline", self.ready.pid)) else {
            return Running::Gone;
        };
        let found: Vec<&[u8]> = command
            .split(|byte| *byte == 0)
            .skip(1)
            .filter(|part| !part.is_empty())
            .collect();
        let ready_file = self
            .arguments
            .iter()
            .skip_while(|argument| *argument != b"--ready-file")
            .nth(1);
        match ready_file {
            _ if found == self.arguments => Running::Same,
            Some(ready_file) if found.contains(&ready_file.as_slice()) => Running::Other,
            _ => Running::Gone,
        }
    }
}

enum Running {
    Same,
    Other,
    Gone,
}

fn read(path: &Path) -> Option<Ready> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

const PATIENCE: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(20);
