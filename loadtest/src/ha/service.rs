//! The gateways, the acquirer and HAProxy: everything that runs in the hub.
//!
//! `counterfoil dev` makes schemas, keys, merchants and the acquirer on the cluster's database, and is then killed; what serves are
//! `counterfoil serve` processes with settings as in production.

use super::cluster::Cluster;
use crate::client::{Connection, Target};
use crate::dev::Dev;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const HAPROXY: &str = include_str!("../../../deploy/ha/haproxy.cfg");
const DATABASE: &str = "127.0.0.1:5000";
const API: &str = "127.0.0.1:8443";

pub(super) struct Service {
    /// as `dev.json` has it, with the API behind HAProxy
    pub(super) dev: Dev,
    pub(super) program: PathBuf,
    dir: PathBuf,
    gateways: Vec<Option<Child>>,
    haproxy: Child,
}

impl Service {
    pub(super) async fn start(cluster: &Cluster, dir: &Path, gateways: u8) -> Result<Self> {
        let program = std::env::current_exe()?.with_file_name("counterfoil");
        ensure!(
            program.exists(),
            "{} is not built: cargo build --release -p gateway",
            program.display()
        );
        let servers: String = (0..gateways)
            .map(|n| {
                format!(
                    "    server gateway{} 127.0.0.1:{} port {}\n",
                    n + 1,
                    8101 + u16::from(n),
                    9101 + u16::from(n)
                )
            })
            .collect();
        let config = [
            ("{user}", "# as whoever starts it"),
            ("{database_bind}", DATABASE),
            ("{database_servers}", cluster.servers().trim_end()),
            ("{api_bind}", API),
            ("{api_servers}", servers.trim_end()),
        ]
        .iter()
        .fold(HAPROXY.to_owned(), |text, (mark, value)| text.replace(mark, value));
        fs::write(dir.join("haproxy.cfg"), config)?;
        let mut haproxy = spawn(
            Command::new("haproxy")
                .arg("-f")
                .arg(dir.join("haproxy.cfg"))
                .arg("-db"),
            &dir.join("haproxy.log"),
        )?;

        let admin = format!("postgresql://postgres:{}@{DATABASE}", cluster.superuser_password);
        created(&admin, &mut haproxy).await?;
        let shop = dir.join("dev");
        fs::create_dir_all(&shop)?;
        let database_url = format!("{admin}/counterfoil");
        let mut dev = spawn(
            Command::new(&program)
                .args(["dev", "--api-port", "0", "--ops-port", "0", "--dir"])
                .arg(&shop)
                .args(["--database-url", &database_url]),
            &dir.join("dev.log"),
        )?;
        let file = shop.join("dev.json");
        let deadline = Instant::now() + super::PATIENCE;
        while !file.exists() {
            ensure!(
                dev.try_wait()?.is_none(),
                "counterfoil dev ended: see {}",
                dir.join("dev.log").display()
            );
            ensure!(Instant::now() < deadline, "counterfoil dev is not ready");
            sleep(Duration::from_millis(100)).await;
        }
        let mut told = Dev::read(&file)?;
        let announced: Value = serde_json::from_slice(&fs::read(&file)?)?;
        dev.kill()?; // -9: the acquirer, a process of its own, goes on, and ends with the namespaces
        dev.wait()?;
        told.api_url = format!("https://{API}");
        let mut service = Self {
            dev: told,
            program,
            dir: dir.to_owned(),
            gateways: Vec::new(),
            haproxy,
        };
        for n in 0..gateways {
            fs::write(
                service.settings(n.into()),
                settings(&shop, &database_url, &announced, n)?,
            )?;
            service.gateways.push(None);
        }
        service.revive()?;
        service.ready().await?;
        Ok(service)
    }

    /// kill -9 of a gateway.
    pub(super) fn kill(&mut self, n: usize) -> Result<String> {
        let n = n % self.gateways.len();
        if let Some(mut gateway) = self.gateways[n].take() {
            gateway.kill()?;
            gateway.wait()?;
        }
        Ok(format!("gateway{}", n + 1))
    }

    /// Starts the gateways that are not running.
    pub(super) fn revive(&mut self) -> Result<()> {
        for n in 0..self.gateways.len() {
            if self.gateways[n].is_none() {
                let mut command = Command::new(&self.program);
                command.args(["serve", "--config"]).arg(self.settings(n));
                self.gateways[n] = Some(spawn(&mut command, &self.dir.join(format!("gateway{}.jsonl", n + 1)))?);
            }
        }
        Ok(())
    }

    /// Waits until none of them is gone and the API answers through HAProxy.
    pub(super) async fn ready(&mut self) -> Result<()> {
        let target = Target::new(&self.dev)?;
        let deadline = Instant::now() + super::PATIENCE;
        loop {
            for (n, gateway) in self.gateways.iter_mut().enumerate() {
                let ended = gateway.as_mut().map(Child::try_wait).transpose()?.flatten();
                ensure!(ended.is_none(), "gateway{} ended: {ended:?}", n + 1);
            }
            let mut connection = Connection::new(target.clone());
            if connection.warm().await.is_ok() {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "no gateway is ready");
            sleep(Duration::from_millis(200)).await;
        }
    }

    fn settings(&self, n: usize) -> PathBuf {
        self.dir.join(format!("gateway{}.toml", n + 1))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let Self { gateways, haproxy, .. } = self;
        for child in gateways.iter_mut().flatten().chain([haproxy]) {
            let _ = child.kill().and_then(|()| child.wait().map(drop));
        }
    }
}

fn spawn(command: &mut Command, log: &Path) -> Result<Child> {
    let log = File::options().create(true).append(true).open(log)?;
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .env_remove("DATABASE_URL")
        .spawn()
        .with_context(|| format!("{:?}", command.get_program()))
}

/// The database, as soon as HAProxy has found the leader.
async fn created(admin: &str, haproxy: &mut Child) -> Result<()> {
    let deadline = Instant::now() + super::PATIENCE;
    loop {
        ensure!(haproxy.try_wait()?.is_none(), "haproxy ended: see its log");
        let made = async {
            let client = crate::dev::connect(&format!("{admin}/postgres")).await?;
            client.batch_execute("CREATE DATABASE counterfoil").await?;
            anyhow::Ok(())
        };
        match made.await {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => sleep(Duration::from_millis(500)).await,
        }
    }
}

/// Settings of a gateway: what an operator would write, with files of the development folder where production has its own. Outcomes that
/// are not known are asked about soon, because the run ends when none is left; the acquirer here does not lag behind its own truth.
fn settings(shop: &Path, database_url: &str, announced: &Value, n: u8) -> Result<String> {
    let credentials: Value = serde_json::from_slice(&fs::read(shop.join("credentials.json"))?)?;
    let role = |role: &str| format!("{database_url}?options=-c%20role%3D{role}");
    let tls = format!(
        "certificate = {:?}\nkey = {:?}",
        shop.join("tls/server.pem"),
        shop.join("tls/server.key")
    );
    let heads = shop.join(format!("heads-{n}"));
    fs::create_dir_all(&heads)?;
    Ok(format!(
        "[api]\naddress = \"127.0.0.1:{}\"\n{tls}\n[ops]\naddress = \"127.0.0.1:{}\"\n{tls}\n\
         [database]\nurl = {:?}\nvault_url = {:?}\nconnections = 8\nreplicas = 2\n\
         [payments]\nask_after_ms = 5000\nnot_received_after_ms = 15000\n\
         [vault]\nkeys = {:?}\n[seal]\nkeys = {:?}\nheads = {heads:?}\n[webhooks]\nauthorities = \"\"\n[risk]\nsnapshot = \"\"\n\
         [stripe]\nbase_url = {}\nsecret_key = {}\nwebhook_secret = {}\nauthorities = \"\"\n",
        8101 + u16::from(n),
        9101 + u16::from(n),
        role("gateway_app"),
        role("vault_app"),
        shop.join("vault.keys"),
        shop.join("seal.keys"),
        announced["simulator_url"],
        credentials["acquirer_secret_key"],
        credentials["acquirer_webhook_secret"],
    ))
}
