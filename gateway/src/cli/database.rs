//! Which database a command works on: `--database-url`, then `DATABASE_URL`, then the one of a development folder.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tokio_postgres::Client;

use crate::database::Database;

/// Options that every command with a database has.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Which {
    /// PostgreSQL URL of the owner; without it, the database of the development folder is used
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub(super) database_url: Option<String>,

    /// Folder of `counterfoil dev`
    #[arg(long, default_value = ".counterfoil", value_name = "DIR")]
    pub(super) dir: PathBuf,
}

impl Which {
    /// The URL, from the first place that has one.
    pub(super) fn url(&self) -> Result<String> {
        #[derive(Deserialize)]
        struct Dev {
            database_url: String,
        }
        if let Some(url) = &self.database_url {
            return Ok(url.clone());
        }
        let path = self.dir.join("dev.json");
        let Ok(text) = fs::read_to_string(&path) else {
            bail!(
                "which database? Give --database-url, set DATABASE_URL, or start `counterfoil dev` ({} is not there)",
                path.display()
            );
        };
        let dev: Dev = serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
        Ok(dev.database_url)
    }

    /// The same, read.
    pub(super) fn database(&self) -> Result<Database> {
        Database::parse(&self.url()?).context("the database URL")
    }

    /// Connects; the connection ends with the client.
    pub(super) async fn connect(&self) -> Result<Client> {
        self.database()?.connect().await.context("connecting to PostgreSQL")
    }
}
