//! What the scorer knows, kept in step with the database: the log `risk.history`, read from where this process stopped.
//!
//! Every attempt's outcome and every label is one row of that log, in the commit that made it true; a process learns from
//! the log alone, its own attempts too. So all processes have the same state, but for what the last of them has not read
//! yet: its own commits wake the reader, those of others are found within [`POLL`]. A row is found exactly once, however
//! transactions overlap: its `recorded` is its transaction, and the server's own snapshot says which of them were seen.
//!
//! The state is also written to a file from time to time, with that position, so that a restart reads the rest and nothing
//! twice. The file is a cache: when it is missing, broken or of another database, the log is read from [`HISTORY_DAYS`] ago.
//! It must never be read half, and the service is not ready before the log has been read to its end.

use super::online::Learner;
use super::rows::Fact;
use crate::api::error::ApiError;
use crate::app::App;
use crate::payment::rows::RiskContext;
use crate::telemetry::table;
use anomaly::{Attempt, Engine, Label, Outcome, Verdict};
use anyhow::Context;
use deadpool_postgres::Pool;
use futures_util::TryStreamExt;
use jiff::{SignedDuration, Timestamp};
use prometheus::{IntCounter, IntGauge};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{GenericClient, Row};

/// How often the log is read when this process itself commits nothing.
pub const POLL: Duration = Duration::from_millis(200);
/// The least time between two readings: what was committed meanwhile is read together.
const PAUSE: Duration = Duration::from_millis(10);
/// How far back the log is read without a file: the longest window of the features.
pub const HISTORY_DAYS: i64 = 90;
/// How often the state is written to its file.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(600);
/// Of the file's shape.
const FORMAT: u32 = 2;
/// A position before everything.
const BEGINNING: &str = "1:1:";

/// How far this process has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// `pg_snapshot`: transactions that it shows as visible were read
    seen: String,
    /// nothing older than this is read
    since: Timestamp,
}

/// The last line of the file: what the lines before it are.
#[derive(Debug, Serialize, Deserialize)]
struct Trailer {
    format: u32,
    identity: uuid::Uuid,
    seen: String,
    sha256: String,
}

/// Figures of the reader.
pub struct Metrics {
    /// rows read from the log
    pub rows: IntCounter,
    /// when the log was read to its end last, unix seconds
    pub at: IntGauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            rows: table::counter("counterfoil_scorer_history_rows_total"),
            at: table::gauge("counterfoil_scorer_history_timestamp_seconds"),
        }
    }
}

impl Metrics {
    /// Shows them.
    ///
    /// # Errors
    /// When they are shown already.
    pub fn register(&self, registry: &prometheus::Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.rows.clone()))?;
        registry.register(Box::new(self.at.clone()))
    }
}

/// The scorer as the file and the log have it, and from where to go on.
///
/// # Errors
/// When the database cannot be read.
pub async fn restore(
    reads: &Pool,
    config: anomaly::Config,
    file: Option<&Path>,
    now: Timestamp,
) -> anyhow::Result<(Engine, Learner, Position)> {
    let client = reads.get().await?;
    let since = now - SignedDuration::from_hours(24 * HISTORY_DAYS);
    let begun = Instant::now();
    let mut restored = None;
    if let Some(file) = file.filter(|file| file.exists()) {
        match load(file, config.clone()) {
            Ok((engine, learner, trailer)) if continues(&**client, &trailer).await? => {
                let seen = trailer.seen;
                restored = Some((engine, learner, Position { seen, since }));
            }
            Ok(_) => tracing::warn!("the scorer's file is of another database or of its future: not used"),
            Err(error) => tracing::warn!(%error, "the scorer's file cannot be used: its history is read instead"),
        }
    }
    let from_file = restored.is_some();
    let (engine, mut learner, mut position) = restored.unwrap_or_else(|| {
        let seen = BEGINNING.to_owned();
        (Engine::new(config), Learner::default(), Position { seen, since })
    });
    let rows = advance(&**client, &engine, &mut learner, &mut position).await?;
    let (entities, bytes) = engine.size();
    tracing::info!(
        rows,
        from_file,
        entities,
        bytes,
        milliseconds = begun.elapsed().as_millis() as u64,
        "the scorer has its state back"
    );
    Ok((engine, learner, position))
}

/// Keeps the scorer in step for as long as the service runs, and writes the file at its end.
pub async fn run(
    app: Arc<App>,
    mut learner: Learner,
    mut position: Position,
    file: Option<PathBuf>,
    shutdown: impl Future<Output = ()>,
) {
    let mut shutdown = pin!(shutdown);
    app.models.publish(&mut learner);
    let mut written = Instant::now();
    let mut stopping = false;
    while !stopping {
        tokio::select! {
            biased;
            () = &mut shutdown => stopping = true,
            () = app.committer.learned.notified() => {}
            () = tokio::time::sleep(POLL) => {}
        }
        match step(&app, &mut learner, &mut position).await {
            Ok(rows) => {
                app.models.publish(&mut learner);
                app.history.rows.inc_by(rows);
                app.history.at.set(app.clock.now().as_second());
            }
            Err(error) => tracing::warn!(
                error = error.message,
                "the scorer's history cannot be read; trying again"
            ),
        }
        if let Some(file) = file
            .as_deref()
            .filter(|_| stopping || written.elapsed() >= SNAPSHOT_EVERY)
        {
            written = Instant::now();
            if let Err(error) = save(&app, &learner, &position, file).await {
                tracing::warn!(%error, "the scorer's file was not written; a restart reads its history instead");
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn step(app: &App, learner: &mut Learner, position: &mut Position) -> Result<u64, ApiError> {
    let client = app.reads.get().await?;
    Ok(advance(&**client, &app.scorer, learner, position).await?)
}

/// Reads what was committed since the position, in the order of the transactions, and moves the position behind it.
async fn advance(
    client: &impl GenericClient,
    engine: &Engine,
    learner: &mut Learner,
    position: &mut Position,
) -> Result<u64, tokio_postgres::Error> {
    // One statement, one snapshot: the position it gives back is exactly what its rows are.
    let sql = format!(
        "SELECT h.*, s.seen FROM (SELECT pg_current_snapshot()::text AS seen) s
         LEFT JOIN (SELECT {COLUMNS}, l.recorded {LOG}
                    WHERE l.recorded >= pg_snapshot_xmin($1::text::pg_snapshot)
                      AND NOT pg_visible_in_snapshot(l.recorded, $1::text::pg_snapshot) AND l.at >= $2) h ON true
         ORDER BY h.recorded, h.at, h.book_id, h.id, h.fact"
    );
    let parameters: [(&(dyn ToSql + Sync), Type); 2] =
        [(&position.seen, Type::TEXT), (&position.since, Type::TIMESTAMPTZ)];
    let mut rows = pin!(client.query_typed_raw(&sql, parameters).await?);
    let (mut read, mut seen) = (0, None);
    while let Some(row) = rows.try_next().await? {
        if seen.is_none() {
            seen = Some(row.try_get("seen")?);
        }
        if row.try_get::<_, Option<&str>>(0)?.is_some() {
            let entry = Entry::read(&row)?;
            learner.hear(&entry, engine);
            entry.tell(engine);
            read += 1;
        }
    }
    if let Some(seen) = seen {
        position.seen = seen;
    }
    Ok(read)
}

/// What [`Entry::read`] reads, of the log [`LOG`]; the reader's own columns follow.
pub(super) const COLUMNS: &str =
    "l.id, l.book_id, l.fact, l.at, c.created_at, c.amount, c.currency, c.card->>'fingerprint' AS fingerprint,
     c.card->>'bin' AS bin, c.context::text AS context, l.resolves";
pub(super) const LOG: &str = "FROM risk.history l JOIN gateway.charge c ON c.book_id = l.book_id AND c.id = l.id";

/// One row of the log.
pub(super) struct Entry {
    /// the charge's
    pub book_id: i64,
    /// the charge's
    pub id: String,
    pub attempt: Attempt,
    pub what: What,
    /// when it became known
    pub at: Timestamp,
}

/// What a row of the log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// an attempt, with what is known of its outcome
    Attempt(Outcome),
    /// the outcome of one that was there as unknown
    Resolved(Outcome),
    Label(Verdict),
}

impl Entry {
    /// From a row that begins with [`COLUMNS`].
    pub fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let word: &str = row.try_get(2)?;
        // What the CHECK of the column allows is what the enum has; an unknown word of a newer version is an attempt.
        let fact: Fact = serde_json::from_value(word.into()).unwrap_or(Fact::Unknown);
        let what = match (fact.outcome(), row.try_get::<_, Option<bool>>(10)?) {
            (Ok(outcome), Some(true)) => What::Resolved(outcome),
            (Ok(outcome), _) => What::Attempt(outcome),
            (Err(verdict), _) => What::Label(verdict),
        };
        let context: RiskContext = serde_json::from_str(row.try_get(9)?).unwrap_or_default();
        let book_id = row.try_get(1)?;
        let attempt = super::facts(
            row.try_get(4)?,
            book_id,
            row.try_get(5)?,
            row.try_get(6)?,
            row.try_get::<_, Option<&str>>(7)?.unwrap_or_default(),
            row.try_get::<_, Option<&str>>(8)?.unwrap_or_default(),
            &context,
        );
        Ok(Self {
            book_id,
            id: row.try_get(0)?,
            attempt,
            what,
            at: row.try_get(3)?,
        })
    }

    /// Tells it to a scorer.
    pub fn tell(&self, engine: &Engine) {
        match self.what {
            What::Attempt(outcome) => engine.observe(&self.attempt, outcome),
            What::Resolved(outcome) => engine.resolve(&self.attempt, outcome),
            What::Label(verdict) => {
                let known_ms = self.at.as_millisecond();
                engine.label(&self.attempt, Label { known_ms, verdict });
            }
        }
    }
}

/// Whether a file continues in this database: it is this one, and not from after what it has.
async fn continues(client: &impl GenericClient, trailer: &Trailer) -> anyhow::Result<bool> {
    let rows = client
        .query_typed(
            "SELECT 1 FROM risk.identity
             WHERE id = $1 AND pg_snapshot_xmax($2::text::pg_snapshot) <= pg_snapshot_xmax(pg_current_snapshot())",
            &[(&trailer.identity, Type::UUID), (&trailer.seen, Type::TEXT)],
        )
        .await?;
    Ok(!rows.is_empty())
}

async fn save(app: &App, learner: &Learner, position: &Position, file: &Path) -> anyhow::Result<()> {
    let identity: uuid::Uuid = {
        let client = app.reads.get().await?;
        let rows = client.query_typed("SELECT id FROM risk.identity", &[]).await?;
        rows.first().context("risk.identity is empty")?.try_get(0)?
    };
    // Taken here, between two readings; written while reading goes on.
    let snapshot = app.scorer.snapshot();
    let (learner, seen, file) = (learner.clone(), position.seen.clone(), file.to_owned());
    tokio::task::spawn_blocking(move || store(&snapshot, &learner, identity, seen, &file)).await?
}

/// The scorer's state, that of its online regression, and the trailer, a line each; whole or not at all.
fn store(
    snapshot: &anomaly::Snapshot,
    learner: &Learner,
    identity: uuid::Uuid,
    seen: String,
    file: &Path,
) -> anyhow::Result<()> {
    let fresh = file.with_extension(format!("{}.new", std::process::id()));
    let written = (|| {
        let mut out = Hashing {
            to: BufWriter::new(std::fs::File::create(&fresh)?),
            hash: Sha256::new(),
        };
        serde_json::to_writer(&mut out, snapshot)?;
        out.write_all(b"\n")?;
        serde_json::to_writer(&mut out, learner)?;
        let sha256 = hex::encode(out.hash.finalize());
        let trailer = Trailer {
            format: FORMAT,
            identity,
            seen,
            sha256,
        };
        let mut to = out.to;
        write!(to, "\n{}\n", serde_json::to_string(&trailer)?)?;
        let whole = to.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        whole.sync_all()?;
        std::fs::rename(&fresh, file)?;
        anyhow::Ok(())
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&fresh); // there may be none
    }
    written.with_context(|| format!("writing {}", file.display()))
}

fn load(file: &Path, config: anomaly::Config) -> anyhow::Result<(Engine, Learner, Trailer)> {
    let text = std::fs::read(file)?;
    let body = text.strip_suffix(b"\n").context("it breaks off")?;
    let line = body
        .iter()
        .rposition(|byte| *byte == b'\n')
        .context("it has no trailer")?;
    let trailer: Trailer = serde_json::from_slice(&body[line + 1..]).context("its trailer cannot be read")?;
    anyhow::ensure!(
        trailer.format == FORMAT,
        "it has format {}, this program {FORMAT}",
        trailer.format
    );
    let state = &body[..line];
    anyhow::ensure!(
        hex::encode(Sha256::digest(state)) == trailer.sha256,
        "its sum does not match"
    );
    let split = state
        .iter()
        .position(|byte| *byte == b'\n')
        .context("a part is missing")?;
    let snapshot = serde_json::from_slice(&state[..split]).context("its state cannot be read")?;
    let engine = Engine::restore(config, snapshot).context("it was written by another version of the scorer")?;
    let learner: Learner = serde_json::from_slice(&state[split + 1..]).context("its regression cannot be read")?;
    anyhow::ensure!(learner.fits(), "its regression was made for other features");
    Ok((engine, learner, trailer))
}

struct Hashing<W> {
    to: W,
    hash: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests;
