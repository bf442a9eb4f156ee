//! What only the database knows of the service's health, read every quarter of a minute: unknown outcomes, queues, deadlines,
//! replication, the books.
//!
//! `/metrics` shows it and `counterfoil selfcheck` judges it; the queries are here once. Every look is by an index or stops counting
//! at a bound. It must never write, and never keep a connection while it rests.

use jiff::Timestamp;
use std::time::{Duration, Instant};
use tokio_postgres::GenericClient;

/// Between two looks.
pub const EVERY: Duration = Duration::from_secs(15);

/// One look.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vitals {
    /// attempts, captures and voids, refunds, cards that are set up: outcome not known, and those asked about for too long
    pub unknown: Vec<Unknown>,
    /// payments that wait for a person
    pub reviews_open: i64,
    /// disputes that wait for the merchant, by the time that is left
    pub disputes: Disputes,
    /// signals about merchants that nobody has acknowledged
    pub signals_open: i64,
    /// webhooks that are due
    pub deliveries: Queue,
    /// callbacks of acquirers that are due
    pub callbacks: Queue,
    /// alarms that are due
    pub alarms: Queue,
    /// accounts with money that nobody could assign
    pub suspense_accounts: i64,
    /// bytes of the database
    pub database_bytes: i64,
    /// replicas that follow
    pub replication: Replication,
    /// where the write-ahead log goes
    pub archive: Archive,
    /// this machine's clock less the database's, seconds
    pub clock_offset: f64,
}

/// Outcomes of a kind that are not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unknown {
    /// `payment`, `refund` or `setup`
    pub kind: String,
    /// asked about not for long
    pub fresh: i64,
    /// asked about for longer than [`OVERDUE_AFTER_ASKING`] says
    pub overdue: i64,
}

/// Disputes by the time that is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disputes {
    /// the deadline has passed
    pub overdue: i64,
    /// less than a day
    pub day: i64,
    /// less than three
    pub three_days: i64,
    /// more, or no deadline
    pub later: i64,
}

/// Something that is to be told.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Queue {
    /// how many are due; counted up to [`COUNTED`]
    pub waiting: i64,
    /// seconds that the oldest has been due
    pub lag: f64,
}

/// Replicas of the primary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replication {
    /// those that a commit waits for
    pub sync: i64,
    /// the others
    pub r#async: i64,
    /// write-ahead log that the slowest has not on disk
    pub lag_bytes: i64,
}

/// The archive of the write-ahead log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Archive {
    /// Unix seconds of the last success; 0 for never
    pub archived_at: i64,
    /// the newest attempt failed
    pub failing: bool,
    /// archive_mode is on
    pub on: bool,
}

/// After so many askings with growing pauses (2 s, 4 s .. 256 s, 300 s) more than 13 minutes have gone: a person should look.
pub const OVERDUE_AFTER_ASKING: i16 = 9;
/// Where counting a queue stops.
pub const COUNTED: i64 = 100_000;

/// Looks once.
///
/// # Errors
/// When the database cannot be read.
pub async fn read(client: &impl GenericClient) -> Result<Vitals, tokio_postgres::Error> {
    // One after the other on one connection: a scrape is in no hurry.
    let unknown = client
        .query(UNKNOWN, &[&OVERDUE_AFTER_ASKING])
        .await?
        .iter()
        .map(|row| {
            Ok(Unknown {
                kind: row.try_get(0)?,
                fresh: row.try_get(1)?,
                overdue: row.try_get(2)?,
            })
        })
        .collect::<Result<_, tokio_postgres::Error>>()?;
    let disputes = client.query_one(DISPUTES, &[]).await?;
    let waiting = client.query_one(WAITING, &[]).await?;
    let server = client.query_one(SERVER, &[]).await?;
    Ok(Vitals {
        unknown,
        disputes: Disputes {
            overdue: disputes.try_get(0)?,
            day: disputes.try_get(1)?,
            three_days: disputes.try_get(2)?,
            later: disputes.try_get(3)?,
        },
        reviews_open: waiting.try_get(0)?,
        signals_open: waiting.try_get(1)?,
        suspense_accounts: waiting.try_get(2)?,
        deliveries: queue(client, "gateway.delivery").await?,
        callbacks: queue(client, "gateway.callback").await?,
        alarms: queue(client, "gateway.alert_delivery").await?,
        database_bytes: server.try_get(0)?,
        archive: Archive {
            archived_at: server.try_get(1)?,
            failing: server.try_get(2)?,
            on: server.try_get(3)?,
        },
        replication: replication(client).await?,
        clock_offset: clock_offset(client).await?,
    })
}

/// A queue whose rows have `due_at` until they are done.
async fn queue(client: &impl GenericClient, table: &str) -> Result<Queue, tokio_postgres::Error> {
    let sql = format!(
        "SELECT count(*), coalesce(extract(epoch FROM now() - min(due_at)), 0)::float8
         FROM (SELECT due_at FROM {table} WHERE due_at <= now() LIMIT {COUNTED}) due"
    );
    let row = client.query_one(&sql, &[]).await?;
    Ok(Queue {
        waiting: row.try_get(0)?,
        lag: row.try_get(1)?,
    })
}

async fn replication(client: &impl GenericClient) -> Result<Replication, tokio_postgres::Error> {
    let row = client
        .query_one(
            "SELECT count(*) FILTER (WHERE waited_for), count(*) FILTER (WHERE NOT waited_for), coalesce(max(lag_bytes), 0)
             FROM gateway.replication()",
            &[],
        )
        .await?;
    Ok(Replication {
        sync: row.try_get(0)?,
        r#async: row.try_get(1)?,
        lag_bytes: row.try_get(2)?,
    })
}

/// The nearest of a few askings, half of its round trip taken off: what is left is wrong by less than that half.
async fn clock_offset(client: &impl GenericClient) -> Result<f64, tokio_postgres::Error> {
    let (mut best, mut offset) = (Duration::MAX, 0.0);
    for _ in 0..3 {
        let begun = Instant::now();
        let row = client
            .query_one("SELECT extract(epoch FROM clock_timestamp())::float8", &[])
            .await?;
        let (took, theirs) = (begun.elapsed(), row.try_get::<_, f64>(0)?);
        // not the service's own clock, which tests move: the machine's is what is judged
        let ours = Timestamp::now().as_microsecond() as f64 / 1e6;
        if took < best {
            best = took;
            offset = ours - took.as_secs_f64() / 2.0 - theirs;
        }
    }
    Ok(offset)
}

impl Vitals {
    /// Outcomes that are not known, and those of them that a person should look at.
    #[must_use]
    pub fn unknown_outcomes(&self) -> (i64, i64) {
        self.unknown.iter().fold((0, 0), |(all, overdue), kind| {
            (all + kind.fresh + kind.overdue, overdue + kind.overdue)
        })
    }
}

impl Archive {
    /// How long ago a segment was archived.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Option<Duration> {
        let age = now.as_second().saturating_sub(self.archived_at);
        (self.archived_at > 0).then(|| Duration::from_secs(age.max(0).unsigned_abs()))
    }
}

/// Whatever is asked about again is due within five minutes; a hold that lapses in a week is not looked at.
const UNKNOWN: &str = "
    SELECT kind, count(*) FILTER (WHERE swept < $1), count(*) FILTER (WHERE swept >= $1) FROM (
        SELECT 'payment' AS kind, c.swept FROM gateway.charge c JOIN gateway.payment p ON p.book_id = c.book_id AND p.id = c.payment_id
        WHERE c.check_at < now() + interval '6 minutes' AND p.operation IS NOT NULL AND p.charge_id = c.id
          AND (c.swept > 0 OR c.status IN ('unknown', 'mismatched'))
        UNION ALL
        SELECT 'refund', swept FROM gateway.refund
        WHERE check_at < now() + interval '6 minutes' AND (swept > 0 OR status = 'unknown') AND status IN ('pending', 'unknown')
        UNION ALL
        SELECT 'setup', swept FROM gateway.setup_intent WHERE check_at < now() + interval '6 minutes' AND status = 'processing' AND swept > 0
    ) unknown GROUP BY kind";

const DISPUTES: &str = "
    SELECT count(*) FILTER (WHERE due_by <= now()), count(*) FILTER (WHERE due_by > now() AND due_by <= now() + interval '1 day'),
           count(*) FILTER (WHERE due_by > now() + interval '1 day' AND due_by <= now() + interval '3 days'),
           count(*) FILTER (WHERE due_by IS NULL OR due_by > now() + interval '3 days')
    FROM gateway.dispute WHERE status IN ('needs_response', 'warning_needs_response')";

/// Money between books nets to zero over all of them, per currency; suspense is to be empty in each.
const WAITING: &str = "
    SELECT (SELECT count(*) FROM gateway.review WHERE open),
           (SELECT count(*) FROM risk.signal WHERE status = 'open'),
           (SELECT count(*) FROM ledger.account WHERE number = '1910' AND debits_posted <> credits_posted)
           + (SELECT count(*) FROM (SELECT currency FROM ledger.account WHERE number = '1920'
                                    GROUP BY currency HAVING sum(debits_posted) <> sum(credits_posted)) uneven)";

const SERVER: &str = "
    SELECT pg_database_size(current_database()), coalesce(extract(epoch FROM last_archived_time), 0)::bigint,
           coalesce(last_failed_time > coalesce(last_archived_time, 'epoch'), false), current_setting('archive_mode') <> 'off'
    FROM pg_stat_archiver";
