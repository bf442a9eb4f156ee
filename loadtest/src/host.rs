//! What processes cost, from `/proc`: processor time and memory of the gateway, the database, the acquirer and ourselves.
//!
//! A figure of a process that runs on another machine is zero; it must never be guessed.

use std::collections::HashMap;
use std::time::Duration;

/// The processes of one installation.
#[derive(Clone, Copy, Debug)]
pub struct Processes {
    /// the service
    pub gateway: u32,
    /// the database's parent process
    pub postmaster: Option<u32>,
    /// the acquirer
    pub simulator: Option<u32>,
}

/// Processor time since the processes began.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    /// the service
    pub gateway: Duration,
    /// the database with all its backends, ended ones too
    pub postgres: Duration,
    /// the acquirer
    pub simulator: Duration,
    /// this process
    pub load_generator: Duration,
}

impl Processes {
    /// Finds the database's parent through one of its backends.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find(dev: &crate::dev::Dev, database: &tokio_postgres::Client) -> Result<Self, tokio_postgres::Error> {
        let backend: i32 = database.query_one("SELECT pg_backend_pid()", &[]).await?.try_get(0)?;
        Ok(Self {
            gateway: dev.pid,
            postmaster: stat(backend.unsigned_abs()).map(|s| s.parent),
            simulator: dev.simulator_pid,
        })
    }

    /// Processor time so far.
    pub fn cpu(&self) -> Cpu {
        let own = |pid: Option<u32>| pid.and_then(stat).map(|s| s.own).unwrap_or_default();
        Cpu {
            gateway: own(Some(self.gateway)),
            postgres: self.postmaster.map(family).unwrap_or_default(),
            simulator: own(self.simulator),
            load_generator: own(Some(std::process::id())),
        }
    }

    /// Resident memory of the service in bytes.
    pub fn gateway_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.gateway)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kilobytes.unwrap_or(0) * 1024
    }
}

impl Cpu {
    /// What was spent since an earlier look.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            gateway: self.gateway.saturating_sub(earlier.gateway),
            postgres: self.postgres.saturating_sub(earlier.postgres),
            simulator: self.simulator.saturating_sub(earlier.simulator),
            load_generator: self.load_generator.saturating_sub(earlier.load_generator),
        }
    }
}

/// Processor time by kind of database process (`writer`, `gateway_app`, `walwriter`), for the breakdown.
pub fn database_breakdown(postmaster: u32) -> HashMap<String, Duration> {
    let mut by_title = HashMap::new();
    for pid in processes() {
        let Some(stat) = stat(pid).filter(|stat| stat.parent == postmaster) else {
            continue;
        };
        let title = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let title = String::from_utf8_lossy(&title);
        let title = title.trim_start_matches("postgres: ").trim_end_matches(['\0', ' ']);
        let kind = title.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        *by_title.entry(kind).or_insert(Duration::ZERO) += stat.own;
    }
    by_title
}

fn family(parent: u32) -> Duration {
    let own = stat(parent).map(|s| s.own + s.ended_children).unwrap_or_default();
    let children = processes()
        .filter_map(stat)
        .filter(|stat| stat.parent == parent)
        .map(|stat| stat.own);
    own + children.sum::<Duration>()
}

fn processes() -> impl Iterator<Item = u32> {
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

struct Stat {
    parent: u32,
    own: Duration,
    ended_children: Duration,
}

/// The fields of /proc/PID/stat that matter here, see proc(5).
fn stat(pid: u32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    // One tick is 10 ms on every Linux that matters (USER_HZ is part of its ABI).
    let ticks = |i: usize| Some(Duration::from_millis(10 * fields.get(i)?.parse::<u64>().ok()?));
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        own: ticks(11)? + ticks(12)?,
        ended_children: ticks(13)? + ticks(14)?,
    })
}
