//! `loadtest ha`: the cluster of `deploy/ha` under load while its parts die, and the proof that nobody was told something that is not so.
//!
//! Every node is a network namespace of its own, so that a cut cable is a cut cable. Callers come in an open loop and insist on an answer
//! under their key; what they were told is compared afterwards with the final rows, the acquirer's own record and the books. It touches
//! nothing outside the namespaces that it made. It must never call a round good that it has not checked.

mod cluster;
mod net;
mod service;
mod shop;

use crate::audit;
use crate::dev;
use anyhow::{Context, Result, bail, ensure};
use cluster::Cluster;
use net::Network;
use serde::Serialize;
use service::Service;
use shop::Shop;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

#[derive(clap::Args, Clone)]
#[command(after_long_help = "Examples:
  cargo build --release -p gateway -p loadtest
  loadtest ha --rounds 20 --json ha.json
  loadtest ha --only kill-primary --rounds 1
  loadtest ha --up

Needs root, iproute2, setpriv and Debian's patroni, etcd-server, haproxy and postgresql; `counterfoil` beside this program.")]
/// Arguments of `loadtest ha`.
pub struct Args {
    /// How many rounds; the faults take turns
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Only these faults
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Fault>,
    /// Purchases per second
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=500))]
    rate: u64,
    /// Gateways
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=5))]
    gateways: u8,
    /// Start everything, and wait for Ctrl-C instead of breaking it
    #[arg(long)]
    up: bool,
    /// Keep logs and data here instead of throwing them away
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Write the table here as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Set by this program when it runs itself inside the namespaces
    #[arg(long, hide = true, value_name = "NAME")]
    inside: Option<String>,
}

/// What breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// kill -9 of the leader: PostgreSQL and Patroni at once
    KillPrimary,
    /// the leader's network is cut, and comes back
    PartitionPrimary,
    /// the leader stands still (SIGSTOP) longer than its lease, and goes on as if nothing were
    FreezePrimary,
    /// kill -9 of a gateway
    KillGateway,
    /// kill -9 of etcd's leader
    KillEtcdLeader,
}

impl Fault {
    const ALL: [Self; 5] = [
        Self::KillPrimary,
        Self::PartitionPrimary,
        Self::KillGateway,
        Self::FreezePrimary,
        Self::KillEtcdLeader,
    ];
}

/// One line of the table.
#[derive(Debug, Serialize)]
struct Round {
    round: u32,
    fault: Fault,
    /// who was hit
    on: String,
    /// from the fault until the first payment that was asked for after it and succeeded, seconds
    recovery: f64,
    /// longest time without a successful payment, seconds
    gap: f64,
    /// purchases that were acknowledged in this round
    acknowledged: usize,
    /// requests that had no answer, or one that says to try again
    retried: u64,
    /// acknowledged payments that the database does not have as they were told
    lost: usize,
}

/// Runs the rounds.
///
/// # Errors
/// When something is missing here, the cluster does not recover, or a caller was told something that is not so.
pub async fn run(args: Args) -> Result<()> {
    match args.inside.clone() {
        Some(name) => inside(args, &name).await,
        None => outside().await,
    }
}

/// Makes the namespaces, runs this program inside, and leaves nothing behind.
async fn outside() -> Result<()> {
    ensure!(
        std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0),
        "network namespaces need root"
    );
    for program in ["ip", "setpriv", "etcd", "patroni", "haproxy"] {
        ensure!(
            net::on_path(program),
            "{program} is missing: apt-get install iproute2 util-linux etcd-server patroni haproxy"
        );
    }
    let network = Network::create()?;
    let mut inside = tokio::process::Command::new("ip")
        .args(["netns", "exec", &network.hub()])
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .args(["--inside", network.name()])
        .spawn()?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let status = tokio::select! {
        status = inside.wait() => status?,
        _ = tokio::signal::ctrl_c() => inside.wait().await?, // it hears it too, and ends by itself
        _ = terminate.recv() => {
            inside.start_kill()?;
            inside.wait().await?
        }
    };
    drop(network);
    ensure!(status.success(), "the run inside the namespaces failed");
    Ok(())
}

async fn inside(args: Args, name: &str) -> Result<()> {
    let dir = match &args.keep {
        Some(dir) => dir.clone(),
        None => std::env::temp_dir().join(name),
    };
    std::fs::create_dir_all(&dir)?;
    let dir = dir.canonicalize()?;
    let outcome = tokio::select! {
        outcome = play(&args, name, &dir) => outcome,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    if args.keep.is_none() && outcome.is_ok() {
        let _ = std::fs::remove_dir_all(&dir);
    } else {
        println!("logs and data: {}", dir.display());
    }
    outcome
}

async fn play(args: &Args, name: &str, dir: &std::path::Path) -> Result<()> {
    let began = Instant::now();
    let mut cluster = Cluster::start(name, dir).await?;
    cluster.whole().await?;
    println!(
        "{:>6.1} s  three nodes, a leader and a synchronous replica",
        began.elapsed().as_secs_f64()
    );
    let mut service = Service::start(&cluster, dir, args.gateways).await?;
    println!(
        "{:>6.1} s  {} gateways behind {}",
        began.elapsed().as_secs_f64(),
        args.gateways,
        service.dev.api_url
    );
    if args.up {
        println!(
            "database {}\nkey {}\nauthority {}\npatronictl -c {} list\nCtrl-C ends everything.",
            service.dev.database_url,
            service.dev.secret_key,
            service.dev.ca_file.display(),
            cluster.config(0).display()
        );
        std::future::pending::<()>().await;
    }

    let shop = Arc::new(Shop::new(&service.dev)?);
    let visitors = tokio::spawn(shop.clone().open(args.rate));
    shop.until_sold(5, PATIENCE)
        .await
        .context("before anything is broken")?;
    let faults = if args.only.is_empty() {
        Fault::ALL.to_vec()
    } else {
        args.only.clone()
    };
    let mut rounds = Vec::new();
    for number in 1..=args.rounds {
        let fault = faults[(number as usize - 1) % faults.len()];
        let round = round(number, fault, &mut cluster, &mut service, &shop).await;
        let round = round.with_context(|| format!("round {number}, {fault:?}"))?;
        println!(
            "{:>6.1} s  round {:>2}  {:<17} {:<10} first payment after {:>5.1} s, longest gap {:>5.1} s, {:>5} acknowledged, {:>5} retried, {} lost",
            began.elapsed().as_secs_f64(),
            number,
            name_of(fault),
            round.on,
            round.recovery,
            round.gap,
            round.acknowledged,
            round.retried,
            round.lost
        );
        rounds.push(round);
    }
    shop.close();
    visitors.await?;
    println!(
        "{:>6.1} s  closed; callers insist on what they are owed",
        began.elapsed().as_secs_f64()
    );
    shop.all_answered(DRAIN).await?;
    verdict(args, &service, &shop, &rounds).await
}

/// Break, wait until payments go through, mend, wait until the cluster is whole.
async fn round(
    number: u32,
    fault: Fault,
    cluster: &mut Cluster,
    service: &mut Service,
    shop: &Arc<Shop>,
) -> Result<Round> {
    let (told_before, retried_before) = (shop.told().len(), shop.retried());
    sleep(CALM).await;
    let at = Instant::now();
    let on = match fault {
        Fault::KillPrimary => {
            let leader = cluster.leader().await?;
            cluster.kill(leader)?;
            cluster.name_of(leader)
        }
        Fault::PartitionPrimary => {
            let leader = cluster.leader().await?;
            cluster.cut(leader, true)?;
            cluster.name_of(leader)
        }
        Fault::FreezePrimary => {
            let leader = cluster.leader().await?;
            cluster.freeze(leader, true)?;
            cluster.name_of(leader)
        }
        Fault::KillGateway => service.kill(number as usize)?,
        Fault::KillEtcdLeader => {
            let leader = cluster.etcd_leader().await?;
            cluster.kill_etcd(leader)?;
            cluster.name_of(leader)
        }
    };
    let hit = match fault {
        Fault::KillGateway => None,
        _ => Some(cluster.index_of(&on)?),
    };
    let recovery = shop
        .until_sold_since(at, SOLD_AGAIN, PATIENCE)
        .await
        .context("no payment goes through")?;
    // The old primary comes back while payments go on. A frozen one wakes after another leads.
    if let Some(node) = hit {
        match fault {
            Fault::KillPrimary => cluster.start_patroni(node)?,
            Fault::PartitionPrimary => cluster.cut(node, false)?,
            Fault::FreezePrimary => cluster.freeze(node, false)?,
            Fault::KillEtcdLeader => cluster.start_etcd(node)?,
            Fault::KillGateway => {}
        }
    } else {
        service.revive()?;
    }
    cluster
        .whole()
        .await
        .context("the cluster does not become whole again")?;
    service
        .ready()
        .await
        .context("the gateways do not become ready again")?;
    sleep(CALM).await;
    let told = shop.told();
    Ok(Round {
        round: number,
        fault,
        on,
        recovery: recovery.as_secs_f64(),
        gap: shop.longest_gap(at).as_secs_f64(),
        acknowledged: told.len() - told_before,
        retried: shop.retried() - retried_before,
        lost: lost(&service.dev, &told).await?,
    })
}

/// Acknowledged payments that are not in the database, now.
async fn lost(dev: &dev::Dev, told: &[audit::Acknowledged]) -> Result<usize> {
    let ids: Vec<&str> = told.iter().map(|told| told.id.as_str()).collect();
    let mut tries = 0;
    loop {
        let asked = async {
            let database = dev.database().await?;
            let row = database
                .query_one("SELECT count(*) FROM gateway.payment WHERE id = ANY ($1)", &[&ids])
                .await?;
            anyhow::Ok(row.try_get::<_, i64>(0)?)
        };
        match asked.await {
            Ok(found) => return Ok(ids.len().saturating_sub(usize::try_from(found)?)),
            Err(_) if tries < 20 => {
                tries += 1;
                sleep(Duration::from_millis(500)).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Everything that callers saw against the final rows, the acquirer and the books.
async fn verdict(args: &Args, service: &Service, shop: &Shop, rounds: &[Round]) -> Result<()> {
    let told = shop.told();
    let deadline = Instant::now() + DRAIN;
    let mut audit = audit::audit(&service.dev.database_url, &service.dev.simulator_admin_url, &told).await?;
    while audit.unsettled > 0 && Instant::now() < deadline {
        sleep(Duration::from_secs(1)).await;
        audit = audit::audit(&service.dev.database_url, &service.dev.simulator_admin_url, &told).await?;
    }
    let (broken, doubled) = (shop.broken_promises(), shop.refused());
    println!(
        "\n{} payments acknowledged, {} in the database, {} at the acquirer, {} unsettled; captured {} {} {}, refunded {} {} {} (gateway, \
         acquirer, books)",
        audit.acknowledged,
        audit.payments,
        audit.at_acquirer,
        audit.unsettled,
        audit.captured[0],
        audit.captured[1],
        audit.captured[2],
        audit.refunded[0],
        audit.refunded[1],
        audit.refunded[2]
    );
    for (class, count) in shop.classes() {
        println!("  {count:>7} x {class}");
    }
    for finding in audit.findings.iter().chain(&broken).take(audit::SHOWN) {
        println!("  {finding}");
    }
    audit::verify_books(&service.program, &service.dev.database_url)?;
    println!("ledger verify: sound");
    if let Some(path) = &args.json {
        let text = serde_json::to_vec_pretty(
            &serde_json::json!({ "rounds": rounds, "audit": audit, "classes": shop.classes() }),
        )?;
        std::fs::write(path, text).with_context(|| path.display().to_string())?;
    }
    let lost: usize = rounds.iter().map(|round| round.lost).sum();
    ensure!(doubled.is_empty(), "refused for no good reason: {doubled:?}");
    if lost > 0 || audit.unsettled > 0 || !audit.is_sound() || !broken.is_empty() {
        bail!(
            "{lost} lost, {} unsettled, {} differences, {} answers that changed",
            audit.unsettled,
            audit.wrong,
            broken.len()
        );
    }
    println!(
        "{} rounds: nothing acknowledged was lost, nothing doubled, the books balance",
        rounds.len()
    );
    Ok(())
}

/// The faults by their names on the command line.
pub fn fault_names() -> Vec<String> {
    Fault::ALL.map(name_of).to_vec()
}

fn name_of(fault: Fault) -> String {
    clap::ValueEnum::to_possible_value(&fault).map_or_else(String::new, |value| value.get_name().to_owned())
}

/// Load without a fault, before and after each.
const CALM: Duration = Duration::from_secs(2);
/// Payments after a fault that count as going on.
const SOLD_AGAIN: usize = 20;
/// For anything that the cluster is to do by itself.
const PATIENCE: Duration = Duration::from_secs(180);
/// For the last answers.
const DRAIN: Duration = Duration::from_secs(300);
