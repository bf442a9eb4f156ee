//! Another ledger on the same server, to be compared with: pgledger, whose SQL is brought by whoever measures.
//!
//! A payment there is two transfers, receivable to merchant and receivable to fees, in one call of
//! `pgledger_create_transfers`: one round trip and one commit, the best that its interface offers. It writes no payment row
//! and no idempotency record, which ours does.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Statement};

use super::connect;

/// A merchant's accounts at the peer, by its ids.
pub struct PeerAccounts {
    receivable: String,
    merchant: String,
    fee: String,
}

/// Loads the peer's SQL, file by file, and opens three accounts for each merchant.
pub async fn seed(config: &Config, files: &[PathBuf], merchants: usize) -> anyhow::Result<Vec<PeerAccounts>> {
    let mut client = connect(config).await?;
    for file in files {
        let sql = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        client
            .batch_execute(&sql)
            .await
            .with_context(|| file.display().to_string())?;
    }
    let tx = client.transaction().await?;
    let open = tx.prepare("SELECT id FROM pgledger_create_account($1, 'USD')").await?;
    let mut accounts = Vec::with_capacity(merchants);
    for i in 0..merchants {
        let mut ids = Vec::with_capacity(3);
        for name in ["receivable", "merchant", "fee"] {
            ids.push(
                tx.query_one(&open, &[&format!("{name}.{i}")])
                    .await?
                    .try_get::<_, String>(0)?,
            );
        }
        let [receivable, merchant, fee] = ids.try_into().ok().context("three names give three accounts")?;
        accounts.push(PeerAccounts {
            receivable,
            merchant,
            fee,
        });
    }
    tx.commit().await?;
    client.batch_execute("VACUUM ANALYZE").await?;
    Ok(accounts)
}

/// A connection with the peer's call prepared.
pub struct Connection {
    client: Client,
    pay: Statement,
}

impl Connection {
    pub async fn new(config: &Config) -> Result<Connection, tokio_postgres::Error> {
        let client = connect(config).await?;
        let pay = client.prepare(PAY).await?;
        Ok(Connection { client, pay })
    }

    /// Both transfers; again when two payments stood in each other's way.
    pub async fn pay(&mut self, to: &PeerAccounts, amount: i64, fee: i64) -> anyhow::Result<()> {
        loop {
            let paid = self
                .client
                .query(
                    &self.pay,
                    &[&to.receivable, &to.merchant, &(amount - fee), &to.fee, &fee],
                )
                .await;
            match paid {
                Err(e) if e.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED) => {}
                paid => {
                    ensure!(paid?.len() == 2, "a payment is two transfers");
                    return Ok(());
                }
            }
        }
    }
}

/// The peer's books: two transfers per payment, and balances that sum to zero.
pub async fn audit(client: &Client, payments: u64) -> anyhow::Result<()> {
    let row = client.query_one(AUDIT, &[]).await?;
    let (transfers, balanced): (i64, bool) = (row.try_get(0)?, row.try_get(1)?);
    ensure!(
        transfers.unsigned_abs() == 2 * payments && balanced,
        "{transfers} transfers of {payments} payments, balanced: {balanced}"
    );
    Ok(())
}

const PAY: &str = "
    SELECT id FROM pgledger_create_transfers(ROW($1::text, $2::text, $3::bigint)::transfer_request,
                                             ROW($1::text, $4::text, $5::bigint)::transfer_request)";

const AUDIT: &str = "
    SELECT (SELECT count(*) FROM pgledger_transfers), (SELECT coalesce(sum(balance), 0) = 0 FROM pgledger_accounts)";
