//! Three nodes with etcd, Patroni and PostgreSQL, from the files of `deploy/ha` as they are shipped.
//!
//! It starts, kills, cuts off, freezes and brings back; whether the cluster copes is for others to say.

use super::net::{self, NETWORK, NODES};
use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

const PATRONI: &str = include_str!("../../../deploy/ha/patroni.yml");
const ETCD: &str = include_str!("../../../deploy/ha/etcd.yml");

pub(super) struct Cluster {
    nodes: Vec<Node>,
    http: Client<HttpConnector, Empty<Bytes>>,
    posting: Client<HttpConnector, Full<Bytes>>,
    pub(super) superuser_password: String,
}

struct Node {
    name: String,
    address: String,
    space: String,
    dir: PathBuf,
    etcd: Option<Child>,
    patroni: Option<Child>,
}

/// What Patroni says of the cluster.
#[derive(Deserialize)]
struct Members {
    members: Vec<Member>,
}

#[derive(Deserialize)]
struct Member {
    name: String,
    role: String,
    state: String,
}

impl Cluster {
    /// Starts all nodes; they find together by themselves.
    pub(super) async fn start(name: &str, dir: &Path) -> Result<Self> {
        let account = Account::postgres()?;
        let bin_dir = bin_dir()?;
        let (superuser_password, replication_password) = (password(), password());
        let members: Vec<String> = (0..NODES)
            .map(|node| format!("pg{}=http://{}:2380", node + 1, net::address(node)))
            .collect();
        let clients: Vec<String> = (0..NODES).map(|node| format!("{}:2379", net::address(node))).collect();
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
        let mut nodes = Vec::new();
        for index in 0..NODES {
            let node = Node {
                name: format!("pg{}", index + 1),
                address: net::address(index),
                space: net::namespace(name, index),
                dir: dir.join(format!("pg{}", index + 1)),
                etcd: None,
                patroni: None,
            };
            fs::create_dir_all(&node.dir)?;
            fs::set_permissions(&node.dir, fs::Permissions::from_mode(0o700))?;
            let filled = |template: &str| {
                [
                    ("{name}", node.name.as_str()),
                    ("{address}", &node.address),
                    ("{dir}", &node.dir.display().to_string()),
                    ("{etcd_cluster}", &members.join(",")),
                    ("{etcd_hosts}", &clients.join(",")),
                    ("{network}", NETWORK),
                    ("{bin_dir}", &bin_dir.display().to_string()),
                    ("{superuser_password}", &superuser_password),
                    ("{replication_password}", &replication_password),
                    ("{watchdog}", "off"),
                ]
                .iter()
                .fold(template.to_owned(), |text, (mark, value)| text.replace(mark, value))
            };
            for (file, template) in [("etcd.yml", ETCD), ("patroni.yml", PATRONI)] {
                fs::write(node.dir.join(file), filled(template))?;
                chown(node.dir.join(file), Some(account.0), Some(account.1))?;
            }
            chown(&node.dir, Some(account.0), Some(account.1))?;
            nodes.push(node);
        }
        let mut cluster = Self {
            nodes,
            http: Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(0)
                .build_http(),
            posting: Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(0)
                .build_http(),
            superuser_password,
        };
        for node in 0..NODES {
            cluster.start_etcd(node)?;
        }
        cluster
            .until("etcd has a leader", async |cluster| cluster.etcd_leader().await.is_ok())
            .await?;
        for node in 0..NODES {
            cluster.start_patroni(node)?;
        }
        Ok(cluster)
    }

    /// Waits until there is a leader, a synchronous replica, and nobody is missing.
    pub(super) async fn whole(&self) -> Result<()> {
        self.until("a leader, a synchronous replica, and nobody missing", async |cluster| {
            let Ok(members) = cluster.members().await else {
                return false;
            };
            let of = |role: &str| members.iter().filter(|member| member.role == role).count();
            let up = members
                .iter()
                .filter(|member| matches!(member.state.as_str(), "running" | "streaming"))
                .count();
            up == NODES
                && of("leader") == 1
                && of("sync_standby") == 1
                && cluster.followers().await.is_ok_and(|n| n == NODES - 1)
        })
        .await
    }

    /// Replicas that the leader itself sees following: Patroni calls one running that has not found its way yet.
    async fn followers(&self) -> Result<usize> {
        let leader = &self.nodes[self.leader().await?];
        let url = format!(
            "postgresql://postgres:{}@{}:5432/postgres",
            self.superuser_password, leader.address
        );
        let asked = async {
            let client = crate::dev::connect(&url).await?;
            let following =
                "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND NOT pg_is_in_recovery()";
            let row = client.query_one(following, &[]).await?;
            anyhow::Ok(usize::try_from(row.try_get::<_, i64>(0)?)?)
        };
        timeout(Duration::from_secs(3), asked).await?
    }

    pub(super) fn name_of(&self, node: usize) -> String {
        self.nodes[node].name.clone()
    }

    pub(super) fn index_of(&self, name: &str) -> Result<usize> {
        self.nodes
            .iter()
            .position(|node| node.name == name)
            .context("no such node")
    }

    pub(super) fn config(&self, node: usize) -> PathBuf {
        self.nodes[node].dir.join("patroni.yml")
    }

    /// Lines for HAProxy: every node, judged by its Patroni.
    pub(super) fn servers(&self) -> String {
        let line = |node: &Node| format!("    server {} {}:5432 check port 8008\n", node.name, node.address);
        self.nodes.iter().map(line).collect()
    }

    /// Who leads.
    pub(super) async fn leader(&self) -> Result<usize> {
        let members = self.members().await?;
        let leader = members
            .iter()
            .find(|member| member.role == "leader")
            .context("nobody leads")?;
        self.index_of(&leader.name)
    }

    /// The machine dies: PostgreSQL and Patroni at once, without a word.
    pub(super) fn kill(&mut self, node: usize) -> Result<()> {
        for pid in self.database_pids(node) {
            net::kill("KILL", pid);
        }
        if let Some(mut patroni) = self.nodes[node].patroni.take() {
            patroni.wait()?;
        }
        Ok(())
    }

    /// Cuts its cable, or joins it.
    pub(super) fn cut(&self, node: usize, off: bool) -> Result<()> {
        net::cut(node, off)
    }

    /// Stops its clock: PostgreSQL and Patroni stand still, or go on.
    pub(super) fn freeze(&self, node: usize, still: bool) -> Result<()> {
        for pid in self.database_pids(node) {
            net::kill(if still { "STOP" } else { "CONT" }, pid);
        }
        Ok(())
    }

    /// Who leads etcd.
    pub(super) async fn etcd_leader(&self) -> Result<usize> {
        #[derive(Deserialize)]
        struct Status {
            leader: String,
            header: Header,
        }
        #[derive(Deserialize)]
        struct Header {
            member_id: String,
        }
        for (index, node) in self.nodes.iter().enumerate() {
            let asked = async {
                let request = http::Request::post(format!("http://{}:2379/v3/maintenance/status", node.address))
                    .body(Full::new(Bytes::from_static(b"{}")))?;
                let body = self
                    .posting
                    .request(request)
                    .await?
                    .into_body()
                    .collect()
                    .await?
                    .to_bytes();
                anyhow::Ok(serde_json::from_slice::<Status>(&body)?)
            };
            if let Ok(Ok(status)) = timeout(Duration::from_secs(1), asked).await
                && status.leader == status.header.member_id
                && status.leader != "0"
            {
                return Ok(index);
            }
        }
        bail!("etcd has no leader")
    }

    pub(super) fn kill_etcd(&mut self, node: usize) -> Result<()> {
        if let Some(mut etcd) = self.nodes[node].etcd.take() {
            etcd.kill()?;
            etcd.wait()?;
        }
        Ok(())
    }

    pub(super) fn start_etcd(&mut self, node: usize) -> Result<()> {
        let file = self.nodes[node].dir.join("etcd.yml");
        self.nodes[node].etcd = Some(self.nodes[node].run("etcd", &["--config-file", &file.display().to_string()])?);
        Ok(())
    }

    pub(super) fn start_patroni(&mut self, node: usize) -> Result<()> {
        let file = self.nodes[node].dir.join("patroni.yml");
        self.nodes[node].patroni = Some(self.nodes[node].run("patroni", &[&file.display().to_string()])?);
        Ok(())
    }

    /// Everything of a node but etcd.
    fn database_pids(&self, node: usize) -> Vec<u32> {
        let node = &self.nodes[node];
        let etcd = node.etcd.as_ref().map(Child::id);
        net::pids(&node.space)
            .into_iter()
            .filter(|pid| Some(*pid) != etcd)
            .collect()
    }

    /// The cluster as the first node that answers sees it.
    async fn members(&self) -> Result<Vec<Member>> {
        for node in &self.nodes {
            let asked = async {
                let url = format!("http://{}:8008/cluster", node.address).parse()?;
                let body = self.http.get(url).await?.into_body().collect().await?.to_bytes();
                anyhow::Ok(serde_json::from_slice::<Members>(&body)?.members)
            };
            if let Ok(Ok(members)) = timeout(Duration::from_secs(2), asked).await {
                return Ok(members);
            }
        }
        bail!("no Patroni answers")
    }

    async fn until(&self, what: &str, mut so: impl AsyncFnMut(&Self) -> bool) -> Result<()> {
        let deadline = Instant::now() + super::PATIENCE;
        while !so(self).await {
            ensure!(
                Instant::now() < deadline,
                "not within {} s: {what}",
                super::PATIENCE.as_secs()
            );
            sleep(Duration::from_millis(250)).await;
        }
        Ok(())
    }
}

impl Node {
    /// A program of this node: in its namespace, as PostgreSQL's account, its words in a log of its own.
    fn run(&self, program: &str, arguments: &[&str]) -> Result<Child> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.dir.join(format!("{program}.log")))?;
        Command::new("ip")
            .args([
                "netns",
                "exec",
                &self.space,
                "setpriv",
                "--reuid=postgres",
                "--regid=postgres",
                "--clear-groups",
                program,
            ])
            .args(arguments)
            .current_dir("/")
            .env("HOME", &self.dir)
            .env("LC_ALL", "C.UTF-8")
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| program.to_owned())
    }
}

/// User and group of PostgreSQL's account.
struct Account(u32, u32);

impl Account {
    fn postgres() -> Result<Self> {
        let accounts = fs::read_to_string("/etc/passwd")?;
        let line = accounts
            .lines()
            .find(|line| line.starts_with("postgres:"))
            .context("no account postgres")?;
        let mut ids = line.split(':').skip(2).map(str::parse);
        match (ids.next(), ids.next()) {
            (Some(Ok(user)), Some(Ok(group))) => Ok(Self(user, group)),
            _ => bail!("the account postgres has no ids"),
        }
    }
}

/// PostgreSQL's programs, the newest.
fn bin_dir() -> Result<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .context("PostgreSQL's programs")?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().context("no PostgreSQL in /usr/lib/postgresql")
}

fn password() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
