//! Load in an open loop: arrivals come by schedule, whether or not earlier ones were answered.
//!
//! Latency counts from the moment a request was *meant* to be sent, so a service that stalls is charged for everyone it kept
//! waiting (no coordinated omission). A run is bounded: in time, in arrivals, and in what is sent late. It must never report a
//! rate without having audited what was acknowledged.

use crate::audit::{self, Acknowledged, Audit};
use crate::client::{Connection, Target};
use crate::dev::Dev;
use crate::host::{Cpu, Processes};
use crate::workload::{Outcome, Played, Workload, play};
use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  counterfoil dev --dir /tmp/shop --permissive-scorer &
  loadtest run --dev /tmp/shop/dev.json --rate 2000 --seconds 20
  loadtest run --dev /tmp/shop/dev.json --rates 500,1000,2000 --workload mixed --json result.json")]
/// Arguments of `loadtest run`.
pub struct Args {
    #[command(flatten)]
    load: Load,
    /// Arrivals per second; several are run one after the other
    #[arg(long, visible_alias = "rates", value_delimiter = ',', default_values_t = [500])]
    rate: Vec<u64>,
    /// Write all figures here as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What a run needs besides its rate.
#[derive(clap::Args, Clone)]
pub struct Load {
    /// The dev.json of a running `counterfoil dev --permissive-scorer`
    #[arg(long, value_name = "FILE", default_value = ".counterfoil/dev.json")]
    pub dev: PathBuf,
    /// Length of the measured schedule
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub seconds: u64,
    /// Unmeasured seconds at the same rate before it (audited all the same)
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=600))]
    pub warm_up: u64,
    /// Connections, each with one request at a time
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub connections: u64,
    /// What arrives
    #[arg(long, value_enum, default_value_t = Workload::Payments)]
    pub workload: Workload,
}

/// The figures of one run. Latencies are microseconds.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// arrivals per second of the schedule
    pub offered: u64,
    /// accepted payments per second, from the first arrival until the last answer
    pub accepted_per_s: f64,
    /// accepted payments
    pub accepted: u64,
    /// declined, as their cards were chosen for
    pub declined: u64,
    /// accepted while the acquirer's answer was owed
    pub processing: u64,
    /// arrivals that no connection was free for in time
    pub not_sent: u64,
    /// everything else, by class
    pub errors: BTreeMap<String, u64>,
    /// from the intended send time to the answer
    pub latency: Percentiles,
    /// the service's own time, less the acquirer's
    pub own: Percentiles,
    /// second requests (captures, refunds, replays), from their sending
    pub second: Percentiles,
    /// processor time per answered arrival, microseconds
    pub cpu_us: CpuPerPayment,
    /// write-ahead log per answered arrival
    pub wal_bytes: f64,
    /// resident memory of the service after the run
    pub gateway_memory_bytes: u64,
}

/// Quantiles in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct Percentiles {
    pub count: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p999: u64,
    pub max: u64,
}

/// Processor time per payment by process, microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
#[allow(missing_docs)]
pub struct CpuPerPayment {
    pub gateway: f64,
    pub postgres: f64,
    pub simulator: f64,
    pub load_generator: f64,
}

/// Runs every rate, prints its figures, audits at the end.
///
/// # Errors
/// When the service cannot be reached, the scorer blocks the load, or the audit finds anything.
pub async fn run(args: Args) -> Result<()> {
    let bench = Bench::prepare(args.load).await?;
    let (mut rows, mut told) = (Vec::new(), Vec::new());
    for rate in &args.rate {
        let (figures, acknowledged) = bench.measure(*rate).await?;
        figures.print();
        told.extend(acknowledged);
        rows.push(figures);
    }
    let audit = bench.audit(&told).await?;
    if let Some(path) = &args.json {
        let text = serde_json::to_vec_pretty(&serde_json::json!({ "runs": rows, "audit": audit }))?;
        std::fs::write(path, text).with_context(|| path.display().to_string())?;
    }
    ensure!(audit.is_sound(), "the audit found {} differences", audit.wrong);
    Ok(())
}

/// A service under load.
pub(crate) struct Bench {
    load: Load,
    dev: Dev,
    pub(crate) target: Target,
    database: tokio_postgres::Client,
    pub(crate) processes: Processes,
}

impl Bench {
    pub(crate) async fn prepare(load: Load) -> Result<Self> {
        let dev = Dev::read(&load.dev)?;
        let target = Target::new(&dev)?;
        let database = dev.database().await?;
        let processes = Processes::find(&dev, &database).await?;
        Ok(Self {
            load,
            dev,
            target,
            database,
            processes,
        })
    }

    /// One rate: warm-up, schedule, figures.
    pub(crate) async fn measure(&self, rate: u64) -> Result<(Figures, Vec<Acknowledged>)> {
        ensure!((1..=1_000_000).contains(&rate), "a rate is 1 to 1,000,000");
        let mut connections: Vec<_> = (0..self.load.connections)
            .map(|_| Connection::new(self.target.clone()))
            .collect();
        for some in connections.chunks_mut(32) {
            let warm = futures_util::future::join_all(some.iter_mut().map(Connection::warm)).await;
            warm.into_iter()
                .collect::<Result<()>>()
                .context("connecting to the service")?;
        }
        let warmed = self.drive(rate, self.load.warm_up, connections, "warm-up").await?;
        let mut told = warmed.tally.told;

        let lsn: String = self
            .database
            .query_one("SELECT pg_current_wal_lsn()::text", &[])
            .await?
            .try_get(0)?;
        let before = self.processes.cpu();
        let driven = self
            .drive(rate, self.load.seconds, warmed.connections, "measured")
            .await?;
        let cpu = self.processes.cpu().since(&before);
        let wal: i64 = self
            .database
            .query_one(
                "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), $1::text::pg_lsn)::bigint",
                &[&lsn],
            )
            .await?
            .try_get(0)?;
        let mut tally = driven.tally;
        told.append(&mut tally.told);
        ensure!(!tally.latency.is_empty(), "nothing was answered: {:?}", tally.errors);
        let blocked = tally
            .errors
            .keys()
            .any(|class| class.starts_with("402 card_declined fraudulent"));
        if blocked {
            bail!(
                "the scorer blocks the load, which pays with one card: start the service as `counterfoil dev --permissive-scorer`"
            );
        }
        let answered = tally.latency.len() as f64;
        let per_payment = |time: Duration| time.as_secs_f64() * 1e6 / answered;
        let figures = Figures {
            offered: rate,
            accepted_per_s: tally.accepted as f64 / driven.elapsed.as_secs_f64(),
            accepted: tally.accepted,
            declined: tally.declined,
            processing: tally.processing,
            not_sent: tally.not_sent,
            errors: tally.errors,
            latency: Percentiles::of(&tally.latency),
            own: Percentiles::of(&tally.own),
            second: Percentiles::of(&tally.second),
            cpu_us: CpuPerPayment::of(&cpu, per_payment),
            wal_bytes: wal as f64 / answered,
            gateway_memory_bytes: self.processes.gateway_memory(),
        };
        Ok((figures, told))
    }

    /// Waits until nothing is owed, compares the four accounts, proves the books, and says what it saw.
    pub(crate) async fn audit(&self, told: &[Acknowledged]) -> Result<Audit> {
        let mut audit = audit::audit(&self.dev.database_url, &self.dev.simulator_admin_url, told).await?;
        let deadline = Instant::now() + OWED;
        while audit.unsettled > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_secs(2)).await;
            audit = audit::audit(&self.dev.database_url, &self.dev.simulator_admin_url, told).await?;
        }
        println!(
            "\naudit: {} payments told to callers, {} in the database, {} at the acquirer, {} unsettled; captured {} {} {}, \
             refunded {} {} {} (gateway, acquirer, books): {}",
            audit.acknowledged,
            audit.payments,
            audit.at_acquirer,
            audit.unsettled,
            audit.captured[0],
            audit.captured[1],
            audit.captured[2],
            audit.refunded[0],
            audit.refunded[1],
            audit.refunded[2],
            if audit.is_sound() { "sound" } else { "WRONG" }
        );
        for finding in &audit.findings {
            println!("  {finding}");
        }
        let beside = std::env::current_exe()?.with_file_name("counterfoil");
        if beside.exists() {
            audit::verify_books(&beside, &self.dev.database_url)?;
            println!("ledger verify: sound");
        } else {
            println!("ledger verify: not run, {} is not built", beside.display());
        }
        Ok(audit)
    }

    /// Plays the schedule over all connections.
    async fn drive(&self, rate: u64, seconds: u64, connections: Vec<Connection>, what: &'static str) -> Result<Driven> {
        let total = rate.checked_mul(seconds).context("too many arrivals")?;
        ensure!(total <= MAX_ARRIVALS, "at most {MAX_ARRIVALS} arrivals in a run");
        let begun = Instant::now() + Duration::from_millis(20);
        let schedule = Arc::new(Schedule {
            run: uuid::Uuid::new_v4().simple().to_string(),
            workload: self.load.workload,
            begun,
            rate,
            total,
            late: begun + Duration::from_secs(seconds) + LATE,
            next: AtomicU64::new(0),
            answered: AtomicU64::new(0),
        });
        let progress = tokio::spawn(show(schedule.clone(), what));
        let players: Vec<_> = connections
            .into_iter()
            .map(|connection| tokio::spawn(player(schedule.clone(), connection)))
            .collect();
        let (mut tally, mut connections) = (Tally::new(), Vec::with_capacity(players.len()));
        for player in players {
            let (theirs, connection) = player.await?;
            tally.add(theirs);
            connections.push(connection);
        }
        let elapsed = begun.elapsed();
        progress.abort();
        Ok(Driven {
            tally,
            connections,
            elapsed,
        })
    }
}

struct Driven {
    tally: Tally,
    connections: Vec<Connection>,
    elapsed: Duration,
}

/// When each arrival is due.
struct Schedule {
    run: String,
    workload: Workload,
    begun: Instant,
    rate: u64,
    total: u64,
    /// what is not sent by then is counted as not sent
    late: Instant,
    next: AtomicU64,
    answered: AtomicU64,
}

impl Schedule {
    fn due(&self, n: u64) -> Instant {
        // n is below MAX_ARRIVALS: far inside u64
        self.begun + Duration::from_nanos(n * 1_000_000_000 / self.rate)
    }
}

/// One connection: takes the next arrival when it is free, waits until it is due, plays it.
async fn player(schedule: Arc<Schedule>, mut connection: Connection) -> (Tally, Connection) {
    let mut tally = Tally::new();
    loop {
        let n = schedule.next.fetch_add(1, Ordering::Relaxed);
        if n >= schedule.total {
            return (tally, connection);
        }
        let due = schedule.due(n);
        tokio::time::sleep_until(due).await;
        if Instant::now() > schedule.late {
            tally.not_sent += 1;
            continue;
        }
        let key = format!("{}-{n}", schedule.run);
        let amount = 100 + (n.wrapping_mul(7919) % 49_900) as i64;
        let played = play(&mut connection, schedule.workload.scenario(n), &key, amount).await;
        tally.count(due, played);
        schedule.answered.fetch_add(1, Ordering::Relaxed);
    }
}

async fn show(schedule: Arc<Schedule>, what: &'static str) {
    let bar = ProgressBar::new(schedule.total);
    let style = ProgressStyle::with_template("{prefix} {bar:30} {human_pos}/{human_len} {per_sec} {elapsed}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(format!("{what}, {}/s", schedule.rate));
    loop {
        bar.set_position(schedule.answered.load(Ordering::Relaxed));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// What one connection, or all of them, saw.
struct Tally {
    latency: Histogram<u64>,
    own: Histogram<u64>,
    second: Histogram<u64>,
    accepted: u64,
    declined: u64,
    processing: u64,
    not_sent: u64,
    errors: BTreeMap<String, u64>,
    told: Vec<Acknowledged>,
}

impl Tally {
    fn new() -> Self {
        // 1 us to 2 min: nothing can be longer than the client's patience.
        let histogram = || Histogram::new_with_bounds(1, 120_000_000, 3).expect("constant bounds are valid");
        Self {
            latency: histogram(),
            own: histogram(),
            second: histogram(),
            accepted: 0,
            declined: 0,
            processing: 0,
            not_sent: 0,
            errors: BTreeMap::new(),
            told: Vec::new(),
        }
    }

    fn count(&mut self, due: Instant, played: Played) {
        let latency = Instant::from_std(played.answered).saturating_duration_since(due);
        self.latency.saturating_record(latency.as_micros() as u64);
        if let Some(own) = played.own {
            self.own.saturating_record(own);
        }
        match played.outcome {
            Outcome::Accepted => self.accepted += 1,
            Outcome::Declined => self.declined += 1,
            Outcome::Processing => self.processing += 1,
            Outcome::Failed(class) => *self.errors.entry(class).or_default() += 1,
        }
        if let Some((took, outcome)) = played.second {
            self.second.saturating_record(took.as_micros() as u64);
            if let Outcome::Failed(class) = outcome {
                *self.errors.entry(format!("second request: {class}")).or_default() += 1;
            }
        }
        self.told.extend(played.acknowledged);
    }

    fn add(&mut self, mut other: Self) {
        for (mine, theirs) in [
            (&mut self.latency, &other.latency),
            (&mut self.own, &other.own),
            (&mut self.second, &other.second),
        ] {
            mine.add(theirs).expect("histograms of equal bounds");
        }
        self.accepted += other.accepted;
        self.declined += other.declined;
        self.processing += other.processing;
        self.not_sent += other.not_sent;
        for (class, count) in other.errors {
            *self.errors.entry(class).or_default() += count;
        }
        self.told.append(&mut other.told);
    }
}

impl Percentiles {
    fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            count: histogram.len(),
            p50: histogram.value_at_quantile(0.5),
            p90: histogram.value_at_quantile(0.9),
            p99: histogram.value_at_quantile(0.99),
            p999: histogram.value_at_quantile(0.999),
            max: histogram.max(),
        }
    }
}

impl CpuPerPayment {
    fn of(cpu: &Cpu, per_payment: impl Fn(Duration) -> f64) -> Self {
        Self {
            gateway: per_payment(cpu.gateway),
            postgres: per_payment(cpu.postgres),
            simulator: per_payment(cpu.simulator),
            load_generator: per_payment(cpu.load_generator),
        }
    }

    /// All processes together.
    pub fn total(&self) -> f64 {
        self.gateway + self.postgres + self.simulator + self.load_generator
    }
}

impl Figures {
    /// Whether the service kept up: at least this share of what was offered was answered as wanted, in time.
    pub fn kept_up(&self, share: f64) -> bool {
        let wanted = (self.accepted + self.declined) as f64;
        let all = wanted + (self.processing + self.not_sent + self.errors.values().sum::<u64>()) as f64;
        let rate = self.accepted_per_s * (wanted / self.accepted.max(1) as f64);
        wanted >= all * share && rate >= self.offered as f64 * share
    }

    /// For people.
    pub fn print(&self) {
        println!(
            "\noffered {}/s: accepted {:.0}/s ({} accepted, {} declined, {} processing, {} not sent)",
            self.offered, self.accepted_per_s, self.accepted, self.declined, self.processing, self.not_sent
        );
        for (class, count) in &self.errors {
            println!("  {count:>8} x {class}");
        }
        println!(
            "  {:<22} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "milliseconds", "p50", "p90", "p99", "p99.9", "max"
        );
        for (name, times) in [
            ("latency, as intended", &self.latency),
            ("own time", &self.own),
            ("second request", &self.second),
        ] {
            if times.count > 0 {
                let ms = |us: u64| format!("{:.2}", us as f64 / 1000.0);
                let [p50, p90, p99, p999, max] = [times.p50, times.p90, times.p99, times.p999, times.max].map(ms);
                println!("  {name:<22} {p50:>9} {p90:>9} {p99:>9} {p999:>9} {max:>9}");
            }
        }
        let cpu = &self.cpu_us;
        println!(
            "  CPU us per payment: gateway {:.0}, postgres {:.0}, simulator {:.0}, load generator {:.0}, all {:.0}",
            cpu.gateway,
            cpu.postgres,
            cpu.simulator,
            cpu.load_generator,
            cpu.total()
        );
        println!(
            "  WAL {:.0} bytes per payment, gateway's memory {:.0} MB",
            self.wal_bytes,
            self.gateway_memory_bytes as f64 / 1e6
        );
    }
}

/// After the schedule's end, how long what is late may still be sent.
const LATE: Duration = Duration::from_secs(2);
/// How long the audit waits for outcomes that are owed.
const OWED: Duration = Duration::from_secs(120);
const MAX_ARRIVALS: u64 = 50_000_000;
