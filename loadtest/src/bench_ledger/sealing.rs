//! The seal beside the load, as the gateway runs it but far more often, so that a short run pays its whole cost.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use ledger::seal::{HeadLog, Keys, Sealer};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_postgres::Config;

use super::connect;

/// A sealer at work; its keys and heads are in a folder that goes with it.
pub struct Sealing {
    stop: watch::Sender<bool>,
    task: JoinHandle<anyhow::Result<u64>>,
    folder: PathBuf,
}

impl Sealing {
    pub async fn start(config: &Config) -> anyhow::Result<Sealing> {
        let folder = std::env::temp_dir().join(format!("counterfoil-bench-seal-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let _ = std::fs::remove_file(folder.join("heads.jsonl")); // of the run before, another database
        let keys = Keys::from_file_or_create(&folder.join("seal.keys"))?;
        let mut sealer = Sealer::new(keys, vec![HeadLog::open(&folder)?], PAGE_JOURNALS);
        let mut client = connect(config).await?;
        let (stop, mut stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let mut journals = 0;
            loop {
                let round = sealer.round(&mut client).await?;
                journals += round.journals;
                if *stopped.borrow() && !round.more {
                    return Ok(journals);
                }
                if !*stopped.borrow() {
                    let _ = tokio::time::timeout(round.rest(EVERY), stopped.wait_for(|stop| *stop)).await;
                }
            }
        });
        Ok(Sealing { stop, task, folder })
    }

    /// Ends the load's share of it; whatever was not sealed by then is sealed now.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        let journals = self.task.await?.context("sealing")?;
        ensure!(journals > 0, "nothing was sealed");
        eprintln!("    {journals} journals sealed");
        std::fs::remove_dir_all(self.folder)?;
        Ok(())
    }
}

const EVERY: Duration = Duration::from_millis(500);
const PAGE_JOURNALS: u32 = 4096;
