//! `dev.json`: where a `counterfoil dev` answers and what opens it. Reads only.

use anyhow::{Context, Result};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use tokio_postgres::NoTls;

/// The parts of `dev.json` that load and audit need.
#[derive(Clone, Debug, Deserialize)]
pub struct Dev {
    /// `https://host:port` of the API
    pub api_url: String,
    /// authority of its certificate, PEM
    pub ca_file: PathBuf,
    /// a platform's secret key
    pub secret_key: String,
    /// the owner's connection
    pub database_url: String,
    /// where the acquirer tells the truth
    pub simulator_admin_url: String,
    /// process of the gateway
    pub pid: u32,
    /// process of the acquirer
    #[serde(skip)]
    pub simulator_pid: Option<u32>,
}

impl Dev {
    /// Reads the file, and the acquirer's process id beside it.
    ///
    /// # Errors
    /// When it is not there: `counterfoil dev` writes it when it is ready and removes it when it stops.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read(path)
            .with_context(|| format!("{}: is `counterfoil dev` running on that folder?", path.display()))?;
        let mut dev: Self = serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
        #[derive(Deserialize)]
        struct Ready {
            pid: u32,
        }
        let ready = path.with_file_name("simulator").join("ready.json");
        dev.simulator_pid = std::fs::read(ready)
            .ok()
            .and_then(|text| serde_json::from_slice::<Ready>(&text).ok())
            .map(|ready| ready.pid);
        Ok(dev)
    }

    /// A connection to the database as its owner.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn database(&self) -> Result<tokio_postgres::Client> {
        connect(&self.database_url).await
    }
}

pub(crate) async fn connect(url: &str) -> Result<tokio_postgres::Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .context("connecting to the database")?;
    tokio::spawn(async move {
        let _ = connection.await; // ends when its client is dropped
    });
    Ok(client)
}
