//! A merchant's rules and lists from the command line: the flows of the API, called by an operator over the owner's connection.
//! What they check and tell (tries before a rule decides, versions, events) is the same; no process of the service is needed.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use ledger::group::Options;
use serde_json::Value;

use super::super::deed::operator;
use super::super::{print, vault};
use crate::api::error::ApiError;
use crate::app::{App, Parts, Settings};
use crate::call::{Answer, Call};
use crate::clock::Clock;
use crate::commit::Committer;
use crate::connector::Registry;
use crate::risk;

/// Whose rules or lists, and where.
#[derive(clap::Args)]
pub(super) struct Of {
    /// The merchant's account
    #[arg(long, value_name = "ACCOUNT")]
    pub(super) merchant: String,

    #[command(flatten)]
    pub(super) place: vault::Where,

    /// For programs
    #[arg(long)]
    pub(super) json: bool,
}

impl Of {
    /// Calls a flow for this merchant, and ends what was begun for it.
    pub(super) async fn call<T>(&self, flow: impl AsyncFnOnce(&Call) -> Result<T, ApiError>) -> Result<T> {
        let app = self.app().await?;
        let merchant = app.merchant_by_id(&self.merchant).await.map_err(said)?;
        let merchant = merchant.with_context(|| format!("there is no merchant {}", self.merchant))?;
        let call = Call::new(app.clone(), merchant, operator(), None, Vec::new());
        let done = flow(&call).await.map_err(said);
        app.committer.shutdown().await;
        done
    }

    async fn app(&self) -> Result<Arc<App>> {
        let database = self.place.database.database()?;
        let vault = Arc::new(self.place.vault().await?);
        let reads = database.pool(2)?;
        let lists = risk::built_in_lists(&vault, false);
        Ok(App::new(Parts {
            reads,
            committer: Committer::start(
                database,
                Options {
                    writers: 1,
                    ..Options::default()
                },
            ),
            vault,
            scorer: anomaly::Engine::new(anomaly::Config::default()),
            policies: risk::Policies::new(lists, false),
            connectors: Registry::default(),
            clock: Clock::default(),
            settings: Settings::default(),
            access: crate::limit::Settings::default(),
            risk: risk::Settings::default(),
        }))
    }

    /// Shows the object of an answer: all of it to a program, or what `told` makes of it.
    pub(super) fn show(&self, answer: &Answer, told: impl FnOnce(&Value) -> String) -> Result<()> {
        let object: Value = serde_json::from_str(&answer.body).context("the flow's own answer")?;
        if self.json {
            print::line(object);
        } else {
            print::line(told(&object));
        }
        Ok(())
    }
}

fn said(error: ApiError) -> anyhow::Error {
    match error.param.filter(|param| !param.is_empty()) {
        Some(param) => anyhow!("{} ({param})", error.message),
        None => anyhow!(error.message),
    }
}

/// A field of an object in words.
pub(super) fn text(object: &Value, field: &str) -> String {
    match &object[field] {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}
