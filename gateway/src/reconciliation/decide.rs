//! What people say of a break: it is explained, or open again. Every decision is a row; the last one holds.

use tokio_postgres::Client;

use super::store;

/// A decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is explained: nothing is open about it any more.
    Resolve,
    /// It was not: undoes the last decision.
    Reopen,
}

/// Why nothing was decided.
#[derive(Debug, thiserror::Error)]
pub enum DecisionError {
    /// no such break
    #[error("there is no break {0}")]
    Unknown(String),
    /// it is that already
    #[error("the break is {0} already")]
    Already(String),
    /// a person and a reason are part of every decision
    #[error("say who decides (up to 200 letters) and why (up to 1000)")]
    Unexplained,
    /// the database
    #[error("the database: {0}")]
    Database(#[from] tokio_postgres::Error),
}

/// Decides about a break, in the words of a person.
pub async fn decide(
    client: &mut Client,
    id: &str,
    decision: Decision,
    person: &str,
    reason: &str,
) -> Result<(), DecisionError> {
    let long = |text: &str, max: usize| text.trim().is_empty() || text.chars().count() > max;
    if long(person, 200) || long(reason, 1000) {
        return Err(DecisionError::Unexplained);
    }
    let (action, from, to) = match decision {
        Decision::Resolve => ("resolve", "open", "resolved"),
        Decision::Reopen => ("reopen", "resolved", "open"),
    };
    let tx = client.transaction().await?;
    let sql = "SELECT status, version FROM gateway.settlement_break WHERE id = $1 FOR UPDATE";
    let Some(row) = tx.query_opt(sql, &[&id]).await? else {
        return Err(DecisionError::Unknown(id.to_owned()));
    };
    let (status, version): (String, i32) = (row.try_get(0)?, row.try_get(1)?);
    if status != from {
        return Err(DecisionError::Already(status));
    }
    let sql = "UPDATE gateway.settlement_break SET status = $2, version = version + 1 WHERE id = $1";
    tx.execute(sql, &[&id, &to]).await?;
    tx.execute(store::DECIDED, &[&id, &version, &action, &person, &reason])
        .await?;
    tx.commit().await?;
    Ok(())
}
