//! The commit path by itself: the same payment written three ways on the same schema, same server, same run.
//!
//! A payment is: its row, which is also the idempotency record (a 16-byte digest, unique) and the outbox record (the
//! time-ordered key is the cursor); a journal of three lines; three counters.
//!
//! * **naive**: a transaction per payment as a competent team writes it: prepared statements, a pool, accounts locked in
//!   sorted order, read, checked, then written.
//! * **call**: one stored call per payment through the ledger's own write path.
//! * **group N**: group commit with N writers.
//! * **post N**: the journal alone, through a committer of the ledger with N writers: what one posting costs.
//! * **insert**: no payment at all but the payment's row, inserted and committed: the floor under one caller's latency.
//! * **peer**: the same payment in [another ledger](peer), when its SQL is given.
//! * **sealed N**: the same while the seal follows it.
//!
//! Callers are closed loops: each waits for its answer before it sends the next. Every run has a fresh copy of the same
//! database, starts after a checkpoint, and ends with the books verified.

mod peer;
mod sealing;
mod ways;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use hdrhistogram::Histogram;
use ledger::{AccountName, BookId, Chart, Currency};
use tokio_postgres::{Client, Config, NoTls};

pub(crate) use ways::{Payer, Way};

/// `loadtest bench ledger --database-url postgres://postgres@localhost/postgres --seconds 5 --json ledger.json`
#[derive(clap::Args)]
pub struct Args {
    /// A server on which a scratch database may be created; its role must be a superuser
    #[arg(long, env = "DATABASE_URL")]
    database_url: String,
    /// Length of one measured run
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Numbers of concurrent callers
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 64, 256])]
    callers: Vec<usize>,
    /// Accounts in the uniform load, three to a book
    #[arg(long, default_value_t = 10_000)]
    accounts: usize,
    /// Runs per figure; the median is shown
    #[arg(long, default_value_t = 3)]
    repeats: usize,
    /// Connections of the ways that use a pool
    #[arg(long, default_value_t = 32)]
    pool: usize,
    /// Ways to measure
    #[arg(long, value_delimiter = ',', default_values_t = Way::all())]
    ways: Vec<Way>,
    /// SQL files of pgledger, in the order to load (its two ULID functions first); adds the way `peer`
    #[arg(long, value_delimiter = ',', value_name = "FILE")]
    peer_sql: Vec<PathBuf>,
    /// Instead of the table: what sealing costs, in so many pairs of slices of --seconds, with and without it in turn, by the
    /// largest number of callers
    #[arg(long, default_value_t = 0, value_name = "PAIRS")]
    sealing_pairs: usize,
    /// Write all figures here as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Where payments go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
enum Load {
    /// Spread evenly over all books.
    Uniform,
    /// All to one merchant: its receivable, payable and fee account are in every payment.
    Hot,
}

/// The figures of one run.
#[derive(Clone, Copy, Debug, serde::Serialize)]
struct Figures {
    payments_per_s: f64,
    p50_us: u64,
    p99_us: u64,
    server_cpu_us: f64,
    client_cpu_us: f64,
    wal_bytes: f64,
}

#[derive(serde::Serialize)]
struct Row {
    way: String,
    load: Load,
    callers: usize,
    median: Figures,
    payments_per_s: Vec<f64>,
}

/// A book of the load with its accounts, made once.
pub(crate) struct Merchant {
    pub(crate) book: BookId,
    pub(crate) receivable: AccountName,
    pub(crate) pending: AccountName,
    pub(crate) fee: AccountName,
    pub(crate) peer: Option<peer::PeerAccounts>,
}

/// Runs the whole table and prints it.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let config: Config = args.database_url.parse().context("--database-url")?;
    let admin = connect(&config).await?;
    let scratch = Scratch::new(config, "bench");
    // The scratch databases go also when the run is interrupted.
    let outcome = tokio::select! {
        outcome = measure(&args, &admin, &scratch) => outcome,
        _ = tokio::signal::ctrl_c() => Err(anyhow!("interrupted")),
    };
    scratch.drop(&admin, &scratch.copy()).await?;
    scratch.drop(&admin, &scratch.template).await?;
    scratch.drop(&admin, &scratch.peer()).await?;
    let rows = outcome?;
    print_table(&rows);
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_vec_pretty(&rows)?).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

async fn measure(args: &Args, admin: &Client, scratch: &Scratch) -> anyhow::Result<Vec<Row>> {
    admin
        .batch_execute(&format!("CREATE DATABASE {}", scratch.template))
        .await?;
    let mut merchants = seed(&scratch.config_of(&scratch.template), args.accounts.div_ceil(3).max(1)).await?;
    let mut ways = args.ways.clone();
    if !args.peer_sql.is_empty() {
        admin
            .batch_execute(&format!("CREATE DATABASE {}", scratch.peer()))
            .await?;
        let accounts = peer::seed(&scratch.config_of(&scratch.peer()), &args.peer_sql, merchants.len()).await?;
        for (merchant, accounts) in merchants.iter_mut().zip(accounts) {
            merchant.peer = Some(accounts);
        }
        ways.push(Way::Peer);
    }
    let merchants = Arc::new(merchants);
    if args.sealing_pairs > 0 {
        let callers = args.callers.iter().copied().max().unwrap_or(256);
        let slice = Duration::from_secs(args.seconds);
        sealing::pairs(admin, scratch, &merchants, callers, args.sealing_pairs, slice).await?;
        return Ok(Vec::new());
    }
    let mut runs: BTreeMap<(Load, usize, usize), Vec<Figures>> = BTreeMap::new();
    // Repeats outermost: a slow minute of the machine falls on all ways alike.
    for repeat in 0..args.repeats.max(1) {
        for load in [Load::Uniform, Load::Hot] {
            for &callers in &args.callers {
                for (i, way) in ways.iter().enumerate() {
                    let figures = one_run(args, admin, scratch, &merchants, load, callers, *way)
                        .await
                        .with_context(|| format!("{way}, {load:?}, {callers} callers"))?;
                    eprintln!(
                        "{}/{} {load:?} {callers} callers, {way}: {:.0}/s",
                        repeat + 1,
                        args.repeats,
                        figures.payments_per_s
                    );
                    runs.entry((load, callers, i)).or_default().push(figures);
                }
            }
        }
    }
    Ok(runs
        .into_iter()
        .map(|((load, callers, way), mut figures)| {
            figures.sort_by(|a, b| a.payments_per_s.total_cmp(&b.payments_per_s));
            Row {
                way: ways[way].to_string(),
                load,
                callers,
                median: figures[figures.len() / 2],
                payments_per_s: figures.iter().map(|f| f.payments_per_s).collect(),
            }
        })
        .collect())
}

async fn one_run(
    args: &Args,
    admin: &Client,
    scratch: &Scratch,
    merchants: &Arc<Vec<Merchant>>,
    load: Load,
    callers: usize,
    way: Way,
) -> anyhow::Result<Figures> {
    let name = scratch.copy();
    scratch.drop(admin, &name).await?;
    admin
        .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {}", scratch.template_of(way)))
        .await?;
    let config = scratch.config_of(&name);
    let mut observer = connect(&config).await?;
    let server = Server::of(&observer).await?;
    let payer = Arc::new(way.start(&config, args.pool.min(callers)).await?);
    let books = match load {
        Load::Uniform => merchants.len(),
        Load::Hot => 1,
    };
    observer.batch_execute("CHECKPOINT").await?;
    let sealing = match way {
        Way::Sealed(_) => Some(sealing::Sealing::start(&config).await?),
        _ => None,
    };

    let warm_until = Instant::now() + Duration::from_millis(300);
    let warm = drive(&payer, merchants, books, callers, warm_until).await?;
    let lsn: String = observer
        .query_one("SELECT pg_current_wal_lsn()::text", &[])
        .await?
        .try_get(0)?;
    let (server_before, client_before) = (server.cpu(), own_cpu());
    let begun = Instant::now();
    let latencies = drive(
        &payer,
        merchants,
        books,
        callers,
        begun + Duration::from_secs(args.seconds),
    )
    .await?;
    let elapsed = begun.elapsed();
    let (server_cpu, client_cpu) = (server.cpu() - server_before, own_cpu() - client_before);
    let wal: i64 = observer
        .query_one(
            "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), $1::text::pg_lsn)::bigint",
            &[&lsn],
        )
        .await?
        .try_get(0)?;
    payer.stop().await;
    if let Some(sealing) = sealing {
        sealing.stop().await?;
    }

    match way {
        Way::Insert => {}
        Way::Post(_) => proven(&mut observer).await?,
        Way::Peer => peer::audit(&observer, warm.len() + latencies.len()).await?,
        Way::Naive | Way::Call | Way::Group(_) | Way::Sealed(_) => prove(&mut observer).await?,
    }
    let n = latencies.len();
    ensure!(n > 0, "no payment was made");
    Ok(Figures {
        payments_per_s: n as f64 / elapsed.as_secs_f64(),
        p50_us: latencies.value_at_quantile(0.5),
        p99_us: latencies.value_at_quantile(0.99),
        server_cpu_us: server_cpu.as_secs_f64() * 1e6 / n as f64,
        client_cpu_us: client_cpu.as_secs_f64() * 1e6 / n as f64,
        wal_bytes: wal as f64 / n as f64,
    })
}

/// The books are right, and every payment has its journal.
pub(crate) async fn prove(observer: &mut Client) -> anyhow::Result<()> {
    proven(observer).await?;
    let unbooked: i64 = observer.query_one(UNBOOKED, &[]).await?.try_get(0)?;
    ensure!(unbooked == 0, "{unbooked} payments without their journal");
    Ok(())
}

pub(crate) async fn proven(observer: &mut Client) -> anyhow::Result<()> {
    let report = ledger::verify::verify(observer, |_| {}).await?;
    ensure!(report.is_ok(), "the books are wrong after the run: {report:#?}");
    Ok(())
}

/// All callers in closed loops until the time is over; latencies in microseconds.
async fn drive(
    payer: &Arc<Payer>,
    merchants: &Arc<Vec<Merchant>>,
    books: usize,
    callers: usize,
    until: Instant,
) -> anyhow::Result<Histogram<u64>> {
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (payer, merchants) = (Arc::clone(payer), Arc::clone(merchants));
            tokio::spawn(async move {
                let mut latencies = Histogram::<u64>::new(3)?;
                while Instant::now() < until {
                    let merchant = &merchants[rand::random_range(0..books)];
                    let begun = Instant::now();
                    payer.pay(merchant, rand::random_range(100..100_000)).await?;
                    latencies.record(begun.elapsed().as_micros() as u64)?;
                }
                anyhow::Ok(latencies)
            })
        })
        .collect();
    let mut all = Histogram::new(3)?;
    for task in tasks {
        all.add(task.await??)?;
    }
    Ok(all)
}

/// Books, accounts and the bench's own table, once; every run works on a copy.
pub(crate) async fn seed(config: &Config, books: usize) -> anyhow::Result<Vec<Merchant>> {
    let mut client = connect(config).await?;
    ledger::migrate(&mut client).await?;
    client.batch_execute(ways::SCHEMA).await?;
    let receivable = AccountName::new(Chart::AcquirerReceivable, Some("acme"), Currency::USD)?;
    let pending = AccountName::of(Chart::MerchantPending, Currency::USD);
    let fee = AccountName::of(Chart::PlatformFeeRevenue, Currency::USD);
    let tx = client.transaction().await?;
    let mut merchants = Vec::with_capacity(books);
    for i in 0..books {
        let book = ledger::open_book(&tx, &format!("acct_{i}"), "bench").await?;
        ledger::open(&tx, book, &[receivable.clone(), pending.clone(), fee.clone()]).await?;
        merchants.push(Merchant {
            book,
            receivable: receivable.clone(),
            pending: pending.clone(),
            fee: fee.clone(),
            peer: None,
        });
    }
    tx.commit().await?;
    client.batch_execute("VACUUM ANALYZE").await?;
    Ok(merchants)
}

/// Databases of this run, on the given server.
pub(crate) struct Scratch {
    config: Config,
    template: String,
}

impl Scratch {
    pub(crate) fn new(config: Config, bench: &str) -> Scratch {
        Scratch {
            config,
            template: format!("counterfoil_{bench}_{}", std::process::id()),
        }
    }

    pub(crate) fn template(&self) -> &str {
        &self.template
    }

    pub(crate) fn copy(&self) -> String {
        format!("{}_run", self.template)
    }

    fn peer(&self) -> String {
        format!("{}_peer", self.template)
    }

    fn template_of(&self, way: Way) -> String {
        match way {
            Way::Peer => self.peer(),
            Way::Naive | Way::Call | Way::Group(_) | Way::Sealed(_) | Way::Post(_) | Way::Insert => {
                self.template.clone()
            }
        }
    }

    pub(crate) fn config_of(&self, database: &str) -> Config {
        let mut config = self.config.clone();
        config.dbname(database);
        config
    }

    pub(crate) async fn drop(&self, admin: &Client, database: &str) -> Result<(), tokio_postgres::Error> {
        admin
            .batch_execute(&format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"))
            .await
    }
}

pub(crate) async fn connect(config: &Config) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(async move {
        let _ = connection.await; // ends when its client is dropped
    });
    Ok(client)
}

/// The server's processes on this machine, found through the parent of a backend.
pub(crate) struct Server {
    postmaster: Option<u32>,
}

impl Server {
    pub(crate) async fn of(client: &Client) -> Result<Server, tokio_postgres::Error> {
        let backend: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await?.try_get(0)?;
        Ok(Server {
            postmaster: stat(backend.unsigned_abs()).map(|s| s.parent),
        })
    }

    /// Processor time of the server with its children, ended ones too; zero when it runs elsewhere.
    pub(crate) fn cpu(&self) -> Duration {
        let Some(postmaster) = self.postmaster else {
            return Duration::ZERO;
        };
        let own = stat(postmaster).map(|s| s.own + s.ended_children).unwrap_or_default();
        let children = std::fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| {
            let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
            stat(pid).filter(|s| s.parent == postmaster).map(|s| s.own)
        });
        own + children.sum::<Duration>()
    }
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

pub(crate) fn own_cpu() -> Duration {
    stat(std::process::id()).map(|s| s.own).unwrap_or_default()
}

fn print_table(rows: &[Row]) {
    let mut out = std::io::stdout().lock();
    let mut group = None;
    for row in rows {
        if group != Some((row.load, row.callers)) {
            group = Some((row.load, row.callers));
            let _ = writeln!(
                out,
                "\n{:?}, {} callers\n{:<10} {:>12} {:>8} {:>8} {:>9} {:>9} {:>11} {:>11} {:>8}",
                row.load,
                row.callers,
                "way",
                "payments/s",
                "x naive",
                "x peer",
                "p50 us",
                "p99 us",
                "server us",
                "client us",
                "WAL B"
            );
        }
        let ratio = |way: &str| {
            let other = rows
                .iter()
                .find(|r| r.way == way && r.load == row.load && r.callers == row.callers);
            other.map_or_else(String::new, |other| {
                format!("{:.1}", row.median.payments_per_s / other.median.payments_per_s)
            })
        };
        let m = &row.median;
        let _ = writeln!(
            out,
            "{:<10} {:>12.0} {:>8} {:>8} {:>9} {:>9} {:>11.1} {:>11.1} {:>8.0}",
            row.way,
            m.payments_per_s,
            ratio("naive"),
            ratio("peer"),
            m.p50_us,
            m.p99_us,
            m.server_cpu_us,
            m.client_cpu_us,
            m.wal_bytes
        );
    }
}

const UNBOOKED: &str = "
    SELECT count(*) FROM bench.payment p FULL JOIN ledger.journal j ON j.book_id = p.book_id AND j.journal_id = p.payment_id
    WHERE p.payment_id IS NULL OR j.journal_id IS NULL OR p.amount <> j.amount[1]";
