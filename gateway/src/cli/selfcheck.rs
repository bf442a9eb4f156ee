//! `counterfoil selfcheck`: everything that has to hold, looked at once. For a daily timer, and for whoever was just called.
//!
//! It reads, judges and says; it changes nothing and repairs nothing. What it cannot see here it names as skipped, never as good.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use jiff::Timestamp;
use ledger::verify::Report;
use serde::Serialize;
use serde_json::json;
use tokio_postgres::Client;

use super::ledger::seal::{KeyFile, of_dev, raise_alarm, read_heads, spinner};
use super::table::{Align, Table};
use super::{database, print};
use crate::config::Settings;
use crate::edge::{ClientAuth, Files, Reloadable};
use crate::service;
use crate::telemetry::vitals::{self, Vitals};

#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  counterfoil selfcheck
  counterfoil selfcheck --config /etc/counterfoil/counterfoil.toml --database-url postgresql://auditor@db1/counterfoil --json
  counterfoil selfcheck --quick && echo all is well")]
pub(super) struct Args {
    #[command(flatten)]
    database: database::Which,

    #[command(flatten)]
    keys: KeyFile,

    /// Settings of the service: certificates, folders and how many replicas there are to be
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Leave out what reads every journal
    #[arg(long)]
    quick: bool,

    /// For programs
    #[arg(long)]
    json: bool,
}

/// What one look found.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    result: Outcome,
    says: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Ok,
    Failed,
    Skipped,
}

pub(super) async fn run(args: Args) -> Result<()> {
    let settings = args.config.as_deref().map(Settings::load).transpose()?;
    let mut client = args.database.connect().await?;
    let mut findings = vec![schemas(&client).await];
    match vitals::read(&client).await {
        Ok(vitals) => findings.extend(judge(&vitals, settings.as_ref())),
        Err(error) => findings.push(failed("vital signs", format!("cannot be read: {error}"))),
    }
    findings.push(unsealed(&client).await);
    findings.extend(certificates(&args, settings.as_ref()));
    findings.extend(disks(&args, settings.as_ref()));
    findings.extend(books(&args, settings.as_ref(), &mut client).await?);
    report(&args, &findings)
}

fn report(args: &Args, findings: &[Finding]) -> Result<()> {
    let wrong: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.result == Outcome::Failed)
        .map(|finding| finding.check)
        .collect();
    if args.json {
        print::line(json!({ "ok": wrong.is_empty(), "checks": findings }));
    } else {
        let mut table = Table::new(&[Align::Left; 3], &["check", "result", ""]);
        for finding in findings {
            let result = match finding.result {
                Outcome::Ok => "ok",
                Outcome::Failed => "FAILED",
                Outcome::Skipped => "skipped",
            };
            table.row([finding.check.to_owned(), result.to_owned(), finding.says.clone()]);
        }
        print::text(table.render());
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => bail!("not all is well: {}", wrong.join(", ")),
    }
}

/// A look that is good when `good` is.
fn look(check: &'static str, good: bool, says: impl Into<String>) -> Finding {
    let result = if good { Outcome::Ok } else { Outcome::Failed };
    let says = says.into();
    Finding { check, result, says }
}

fn failed(check: &'static str, says: impl Into<String>) -> Finding {
    look(check, false, says)
}

fn skipped(check: &'static str, why: impl Into<String>) -> Finding {
    Finding {
        check,
        result: Outcome::Skipped,
        says: why.into(),
    }
}

async fn schemas(client: &Client) -> Finding {
    const CHECK: &str = "schemas";
    match service::missing_migrations(client).await {
        Ok(0) => look(CHECK, true, "as this program knows them"),
        Ok(missing) => failed(
            CHECK,
            format!("{missing} migrations are missing: run `counterfoil migrate`"),
        ),
        Err(error) => skipped(CHECK, format!("not readable by this role: {error}")),
    }
}

/// What the database told, against what is to be.
fn judge(vitals: &Vitals, settings: Option<&Settings>) -> Vec<Finding> {
    let (unknown, overdue) = vitals.unknown_outcomes();
    let lag = |queue: vitals::Queue| format!("{} due, the oldest for {:.0} s", queue.waiting, queue.lag);
    let within =
        |check, queue: vitals::Queue, limit: Duration| look(check, queue.lag < limit.as_secs_f64(), lag(queue));
    let wanted = settings.map(|settings| i64::from(settings.database.replicas));
    let replicas = vitals.replication;
    let following = replicas.sync + replicas.r#async;
    let replication = match wanted {
        None => skipped(
            "replication",
            "no --config, so nobody says how many replicas there are to be",
        ),
        Some(0) => look("replication", true, "none is asked for by database.replicas"),
        Some(wanted) => look(
            "replication",
            following >= wanted && replicas.sync > 0 && replicas.lag_bytes < LAG_BYTES,
            format!(
                "{following} of {wanted} follow, commits wait for {}; the slowest is {} kB behind",
                replicas.sync,
                replicas.lag_bytes / 1024
            ),
        ),
    };
    let age = vitals.archive.age(Timestamp::now());
    let archive = match (vitals.archive.on, age) {
        (false, _) => skipped("wal archive", "archive_mode is off"),
        (true, None) => failed("wal archive", "nothing was ever archived"),
        (true, Some(age)) => look(
            "wal archive",
            !vitals.archive.failing && age < ARCHIVE_AGE,
            format!(
                "the last segment {} minutes ago{}",
                age.as_secs() / 60,
                if vitals.archive.failing {
                    ", and the newest attempt failed"
                } else {
                    ""
                }
            ),
        ),
    };
    vec![
        look(
            "clock",
            vitals.clock_offset.abs() < CLOCK_SECONDS,
            format!("{:+.3} s against the database's", vitals.clock_offset),
        ),
        look(
            "unknown outcomes",
            overdue == 0,
            format!("{unknown}, of which {overdue} for longer than 13 minutes"),
        ),
        look(
            "suspense",
            vitals.suspense_accounts == 0,
            format!(
                "{} accounts with money that nobody could assign",
                vitals.suspense_accounts
            ),
        ),
        look(
            "dispute deadlines",
            vitals.disputes.overdue == 0,
            format!(
                "{} passed unanswered, {} within a day",
                vitals.disputes.overdue, vitals.disputes.day
            ),
        ),
        within("webhooks", vitals.deliveries, Duration::from_secs(3600)),
        within("callbacks", vitals.callbacks, Duration::from_secs(300)),
        within("alarms", vitals.alarms, Duration::from_secs(300)),
        replication,
        archive,
    ]
}

/// How long the oldest journal has waited for its seal. A page that is old proves nothing where nothing was booked since.
async fn unsealed(client: &Client) -> Finding {
    const CHECK: &str = "seal";
    match client
        .query_one(OLDEST_UNSEALED, &[])
        .await
        .and_then(|row| row.try_get::<_, f64>(0))
    {
        Ok(age) => look(
            CHECK,
            age < UNSEALED_SECONDS,
            match age > 0.0 {
                true => format!("the oldest journal without one is {age:.0} s old"),
                false => "every journal has one".to_owned(),
            },
        ),
        Err(error) => failed(CHECK, format!("cannot be read: {error}")),
    }
}

fn certificates(args: &Args, settings: Option<&Settings>) -> Vec<Finding> {
    let files = match settings {
        Some(settings) => vec![
            ("API certificate", settings.api.files()),
            ("operations certificate", settings.ops.files()),
        ],
        None => of_dev(&args.database, "tls/server.pem")
            .map(|certificate| Files {
                key: certificate.with_extension("key"),
                certificate,
                client: ClientAuth::None,
            })
            .map(|files| ("API certificate", files))
            .into_iter()
            .collect(),
    };
    if files.is_empty() {
        return vec![skipped("certificates", "no --config that names them")];
    }
    let judge = |(check, files): (&'static str, Files)| match Reloadable::load(files) {
        Ok(loaded) => {
            let days = (loaded.expires() - Timestamp::now().as_second()) / 86_400;
            look(check, days >= CERTIFICATE_DAYS, format!("good for {days} days"))
        }
        Err(error) => failed(check, error.to_string()),
    };
    files.into_iter().map(judge).collect()
}

fn disks(args: &Args, settings: Option<&Settings>) -> Vec<Finding> {
    let folder = |file: &Path| file.parent().unwrap_or(Path::new("/")).to_owned();
    let mut folders = match settings {
        Some(settings) => vec![
            settings.seal.heads.clone(),
            folder(&settings.risk.snapshot.clone().unwrap_or_default()),
        ],
        None => of_dev(&args.database, "heads").into_iter().collect(),
    };
    folders.retain(|folder| !folder.as_os_str().is_empty());
    folders.dedup();
    let judge = |folder: PathBuf| match rustix::fs::statvfs(&folder) {
        Ok(disk) => {
            let (free, all) = (disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize);
            let percent = if all == 0 { 0 } else { free / (all / 100).max(1) };
            look(
                "disk",
                percent >= DISK_PERCENT && free >= DISK_BYTES,
                format!("{}: {percent} % free, {} MB", folder.display(), free >> 20),
            )
        }
        Err(error) => failed("disk", format!("{}: {error}", folder.display())),
    };
    folders.into_iter().map(judge).collect()
}

/// The proof of the books, their seal and the audit log's, by the keys and heads that are at hand.
async fn books(args: &Args, settings: Option<&Settings>, client: &mut Client) -> Result<Vec<Finding>> {
    const CHECKS: [&str; 3] = ["books", "sealed books", "sealed audit log"];
    if args.quick {
        return Ok(CHECKS.map(|check| skipped(check, "--quick")).into());
    }
    let progress = spinner("{spinner} {human_pos} journals summed, {elapsed}")?;
    let mut proof = ledger::verify::verify(client, |journals| progress.set_position(journals)).await?;
    proof.checks.extend(crate::audit::audit(client).await?);
    let keys = match (args.keys.read(&args.database), settings) {
        (Ok(None), Some(settings)) => ledger::seal::Keys::from_file(&settings.seal.keys).ok(),
        (keys, _) => keys?,
    };
    let heads = settings
        .map(|settings| settings.seal.heads.clone())
        .or_else(|| of_dev(&args.database, "heads"));
    let mut findings = vec![proven(CHECKS[0], &proof)];
    let mut reports = vec![("selfcheck of the books", proof)];
    for (check, series, prefix) in [
        (CHECKS[1], &ledger::seal::JOURNALS, ""),
        (CHECKS[2], &crate::audit_log::SERIES, crate::audit_log::HEADS),
    ] {
        let log = heads.as_ref().map(|heads| heads.join(format!("{prefix}heads.jsonl")));
        let known = match log.filter(|log| log.exists()) {
            Some(log) => read_heads(&log)?,
            None => Vec::new(),
        };
        let keys = keys.clone().map(|keys| keys.of_series(series));
        let options = ledger::seal::verify::Options {
            keys: keys.as_ref(),
            heads: &known,
            from_page: 1,
        };
        let sealed = ledger::seal::verify::verify_series(client, series, options, |_| {}).await?;
        let mut finding = proven(check, &sealed);
        if keys.is_none() {
            finding.says.push_str(", signatures not checked: no keys at hand");
        }
        if known.is_empty() {
            finding.says.push_str(", not against an exported head: none at hand");
        }
        findings.push(finding);
        reports.push((check, sealed));
    }
    progress.finish_and_clear();
    for (who, wrong) in reports.iter().filter(|(_, report)| !report.is_ok()) {
        raise_alarm(client, who, wrong).await;
    }
    Ok(findings)
}

fn proven(check: &'static str, report: &Report) -> Finding {
    let rows: u64 = report.checks.iter().map(|check| check.rows).max().unwrap_or(0);
    match report.checks.iter().find(|check| check.wrong > 0) {
        None => look(
            check,
            true,
            format!("{} checks hold, over {rows} rows", report.checks.len()),
        ),
        Some(wrong) => failed(
            check,
            format!("{}: {}", wrong.name, wrong.first_wrong.as_deref().unwrap_or("wrong")),
        ),
    }
}

const OLDEST_UNSEALED: &str = "
    SELECT coalesce(extract(epoch FROM now() - min(recorded_at)), 0)::float8 FROM ledger.journal
    WHERE recorded_xid > coalesce((SELECT last_xid FROM ledger.seal ORDER BY page DESC LIMIT 1), 0)";

/// A signature is judged within 300 s; long before that something is wrong with a clock.
const CLOCK_SECONDS: f64 = 1.0;
/// The promise is that a change is detected within 5 minutes.
const UNSEALED_SECONDS: f64 = 300.0;
const CERTIFICATE_DAYS: i64 = 14;
const DISK_PERCENT: u64 = 10;
const DISK_BYTES: u64 = 1 << 30;
const LAG_BYTES: i64 = 64 << 20;
/// archive_timeout in deploy/postgres is a minute; an hour of silence is no quiet night.
const ARCHIVE_AGE: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(vitals: &Vitals) -> Vec<&'static str> {
        let findings = judge(vitals, None);
        findings
            .into_iter()
            .filter(|finding| finding.result == Outcome::Failed)
            .map(|finding| finding.check)
            .collect()
    }

    #[test]
    fn each_vital_sign_that_is_off_fails_its_own_check() {
        let sound = Vitals::default();
        assert!(wrong(&sound).is_empty());
        let late = |lag| vitals::Queue { waiting: 1, lag };
        let overdue = vitals::Unknown {
            kind: "refund".into(),
            fresh: 0,
            overdue: 1,
        };
        let archive = vitals::Archive {
            archived_at: Timestamp::now().as_second(),
            failing: true,
            on: true,
        };
        for (vitals, check) in [
            (
                Vitals {
                    clock_offset: -1.5,
                    ..sound.clone()
                },
                "clock",
            ),
            (
                Vitals {
                    unknown: vec![overdue],
                    ..sound.clone()
                },
                "unknown outcomes",
            ),
            (
                Vitals {
                    suspense_accounts: 1,
                    ..sound.clone()
                },
                "suspense",
            ),
            (
                Vitals {
                    deliveries: late(3601.0),
                    ..sound.clone()
                },
                "webhooks",
            ),
            (
                Vitals {
                    callbacks: late(301.0),
                    ..sound.clone()
                },
                "callbacks",
            ),
            (
                Vitals {
                    alarms: late(301.0),
                    ..sound.clone()
                },
                "alarms",
            ),
            (
                Vitals {
                    archive,
                    ..sound.clone()
                },
                "wal archive",
            ),
            (
                Vitals {
                    disputes: vitals::Disputes {
                        overdue: 1,
                        ..vitals::Disputes::default()
                    },
                    ..sound.clone()
                },
                "dispute deadlines",
            ),
        ] {
            assert_eq!(wrong(&vitals), [check]);
        }
    }
}
