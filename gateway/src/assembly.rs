//! TEMPORARY stand-in with the shape that the commands need; to be replaced by the real application.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use futures_util::future::BoxFuture;
use prometheus::Registry;
use tokio_postgres::NoTls;

/// What the application needs to know from outside.
pub struct AppConfig {
    /// Role gateway_app.
    pub database: tokio_postgres::Config,
    /// Role vault_app.
    pub vault_database: tokio_postgres::Config,
    /// Reading connections.
    pub connections: usize,
    /// Committing connections.
    pub writers: usize,
    /// File with the vault's keys, made on the first use when `development`.
    pub vault_keys: PathBuf,
    /// The acquirer.
    pub stripe: StripeConfig,
    /// Webhook targets on private addresses are allowed, and missing keys are made.
    pub development: bool,
}

/// An acquirer that speaks Stripe's wire.
pub struct StripeConfig {
    /// Scheme, host and port.
    pub base_url: String,
    /// Our key there.
    pub secret_key: String,
    /// Secret of its webhooks.
    pub webhook_secret: String,
    /// Further authorities to trust.
    pub authorities: Option<PathBuf>,
}

/// Whether the application can do its work now.
pub type Ready = Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

/// The running application.
pub struct App {
    /// What the API listener serves.
    pub api: Router,
    /// What the operations listener serves, beside `/healthz`, `/readyz` and `/metrics`.
    pub ops: Router,
    /// Behind `/readyz`.
    pub ready: Ready,
    /// Behind `/metrics`.
    pub metrics: Registry,
}

/// Builds and starts the application.
///
/// # Errors
/// When the database cannot be reached.
pub async fn build(config: AppConfig) -> anyhow::Result<App> {
    let database = config.database.clone();
    drop(database.connect(NoTls).await?);
    let ready: Ready = Arc::new(move || {
        let database = database.clone();
        Box::pin(async move { database.connect(NoTls).await.is_ok() })
    });
    let api = Router::new().route(
        "/v1/balance",
        get(|| async { axum::Json(serde_json::json!({ "object": "balance" })) }),
    );
    Ok(App {
        api,
        ops: Router::new(),
        ready,
        metrics: Registry::new(),
    })
}

impl App {
    /// Stops background work; called after the API has drained.
    pub async fn shutdown(self) {}
}

/// Where the acquirer's webhooks arrive on the API listener.
pub const ACQUIRER_CALLBACK_PATH: &str = "/callbacks/stripe";

/// TEMPORARY: all schemas up to date; what was applied, for people.
///
/// # Errors
/// When a migration fails.
pub async fn migrate(client: &mut tokio_postgres::Client) -> anyhow::Result<usize> {
    for role in ["gateway_app", "vault_app"] {
        if client
            .query_opt("SELECT 1 FROM pg_roles WHERE rolname = $1", &[&role])
            .await?
            .is_none()
        {
            client.batch_execute(&format!("CREATE ROLE {role} LOGIN")).await?;
        }
    }
    Ok(ledger::migrate(client).await?)
}
