//! `counterfoil dev`: the whole thing on one machine, in one folder, with real parts.
//!
//! `DIR/dev.json` is written last, when everything answers, and tells other programs where everything is. Data stays when the
//! command ends; what it started is stopped, in the reverse order. One `dev` runs per folder.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::serving::{self, Bound};
use super::shutdown::Shutdown;
use super::{log, print};
use crate::audit_log::export;
use crate::clock::Clock;
use crate::connector::{self, iso8583, stripe};
use crate::dev::acquirer::{Callbacks, Simulator};
use crate::dev::ca::{self, Certificates};
use crate::dev::demo;
use crate::dev::files;
use crate::dev::postgres::{EmbeddedPostgres, Options};
use crate::dev::seed::{self, Seeded};
use crate::edge::{self, ClientAuth, Files, Limits, Reloadable};
use crate::id;
use crate::receipt;
use crate::seal;
use crate::service::{self, ACQUIRER_CALLBACK_PATH, Service, ServiceConfig};
use crate::vault::Vault;

#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  counterfoil dev
  counterfoil dev --demo
  counterfoil dev --dir /tmp/shop --api-port 0 --ops-port 0
  counterfoil dev --database-url postgresql://owner:secret@127.0.0.1/scratch")]
pub(super) struct Args {
    /// Folder for data, certificates, logs and dev.json
    #[arg(long, default_value = ".counterfoil", value_name = "DIR")]
    dir: PathBuf,

    /// Port of the API on 127.0.0.1; 0 picks a free one
    #[arg(long, default_value_t = 8443, value_name = "PORT")]
    api_port: u16,

    /// Port of the console, health and metrics on 127.0.0.1; 0 picks a free one
    #[arg(long, default_value_t = 9443, value_name = "PORT")]
    ops_port: u16,

    /// Use this database, as its owner, instead of starting one
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,

    /// Of the scorer's rules keep the lists alone, so that nothing else is flagged: for load tests, which pay with one card
    #[arg(long)]
    permissive_scorer: bool,

    /// Begin with a month of demonstration data: payments, fraud, disputes, reviews, payouts. Once per folder
    #[arg(long)]
    demo: bool,

    /// From this amount on, in whole units of the currency, a second API key must submit a dispute's evidence; 0 for never
    #[arg(long, default_value_t = 0, value_name = "AMOUNT")]
    second_person_from: i64,

    /// Send receipts to this mail server on 127.0.0.1, by STARTTLS with a certificate of the development authority
    #[arg(long, value_name = "PORT")]
    mail_port: Option<u16>,

    /// User and password for it, with a colon between them
    #[arg(long, value_name = "USER:PASSWORD", requires = "mail_port")]
    mail_login: Option<String>,
}

pub(super) async fn run(args: Args) -> Result<()> {
    let shutdown = Shutdown::listen()?;
    let folder = Folder::claim(&args.dir)?;
    log::to_file(&folder.path("log.jsonl"), "info")?;
    let api_listener = folder.bind("api", args.api_port)?;
    let ops_listener = folder.bind("ops", args.ops_port)?;
    let api_url = format!("https://{}", api_listener.local_addr()?);
    let ops_url = format!("https://{}", ops_listener.local_addr()?);

    let database = Database::start(&folder, args.database_url.as_deref()).await?;
    let clock = match args.demo && !folder.path("demo.done").exists() {
        true => Clock::behind(SignedDuration::from_hours(24 * demo::DAYS)),
        false => Clock::default(),
    };
    if clock.behind_by().is_positive() {
        id::follow(clock.clone());
    }
    let started = start(&folder, &database, &api_url, &args, &clock).await;
    let outcome = match started {
        Err(error) => Err(error),
        Ok(Started {
            service,
            tls,
            ca_file,
            credentials,
            simulator,
        }) => {
            let [api_tls, ops_tls] = tls;
            let api = Bound {
                listener: api_listener,
                tls: api_tls,
            };
            let ops = Bound {
                listener: ops_listener,
                tls: ops_tls,
            };
            let demo = folder.path("demo.done");
            let (api_router, app) = (service.api.clone(), service.app.clone());
            let announce = async || {
                if clock.behind_by().is_positive() {
                    demo::fill(api_router, app, &clock, &credentials.seeded).await?;
                    files::replace(&demo, b"", 0o600)?;
                    step("a month of demonstration data");
                }
                let announcement = Announcement {
                    api_url: &api_url,
                    ops_url: &ops_url,
                    ca_file: &ca_file,
                    seeded: &credentials.seeded,
                    database_url: &database.url,
                    simulator_url: simulator.api_url(),
                    simulator_admin_url: simulator.admin_url(),
                    pid: std::process::id(),
                };
                announcement.write(&folder)?;
                print::text(announcement.banner(&folder));
                Ok(())
            };
            let served = serving::run(service, api, ops, &Limits::default(), shutdown, announce).await;
            print::line("Stopping.");
            folder.forget_announcement();
            served.and(simulator.stop().await)
        }
    };
    outcome.and(database.stop().await)
}

/// Everything between the database and the listeners.
struct Started {
    service: Service,
    tls: [Arc<Reloadable>; 2],
    ca_file: PathBuf,
    credentials: Credentials,
    simulator: Simulator,
}

/// The mail server of a developer or a test.
fn mail(port: u16, login: Option<&str>, authority: &Path) -> receipt::mail::Config {
    let (username, password) = login.and_then(|login| login.split_once(':')).unwrap_or_default();
    receipt::mail::Config {
        host: "localhost".into(),
        port,
        security: receipt::mail::Security::Starttls,
        username: username.to_owned(),
        password: password.to_owned().into(),
        from: "Counterfoil <receipts@counterfoil.example>".into(),
        authorities: Some(authority.to_owned()),
    }
}

async fn start(folder: &Folder, database: &Database, api_url: &str, args: &Args, clock: &Clock) -> Result<Started> {
    let mut owner = database.owner.connect().await.context("connecting to PostgreSQL")?;
    let applied = service::migrate(&mut owner).await.context("migrating")?;
    step(&format!("schemas up to date ({applied} migrations applied)"));

    let Certificates {
        authority: ca_file,
        certificate,
        key,
    } = ca::ensure(&folder.path("tls"), jiff::Timestamp::now())?;
    let files = Files {
        certificate,
        key,
        client: ClientAuth::None,
    };
    let tls = [Reloadable::load(files.clone())?, Reloadable::load(files)?];
    let vault_keys = folder.path("vault.keys");
    let vault = service::vault(&database.role("vault_app"), &vault_keys, true, &Clock::default())?;
    let credentials = Credentials::ensure(folder, &owner, &vault, clock.now()).await?;
    let callbacks = Callbacks {
        url: format!("{api_url}{ACQUIRER_CALLBACK_PATH}"),
        secret: credentials.acquirer_webhook_secret.clone(),
        authority: ca_file.clone(),
    };
    let program = std::env::current_exe().context("finding this program")?;
    let simulator = Simulator::start(&program, &folder.path("simulator"), &callbacks).await?;
    step(&format!(
        "acquirer simulator on {}{}",
        simulator.api_url(),
        adopted(simulator.adopted())
    ));

    let service = Service::start(ServiceConfig {
        database: database.role("gateway_app"),
        vault_database: database.role("vault_app"),
        connections: 16,
        writers: 2,
        replicas: 0,
        telemetry: None,
        vault_keys,
        transit: None,
        seal: seal_config(folder)?,
        audit: audit_config(folder)?,
        alerts: crate::alert::Config::default(),
        connectors: connector::Settings {
            stripe: Some(stripe::Settings {
                base_url: simulator.api_url().to_string(),
                secret_key: credentials.acquirer_secret_key.clone(),
                webhook_secret: credentials.acquirer_webhook_secret.clone(),
                authorities: None,
            }),
            iso8583: Some(iso8583::Settings {
                address: simulator.bank_address().to_string(),
                authorities: None,
                terminal_id: "DEV00001".into(),
                merchant_id: "COUNTERFOIL DEV".into(),
                merchant_category: "5999".into(),
                institution_id: "400001".into(),
                connect: Duration::from_secs(1),
                answer: Duration::from_secs(5),
                echo: Duration::from_secs(30),
            }),
        },
        payments: None,
        payers_base_url: Some(api_url.to_owned()),
        // The IBAN registry's own example.
        payout_bank: Some(crate::funds::file::pain001::Debtor {
            name: "Platform".to_owned(),
            iban: "DE89370400440532013000".to_owned(),
            bic: "COBADEFFXXX".to_owned(),
        }),
        mail: args
            .mail_port
            .map(|port| mail(port, args.mail_login.as_deref(), &ca_file)),
        development: true,
        webhook_authorities: Some(ca_file.clone()),
        permissive_scorer: args.permissive_scorer,
        risk: crate::risk::Settings {
            snapshot: Some(folder.path("scorer.snapshot")),
            model: Some(folder.path("model.json")),
            challenger: Some(folder.path("challenger.json")),
            ..crate::risk::Settings::default()
        },
        access: crate::limit::Settings::default(),
        console: crate::console::Settings {
            second_factor: false,
            ..crate::console::Settings::default()
        },
        clock: clock.clone(),
        disputes: crate::dispute::Settings {
            second_person_from: args.second_person_from,
            ..crate::dispute::Settings::default()
        },
    });
    match service.await.context("starting the application") {
        Ok(service) => Ok(Started {
            service,
            tls,
            ca_file,
            credentials,
            simulator,
        }),
        Err(error) => {
            simulator.stop().await?;
            Err(error)
        }
    }
}

fn audit_config(folder: &Folder) -> Result<export::Config> {
    let directory = folder.path("audit");
    fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
    Ok(export::Config {
        directory: Some(directory),
        receiver: None,
        every: Duration::from_secs(1),
    })
}

fn seal_config(folder: &Folder) -> Result<seal::Config> {
    let heads = folder.path("heads");
    fs::create_dir_all(&heads).with_context(|| format!("making {}", heads.display()))?;
    Ok(seal::Config {
        keys: folder.path("seal.keys"),
        make_keys: true,
        heads: vec![heads],
        push: seal::push::Config::default(),
        every: Duration::from_secs(1),
        page_journals: 4096,
        verify_every: Duration::from_secs(300),
    })
}

/// The development folder, ours alone for as long as this lives.
struct Folder {
    dir: PathBuf,
    _lock: File,
}

impl Folder {
    fn claim(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
        let dir = dir.canonicalize()?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(dir.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {
                let folder = Self { dir, _lock: lock };
                folder.forget_announcement(); // of a run that was killed
                Ok(folder)
            }
            Err(TryLockError::WouldBlock) => {
                #[derive(Deserialize)]
                struct Other {
                    pid: u32,
                    api_url: String,
                }
                let other = fs::read(dir.join("dev.json"))
                    .ok()
                    .and_then(|text| serde_json::from_slice::<Other>(&text).ok());
                let who = other.map_or_else(
                    || "it is just starting or stopping".to_string(),
                    |other| format!("process {}, {}", other.pid, other.api_url),
                );
                bail!(
                    "counterfoil dev already runs on {} ({who}); stop it first, or give another --dir",
                    dir.display()
                );
            }
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("locking {}", dir.display())),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Listens on this port of 127.0.0.1. 0 is the port of last time if it is still free, so that clients and the acquirer's
    /// webhooks find us again after a restart, else any.
    fn bind(&self, name: &str, port: u16) -> Result<TcpListener> {
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let note = self.path(&format!("{name}.port"));
        if port != 0 {
            return edge::bind(address(port))
                .with_context(|| format!("listening on {} (in use? port 0 picks a free one)", address(port)));
        }
        let last = fs::read_to_string(&note)
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0);
        let listener = edge::bind(address(last))
            .or_else(|_| edge::bind(address(0)))
            .context("listening on 127.0.0.1")?;
        files::replace(&note, listener.local_addr()?.port().to_string().as_bytes(), 0o600)?;
        Ok(listener)
    }

    /// `dev.json` exists while its addresses answer.
    fn forget_announcement(&self) {
        let _ = fs::remove_file(self.path("dev.json"));
    }
}

/// The database: ours, embedded, or someone else's.
struct Database {
    url: String,
    owner: crate::database::Database,
    embedded: Option<EmbeddedPostgres>,
}

impl Database {
    async fn start(folder: &Folder, url: Option<&str>) -> Result<Self> {
        if let Some(url) = url {
            let owner = crate::database::Database::parse(url).context("--database-url")?;
            step("PostgreSQL as given");
            return Ok(Self {
                url: url.to_string(),
                owner,
                embedded: None,
            });
        }
        let embedded = EmbeddedPostgres::start(&folder.dir, &Options::default()).await?;
        if !embedded.path().starts_with(&folder.dir) {
            let (dir, path) = (folder.dir.display(), embedded.path().display());
            step(&format!(
                "{dir} is closed to the account that runs PostgreSQL: its data is in {path}"
            ));
        }
        embedded.create_database(DATABASE, None).await?;
        step(&format!(
            "PostgreSQL in {}{}",
            embedded.path().display(),
            adopted(embedded.adopted())
        ));
        Ok(Self {
            url: embedded.url(DATABASE),
            owner: embedded.config(DATABASE).into(),
            embedded: Some(embedded),
        })
    }

    /// A connection that acts as this role. The owner may become any; production roles log in with their own passwords.
    fn role(&self, role: &str) -> crate::database::Database {
        self.owner.acting_as(role)
    }

    async fn stop(self) -> Result<()> {
        match self.embedded {
            Some(embedded) => Ok(embedded.stop().await?),
            None => Ok(()),
        }
    }
}

/// Secrets of this folder. The database keeps keys as hashes only, so the texts are kept here.
#[derive(Serialize, Deserialize)]
struct Credentials {
    acquirer_secret_key: String,
    acquirer_webhook_secret: String,
    seeded: Seeded,
}

impl Credentials {
    async fn ensure(
        folder: &Folder,
        owner: &tokio_postgres::Client,
        vault: &Vault,
        now: jiff::Timestamp,
    ) -> Result<Self> {
        let path = folder.path("credentials.json");
        let known: Option<Self> = match fs::read(&path) {
            Ok(text) => Some(serde_json::from_slice(&text).with_context(|| format!("reading {}", path.display()))?),
            Err(_) => None,
        };
        let (secret_key, webhook_secret, seeded) = match known {
            Some(known) => (
                known.acquirer_secret_key,
                known.acquirer_webhook_secret,
                Some(known.seeded),
            ),
            None => (random("sk_test_"), random("whsec_"), None),
        };
        let seeded = seed::seed(owner, vault, seeded, now).await.context("seeding")?;
        let credentials = Self {
            acquirer_secret_key: secret_key,
            acquirer_webhook_secret: webhook_secret,
            seeded,
        };
        files::replace(&path, &serde_json::to_vec_pretty(&credentials)?, 0o600)?;
        Ok(credentials)
    }
}

/// `dev.json`: the contract with tests, scripts and people.
#[derive(Serialize)]
struct Announcement<'a> {
    api_url: &'a str,
    ops_url: &'a str,
    ca_file: &'a Path,
    #[serde(flatten)]
    seeded: &'a Seeded,
    database_url: &'a str,
    simulator_url: &'a str,
    simulator_admin_url: &'a str,
    pid: u32,
}

impl Announcement<'_> {
    fn write(&self, folder: &Folder) -> Result<()> {
        let path = folder.path("dev.json");
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        files::replace(&path, &text, 0o600).with_context(|| format!("writing {}", path.display()))
    }

    fn banner(&self, folder: &Folder) -> String {
        let Self {
            api_url,
            ops_url,
            ca_file,
            seeded,
            database_url,
            simulator_url,
            ..
        } = self;
        let somebody = seeded.console_users.iter().find(|person| person.role == "supervisor");
        let (user, password) = somebody.map_or(("", ""), |person| (&person.user, &person.password));
        let (ca_file, dir, secret_key) = (ca_file.display(), folder.dir.display(), &seeded.secret_key);
        format!(
            "
Counterfoil is ready.

  API        {api_url}
  console    {ops_url} (sign in as {user}, password {password}; people of other roles are in dev.json)
  database   {database_url}
  acquirer   {simulator_url}
  folder     {dir} (keys and addresses in dev.json, logs in log.jsonl)

Make a payment:

  curl --cacert {ca_file} {api_url}/v1/payment_intents -u {secret_key}: \\
    -d amount=2000 -d currency=usd -d payment_method=pm_card_visa -d confirm=true

Stop with Ctrl-C; data stays.
"
        )
    }
}

fn random(prefix: &str) -> String {
    format!("{prefix}{}", hex::encode(rand::random::<[u8; 16]>()))
}

fn adopted(adopted: bool) -> &'static str {
    if adopted { ", still running from before" } else { "" }
}

fn step(what: &str) {
    print::line(format_args!("- {what}"));
}

const DATABASE: &str = "counterfoil";
