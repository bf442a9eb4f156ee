//! The seal beside the load, as the gateway runs it but far more often, so that a short run pays its whole cost; and what it
//! costs, measured in pairs: the same load on the same database with and without it, in turn, in one run.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use ledger::seal::{HeadLog, Keys, Sealer};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config};

use super::{Load, Merchant, Payer, Scratch, Server, Way, connect, drive, prove};

/// A sealer at work; its keys and heads are in a folder that goes with it.
pub struct Sealing {
    mode: watch::Sender<Mode>,
    /// Held during a round.
    busy: Arc<Mutex<()>>,
    task: JoinHandle<anyhow::Result<u64>>,
    folder: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    On,
    Off,
    /// Seal what is left, then end.
    End,
}

impl Sealing {
    pub async fn start(config: &Config) -> anyhow::Result<Sealing> {
        let folder = std::env::temp_dir().join(format!("counterfoil-bench-seal-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let _ = std::fs::remove_file(folder.join("heads.jsonl")); // of the run before, another database
        let keys = Keys::from_file_or_create(&folder.join("seal.keys"))?;
        let mut sealer = Sealer::new(keys, vec![HeadLog::open(&folder)?], PAGE_JOURNALS);
        let mut client = connect(config).await?;
        let (mode, mut modes) = watch::channel(Mode::On);
        let busy = Arc::new(Mutex::new(()));
        let working = Arc::clone(&busy);
        let task = tokio::spawn(async move {
            let mut journals = 0;
            loop {
                let now = *modes.borrow_and_update();
                if now == Mode::Off {
                    modes.changed().await?;
                    continue;
                }
                let round = {
                    let _working = working.lock().await;
                    sealer.round(&mut client).await?
                };
                journals += round.journals;
                if now == Mode::End && !round.more {
                    return Ok(journals);
                }
                if now == Mode::On {
                    let _ = tokio::time::timeout(round.rest(EVERY), modes.wait_for(|mode| *mode != now)).await;
                }
            }
        });
        Ok(Sealing {
            mode,
            busy,
            task,
            folder,
        })
    }

    /// Goes on sealing, or stops until told; returns when no round is under way.
    async fn set(&self, on: bool) {
        self.mode.send_replace(if on { Mode::On } else { Mode::Off });
        drop(self.busy.lock().await);
    }

    /// Ends the load's share of it; whatever was not sealed by then is sealed now.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.mode.send_replace(Mode::End);
        let journals = self.task.await?.context("sealing")?;
        ensure!(journals > 0, "nothing was sealed");
        eprintln!("    {journals} journals sealed");
        std::fs::remove_dir_all(self.folder)?;
        Ok(())
    }
}

/// One slice of a pair.
struct Slice {
    payments_per_s: f64,
    server_cpu_us: f64,
}

/// Runs the pairs on a fresh database for each load and prints, for each, what is left of the throughput under the seal: the
/// median of the pairs' ratios. Slices change places from pair to pair, so that a trend of the machine or of the books' growth
/// falls on both alike.
pub(super) async fn pairs(
    admin: &Client,
    scratch: &Scratch,
    merchants: &Arc<Vec<Merchant>>,
    callers: usize,
    pairs: usize,
    slice: Duration,
) -> anyhow::Result<()> {
    for load in [Load::Uniform, Load::Hot] {
        let name = scratch.copy();
        scratch.drop(admin, &name).await?;
        admin
            .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {}", scratch.template()))
            .await?;
        let config = scratch.config_of(&name);
        let mut observer = connect(&config).await?;
        let server = Server::of(&observer).await?;
        let payer = Arc::new(Way::Group(2).start(&config, 2).await?);
        let books = if load == Load::Hot { 1 } else { merchants.len() };
        let warm_until = Instant::now() + Duration::from_millis(500);
        drive(&payer, merchants, books, callers, warm_until).await?;
        let sealing = Sealing::start(&config).await?;
        let mut ratios = Vec::with_capacity(pairs);
        let (mut cpu_on, mut cpu_off) = (Vec::new(), Vec::new());
        for pair in 0..pairs {
            let mut slices = [None, None];
            for on in [pair % 2 == 0, pair % 2 != 0] {
                sealing.set(on).await;
                slices[usize::from(on)] = Some(run_slice(&server, &payer, merchants, books, callers, slice).await?);
            }
            if let [Some(off), Some(on)] = slices {
                ratios.push(on.payments_per_s / off.payments_per_s);
                cpu_on.push(on.server_cpu_us);
                cpu_off.push(off.server_cpu_us);
                eprintln!(
                    "{load:?} pair {}: {:.0}/s without, {:.0}/s with",
                    pair + 1,
                    off.payments_per_s,
                    on.payments_per_s
                );
            }
        }
        payer.stop().await;
        sealing.stop().await?;
        prove(&mut observer).await?;
        let (least, most) = ratios
            .iter()
            .fold((f64::MAX, f64::MIN), |(least, most), r| (least.min(*r), most.max(*r)));
        println!(
            "{load:?}, {callers} callers: under the seal {:.3} of the throughput without it (median of {pairs} pairs, {least:.3} to \
             {most:.3}); server us per payment {:.1} with, {:.1} without",
            median(&mut ratios),
            median(&mut cpu_on),
            median(&mut cpu_off),
        );
    }
    Ok(())
}

async fn run_slice(
    server: &Server,
    payer: &Arc<Payer>,
    merchants: &Arc<Vec<Merchant>>,
    books: usize,
    callers: usize,
    length: Duration,
) -> anyhow::Result<Slice> {
    let (cpu, begun) = (server.cpu(), Instant::now());
    let latencies = drive(payer, merchants, books, callers, begun + length).await?;
    let (elapsed, cpu) = (begun.elapsed(), server.cpu() - cpu);
    let payments = latencies.len() as f64;
    ensure!(payments > 0.0, "no payment was made");
    Ok(Slice {
        payments_per_s: payments / elapsed.as_secs_f64(),
        server_cpu_us: cpu.as_secs_f64() * 1e6 / payments,
    })
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

const EVERY: Duration = Duration::from_millis(500);
const PAGE_JOURNALS: u32 = 4096;
